"""All reads of the library."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import Count, F, Q, QuerySet, Sum

from readerstudy.library.imaging.geometry import Direction, Geometry

from . import paths
from .errors import LibraryError
from .models import Mask, Upload, Volume


def volumes(query: str = "", organ: str = "", source: str = "") -> QuerySet[Volume]:
    """Volumes with their masks, newest first; each filter is left out when empty."""
    found = Volume.objects.prefetch_related("masks")
    for word in query.split():
        found = found.filter(
            Q(name__icontains=word) | Q(patient__icontains=word) | Q(source__icontains=word)
        )
    if organ:
        found = found.filter(masks__label=organ).distinct()
    if source:
        found = found.filter(source=source)
    return found


def organs() -> list[str]:
    """Labels in use on masks, for the filter."""
    return sorted(set(Mask.objects.order_by().values_list("label", flat=True).distinct()))


def sources() -> list[str]:
    return sorted(
        Volume.objects.exclude(source="").order_by().values_list("source", flat=True).distinct()
    )


def geometry(volume: Volume) -> Geometry:
    """Native grid of a stored volume."""
    x, y, z = (float(value) for value in volume.origin)
    rows = [tuple(float(v) for v in volume.direction[at : at + 3]) for at in (0, 3, 6)]
    direction: Direction = (rows[0], rows[1], rows[2])  # type: ignore[assignment]
    return Geometry(
        shape=(volume.slices, volume.rows, volume.columns),
        spacing=(volume.spacing_x, volume.spacing_y, volume.spacing_z),
        origin=(x, y, z),
        direction=direction,
    )


def load_ct(volume: Volume) -> npt.NDArray[np.int16]:
    """HU ``(z, y, x)``, memory-mapped and read-only.

    Raises LibraryError when the file is gone from the data directory.
    """
    try:
        return np.load(paths.ct_file(volume.pk), mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LibraryError(
            f"The image file of {volume.name} is missing in the data directory; restore a backup."
        ) from None


def load_mask(mask: Mask) -> npt.NDArray[np.bool_]:
    """The mask ``(z, y, x)`` on the native grid of its volume."""
    bits, shape = load_mask_bits(mask)
    return np.unpackbits(bits, axis=2, count=shape[2]).view(np.bool_)


def load_mask_bits(mask: Mask) -> tuple[npt.NDArray[np.uint8], tuple[int, int, int]]:
    """Eight voxels of a row to a byte, ``(z, y, ceil(x / 8))``, and the shape of the mask."""
    return read_bits(paths.mask_file(mask.volume_id, mask.pk))


def read_bits(path: Path) -> tuple[npt.NDArray[np.uint8], tuple[int, int, int]]:
    """As `load_mask_bits`, from the file. Raises LibraryError when it is gone."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            z, y, x = (int(size) for size in stored["shape"])
            return stored["bits"], (z, y, x)
    except FileNotFoundError:
        raise LibraryError(
            "The file of a mask is missing in the data directory; restore a backup."
        ) from None


def uses(volume: Volume) -> list[str]:
    """What other rooms made from a volume, in words: "12 candidates". Empty when it may be deleted.

    Looked up through the relations of the model, since the library knows no room to its right.
    """
    found = []
    for relation in Volume._meta.related_objects:
        if relation.related_model in (Mask, Upload):
            continue
        count = relation.related_model._default_manager.filter(  # type: ignore[union-attr]
            **{relation.field.name: volume}
        ).count()
        if count:
            options = relation.related_model._meta  # type: ignore[union-attr]
            name = options.verbose_name if count == 1 else options.verbose_name_plural
            found.append(f"{count} {name}")
    return found


def open_uploads(user: Any) -> list[Upload]:
    """Uploads of a person that wait for something, with the bytes received so far."""
    return list(
        Upload.objects.filter(owner=user)
        .exclude(state=Upload.State.DONE)
        .select_related("job", "volume")
        .annotate(bytes_total=Sum("files__size"), bytes_received=Sum("files__received"))
    )


def received(upload: Upload) -> list[dict[str, Any]]:
    """What has arrived of each file: the browser goes on from there."""
    return list(upload.files.values("id", "name", "size", "received"))


def waiting_bytes(upload: Upload) -> dict[str, int]:
    """Files and bytes of an upload, and how many bytes have arrived."""
    sums = upload.files.aggregate(total=Sum("size"), received=Sum("received"), files=Count("id"))
    return {key: value or 0 for key, value in sums.items()}


def is_complete(upload: Upload) -> bool:
    return not upload.files.filter(received__lt=F("size")).exists()


def mask_list(masks: Iterable[Mask]) -> dict[str, list[Mask]]:
    """Masks by kind, for a page."""
    grouped: dict[str, list[Mask]] = {"organ": [], "tumor": []}
    for mask in masks:
        grouped[mask.kind].append(mask)
    return grouped

"""Volumes on the networks' grid, resampled once and kept: a crop reads only its own voxels.

A cached volume is a folder named by the SHA-256 of everything it follows from. It is written
beside and renamed, so several processes may prepare the same volume at once.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from synthesis.engine.arrays import HU_MAX, HU_MIN, Field, Hu, MaskArray, Spacing, zyx
from synthesis.engine.errors import SynthesisError
from synthesis.engine.measure import RING_MM
from synthesis.engine.phantoms import PHANTOM_KINDS, PHANTOM_ORGANS, make_phantom
from synthesis.engine.training.config import Data
from synthesis.engine.training.lists import Entry, Lists

Labels = NDArray[np.uint8]
Say = Callable[[str], None]

#: Part of every cache key: raise it when the preparation changes.
_VERSION = 2
#: Voxels remembered of each class, to cut crops around.
_PLACES = 2000
#: HU quantiles that describe a lesion.
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
_LEAST_VOXELS = 10


@dataclass(frozen=True)
class Lesion:
    """A real lesion: its tumor class, its HU quantiles minus the organ's median around it, and
    that median."""

    tumor_class: int
    quantiles: tuple[float, ...]
    reference: float


@dataclass(frozen=True)
class Volume:
    """A prepared volume: arrays (z, y, x), memory-mapped.

    ``annotated`` says of each class whether the labels would show it; ``places`` holds a sample
    of the voxels (z, y, x) of each class that occurs; ``phantom`` marks made-up volumes.
    """

    name: str
    hu: Hu
    label: Labels
    annotated: tuple[bool, ...]
    places: dict[int, NDArray[np.int32]]
    lesions: tuple[Lesion, ...]
    phantom: bool = False


def stand_ins(volumes: Iterable[Volume]) -> frozenset[int]:
    """Tumor classes that only phantoms show, so that theirs have to stand in for real ones."""
    seen: dict[bool, set[int]] = {True: set(), False: set()}
    for volume in volumes:
        seen[volume.phantom] |= {c for c in volume.places if c % 2 == 0}
    return frozenset(seen[True] - seen[False])


@dataclass(frozen=True)
class Pool:
    """Every volume of a run."""

    labelled: tuple[Volume, ...]
    unlabelled: tuple[Volume, ...]
    validation: tuple[Volume, ...]


def prepare_pool(lists: Lists, data: Data, cache: Path, seed: int, say: Say) -> Pool:
    """Prepare every volume, or find it in the cache.

    Raises:
        SynthesisError: there is nothing to learn from, or a volume cannot be read.
    """
    ph = data.phantoms
    if not lists.labelled and not ph.labelled:
        raise SynthesisError(
            "There are no labelled volumes; name a data list: --set data.labelled=FILE.json "
            "(or take data.phantoms)."
        )
    total = len(lists.labelled) + len(lists.unlabelled) + len(lists.validation)
    total += ph.labelled + ph.unlabelled + ph.validation
    made = 0

    def told(volume: Volume) -> Volume:
        nonlocal made
        made += 1
        if made % 10 == 0 or made == total:
            say(f"prepared {made} of {total} volumes")
        return volume

    def phantoms(first: int, count: int, *, tumors: bool) -> list[Volume]:
        return [
            told(_phantom(data, cache, seed, number, tumors=tumors))
            for number in range(first, first + count)
        ]

    def files(entries: Sequence[Entry]) -> list[Volume]:
        return [told(_file(entry, data, cache)) for entry in entries]

    held_out = ph.labelled + ph.unlabelled
    return Pool(
        (*files(lists.labelled), *phantoms(0, ph.labelled, tumors=True)),
        (*files(lists.unlabelled), *phantoms(ph.labelled, ph.unlabelled, tumors=False)),
        (*files(lists.validation), *phantoms(held_out, ph.validation, tumors=True)),
    )


def _file(entry: Entry, data: Data, cache: Path) -> Volume:
    parts = [_VERSION, data.classes, data.spacing_mm, entry.values]
    for path in (entry.image, entry.label):
        facts = path.stat()
        parts += [str(path.resolve()), facts.st_size, facts.st_mtime_ns]

    def make() -> tuple[Hu, Labels]:
        hu, label = load_resampled(entry.image, entry.label, data.spacing_mm)
        return hu, _translated(label, entry)

    folder = _cached(cache, parts, make, data)
    return _open(folder, str(entry.image), entry.annotated)


def _translated(label: Labels, entry: Entry) -> Labels:
    table = np.full(256, 255, np.uint8)
    for value, found in entry.values:
        table[value] = found
    table[0] = 0 if table[0] == 255 else table[0]
    out: Labels = table[label]
    strange = np.unique(label[out == 255])
    if strange.size:
        raise SynthesisError(
            f"{entry.label} holds the label {int(strange[0])}, which its data list does not name; "
            'add it to "labels".'
        )
    return out


def load_resampled(image: Path, label: Path, spacing: Spacing) -> tuple[Hu, Labels]:
    """CT and labels on one grid: x to the left, y to the back, z to the head; arrays (z, y, x).

    Raises:
        SynthesisError: a file cannot be read, is not 3-D, or both are not on one grid.
    """
    from monai.transforms import (
        Compose,
        EnsureChannelFirstd,
        LoadImaged,
        Orientationd,
        Spacingd,
    )

    keys = ("image", "label")
    load = Compose(
        [LoadImaged(keys, reader="NibabelReader", image_only=True), EnsureChannelFirstd(keys)]
    )
    regrid = Compose(
        [
            Orientationd(keys, axcodes="LPS", labels=None),
            Spacingd(keys, pixdim=spacing, mode=("bilinear", "nearest")),
        ]
    )
    try:
        raw = load({"image": image, "label": label})
    except (OSError, ValueError, RuntimeError, EOFError) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise SynthesisError(f"{image} or {label} cannot be read ({line}).") from error
    shapes = [tuple(raw[key].shape) for key in keys]
    if len(shapes[0]) != 4 or shapes[0][0] != 1:
        raise SynthesisError(f"{image} is no single 3-D volume (it is {shapes[0][1:]}).")
    if shapes[0] != shapes[1] or not np.allclose(
        np.asarray(raw["image"].affine), np.asarray(raw["label"].affine), atol=1e-2
    ):
        raise SynthesisError(f"{label} is not on the grid of {image}; resample it to that grid.")
    done = regrid(raw)
    hu, labels = (np.asarray(done[key])[0].transpose(2, 1, 0) for key in keys)
    if not np.isfinite(hu).all():
        raise SynthesisError(f"{image} holds values that are not numbers; mend the file.")
    return (
        np.clip(np.rint(hu), HU_MIN, HU_MAX).astype(np.int16),
        np.clip(np.rint(labels), 0, 255).astype(np.uint8),
    )


def _phantom(data: Data, cache: Path, seed: int, number: int, *, tumors: bool) -> Volume:
    ph = data.phantoms
    kind = ph.kind if ph.kind != "mixed" else PHANTOM_KINDS[number % len(PHANTOM_KINDS)]
    parts = [_VERSION, "phantom", data.classes, data.spacing_mm, seed, number, tumors]
    parts += [kind, ph.extent_mm, ph.lesions, ph.diameter_mm]
    names = [organ.name for organ in data.organs]
    if ph.kind == "mixed":
        names = [name for name in names if name in PHANTOM_ORGANS[kind]]
        if not names:
            raise SynthesisError(f"The {kind} phantom has none of the organs to learn.")

    def make() -> tuple[Hu, Labels]:
        rng = np.random.default_rng(np.random.SeedSequence([seed, 9, number]))
        step = zyx(data.spacing_mm)
        z, y, x = (round(mm / s) for mm, s in zip(ph.extent_mm, step, strict=True))
        phantom = make_phantom(
            rng,
            kind,
            shape=(z, y, x),
            spacing=data.spacing_mm,
            lesions=ph.lesions,
            lesion_organs=names,
            diameter_mm=ph.diameter_mm,
        )
        label = np.zeros(phantom.hu.shape, np.uint8)
        for index, organ in enumerate(data.organs):
            if organ.name not in names:
                continue
            mask = phantom.organs[organ.name]
            label[mask] = 2 * index + 1
            if tumors:
                label[mask & phantom.tumors] = 2 * index + 2
        return phantom.hu, label

    try:
        folder = _cached(cache, parts, make, data)
    except ValueError as error:
        raise SynthesisError(f"The phantoms cannot be made: {error}") from error
    shown = {name for organ in names for name in (organ, f"{organ} tumor")}
    annotated = tuple(
        name in shown and (tumors or not name.endswith(" tumor")) for name in data.classes
    )
    return _open(folder, f"phantom {number}", annotated, phantom=True)


def _cached(
    cache: Path, parts: list[object], make: Callable[[], tuple[Hu, Labels]], data: Data
) -> Path:
    key = hashlib.sha256(json.dumps(parts, default=str).encode()).hexdigest()[:32]
    folder = cache / key
    if folder.is_dir():
        return folder
    hu, label = make()
    beside = cache / f".{key}.{uuid.uuid4().hex}.part"
    try:
        beside.mkdir(parents=True)
        np.save(beside / "hu.npy", hu)
        np.save(beside / "label.npy", label)
        np.save(beside / "places.npy", _places(label))
        lesions = [[x.tumor_class, x.reference, *x.quantiles] for x in _lesions(hu, label, data)]
        (beside / "lesions.json").write_text(json.dumps(lesions))
        try:
            os.rename(beside, folder)
        except OSError:
            # Another process was faster; its folder holds the same.
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return folder


def _open(folder: Path, name: str, annotated: tuple[bool, ...], *, phantom: bool = False) -> Volume:
    try:
        places = np.load(folder / "places.npy")
        lesions = json.loads((folder / "lesions.json").read_text())
        hu = np.load(folder / "hu.npy", mmap_mode="r")
        label = np.load(folder / "label.npy", mmap_mode="r")
    except (OSError, ValueError) as error:
        raise SynthesisError(f"The cache folder {folder} is damaged; delete it.") from error
    return Volume(
        name,
        hu,
        label,
        annotated,
        {int(c): places[places[:, 0] == c, 1:] for c in np.unique(places[:, 0])},
        tuple(Lesion(int(row[0]), tuple(row[2:]), row[1]) for row in lesions),
        phantom,
    )


def _places(label: Labels) -> NDArray[np.int32]:
    """Rows (class, z, y, x): an even sample of the voxels of each class but the background."""
    rows = [np.zeros((0, 4), np.int32)]
    for value in np.unique(label[label > 0]):
        where = np.flatnonzero(label == value)
        chosen = where[np.linspace(0, where.size - 1, min(where.size, _PLACES)).astype(int)]
        at = np.stack(np.unravel_index(chosen, label.shape), axis=1)
        rows.append(np.column_stack([np.full(len(at), value), at]).astype(np.int32))
    return np.concatenate(rows)


def _lesions(hu: Hu, label: Labels, data: Data) -> list[Lesion]:
    out: list[Lesion] = []
    tumors = (label > 0) & (label % 2 == 0)
    for value in np.unique(label[tumors]):
        pieces, count = ndimage.label(label == value)
        for piece, cut in zip(range(1, count + 1), ndimage.find_objects(pieces), strict=True):
            reach = [int(np.ceil(RING_MM[1] / s)) for s in zyx(data.spacing_mm)]
            near = tuple(slice(max(c.start - r, 0), c.stop + r) for c, r in zip(cut, reach))
            mask = pieces[near] == piece
            if mask.sum() < _LEAST_VOXELS:
                continue
            organ = label[near] == value - 1
            reference = reference_hu(hu[near], mask, organ, data.spacing_mm)
            if reference is not None:
                quantiles = np.quantile(hu[near][mask].astype(np.float64), QUANTILES) - reference
                rounded = tuple(float(round(q, 3)) for q in quantiles)
                out.append(Lesion(int(value), rounded, reference))
    return out


def reference_hu(
    hu: Hu | Field, mask: MaskArray, organ: MaskArray, spacing: Spacing
) -> float | None:
    """Median HU of ``organ`` 2 to 10 mm around ``mask``; None where there is too little of it."""
    gap = ndimage.distance_transform_edt(~mask, sampling=zyx(spacing))
    ring = organ & ~mask & (gap >= RING_MM[0]) & (gap <= RING_MM[1])
    if ring.sum() < _LEAST_VOXELS:
        return None
    return float(np.median(hu[ring]))

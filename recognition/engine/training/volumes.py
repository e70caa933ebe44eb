"""Volumes on the network's grid, resampled once by MONAI and kept on disk.

A cached volume is one file named by the hash of everything it follows from, so many processes and
runs share it; with several processes each prepares its share of the volumes. A file is renamed into
place when it is whole, and one that cannot be read is made anew.
"""

from __future__ import annotations

import csv
import logging
import os
import uuid
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.dataset import PersistentDataset
from monai.transforms.compose import Compose
from monai.transforms.io.dictionary import LoadImaged
from monai.transforms.spatial.dictionary import Orientationd, Spacingd
from monai.transforms.utility.dictionary import EnsureChannelFirstd
from numpy.typing import NDArray

from recognition.engine.arrays import Hu
from recognition.engine.errors import RecognitionError
from recognition.engine.training.lists import Entry

Say = Callable[[str], None]
logger = logging.getLogger(__name__)

#: Part of every cache key: raise it when the preparation changes.
_VERSION = 1
#: Voxels remembered of each class, to cut crops around.
_PLACES = 2000
#: A few volumes stay in memory: with hundreds each is read anew, with a dozen none is.
_HELD_BYTES = 1_000_000_000


@dataclass(frozen=True)
class Volume:
    """Arrays (z, y, x) on the network's grid; ``places`` (n, 3) of each class that occurs."""

    name: str
    hu: Hu
    label: NDArray[np.uint8]
    places: dict[int, NDArray[np.int32]]
    annotated: tuple[bool, ...]


def _reduce(item: dict[str, Any]) -> dict[str, Any]:
    """What the loader returns, as plain tensors of few bytes: (z, y, x), int16 and uint8.

    Raises:
        RecognitionError: the label is on another grid, or the CT holds values that are no numbers.
    """
    hu = np.asarray(item["image"][0]).transpose(2, 1, 0)
    raw = np.asarray(item["label"][0]).transpose(2, 1, 0)
    if not np.isfinite(hu).all():
        raise RecognitionError(f"{item['files'][0]} holds values that are not numbers; repair it.")
    if hu.shape != raw.shape:
        raise RecognitionError(
            f"{item['files'][1]} is not on the grid of {item['files'][0]}; resample it."
        )
    table = np.zeros(256, np.uint8)
    for value, to in item["values"]:
        table[value] = to
    label = table[np.clip(np.rint(raw), 0, 255).astype(np.uint8)]
    places: dict[str, torch.Tensor] = {}
    rng = np.random.default_rng(label.size)  # of the volume alone, hence the same for all
    for number in np.unique(label[label > 0]).tolist():
        found = np.flatnonzero(label == number)
        chosen = rng.choice(found, min(len(found), _PLACES), replace=False)
        where = np.stack(np.unravel_index(np.sort(chosen), label.shape), axis=1)
        places[str(number)] = torch.from_numpy(where.astype(np.int32))
    clipped = np.clip(np.rint(hu), -1024, 3071).astype(np.int16)
    return {
        "hu": torch.from_numpy(np.ascontiguousarray(clipped)),
        "label": torch.from_numpy(np.ascontiguousarray(label)),
        "places": places,
    }


class _Cache(PersistentDataset):  # type: ignore[misc]
    """MONAI's, with the promises of a disk that many processes share.

    MONAI writes into the folder for temporary files and moves from there, which copies where that
    is another disk; and a file that was cut off ends its run.
    """

    def file(self, number: int) -> Path:
        """Where the prepared volume lies, or will."""
        return Path(self.cache_dir) / f"{self.hash_func(self.data[number]).decode()}.pt"

    def _transform(self, index: int) -> Any:
        path = self.file(index)
        found = _read(path)
        if found is None:
            found = _reduce(self._pre_transform(deepcopy(self.data[index])))
            _write(path, found)
        return found


def _read(path: Path) -> Any:
    """A cached volume; None where there is none that can be read."""
    if not path.is_file():
        return None
    try:
        return torch.load(path, weights_only=True)
    except PermissionError:
        raise
    except Exception:
        logger.warning("A cached volume cannot be read and is made anew: %s", path, exc_info=True)
        return None


def _write(path: Path, item: dict[str, Any]) -> None:
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        torch.save(item, beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class Volumes:
    """All volumes of a run, by number.

    Args:
        entries: which.
        spacing_mm: grid (x, y, z) of the network.
        cache: folder of the prepared volumes.
    """

    def __init__(
        self, entries: Sequence[Entry], spacing_mm: tuple[float, float, float], cache: Path
    ) -> None:
        self.entries = tuple(entries)
        keys = ["image", "label"]
        steps = [
            LoadImaged(keys),
            EnsureChannelFirstd(keys),
            Orientationd(keys, axcodes="LPS", labels=(("R", "L"), ("A", "P"), ("I", "S"))),
            Spacingd(keys, pixdim=spacing_mm, mode=("bilinear", "nearest")),
        ]
        items = [
            {
                **{k: str(v) for k, v in asdict(e).items() if k in keys},
                "files": [str(e.image), str(e.label)],
                "values": e.values,
                "made_of": [_stamp(e.image), _stamp(e.label), list(spacing_mm), _VERSION],
            }
            for e in self.entries
        ]
        cache.mkdir(parents=True, exist_ok=True)
        self._data = _Cache(items, Compose(steps), cache_dir=cache)
        self._held: dict[int, Volume] = {}

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, number: int) -> Volume:
        if number not in self._held:
            while self._held and sum(v.hu.nbytes for v in self._held.values()) > _HELD_BYTES:
                self._held.pop(next(iter(self._held)))
            self._held[number] = self._load(number)
        return self._held[number]

    def _load(self, number: int) -> Volume:
        entry = self.entries[number]
        try:
            item = self._data[number]
        except RecognitionError:
            raise
        except Exception as error:
            raise RecognitionError(
                f"{entry.image} or {entry.label} cannot be read as a volume and its mask "
                f"({type(error).__name__}); repair or leave it out."
            ) from error
        return Volume(
            name=entry.image.name,
            hu=item["hu"].numpy(),
            label=item["label"].numpy(),
            places={int(k): v.numpy() for k, v in item["places"].items()},
            annotated=entry.annotated,
        )

    def prepare(self, rank: int, world: int, say: Say) -> dict[str, str]:
        """Make this process's share of what the cache lacks; a volume that fails stops no other.

        Returns:
            why, by the name of each volume that cannot be used.
        """
        mine = range(rank, len(self), world)
        failed: dict[str, str] = {}
        for done, number in enumerate(mine, 1):
            if not self._data.file(number).is_file():
                try:
                    self._load(number)
                except RecognitionError as error:
                    failed[str(self.entries[number].image)] = str(error)
            if done % 10 == 0 or done == len(mine):
                say(f"prepared {done} of {len(mine)} volumes")
        return failed


def write_failed(path: Path, failed: dict[str, str]) -> None:
    """CSV with the columns name and reason; no file where nothing failed."""
    if not failed:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", "reason"])
        writer.writerows(sorted(failed.items()))


def _stamp(path: Path) -> list[Any]:
    stat = path.stat()
    return [str(path.resolve()), stat.st_size, stat.st_mtime_ns]

"""What one sees of a training: progress lines with time left, a log, TensorBoard, sample PNGs."""

from __future__ import annotations

import json
import math
import os
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthesis.engine.arrays import Field, MaskArray
from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.team import Team

_BAR = 20


class Monitor:
    """Numbers of each step, told on the way; only the leading process writes.

    ``log.jsonl`` has one line for each logged step. A resumed run first drops the lines after
    the step it goes on from.
    """

    def __init__(
        self,
        folder: Path,
        stage: str,
        *,
        start: int,
        steps: int,
        every: int,
        team: Team,
        say: Callable[[str], None],
        tensorboard: bool,
    ) -> None:
        self._path = folder / "log.jsonl"
        self._stage, self._steps, self._every = stage, steps, every
        self._active = team.leads
        self._say = say
        self._first, self._began = start, time.monotonic()
        self._sums: dict[str, float] = {}
        self._count = 0
        self._board: Any = None
        if self._active:
            folder.mkdir(parents=True, exist_ok=True)
            self._keep_until(start)
            self._board = _open_board(folder / "tensorboard", start) if tensorboard else None

    def _keep_until(self, step: int) -> None:
        lines = []
        if step and self._path.is_file():
            for line in self._path.read_text(encoding="utf-8").splitlines():
                try:
                    if json.loads(line)["step"] <= step:
                        lines.append(line)
                except (ValueError, KeyError):
                    break  # the line a kill cut short
        write_beside(self._path, "".join(f"{line}\n" for line in lines).encode())

    def step(self, done: int, values: Mapping[str, float]) -> None:
        """Take the numbers of step ``done`` (counted from 1); every so often tell their mean.

        Raises:
            SynthesisError: a number is not finite: the training has broken down.
        """
        broken = [name for name, value in values.items() if not math.isfinite(value)]
        if broken:
            raise SynthesisError(
                f"The training broke down at step {done} ({broken[0]} is not a number); lower "
                f"{self._stage}.lr or set {self._stage}.precision=fp32, and start anew."
            )
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._count += 1
        if done % self._every == 0 or done == self._steps:
            means = {name: total / self._count for name, total in self._sums.items()}
            self._sums, self._count = {}, 0
            self.note(done, means)
            if self._active:
                self._say(self._line(done, means))

    def note(self, done: int, values: Mapping[str, float]) -> None:
        """Log numbers without telling them."""
        if not self._active or not values:
            return
        with self._path.open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": done, **{k: float(v) for k, v in values.items()}}) + "\n")
        if self._board is not None:
            for name, value in values.items():
                self._board.add_scalar(f"{self._stage}/{name.replace(' ', '_')}", value, done)

    def _line(self, done: int, means: Mapping[str, float]) -> str:
        per_step = (time.monotonic() - self._began) / max(done - self._first, 1)
        full = round(_BAR * done / self._steps)
        numbers = "  ".join(f"{name} {value:.4g}" for name, value in means.items())
        return (
            f"{self._stage} [{'#' * full}{'.' * (_BAR - full)}] {done}/{self._steps}  {numbers}  "
            f"{per_step:.2f} s/step  {_left(per_step * (self._steps - done))}"
        )

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _left(seconds: float) -> str:
    if seconds <= 0:
        return "done"
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s left"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min left"
    return f"{seconds / 3600:.1f} h left"


def _open_board(folder: Path, start: int) -> Any:
    """TensorBoard's event file; of a resumed run it hides what came after step ``start``."""
    from tensorboardX import SummaryWriter

    # Files are named by the second: the suffix keeps a quick resume from overwriting the first.
    return SummaryWriter(
        str(folder),
        purge_step=start + 1 if start else None,
        flush_secs=20,
        filename_suffix=f".from-{start}",
    )


def write_beside(path: Path, data: bytes) -> None:
    """Write and rename: the file is the old one or the new one, never half of it."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        beside.write_bytes(data)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


Pixels = NDArray[np.uint8]
_SCALE = 3
_GAP = 4


def gray(slice_hu: Field, window: tuple[float, float]) -> Pixels:
    """HU (y, x) through a window to 0..255, one channel for each color."""
    low, high = window
    shown = np.clip((slice_hu - low) / (high - low), 0.0, 1.0) * 255.0
    return np.repeat(np.rint(shown).astype(np.uint8)[..., None], 3, axis=2)


def outlined(picture: Pixels, mask: MaskArray, color: tuple[int, int, int]) -> Pixels:
    """The picture with the outline of ``mask`` drawn over it."""
    from scipy import ndimage

    out = picture.copy()
    out[mask & ~ndimage.binary_erosion(mask)] = color
    return out


def signed(change: Field, bound: float) -> Pixels:
    """A change in HU in colors: darker is blue, brighter is red, none is white."""
    share = np.clip(change / bound, -1.0, 1.0)[..., None]
    red, blue = np.array([200, 40, 30]), np.array([30, 60, 200])
    color = np.where(share > 0, red, blue)
    out: Pixels = np.rint(255 + np.abs(share) * (color - 255.0)).astype(np.uint8)
    return out


def save_grid(path: Path, rows: Sequence[Sequence[Pixels]]) -> None:
    """Pictures of one size (y, x, 3) as a PNG, one row below the other."""
    import io

    from PIL import Image

    if not rows:
        return
    tall = max(p.shape[0] for row in rows for p in row) * _SCALE + _GAP
    wide = max(p.shape[1] for row in rows for p in row) * _SCALE + _GAP
    sheet = Image.new("RGB", (wide * max(map(len, rows)) - _GAP, tall * len(rows) - _GAP), "white")
    for y, row in enumerate(rows):
        for x, picture in enumerate(row):
            tile = Image.fromarray(picture)
            size = (picture.shape[1] * _SCALE, picture.shape[0] * _SCALE)
            sheet.paste(tile.resize(size, Image.Resampling.NEAREST), (x * wide, y * tall))
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_beside(path, buffer.getvalue())

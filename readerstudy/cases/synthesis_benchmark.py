"""How fast lesions are made, beside the published recipe, and how far they are from real ones.

Every part runs in a process of its own (``synthesis.benchmark``), so that its memory is its own.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from django.conf import settings

from readerstudy.errors import UserError
from readerstudy.measure import Measure, Section
from synthesis.benchmark import DIAMETER_MM, GRID_MM, MASS_EFFECT, ORGAN, ROI, SHAPE, SPACING

MB_TARGET, TEXTURAL_TARGET_MS, COMMAND_TARGET_S = 3000, 100, 10
WINDOW_TARGET, RECIPE_TARGET = 40, 1000
NOISE_TARGET = "0.8 to 1.25"


# ------------------------------------------------------------------------------ one at a time
def run_part(name: str, *paths: Path) -> dict[str, Any]:
    """Run one part of ``synthesis.benchmark``. Raises UserError when it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "synthesis.benchmark", name, *map(str, paths)],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise UserError(f"The part {name!r} of the benchmark failed: {done.stderr.strip()[-300:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@dataclass(frozen=True)
class Weights:
    """The generator and the segmentor that are measured."""

    generator: Path
    segmentor: Path
    note: str


@contextmanager
def _weights() -> Iterator[Weights]:
    """Those that ship; fresh ones of the same architecture where none do."""
    from synthesis.engine.checkpoints import save_checkpoint
    from synthesis.engine.networks import ConditionalUNetConfig, UNetSegmentorConfig, build_network
    from synthesis.engine.shipped import GENERATOR, SEGMENTOR, shipped_network

    painter, judge = shipped_network(GENERATOR), shipped_network(SEGMENTOR)
    if painter is not None and judge is not None:
        note = f"Learned: generator {painter.name} ({painter.sha256[:12]}), segmentor {judge.name}."
        yield Weights(painter.path, judge.path, note)
        return
    with tempfile.TemporaryDirectory(prefix="readerstudy-bench-") as name:
        files = Path(name) / "generator.safetensors", Path(name) / "segmentor.safetensors"
        paint, segment = ConditionalUNetConfig(), UNetSegmentorConfig()
        save_checkpoint(files[0], "generator", paint, build_network(paint).state_dict())
        save_checkpoint(files[1], "segmentor", segment, build_network(segment).state_dict())
        yield Weights(*files, "Learned: fresh weights, no shipped ones were found; speed only.")


# --------------------------------------------------------------------------------- per lesion
def lesion_benchmark(title: str = "One lesion") -> Section:
    """(a) textural, (b) learned with gate, (c) the published recipe, on one volume."""
    with tempfile.TemporaryDirectory(prefix="readerstudy-bench-") as name, _weights() as weights:
        folder, networks = Path(name), (weights.generator, weights.segmentor)
        run_part("phantom", folder)
        a = run_part("textural", folder)
        b = run_part("learned", folder, *networks)
        c = run_part("published", folder, *networks)
    return Section(title, _lesion_measures(a, b, c), _lesion_notes(a, b, c, weights.note))


def _per_lesion(way: dict[str, Any], what: str) -> float:
    """Median seconds of one lesion: its placement map, and every try until one passed."""
    return median(row[what] for row in way["lesions"])


def _lesion_measures(a: dict[str, Any], b: dict[str, Any], c: dict[str, Any]) -> list[Measure]:
    quick, learned = _per_lesion(a, "wall_s"), _per_lesion(b, "wall_s")
    theirs = {k: c["generator"][k] + c["gate"][k] for k in ("wall_s", "cpu_s")}
    ours = {k: c["ours"]["generator"][k] + c["ours"]["gate"][k] for k in ("wall_s", "cpu_s")}
    recipe = c["windows"] * theirs["wall_s"]
    made = sum(row["made"] for row in b["lesions"])
    tries = sum(row["tries"] for row in b["lesions"])
    return [
        Measure("(a) textural, wall", _ms(quick), "ms", f"< {TEXTURAL_TARGET_MS}",
                1000 * quick < TEXTURAL_TARGET_MS),
        Measure("(a) CPU", _ms(_per_lesion(a, "cpu_s")), "ms"),
        Measure("(a) slowest of them, wall", _ms(max(r["wall_s"] for r in a["lesions"])), "ms"),
        _memory("(a) peak memory", a["peak_mb"]),
        Measure("(b) learned with gate, wall", _ms(learned), "ms"),
        Measure("(b) CPU", _ms(_per_lesion(b, "cpu_s")), "ms"),
        Measure("(b) slowest of them, wall", _ms(max(r["wall_s"] for r in b["lesions"])), "ms"),
        Measure(f"(b) lesions that passed the gate in {tries} tries", made, ""),
        Measure("(b) wall for one try", _ms(_total(b, "wall_s") / max(tries, 1)), "ms"),
        _memory("(b) peak memory", b["peak_mb"]),
        Measure("(c) published generator, one 96³ window, wall",
                round(c["generator"]["wall_s"], 2), "s"),
        Measure("(c) published gate, one 96³ window, wall", round(c["gate"]["wall_s"], 2), "s"),
        Measure("(c) windows of the whole volume", c["windows"], ""),
        Measure("(c) whole volume, wall, estimated", round(recipe), "s"),
        Measure("(c) whole volume, CPU, estimated", round(c["windows"] * theirs["cpu_s"]), "s"),
        Measure("(c) peak memory", round(c["peak_mb"]), "MB"),
        Measure("c / a, wall", round(recipe / quick), "times"),
        Measure("c / b, wall", round(recipe / learned), "times", f"≥ {RECIPE_TARGET}",
                recipe / learned >= RECIPE_TARGET),
        Measure("Our generator and gate, the same 96³ window, wall", _ms(ours["wall_s"]), "ms"),
        _ratio("Published over ours on that window, wall", theirs["wall_s"] / ours["wall_s"]),
        Measure("Published over ours on that window, CPU",
                round(theirs["cpu_s"] / ours["cpu_s"], 1), "times"),
    ]  # fmt: skip


def _total(way: dict[str, Any], what: str) -> float:
    return float(sum(row[what] for row in way["lesions"]))


def _ms(seconds: float) -> float:
    return round(1000 * seconds, 1)


def _memory(name: str, megabytes: float) -> Measure:
    return Measure(name, round(megabytes), "MB", f"< {MB_TARGET}", megabytes < MB_TARGET)


def _ratio(name: str, ratio: float) -> Measure:
    return Measure(name, round(ratio, 1), "times", f"≥ {WINDOW_TARGET}", ratio >= WINDOW_TARGET)


def _lesion_notes(
    a: dict[str, Any], b: dict[str, Any], c: dict[str, Any], weights: str
) -> list[str]:
    z, y, x = SHAPE
    low, high = DIAMETER_MM
    grid = " x ".join(str(n) for n in reversed(c["grid"]))
    made, asked = sum(row["made"] for row in b["lesions"]), len(b["lesions"])
    notes = [
        f"Volume of {x} x {y} x {z} voxels of {SPACING[0]} x {SPACING[1]} x {SPACING[2]} mm, a "
        f"phantom made on the spot; {ORGAN} lesions of {low:g} to {high:g} mm (log-uniform), mass "
        f"effect {MASS_EFFECT}. (a), (b): medians of {len(a['lesions'])} and {asked} lesions "
        "beyond reading and writing, from the placement map to the verdict, every rejected try "
        "on the way included. Each of (a), (b), (c) ran in a process of its own; peak memory is "
        "the largest resident size of that process, volume, masks and libraries included.",
        f"{weights} Precision: {b['precision']}. The first lesion of a process takes "
        f"{1000 * a['first_s']:.0f} ms (a) and {1000 * b['first_s']:.0f} ms (b); loading PyTorch "
        f"and the networks of (b) takes {b['loading_s']:.1f} s, once.",
        f"(c) is an estimate: {c['timed']} of {c['windows']} windows were timed for each network, "
        f"the quicker counts, and it is multiplied by the number of windows of {ROI}³ voxels that "
        f"MONAI's sliding window with overlap 0.75 has over the scan at {GRID_MM} mm, cropped to "
        f"its foreground as the released code does ({grid} voxels). Published architectures with "
        "fresh weights, fp32; resampling, blending and rejected tries are not counted.",
    ]
    if made < asked:
        notes.append(
            f"(b): {asked - made} of {asked} lesions found no place or passed in none of their "
            "tries; their time counts."
        )
    return notes


# --------------------------------------------------------------------------- the whole command
def command_benchmark(title: str = "The whole command") -> Section:
    """`manage.py synthesize` from a file on the disk to the files on the disk."""
    measures = []
    with tempfile.TemporaryDirectory(prefix="readerstudy-bench-") as name, _weights() as weights:
        folder = Path(name)
        run_part("phantom", folder)
        ct, mask, series = phantom_files(folder)
        for label, source, more in (
            ("(a) textural, NIfTI", ct, ["--generator", "textural"]),
            ("(b) learned with gate, NIfTI", ct, _learned(weights)),
            ("(b) learned with gate, DICOM series", series, _learned(weights)),
        ):
            out = folder / f"out-{len(measures)}"
            wall, cpu, memory, made = _synthesize(folder, source, mask, out, more)
            bound = label.startswith("(b)")
            measures += [
                Measure(f"{label}, wall", round(wall, 2), "s",
                        f"< {COMMAND_TARGET_S}" if bound else "",
                        wall < COMMAND_TARGET_S if bound else None),
                Measure(f"{label}, CPU", round(cpu, 2), "s"),
                _memory(f"{label}, peak memory", memory),
                Measure(f"{label}, lesions made", made, ""),
            ]  # fmt: skip
    notes = [
        "`manage.py synthesize` with one lesion of 10 to 30 mm on the same volume: starting "
        "Python and PyTorch, reading the CT and the mask, the lesion and its gate, and writing "
        "CT, mask, SEG, preview and manifest (and 150 DICOM files where a series came in).",
        "Where no try passes the gate nothing is written, and the time is that of the tries.",
    ]
    return Section(title, measures, notes)


def _learned(weights: Weights) -> list[str]:
    return [
        "--generator", "freetumor", "--checkpoint", str(weights.generator),
        "--segmentor", str(weights.segmentor),
    ]  # fmt: skip


def phantom_files(folder: Path) -> tuple[Path, Path, Path]:
    """The phantom as NIfTI with its mask, and as a series of 150 DICOM files."""
    import numpy as np

    from readerstudy.library.imaging.geometry import Geometry
    from readerstudy.library.imaging.writing.nifti import pack, write_nifti
    from synthesis.benchmark import HU_FILE, ORGAN_FILE

    hu, organ = np.load(folder / HU_FILE), np.load(folder / ORGAN_FILE)
    grid = Geometry(SHAPE, SPACING, (-192.0, -192.0, 0.0), ((1, 0, 0), (0, 1, 0), (0, 0, 1)))
    write_nifti(folder / "ct.nii.gz", pack(hu), grid, "phantom")
    write_nifti(folder / "mask.nii.gz", pack(organ.astype(np.uint8)), grid, "phantom")
    write_plain_series(folder / "series", hu)
    return folder / "ct.nii.gz", folder / "mask.nii.gz", folder / "series"


def write_plain_series(folder: Path, hu: Any) -> None:
    """A plain CT series, as a scanner might send it: the command refuses marked synthetic ones."""
    import numpy as np
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    folder.mkdir()
    study, series, frame = generate_uid(), generate_uid(), generate_uid()
    for index, plane in enumerate(hu):
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one = Dataset()
        one.file_meta = meta
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
        one.StudyInstanceUID, one.SeriesInstanceUID, one.FrameOfReferenceUID = study, series, frame
        one.Modality, one.PatientID, one.PatientName = "CT", "BENCH", "Bench^Phantom"
        one.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
        one.SeriesNumber, one.InstanceNumber = 1, index + 1
        one.Rows, one.Columns = plane.shape
        one.PixelSpacing, one.SliceThickness = [SPACING[1], SPACING[0]], SPACING[2]
        one.ImagePositionPatient = [-192.0, -192.0, round(index * SPACING[2], 3)]
        one.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
        one.RescaleSlope, one.RescaleIntercept = 1, 0
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated, one.BitsStored, one.HighBit, one.PixelRepresentation = 16, 16, 15, 1
        one.PixelData = np.ascontiguousarray(plane, "<i2").tobytes()
        one.save_as(folder / f"{index:04d}.dcm", enforce_file_format=True)


def _synthesize(
    folder: Path, ct: Path, mask: Path, out: Path, more: list[str]
) -> tuple[float, float, float, int]:
    """Wall and CPU seconds, peak memory (MB) and lesions made of one run of the command."""
    command = [
        sys.executable, "manage.py", "synthesize", "--ct", str(ct), "--organ", ORGAN,
        "--organ-mask", str(mask), "--diameter-mm", "{:g}-{:g}".format(*DIAMETER_MM),
        "--seed", "7", "--out", str(out), *more,
    ]  # fmt: skip
    environment = os.environ | {
        "READERSTUDY_DATA_DIR": str(folder / "data"),
        "READERSTUDY_SECRET_KEY": secrets.token_urlsafe(50),
    }
    (folder / "data").mkdir(exist_ok=True)
    start = time.perf_counter()
    with (
        (folder / "words.txt").open("w+") as words,
        subprocess.Popen(
            command, cwd=settings.BASE_DIR, env=environment, stdout=words, stderr=words
        ) as child,
    ):
        watch = _Memory(child.pid)
        _, status, used = os.wait4(child.pid, 0)
        wall = time.perf_counter() - start
        child.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        words.seek(0)
        said = words.read().strip()
    # Status 2 is a sentence: no try passed. Anything else is a fault of the benchmark.
    if child.returncode not in (0, 2) or (child.returncode == 2 and "lesions drawn" not in said):
        raise UserError(f"The command could not be measured: {said[-300:]}")
    return wall, used.ru_utime + used.ru_stime, watch.peak_mb, int(child.returncode == 0)


class _Memory:
    """Peak resident memory of a process, read from outside while it lives (Linux; else 0)."""

    def __init__(self, pid: int) -> None:
        self.peak_mb = 0.0
        self._status = Path(f"/proc/{pid}/status")
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.02):
            try:
                rows = self._status.read_text().splitlines()
            except OSError:
                return
            for row in rows:
                if row.startswith("VmHWM"):
                    self.peak_mb = max(self.peak_mb, int(row.split()[1]) * 1024 / 1e6)

    def stop(self) -> None:
        self._over.set()
        self._thread.join()


# --------------------------------------------------------------------------------------- realism
_WORDS = {"real": "Real", "textural": "(a) textural", "learned": "(b) learned"}


def realism_benchmark(title: str = "How far from real lesions") -> Section:
    """Proxies on the shared CT set; a note and no number where that is not at hand."""
    shared = Path(os.environ.get("READERSTUDY_SHARED", Path(settings.BASE_DIR).parent / "shared"))
    if not (shared / "ct").is_dir():
        return Section(title, [], [f"Not measured: there is no shared CT set at {shared}."])
    with _weights() as weights:
        found = run_part("realism", shared / "ct", weights.generator, weights.segmentor)
        note = weights.note
    measures = [
        measure
        for organ, groups in found.items()
        for name, row in groups.items()
        for measure in _realism_measures(organ, name, row)
    ]
    return Section(title, measures, [*_realism_notes(found), note])


def _realism_measures(organ: str, name: str, row: dict[str, Any]) -> list[Measure]:
    who = f"{_WORDS[name]}, {organ}"
    other = "another real one" if name == "real" else "real"
    tried = f", accepted of {row['tried']} tried" if row["tried"] is not None else ""
    numbers: list[tuple[str, float | None, str, int]] = [
        (f"contrast, median of {row['n']}", row["contrast_hu"], "HU", 1),
        (f"HU histogram, distance to {other}", row["histogram_hu"], "HU", 1),
        (f"noise ratio, median of {row['noise_n']}", row["noise_ratio"], "", 2),
        (f"edge rise, median of {row['edge_n']}", row["edge_mm"], "mm", 2),
        (f"edge rise, difference to {other}", row["edge_distance_mm"], "mm", 2),
        (f"features, distance to the nearest {'other ' * (name == 'real')}real", row["nearest"],
         "SD", 2),
    ]  # fmt: skip
    measures = [Measure(f"{who}: lesions{tried}", row["n"], "")]
    for text, value, unit, digits in numbers:
        if value is not None:
            target, met = "", None
            if text.startswith("noise") and name != "real":
                target, met = NOISE_TARGET, row["noise_within"] == row["noise_n"]
            measures.append(Measure(f"{who}: {text}", round(value, digits), unit, target, met))
    return measures


def _unlike(found: dict[str, Any]) -> list[str]:
    """A sentence where the real lesions do not keep the bound that made ones are asked to."""
    ratios = {organ: rows["real"]["noise_ratio"] for organ, rows in found.items()}
    off = {o: r for o, r in ratios.items() if r is not None and not 0.8 <= r <= 1.25}
    if not off:
        return []
    which = " and ".join(f"{ratio:.2f} in the {organ}" for organ, ratio in off.items())
    return [
        f"The real lesions' own noise ratio lies outside the range asked for: {which}. There the "
        "range keeps a lesion's noise like its surroundings', not like that of these real lesions."
    ]


def _realism_notes(found: dict[str, Any]) -> list[str]:
    counts = " and ".join(f"{rows['real']['n']} of the {organ}" for organ, rows in found.items())
    return [
        f"Few real lesions: {counts}, from three patients, the liver's outlines drafted without a "
        "radiologist. Differences smaller than the real lesions' own are not differences, and a "
        "yardstick from so few is itself uncertain; proxies do not replace readers.",
        "Real: real against real, each lesion with the others; made lesions against all real ones. "
        "HU histogram: mean Wasserstein distance of all pairs, HU relative to the organ around. "
        "Noise ratio: robust SD of the high-pass signal inside over around, in lesions large "
        "enough to have an inside; met where every one of them lies in the range. Edge rise: 10 "
        "to 90 % within the slice. Features: 14 of first order, co-occurrence, shape and edge, in "
        "units of their spread within the groups; the nearest of n - 1 real lesions.",
        *_unlike(found),
        "The made lesions lie in the same scans as the real ones and in one more liver, sizes 10 "
        "to 30 mm, at most three tries each.",
    ]

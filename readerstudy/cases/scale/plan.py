"""From the cost of one volume to a plan for very many: arithmetic only, every step shown.

What was measured comes from ``docs/benchmarks/scale.json``; what nobody could measure here is an
`Assumed` value that a reader can replace. ``manage.py plan_scale`` writes the tables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from readerstudy.errors import UserError

#: Steps as the benchmark calls them, in the order of the road; the last two want a GPU.
IMPORT, PREPARE = "Import of a DICOM series", "Preparation for training"
TEXTURAL, LEARNED = "Synthesis, textural", "Synthesis, learned with gate"
RECOGNIZE, EVALUATE = "Recognition", "Evaluation"
STEPS = (IMPORT, PREPARE, TEXTURAL, LEARNED, RECOGNIZE, EVALUATE)
_LARGE_NET = "swinunetr-48"


@dataclass(frozen=True)
class Assumed:
    """What was not measured here. Each has a line in the table and an option of the command."""

    volumes: int = 161_310
    cores: int = 640
    busy: float = 0.8
    gbytes: float = 2.0
    gpus: int = 8
    gpu_tflops: float = 989.0
    gpu_share: float = 0.1
    passes: float = 10.0
    crops: float = 2.0
    bad: float = 0.01
    kills: float = 10.0
    lease: float = 30.0


#: Name of each assumption in the table, its unit, and where it is from.
WORDS: dict[str, tuple[str, str, str]] = {
    "volumes": ("volumes", "", "FreeTumor, Wu et al. 2025; each taken to be like the one measured"),
    "cores": ("processor cores", "", "ten machines of 64, each core like one here"),
    "busy": ("share of the time that they work on volumes", "", "a guess"),
    "gbytes": (
        "the shared disk, read or written",
        "GB/s",
        "a guess for a file server; not measured",
    ),
    "gpus": ("GPUs", "", "one machine"),
    "gpu_tflops": ("peak of one GPU in bf16", "TFLOP/s", "data sheet of the NVIDIA H100 SXM"),
    "gpu_share": ("share of that peak reached", "", "a guess for 3-D convolutions; not measured"),
    "passes": ("times that a training sees each volume", "", "a choice"),
    "crops": ("crops of 96³ in each visit", "", "a choice"),
    "bad": ("share of volumes that cannot be used", "", "a guess"),
    "kills": ("workers that die in the whole run", "", "a guess"),
    "lease": ("lease of a job", "s", "the default of READERSTUDY_JOB_LEASE_SECONDS"),
}


@dataclass(frozen=True)
class Line:
    """One result: what, how it is computed with the numbers put in, and the value."""

    what: str
    how: str
    value: float
    unit: str


class Measured:
    """The numbers of the benchmark by section and name.

    Raises:
        UserError: the document is not that of ``benchmark scale``.
    """

    def __init__(self, document: Mapping[str, Any]) -> None:
        try:
            self._values = {
                measure["name"]: float(measure["value"])
                for section in document["sections"]
                for measure in section["measures"]
            }
        except (KeyError, TypeError, ValueError):
            raise UserError("This is no document of `benchmark scale`; run it first.") from None

    def __getitem__(self, name: str) -> float:
        try:
            return self._values[name]
        except KeyError:
            raise UserError(f"The benchmark says nothing of {name!r}; run it again.") from None


def make_plan(measured: Measured, assumed: Assumed) -> dict[str, list[Line]]:
    """The plan by headings. Raises UserError where a number of the benchmark is missing."""
    return {
        "Storage": _storage(measured, assumed),
        "Processor time": _processors(measured, assumed),
        "Reading and writing": _disk(measured, assumed),
        "GPU time": _gpus(measured, assumed),
        "Failures and the queue": _failures(measured, assumed),
    }


def _storage(m: Measured, a: Assumed) -> list[Line]:
    rows = [
        ("source, NIfTI", m["Source, NIfTI"]),
        ("library (import)", m[f"{IMPORT}: disk"]),
        ("cache of a training", m[f"{PREPARE}: disk"]),
        ("synthesis, one variant of each", m[f"{TEXTURAL}: disk"]),
        ("recognition", m[f"{RECOGNIZE}: disk"]),
        ("evaluation", m[f"{EVALUATE}: disk"]),
    ]
    return [
        Line(what, f"{a.volumes:,} × {_n(mb)} MB", a.volumes * mb / 1e6, "TB") for what, mb in rows
    ]


def _processors(m: Measured, a: Assumed) -> list[Line]:
    lines = []
    for step in STEPS:
        seconds = m[f"{step}: CPU"]
        hours = a.volumes * seconds / 3600
        lines.append(Line(step, f"{a.volumes:,} × {_n(seconds)} s / 3,600", hours, "core hours"))
        lines.append(
            Line(
                "… on all cores",
                f"{_n(hours)} h / ({a.cores:,} × {_n(a.busy)})",
                hours / (a.cores * a.busy),
                "hours",
            )
        )
    return lines


def _disk(m: Measured, a: Assumed) -> list[Line]:
    source, cache = m["Source, NIfTI"], m[f"{PREPARE}: disk"]
    rows = [
        ("import", a.volumes, m["Source, DICOM series"] + m[f"{IMPORT}: disk"]),
        ("preparation for training", a.volumes, source + cache),
        ("synthesis", a.volumes, source + m[f"{TEXTURAL}: disk"]),
        ("recognition", a.volumes, source + m[f"{RECOGNIZE}: disk"]),
        ("a training, all passes", a.volumes * a.passes, cache),
    ]
    return [
        Line(
            what,
            f"{_n(count)} × {_n(mb)} MB / ({_n(1000 * a.gbytes)} MB/s × 3,600)",
            count * mb / (1000 * a.gbytes) / 3600,
            "hours",
        )
        for what, count, mb in rows
    ]


def _gpus(m: Measured, a: Assumed) -> list[Line]:
    lines = []
    speed = a.gpu_tflops * a.gpu_share * 1e3
    how_fast = f"({_n(a.gpu_tflops * 1e3)} × {_n(a.gpu_share)} GFLOP/s × 3,600)"
    windows = m["Recognition: windows"]
    seen = a.volumes * a.passes * a.crops
    for name, gflop in (
        ("the network that ships", m["Recognition: one window"]),
        (_LARGE_NET, m[f"{_LARGE_NET}: one window"]),
    ):
        lines.append(
            Line(
                f"recognition of all, {name}",
                f"{a.volumes:,} × {_n(windows)} windows × {_n(gflop)} GFLOP / {how_fast}",
                a.volumes * windows * gflop / speed / 3600,
                "GPU hours",
            )
        )
        hours = seen * 3 * gflop / speed / 3600
        lines.append(
            Line(
                f"a training, {name}",
                f"{a.volumes:,} × {_n(a.passes)} × {_n(a.crops)} crops × 3 × {_n(gflop)} GFLOP / "
                f"{how_fast}",
                hours,
                "GPU hours",
            )
        )
        lines.append(Line("… on all GPUs", f"{_n(hours)} h / {a.gpus}", hours / a.gpus, "hours"))
    return lines


def _failures(m: Measured, a: Assumed) -> list[Line]:
    lost = a.kills * (a.lease + m[f"{LEARNED}: wall"])
    return [
        Line("volumes in failed.csv", f"{a.volumes:,} × {_n(a.bad)}", a.volumes * a.bad, ""),
        Line(
            "time lost to dead workers",
            f"{_n(a.kills)} × ({_n(a.lease)} s + {_n(m[f'{LEARNED}: wall'])} s)",
            lost,
            "s",
        ),
        Line(
            "handing in all of them",
            f"{a.volumes:,} × {_n(m['Queue: handing in'])} ms / 1,000",
            a.volumes * m["Queue: handing in"] / 1e3,
            "s",
        ),
        Line(
            "jobs that one dispatcher can take",
            f"1,000 / {_n(m['Queue: taking a job'])} ms",
            1e3 / m["Queue: taking a job"],
            "per second",
        ),
        Line(
            "jobs that all cores ask for (learned synthesis)",
            f"{a.cores:,} × {_n(a.busy)} / {_n(m[f'{LEARNED}: CPU'])} s",
            a.cores * a.busy / m[f"{LEARNED}: CPU"],
            "per second",
        ),
        Line(
            "rows in the database",
            f"{a.volumes:,} × {_n(m['Queue: a row'])} kB / 1,000",
            a.volumes * m["Queue: a row"] / 1e3,
            "MB",
        ),
    ]


def costs(measured: Measured) -> list[str]:
    """The table of what one volume costs."""
    rows = [
        "| measured, for one volume | CPU, s | wall, s | disk, MB | memory, MB |",
        "|---|---|---|---|---|",
    ]
    for step in STEPS:
        cells = [_n(measured[f"{step}: {what}"]) for what in ("CPU", "wall", "disk", "peak memory")]
        rows.append(f"| {step} | {' | '.join(cells)} |")
    return rows


def as_markdown(measured: Measured, assumed: Assumed) -> str:
    """What was measured, what is assumed, and the plan, as tables."""
    rows = [*costs(measured), "", "| assumed | value | where from |", "|---|---|---|"]
    for field in fields(assumed):
        name, unit, source = WORDS[field.name]
        value = _n(getattr(assumed, field.name))
        rows.append(f"| {name} (`--{field.name.replace('_', '-')}`) | {value} {unit} | {source} |")
    for heading, lines in make_plan(measured, assumed).items():
        rows += ["", f"### {heading}", "", *_table(lines)]
    return "\n".join(row.replace("  |", " |") for row in rows) + "\n"


def _table(lines: Sequence[Line]) -> list[str]:
    head = ["| what | how | result |", "|---|---|---|"]
    return head + [f"| {line.what} | {line.how} | {_result(line)} |" for line in lines]


#: Units for small results: which, times what, instead.
_SMALLER = {"hours": (60, "minutes"), "TB": (1000, "GB")}


def _result(line: Line) -> str:
    value, unit = line.value, line.unit
    if value < 1 and unit in _SMALLER:
        times, unit = _SMALLER[unit]
        value *= times
    return f"**{_n(value)}** {unit}"


def _n(value: float) -> str:
    """Three digits, and whole numbers as they are."""
    if float(value).is_integer() or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"

"""Benchmarks: what they measure, how they are written down, and the machine they ran on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

from django.utils import timezone

from readerstudy.errors import UserError
from readerstudy.measure import Section

# suite -> (title, "module:function"); each function takes the title and returns a Section.
SUITES: dict[str, list[tuple[str, str]]] = {
    "reading": [
        ("Making a case", "readerstudy.cases.benchmark:lesion_benchmark"),
        ("Fifty readers answer at once", "readerstudy.reading.benchmark:answer_benchmark"),
        ("In the browser", "readerstudy.reading.benchbrowser:browser_benchmark"),
    ],
    "synthesis": [
        ("One lesion", "readerstudy.cases.synthesis_benchmark:lesion_benchmark"),
        ("The whole command", "readerstudy.cases.synthesis_benchmark:command_benchmark"),
        ("How far from real lesions", "readerstudy.cases.synthesis_benchmark:realism_benchmark"),
    ],
    "recognition": [
        ("Networks", "readerstudy.cases.recognition.benchmark:network_benchmark"),
        ("A whole CT", "readerstudy.cases.recognition.benchmark:volume_benchmark"),
    ],
    "scale": [
        ("One volume", "readerstudy.cases.scale.benchmark:volume_benchmark"),
        ("The queue", "readerstudy.cases.scale.benchmark:queue_benchmark"),
        ("Operations of the networks", "readerstudy.cases.scale.benchmark:network_benchmark"),
    ],
    "statistics": [
        ("A whole analysis", "readerstudy.analysis.benchmark:whole_benchmark"),
        ("How the time grows", "readerstudy.analysis.benchmark:growth_benchmark"),
        ("Beside others", "readerstudy.analysis.benchmark:peer_benchmark"),
    ],
}
PACKAGES = ("django", "granian", "monai", "numpy", "pyjpegls", "scipy", "torch")


def run_suite(name: str, only: str = "", say: Callable[[str], object] = print) -> list[Section]:
    """Run the parts of a suite one after the other. Raises UserError for an unknown name."""
    if name not in SUITES:
        raise UserError(f"There is no benchmark {name!r}; choose one of: {', '.join(SUITES)}.")
    sections = []
    for title, where in SUITES[name]:
        if only and only.lower() not in title.lower():
            continue
        module, _, function = where.partition(":")
        say(f"{title} …")
        sections.append(getattr(import_module(module), function)(title))
    if not sections:
        raise UserError(f"No part of the benchmark {name!r} is called like {only!r}.")
    return sections


def machine() -> dict[str, Any]:
    """What the numbers depend on."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            row.split(":", 1)[1].strip()
            for row in info.read_text().splitlines()
            if "model name" in row
        ]
        cpu = names[0] if names else cpu
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": cpu,
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "load_before": load(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
    }


def load() -> list[float]:
    """Processes that want to compute: means of 1, 5 and 15 minutes."""
    return [round(value, 2) for value in os.getloadavg()]


def as_markdown(suite: str, where: dict[str, Any], sections: list[Section]) -> str:
    rows = [
        f"# Benchmark: {suite}",
        "",
        f"Written by `python manage.py benchmark {suite}` on {timezone.now():%Y-%m-%d}.",
        "",
        f"{where['processor']}, {where['cores']} cores, {where['memory_gib']} GiB, "
        f"{where['system']}, Python {where['python']}; "
        f"load before the run {where['load_before'][0]}"
        + (f", after it {where['load_after'][0]}." if "load_after" in where else "."),
    ]
    for section in sections:
        rows += [
            "",
            f"## {section.title}",
            "",
            "| measure | value | asked for | |",
            "|---|---|---|---|",
        ]
        for one in section.measures:
            verdict = {True: "met", False: "**not met**", None: ""}[one.met]
            rows.append(
                f"| {one.name} | {_number(one.value)} {one.unit} | {one.target} | {verdict} |"
            )
        rows += [""] + [f"{note}" for note in section.notes] if section.notes else []
    return "\n".join(rows) + "\n"


def _number(value: float) -> str:
    """Four digits, and never a power of ten."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def as_json(suite: str, where: dict[str, Any], sections: list[Section]) -> str:
    document = {
        "suite": suite,
        "at": timezone.now().isoformat(timespec="seconds"),
        "machine": where,
        "sections": [asdict(section) for section in sections],
    }
    return json.dumps(document, indent=1) + "\n"

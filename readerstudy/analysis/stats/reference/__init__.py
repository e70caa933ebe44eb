"""Checks of the engine against numbers that other software gave for the same data.

A folder holds ``NAME.expected.json`` beside ``NAME.csv``; each check names a method, its
arguments, the expected values and a tolerance. :func:`run_folder` runs every check the engine has
an adapter for and says which it cannot run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from readerstudy.analysis.stats.reference.adapters import ADAPTERS
from readerstudy.analysis.stats.reference.dataset import ASKED, UNDETERMINED, Dataset


@dataclass(frozen=True)
class Outcome:
    """What became of one check: "passed", "failed" (with lines) or "skipped" (with why)."""

    dataset: str
    check: str
    method: str
    state: str
    lines: tuple[str, ...] = ()


def run_folder(folder: Path) -> Iterator[Outcome]:
    """Run every check of every ``*.expected.json`` in ``folder``, in the order of names."""
    for path in sorted(folder.glob("*.expected.json")):
        yield from run_file(path)


def run_file(path: Path) -> Iterator[Outcome]:
    """Run every check of one ``*.expected.json``."""
    name = path.name.removesuffix(".expected.json")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        yield Outcome(name, "-", "-", "failed", (f"{path.name} is not JSON: {error}",))
        return
    checks = document.get("checks") if isinstance(document, dict) else None
    if not isinstance(checks, list) or not checks or "dataset" not in document:
        line = f'{path.name} needs "dataset" and "checks", a list of one check or more'
        yield Outcome(name, "-", "-", "failed", (line,))
        return
    dataset = Dataset(path.parent, document)
    for number, check in enumerate(checks, 1):
        if isinstance(check, dict) and {"id", "method", "expected"} <= check.keys():
            yield run_check(dataset, check)
        else:
            line = f'check {number} needs "id", "method" and "expected"'
            yield Outcome(dataset.name, str(number), "-", "failed", (line,))


def run_check(dataset: Dataset, check: dict[str, Any]) -> Outcome:
    """Run one check; a method without an adapter is skipped by name."""
    name, key, method = dataset.name, str(check["id"]), str(check["method"])
    adapter = ADAPTERS.get(method)
    if adapter is None:
        return Outcome(name, key, method, "skipped", (f"the engine has no method {method}",))
    args = check["args"] if isinstance(check.get("args"), dict) else {}
    try:
        # Some checks name the designs they ask about in the names of their values only.
        got = adapter(dataset, {**args, ASKED: _names(check["expected"])})
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        line = f"could not be computed: {missing} does not stand beside the check"
        return Outcome(name, key, method, "failed", (line,))
    except (ArithmeticError, LookupError, OSError, TypeError, ValueError) as error:
        line = f"could not be computed: {type(error).__name__}: {error}"
        return Outcome(name, key, method, "failed", (line,))
    if got is None:
        return Outcome(name, key, method, "skipped", (f"not for these arguments: {args}",))
    atol, rtol = float(check.get("atol", 0)), float(check.get("rtol", 0))
    lines = tuple(compare(check["expected"], got, atol, rtol))
    return Outcome(name, key, method, "failed" if lines else "passed", lines)


def _names(expected: Any) -> list[str]:
    return list(expected) if isinstance(expected, dict) else []


def compare(want: Any, got: Any, atol: float, rtol: float, at: str = "") -> Iterator[str]:
    """One line per expected value that is missing or out of tolerance."""
    if got is UNDETERMINED:
        return
    if isinstance(want, dict):
        if not isinstance(got, dict):
            yield f"{at or '.'}: expected an object, got {got!r}"
            return
        for key, value in want.items():
            if key not in got:
                yield f"{at}.{key}: not computed"
            else:
                yield from compare(value, got[key], atol, rtol, f"{at}.{key}")
    elif isinstance(want, list):
        if not isinstance(got, (list, tuple)) or len(want) != len(got):
            yield f"{at}: expected {len(want)} values, got {got!r}"
            return
        for i, (value, other) in enumerate(zip(want, got, strict=True)):
            yield from compare(value, other, atol, rtol, f"{at}[{i}]")
    elif isinstance(want, bool) or want is None or isinstance(want, str):
        if got != want:
            yield f"{at}: expected {want!r}, got {got!r}"
    elif not isinstance(got, (int, float)) or not abs(got - want) <= atol + rtol * abs(want):
        yield f"{at}: expected {want!r}, got {got!r}"

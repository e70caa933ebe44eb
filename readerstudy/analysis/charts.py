"""Small line charts drawn by the page itself: numbers in, places of lines and labels out.

No drawing library is loaded for them: the template writes the SVG.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 620.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 54.0, 92.0, 12.0, 40.0
#: Least distance between two labels at the ends of lines.
LABEL_STEP = 15.0

Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A curve: its points as SVG text, and its label at the right end."""

    label: str
    points: str
    own: bool
    number: int
    label_y: float


@dataclass(frozen=True)
class Tick:
    at: float
    text: str


@dataclass(frozen=True)
class Chart:
    """Everything a chart of powers needs; coordinates are those of its view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    lines: list[Line]
    across: list[Tick]
    down: list[Tick]
    goal: float
    mark: Point | None
    description: str


def power_curves(
    curves: Sequence[tuple[int, bool, Sequence[tuple[int, float | None]]]],
    own: tuple[int, float | None],
) -> Chart:
    """Power over the number of cases, a curve for each number of readers.

    Args:
        curves: (readers, whether it is the design asked about, [(cases, power)]).
        own: cases and power of the design asked about.
    """
    most = max(k for _, _, points in curves for k, _ in points)
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(k: float) -> float:
        return LEFT + (right - LEFT) * k / most

    def y(power: float) -> float:
        return bottom - (bottom - TOP) * power

    lines = []
    for number, (readers, is_own, points) in enumerate(curves):
        known = [(x(k), y(power)) for k, power in points if power is not None]
        if known:
            text = " ".join(f"{a:.1f},{b:.1f}" for a, b in known)
            lines.append(Line(f"{readers} readers", text, is_own, number, known[-1][1]))
    apart = _apart([line.label_y for line in lines], TOP + 4, bottom)
    lines = [
        Line(line.label, line.points, line.own, line.number, place)
        for line, place in zip(lines, apart, strict=True)
    ]
    step = next(s for s in (10, 20, 50, 100, 200, 500, 1000) if most / s <= 8)
    cases, power = own
    said = "; ".join(
        f"{readers} readers: "
        + ", ".join(f"{100 * p:.0f} % with {k} cases" for k, p in points[::3] if p is not None)
        for readers, _, points in curves
    )
    return Chart(
        WIDTH, HEIGHT, LEFT, right, TOP, bottom, lines,
        [Tick(x(k), f"{k:g}") for k in range(0, most + 1, step)],
        [Tick(y(p / 100), f"{p} %") for p in range(0, 101, 20)],
        y(0.8), None if power is None else (x(cases), y(power)), said,
    )  # fmt: skip


def _apart(places: Sequence[float], low: float, high: float) -> list[float]:
    """Move labels so that none touches another: downwards first, then back above the bottom."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    moved = list(places)
    before = low - LABEL_STEP
    for i in order:
        moved[i] = max(moved[i], before + LABEL_STEP)
        before = moved[i]
    after = high + LABEL_STEP
    for i in reversed(order):
        moved[i] = min(moved[i], after - LABEL_STEP)
        after = moved[i]
    return moved

"""Designs side by side: how many readers and cases give which precision and power.

Everything rests on :func:`planning.power_single`; a table holds one row per pair of readers and
cases, and :func:`cases_needed` looks for the fewest cases that reach a goal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from readerstudy.analysis.stats.planning import Components, PowerSingle, power_single

METHOD = "Obuchowski-Rockette components, noncentral t"
Goal = Literal["tost", "difference", "precision"]
#: Beyond this many cases nobody reads: the search stops.
MOST_CASES = 5000


@dataclass(frozen=True)
class PlanRow:
    """One design.

    Attributes:
        readings: first readings of all readers together.
        hours_per_reader, hours_total: reading time, breaks not counted.
        se, df, half_width95: of the estimated mean; half the expected 95 % interval.
        power_difference: chance to reject guessing when the true value is ``alternative``.
        power_tost: chance to show equivalence when the true value is ``theta``.
    """

    n_readers: int
    n_cases: int
    readings: int
    hours_per_reader: float
    hours_total: float
    se: float | None
    df: float | None
    half_width95: float | None
    power_difference: float | None
    power_tost: float | None
    reason: str | None = None
    method: str = METHOD


@dataclass(frozen=True)
class CasesNeeded:
    """The fewest cases that reach a goal, or why none do.

    ``reached`` is the power (or half-width) at ``n_cases``, or at the most cases tried.
    """

    n_readers: int
    goal: Goal
    target: float
    n_cases: int | None
    reached: float | None
    reason: str | None = None
    method: str = METHOD


def plan_table(
    components: Components,
    readers: Sequence[int],
    cases: Sequence[int],
    *,
    theta: float = 0.5,
    margin: float = 0.10,
    alternative: float = 0.60,
    null: float = 0.5,
    alpha: float = 0.05,
    seconds_per_reading: float = 60.0,
) -> tuple[PlanRow, ...]:
    """One row for each number of ``readers`` and of ``cases``, in the order given.

    Args:
        theta: true value under which equivalence should be shown.
        alternative: true value which the test against ``null`` should find.
    """
    rows = []
    for j in readers:
        for k in cases:
            own = k * seconds_per_reading / 3600
            time = (j * k, own, j * own)
            try:
                flat = _power(components, j, k, theta, margin, null, alpha)
                tilted = _power(components, j, k, alternative, margin, null, alpha)
            except ValueError as error:
                rows.append(PlanRow(j, k, *time, None, None, None, None, None, str(error)))
                continue
            rows.append(
                PlanRow(j, k, *time, flat.se, flat.df, flat.half_width95,
                        tilted.power_two_sided, flat.power_tost)
            )  # fmt: skip
    return tuple(rows)


def cases_needed(
    n_readers: int,
    components: Components,
    *,
    goal: Goal = "tost",
    theta: float = 0.5,
    margin: float = 0.10,
    null: float = 0.5,
    alpha: float = 0.05,
    power: float = 0.80,
    half_width: float = 0.05,
    most: int = MOST_CASES,
) -> CasesNeeded:
    """Fewest cases with which ``n_readers`` reach ``power`` (or a 95 % half-width).

    Args:
        goal: "tost" = show equivalence when the true value is ``theta``; "difference" = reject
            ``null`` when it is ``theta``; "precision" = 95 % interval of +- ``half_width``.
    """
    measure: dict[Goal, Callable[[PowerSingle], float]] = {
        "tost": lambda found: found.power_tost,
        "difference": lambda found: found.power_two_sided,
        "precision": lambda found: -found.half_width95,
    }
    target = -half_width if goal == "precision" else power
    value = measure[goal]

    def at(k: int) -> float:
        return value(_power(components, n_readers, k, theta, margin, null, alpha))

    try:
        # With two or three readers more cases can cost degrees of freedom and so power: look for
        # the first step that reaches the goal instead of trusting the last.
        low, high = 1, 2
        while at(high) < target:
            if high >= most:
                return CasesNeeded(
                    n_readers, goal, abs(target), None, abs(at(most)), _limit(n_readers, most)
                )
            low, high = high, min(most, high + max(1, high // 4))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if at(middle) >= target else (middle, high)
        return CasesNeeded(n_readers, goal, abs(target), high, abs(at(high)))
    except ValueError as error:
        return CasesNeeded(n_readers, goal, abs(target), None, None, str(error))


def _limit(n_readers: int, most: int) -> str:
    return (
        f"not even {most} cases are enough: with {n_readers} readers the spread between readers "
        "sets the limit, so add readers"
    )


def _power(
    components: Components, j: int, k: int, theta: float, margin: float, null: float, alpha: float
) -> PowerSingle:
    return power_single(
        j, k, var_reader=components.var_reader, var_error=components.var_error,
        cov2=components.cov2, pilot_cases=components.n_cases, theta=theta, margin=margin,
        null=null, alpha=alpha,
    )  # fmt: skip

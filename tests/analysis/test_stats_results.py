"""Every result of the engine says by what method, from how many, how sure, and why not.

Walks all public dataclasses of `readerstudy.analysis.stats`. A new one has to carry a method, a
count, an interval and a reason, of its own or in a result inside it, or stand in a list below with
the words why it need not.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
import typing
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from readerstudy.analysis import stats

#: What the engine computes with: handed in, or handed from one step to the next.
DATA = {
    "Components", "Conditions", "Confusion", "Crossed", "ErrorCovariance", "Froc", "Judgments",
    "Machines", "Metric", "Moments", "Outcome", "Plan", "Product", "Ratings", "Readings",
    "RocCurve", "RoeMetz", "SizeBand", "Source", "Table", "Value",
}  # fmt: skip

#: Rows and parts of a result, which says the method and the count for them.
PARTS = {
    "CategoryKappa": "Fleiss",
    "Coefficient": "Gee",
    "ConditionMean": "OrMulti",
    "ConditionReader": "OrMulti",
    "DbmComponents": "Dbm",
    "Fixed": "Lmm",
    "GlobalTest": "OrMulti",
    "Inference": "OrSingle",
    "MultiResult": "OrMulti",
    "OrComponents": "OrMulti",
    "Pair": "PairwiseMatrix",
    "PairDifference": "OrMulti",
    "ReaderValue": "OrSingle",
    "TimeRow": "RtModel",
    "Tost": "Inference",
}

#: Made from an estimate and its standard error: the count stands where these came from.
FROM_ESTIMATES = {"Bayes", "Verdict"}

NO_INTERVAL = {
    "CasesNeeded": "a design, not an estimate",
    "CochranQ": "a test",
    "Marginal": "a test",
    "Permutation": "a test: the distribution under guessing stands beside it",
    "PlanRow": "a design: half the expected interval stands in half_width95",
    "PowerSingle": "a design: half the expected intervals stand in half_width95 and half_width90",
    "PowerTwo": "a design: the standard error stands in se",
    "SimulatedPower": "shares of replicates: their Monte-Carlo error stands in mc_se",
    "Smooth": "a curve to look at",
    "Verdict": "a conclusion from the intervals of an Inference",
}

NEVER_UNDEFINED = {
    "BetaPosterior": "the prior stands even without readings",
    "Coefficient": "made only when the fit has a solution",
    "DbmComponents": "made only when they can be estimated",
    "Fixed": "made only when the fit has a solution",
    "OrComponents": "made only when they can be estimated",
    "PowerSingle": "impossible designs raise ValueError",
    "PowerTwo": "impossible designs raise ValueError; df2 is None for a chi-squared test",
    "TimeRow": "a group has at least one reading",
}


def public() -> dict[str, type]:
    return {
        name: kind
        for module in pkgutil.walk_packages(stats.__path__, f"{stats.__name__}.")
        for name, kind in vars(importlib.import_module(module.name)).items()
        if isinstance(kind, type)
        and dataclasses.is_dataclass(kind)
        and kind.__module__ == module.name
        and not name.startswith("_")
    }


ALL = public()
RESULTS = sorted(set(ALL) - DATA)
Test = Callable[[str, str], bool]


def inside(kind: type) -> Iterator[type]:
    """Dataclasses in the fields of `kind`, at any depth."""

    def dig(hint: Any) -> Iterator[type]:
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            yield hint
            yield from inside(hint)
        for part in typing.get_args(hint):
            yield from dig(part)

    for hint in typing.get_type_hints(kind).values():
        yield from dig(hint)


def carries(kind: type, test: Test) -> bool:
    return any(
        test(field.name, str(field.type))
        for one in (kind, *inside(kind))
        for field in dataclasses.fields(one)
    )


def carried(name: str, test: Test) -> bool:
    """By the class, by something inside it, or by the result it is a part of."""
    if carries(ALL[name], test):
        return True
    return name in PARTS and carried(PARTS[name], test)


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_names_its_method_count_interval_and_reason(name: str) -> None:
    assert carried(name, lambda field, _: field == "method") or name in FROM_ESTIMATES
    assert (
        carried(name, lambda field, _: field in {"n", "n1", "n2"} or field.startswith("n_"))
        or name in FROM_ESTIMATES
    )
    assert (
        carried(name, lambda _, kind: "Interval" in kind or "tuple[float, float] |" in kind)
        or name in NO_INTERVAL
    )
    assert carries(ALL[name], lambda field, _: field.endswith("reason")) or name in NEVER_UNDEFINED


def test_the_lists_hold_nothing_that_is_gone_or_not_needed() -> None:
    listed = {*DATA, *PARTS, *PARTS.values(), *FROM_ESTIMATES, *NO_INTERVAL, *NEVER_UNDEFINED}
    assert listed <= set(ALL)
    for part, whole in PARTS.items():
        assert ALL[part] in set(inside(ALL[whole])), f"{part} is no part of {whole}"
    for name in NEVER_UNDEFINED:
        assert not carries(ALL[name], lambda field, _: field.endswith("reason")), name


@pytest.mark.parametrize("name", RESULTS)
def test_what_may_be_missing_stands_beside_a_reason(name: str) -> None:
    """A number that may be None, in a class without any reason of its own or inside."""
    own = {
        field.name
        for field in dataclasses.fields(ALL[name])
        if str(field.type) in {"float | None", "Interval | None"}
    }
    has = carries(ALL[name], lambda field, _: field.endswith("reason"))
    assert not own or has or name in NEVER_UNDEFINED, (name, own)

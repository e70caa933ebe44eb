"""Agreement methods, on tables with one row per subject and on a trial's judgments."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from readerstudy.analysis.stats import agreement
from readerstudy.analysis.stats.agreement.weights import Weights
from readerstudy.analysis.stats.reference.dataset import Dataset
from readerstudy.analysis.stats.types import FloatArray

_NOT_RATERS = frozenset(
    f"{word}{s}" for word in ("subject", "case", "unit", "id", "item", "target") for s in ("", "s")
)
_WEIGHTS = {"unweighted": "identity", "none": "identity"}


@dataclass(frozen=True)
class _Raters:
    """Ratings (N, R) as numbers, the raters' columns, and what each number stands for."""

    ratings: FloatArray
    names: list[str]
    labels: dict[float, str]


def _raters(data: Dataset, args: dict[str, Any]) -> _Raters:
    if data.is_vtt:
        readings = data.readings()
        what = "call" if "score" not in str(args.get("value", "")) else "score"
        ratings = agreement.ratings_of(readings, "call" if what == "call" else "score")
        if "read by all" in str(args.get("subset", "")):
            ratings = ratings[~np.isnan(ratings).any(axis=1)]
        return _Raters(ratings, list(readings.readers), {0.0: "0", 1.0: "1"})
    numbered = [c for c in data.table if re.fullmatch(r"rater_?\d+", c)]
    others = [c for c in data.table if c.lower() not in _NOT_RATERS]
    table = data.table[numbered or others]
    names = [str(c) for c in table.columns]
    text = table.replace({"NA": "", "*": ""}).to_numpy(dtype=object)
    kinds = sorted({v for v in text.ravel() if v != ""})
    try:
        number = {v: float(v) for v in kinds}
    except ValueError:
        # Words are numbered in the order of the alphabet, as R does with a factor.
        number = {v: float(i + 1) for i, v in enumerate(kinds)}
    ratings = np.array([[number.get(v, np.nan) for v in row] for row in text], dtype=np.float64)
    return _Raters(ratings, names, {number[v]: v for v in kinds})


def _two(data: Dataset, args: dict[str, Any]) -> tuple[FloatArray, FloatArray]:
    found = _raters(data, args)
    wanted = [str(v) for v in args.get("raters", (1, 2))]
    columns = []
    for name in wanted:
        known = [n for n in (name, f"rater{name}") if n in found.names]
        columns.append(found.names.index(known[0]) if known else int(name) - 1)
    return found.ratings[:, columns[0]], found.ratings[:, columns[1]]


def check_fleiss_kappa(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    found = _raters(data, args)
    done = agreement.fleiss(found.ratings)
    return {
        "n": done.n, "kappa": done.estimate, "z": done.z,
        "fleiss": {"value": done.estimate, "z": done.z, "p": done.p, "subjects": done.n,
                   "raters": done.n_raters},
        "conger_exact": done.conger_exact, "light": done.light,
        "desctools_kappam_fleiss": {"kappa": done.estimate, "ci95": done.ci95_null},
        # irr prints the categories with three decimals.
        "per_category": [
            {"category": found.labels[c.category], "kappa": _round(c.kappa), "z": _round(c.z),
             "p": _round(c.p)}
            for c in done.per_category
        ],
    }  # fmt: skip


def _round(value: float | None, digits: int = 3) -> float | None:
    return None if value is None else round(value, digits)


def check_chance_corrected(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    name = str(args.get("weights", "identity"))
    weights = cast(Weights, _WEIGHTS.get(name, name))
    found = agreement.chance_corrected(_raters(data, args).ratings, weights)
    out = {
        key: {"coeff": a.estimate, "pa": a.observed, "pe": a.expected, "se": a.se, "p": a.p,
              "ci": _printed(a)}
        for key, a in found.items()
    }  # fmt: skip
    return {**out, "gwet_ac1": out["gwet_ac"], "gwet_ac2": out["gwet_ac"],
            "fleiss_generalised": out["fleiss"]}  # fmt: skip


def _printed(a: agreement.Agreement) -> str | None:
    """The interval as irrCAC prints it: three decimals, truncated at 1."""
    if a.ci95 is None:
        return None
    low, high = (round(v, 3) for v in (a.ci95[0], min(1.0, a.ci95[1])))
    return f"({low:.15g},{high:.15g})"


def check_cohen_kappa(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    a, b = _two(data, args)
    weights: tuple[tuple[str, agreement.pairwise.KappaWeights], ...] = (
        ("unweighted", "none"), ("linear", "linear"), ("quadratic", "quadratic"),
    )  # fmt: skip
    out = {}
    for name, kind in weights:
        done = agreement.cohen(a, b, kind)
        out[name] = {
            "kappa": done.estimate, "z_null": done.z_null, "p_null": done.p_null,
            "desctools_kappa": done.estimate, "ci95": done.ci95,
        }  # fmt: skip
    return out


def check_cohen_kappa_matrix(data: Dataset, args: dict[str, Any]) -> Any:
    found = _raters(data, args)
    done = agreement.pairwise_matrix(found.ratings, found.names)
    if data.is_vtt:
        return {"mean": done.mean, "min": done.minimum, "max": done.maximum,
                "n_pairs": done.n_pairs}  # fmt: skip
    at = {name: i + 1 for i, name in enumerate(found.names)}
    return [{"a": at[p.a], "b": at[p.b], "kappa": p.kappa} for p in done.pairs]


def check_krippendorff_alpha(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    ratings = _raters(data, args).ratings
    levels = agreement.alpha.LEVELS
    return {level: agreement.kripp_alpha(ratings, level).estimate for level in levels}


def check_icc(data: Dataset, args: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": i.kind, "icc": i.estimate, "F": i.f, "df1": i.df1, "df2": i.df2, "p": i.p,
         "ci95": i.ci95}
        for i in agreement.icc(_raters(data, args).ratings)
    ]  # fmt: skip


def check_stuart_maxwell(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    done = agreement.stuart_maxwell(*_two(data, args))
    return {
        "statistic": done.statistic, "value": done.statistic, "chi2": done.statistic,
        "chisq": done.statistic, "df": done.df, "p": done.p, "p_value": done.p, "n": done.n,
        "subjects": done.n,
    }  # fmt: skip


def check_intra_reader(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    judgments = data.judgments
    done = agreement.intra_reader(judgments.first, judgments.repeats, positive=judgments.positive)
    pooled = done.pooled
    return {
        "per_reader": [
            {"reader": r.reader, "n": r.n, "agree": r.agreement.estimate,
             "kappa": r.kappa.estimate,
             "weighted_kappa_score_quadratic": r.weighted_kappa.estimate,
             "b": r.to_negative, "c": r.to_positive}
            for r in done.per_reader
        ],
        "pooled": {
            "n": pooled.n, "agree": pooled.agreement.estimate, "kappa": pooled.kappa.estimate,
            "ci95": pooled.kappa.ci95, "mcnemar_exact_p": pooled.mcnemar_p,
            "mcnemar_chi2_nocc": pooled.mcnemar_chi2,
        },
    }  # fmt: skip


AGREEMENT_ADAPTERS = {
    "fleiss_kappa": check_fleiss_kappa,
    "chance_corrected": check_chance_corrected,
    "cohen_kappa": check_cohen_kappa,
    "cohen_kappa_matrix": check_cohen_kappa_matrix,
    "krippendorff_alpha": check_krippendorff_alpha,
    "icc": check_icc,
    "stuart_maxwell": check_stuart_maxwell,
    "intra_reader": check_intra_reader,
}

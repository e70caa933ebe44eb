"""Several conditions: Obuchowski-Rockette, DBM, their power, and binormal curves."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from readerstudy.analysis.stats import dbm, multi, planning
from readerstudy.analysis.stats.binormal import binormal_ml
from readerstudy.analysis.stats.inference import Inference
from readerstudy.analysis.stats.reference.dataset import ASKED, UNDETERMINED, Dataset, label
from readerstudy.analysis.stats.reference.multireader import covariance, cut_of, metric_of
from readerstudy.analysis.stats.types import Interval

_DESIGNS: dict[str, multi.Design] = {
    "1": "factorial",
    "2": "cases_in_readers",
    "3": "cases_in_conditions",
    "factorial": "factorial",
    "cases nested in readers": "cases_in_readers",
    "cases nested in modality": "cases_in_conditions",
}
#: Most cases that the reference's search for a sample size tries.
_MOST_CASES = 2000


def _within(ci: Interval | None) -> Interval | None:
    """MRMCaov truncates intervals of a mean to [0, 1]; the engine does not."""
    return None if ci is None else (min(1.0, max(0.0, ci[0])), min(1.0, max(0.0, ci[1])))


def check_or_mrmc(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    metric = metric_of(args)
    if metric is None:
        return None
    design = _DESIGNS[str(args.get("design", "factorial"))]
    conditions = data.conditions(cut_of(args))
    done = multi.or_multi(conditions, metric, covariance(args), design=design)
    parts = done.components
    if parts is None:
        raise ValueError(str(done.reason))
    shared = {
        "reader_level": [
            {"reader": r.reader, "modality": r.condition, "value": r.value, "se": r.se}
            for r in done.readers
        ],
        "variance_components": {
            "reader": parts.var_reader, "modality:reader": parts.var_condition_reader,
            "Error": parts.var_error, "Cov1": parts.cov1, "Cov2": parts.cov2, "Cov3": parts.cov3,
        },
    }  # fmt: skip
    return {
        "RRRC": {**shared, **_result(done.rrrc, parts)},
        "FRRC": {**shared, **_result(done.frrc, parts)},
        "RRFC": {**shared, **_result(done.rrfc, parts)},
    }


def _result(found: multi.MultiResult, parts: multi.OrComponents) -> dict[str, Any]:
    test = found.test
    chi2 = test.distribution == "chi2"
    name, first = ("chi2", "df") if chi2 else ("F", "df1")
    return {
        "global_test": {
            "ms_t": parts.ms_t, "ms_tr": parts.ms_tr, "cov1": parts.cov1, "cov2": parts.cov2,
            "cov3": parts.cov3, "denominator": test.denominator, name: test.statistic,
            first: test.df1, "df2": test.df2, "p": test.p,
        },
        "differences": [
            {"comparison": f"{d.first} - {d.second}", **_plain(d.result), "ci95": d.result.ci95}
            for d in found.differences
        ],
        "modality_means": [
            {
                "modality": mean.condition, "auc_mean": mean.result.estimate, "ms_r": mean.ms_r,
                "var_error": mean.var_error, "cov2": mean.cov2, **_plain(mean.result),
                "t_vs_half": mean.result.statistic, "p_vs_half": mean.result.p,
                "ci95": _within(mean.result.ci95), "ci95_untruncated": mean.result.ci95,
                "ci95_truncated_to_1": _within(mean.result.ci95),
            }
            for mean in found.means
        ],
    }  # fmt: skip


def _plain(result: Inference) -> dict[str, Any]:
    return {
        "estimate": result.estimate, "se": result.se, "df": result.df, "p": result.p,
        "z" if result.df is None else "t": result.statistic,
    }  # fmt: skip


def check_dbm_mrmc(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    if str(args.get("fom", "Wilcoxon")) not in ("Wilcoxon", "empirical_auc"):
        return None
    conditions = data.conditions()
    done, other = dbm.dbm(conditions), multi.or_multi(conditions)
    parts, or_parts = done.components, other.components
    if parts is None or or_parts is None:
        raise ValueError(str(done.reason or other.reason))
    return {
        "F": done.test.statistic, "df1": done.test.df1, "df2": done.test.df2, "p": done.test.p,
        "var_components": {
            "VarR": parts.var_r, "VarC": parts.var_c, "VarTR": parts.var_tr,
            "VarTC": parts.var_tc, "VarRC": parts.var_rc, "VarErr": parts.var_error,
        },
        "or_F": other.rrrc.test.statistic,
        "or_var_components": rjafroc_components(or_parts, conditions.n_conditions),
        "single_modality": [
            {
                "Estimate": result.estimate, "StdErr": result.se, "DF": result.df,
                "CILower": result.ci95 and result.ci95[0],
                "CIUpper": result.ci95 and result.ci95[1], "Cov2": mean.cov2,
            }
            for (_, result), mean in zip(done.means, other.rrrc.means, strict=True)
        ],
    }  # fmt: skip


def rjafroc_components(parts: multi.OrComponents, n_conditions: int) -> dict[str, float]:
    """RJafroc takes Cov2 - Cov3 as at least zero in VarTR (Hillis 2014), and VarR follows."""
    apart = max(parts.cov2 - parts.cov3, 0.0)
    var_tr = parts.ms_tr - parts.var_error + parts.cov1 + apart
    both = (n_conditions - 1) * (parts.cov1 - parts.cov3)
    var_r = (parts.ms_r - var_tr - parts.var_error + parts.cov2 - both) / n_conditions
    return {"VarR": var_r, "VarTR": var_tr, "Cov1": parts.cov1, "Cov2": parts.cov2,
            "Cov3": parts.cov3, "Var": parts.var_error}  # fmt: skip


_POWER = re.compile(r"J(\d+)_K(\d+)_(RRRC|FRRC|RRFC)(?:_es(\d+))?")
_CASES = re.compile(r"K_for_J(\d+)(?:_(RRRC|FRRC|RRFC))?(?:_es(\d+))?_power(\d+)")
_GENERAL: dict[str | None, planning.Generalize] = {
    None: "both", "RRRC": "both", "FRRC": "cases", "RRFC": "readers",
}  # fmt: skip


def check_power_mrmc(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    """The design stands in the name of each value: ``J6_K251_RRRC_es05`` = effect 0.05."""
    known = args["var_components"]
    given = {
        "var_tr": float(known["VarTR"]), "var_error": float(known["Var"]),
        "cov1": float(known["Cov1"]), "cov2": float(known["Cov2"]), "cov3": float(known["Cov3"]),
        "alpha": float(args.get("alpha", 0.05)),
    }  # fmt: skip

    def power(j: int, k: int, design: str | None, effect: str | None) -> float:
        size = _observed_effect(data) if effect is None else float(f"0.{effect}")
        pilot = int(args["K_star"])
        return planning.power_two_modalities(
            j, k, effect=size, pilot_cases=pilot, generalize=_GENERAL[design], **given
        ).power

    out: dict[str, Any] = {}
    for name in args[ASKED]:
        if asked := _POWER.fullmatch(name):
            j, k, design, effect = asked.groups()
            out[name] = power(int(j), int(k), design, effect)
        elif asked := _CASES.fullmatch(name):
            j, design, effect, target = asked.groups()
            goal = float(f"0.{target}")
            for k in range(2, _MOST_CASES + 1):
                reached = power(int(j), k, design, effect)
                if reached > goal:
                    break
            out[name] = {"K": k, "power": reached}
    return out


def _observed_effect(data: Dataset) -> float:
    """Difference of the first two conditions in the set itself, as the reference takes it."""
    pair = multi.or_multi(data.conditions()).rrrc.differences[0]
    return float(pair.result.estimate or 0.0)


def check_binormal(data: Dataset, args: dict[str, Any]) -> list[dict[str, Any]]:
    conditions = data.conditions()
    rows = []
    for name, own in zip(conditions.names, conditions.each, strict=True):
        for reader, score in zip(own.readers, own.score, strict=True):
            read = ~np.isnan(score)
            fit = binormal_ml(score[read & own.is_positive], score[read & ~own.is_positive])
            values: dict[str, Any] = {"a": fit.a, "b": fit.b, "auc": fit.auc, "se_auc": fit.se_auc}
            if fit.reason is not None:
                values = dict.fromkeys(values, UNDETERMINED)
            rows.append({"reader": label(reader), "modality": label(name), **values, "chi2": None})
    return rows

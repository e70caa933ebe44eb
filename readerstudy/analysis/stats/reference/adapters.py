"""From the method names of the reference files to calls of the engine, in the files' own shape."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from readerstudy.analysis.stats import inference, proportions, roc, subgroup
from readerstudy.analysis.stats.confusion import Confusion, pooled
from readerstudy.analysis.stats.covariance import Covariance
from readerstudy.analysis.stats.foolrate import by_case, by_group
from readerstudy.analysis.stats.inference import Inference, Tost
from readerstudy.analysis.stats.mrmc import OrSingle, or_single, reader_average
from readerstudy.analysis.stats.perreader import per_reader
from readerstudy.analysis.stats.plan import Plan
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.reference import uniroot
from readerstudy.analysis.stats.sdt import sdt
from readerstudy.analysis.stats.tidy import (
    Judgments,
    case_facts,
    check,
    read_judgments,
    to_readings,
)
from readerstudy.analysis.stats.types import FloatArray

MARGINS = (0.05, 0.10)
_METRIC = {
    "empirical_auc": "auc",
    "accuracy": "accuracy",
    "binary_sens": "sensitivity",
    "binary_spec": "specificity",
}


class Dataset:
    """The data beside one ``*.expected.json``, in whichever of the two layouts it has."""

    def __init__(self, folder: Path, document: dict[str, Any]) -> None:
        self.folder = folder
        self.name = str(document["dataset"])
        self.file = document.get("data_file")

    @cached_property
    def table(self) -> pd.DataFrame:
        return read_judgments(self.folder / str(self.file))

    @cached_property
    def judgments(self) -> Judgments:
        return check(self.table)

    @cached_property
    def is_vtt(self) -> bool:
        return isinstance(self.file, str) and "verdict" in self.table

    def readings(self, modality: str | None = None, cut: float | None = None) -> Readings:
        """Readings of the whole file, or of one modality of a classic multi-reader set."""
        if self.is_vtt:
            return to_readings(self.judgments, Plan())
        rows = self.table
        if modality is not None:
            rows = rows[rows["modality"] == modality]
        return classic(rows, cut)

    @property
    def modalities(self) -> list[str]:
        return sorted(self.table["modality"].unique())


def classic(rows: pd.DataFrame, cut: float | None = None) -> Readings:
    """Readings from the columns reader, case, truth (1 = positive), rating.

    ``cut`` turns the rating into a verdict (positive when rating >= cut).
    """
    readers, row = np.unique(rows["reader"].to_numpy(dtype=object), return_inverse=True)
    cases, column = np.unique(rows["case"].to_numpy(dtype=object), return_inverse=True)
    rating = rows["rating"].astype(float).to_numpy()
    score = np.full((len(readers), len(cases)), np.nan)
    score[row, column] = rating if cut is None else rating >= cut
    call = np.full_like(score, np.nan)
    call[row, column] = rating >= cut if cut is not None else rating > 0
    positive = np.zeros(len(cases), dtype=bool)
    positive[column] = (rows["truth"].astype(int) == 1).to_numpy()
    return Readings(
        tuple(readers.tolist()),
        tuple(cases.tolist()),
        "1",
        "0",
        positive,
        np.arange(len(cases), dtype=np.int64),
        score,
        call,
    )


# -------------------------------------------------------------------------------- proportions


def _proportion_ci(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    x, n = int(args["x"]), int(args["n"])
    names = cast("list[proportions.Method]", list(proportions.METHOD_NAMES))
    post = proportions.beta_posterior(x, n)
    return {
        "x": x,
        "n": n,
        "p": x / n,
        **{name: proportions.rate_ci(x, n, name, float(args["conf"])).ci for name in names},
        # The engine's exact roots stand beside R's loose ones by up to its tolerance.
        "midp": uniroot.midp(x, n),
        "lik": uniroot.lik(x, n),
        "exact_two_sided_p_vs_half": proportions.exact_p(x, n),
        "exact_less": proportions.exact_p(x, n, 0.5, "less"),
        "exact_greater": proportions.exact_p(x, n, 0.5, "greater"),
        "posterior_beta11": {
            "mean": post.mean,
            "eti95": post.interval,
            "p_gt_half": post.p_above_half,
            "p_in_045_055": post.p_in_rope,
            "bf01_point_half_vs_beta11": post.bf01,
        },
    }


def _diff_proportions(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    x1, n1, x2, n2 = (int(args[k]) for k in ("x1", "n1", "x2", "n2"))
    methods: tuple[proportions.DiffMethod, ...] = (
        "newcombe_wilson",
        "newcombe_wilsoncc",
        "wald",
        "agresti_caffo",
        "miettinen_nurminen",
    )
    return {
        "diff": proportions.diff_ci(x1, n1, x2, n2).estimate,
        **{name: proportions.diff_ci(x1, n1, x2, n2, name).ci for name in methods},
        "fisher_p": proportions.fisher_p(x1, n1, x2, n2),
    }


def _confusion(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    table = Confusion("synthetic", "real", *(int(args[k]) for k in ("tp", "fn", "fp", "tn")))
    mcnemar = table.mcnemar() or (None, None)
    return {
        **{key: int(args[key]) for key in ("tp", "fn", "fp", "tn")},
        **{
            key: table.rate(key).estimate
            for key in ("sensitivity", "specificity", "ppv", "npv", "accuracy")
        },
        **{key: value.estimate for key, value in table.derived().items()},
        "acc_test_no_information_rate": table.no_information_p(),
        "mcnemar_cc": mcnemar[0],
        "mcnemar_exact": mcnemar[1],
    }


def _pooled(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    done = pooled(data.readings())
    rates = {
        ("said_synthetic" if key == "said_positive" else key): {
            "est": rate.estimate,
            "x": rate.x,
            "n": rate.n,
            "wilson": rate.ci,
            "clopper_pearson": done.clopper_pearson[key].ci,
        }
        for key, rate in done.wilson.items()
    }
    table = done.table
    return {"tp": table.tp, "fn": table.fn, "fp": table.fp, "tn": table.tn, **rates}


def _per_reader(data: Dataset, args: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {
            "reader": row.reader,
            "tp": row.table.tp,
            "fn": row.table.fn,
            "fp": row.table.fp,
            "tn": row.table.tn,
            "accuracy": row.accuracy.estimate,
            "acc_wilson": row.accuracy.ci,
            "acc_cp": row.accuracy_exact.ci,
            "exact_p_vs_half": row.p_accuracy,
            "sensitivity": row.sensitivity.estimate,
            "sens_wilson": row.sensitivity.ci,
            "specificity": row.specificity.estimate,
            "spec_wilson": row.specificity.ci,
            "balanced_accuracy": row.balanced_accuracy,
            "auc": row.auc.estimate,
            "auc_var_delong": row.auc.variance,
            "auc_ci95_delong": row.auc.ci,
            "dprime_loglinear": row.sdt.dprime,
            "c_loglinear": row.sdt.criterion,
            "median_rt": row.median_response_s,
            "said_synthetic": row.said_positive.estimate,
        }
        for row in per_reader(data.readings(), data.judgments.first)
    ]


# -------------------------------------------------------------------- signal detection, tests


def _sdt(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    got = sdt(args["h"], args["m"], args["fa"], args["cr"], correction=args["correction"])
    return {
        "hit_rate": got.hit_rate,
        "fa_rate": got.fa_rate,
        "dprime": got.dprime,
        "criterion_c": got.criterion,
        "ln_beta": got.ln_beta,
        "beta": got.beta,
        "c_prime": got.c_prime,
        "a_prime": got.a_prime,
        "b_second_d": got.b_second,
        "auc_equal_variance": got.auc_equal_variance,
        "se_dprime_gourevitch_galanter": got.se_dprime,
        "ci95_dprime": got.ci95_dprime,
    }


def _tost_one_sample(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    x = np.asarray(args["x"], dtype=float)
    low, high = float(args["low"]), float(args["high"])
    result = inference.tost_one_sample(x, low, high)
    n, mean, sd = len(x), float(x.mean()), float(x.std(ddof=1))
    se = sd / n**0.5
    against = inference.infer(mean, se, n - 1, method="t")
    return {
        "mean": mean,
        "sd": sd,
        "n": n,
        "df": n - 1,
        "t_lower": (mean - low) / se,
        "t_upper": (mean - high) / se,
        "p_lower": result.p_lower,
        "p_upper": result.p_upper,
        "p_tost": result.p,
        "ci90": result.ci90,
        "t_vs_half": against.statistic,
        "p_vs_half": against.p,
    }


def _tost_binomial(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    found = inference.tost_binomial(args["x"], args["n"], args["low"], args["high"])
    return {key: {"p_lower": p[0], "p_upper": p[1], "p_tost": max(p)} for key, p in found.items()}


def _p_adjust(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    methods = ("holm", "hochberg", "hommel", "bonferroni", "BH", "BY")
    return {name: inference.adjust(list(args["p"]), name) for name in methods}


# ----------------------------------------------------------------------------------- AUC, MRMC


def _tost(test: Tost) -> dict[str, Any]:
    return {
        "null": test.null,
        "margin": test.margin,
        "p_lower": test.p_lower,
        "p_upper": test.p_upper,
        "p_tost": test.p,
        "ci90": test.ci90,
        "equivalent": test.equivalent,
    }


def _inference(result: Inference) -> dict[str, Any]:
    letter = "z" if result.df is None else "t"
    return {
        "estimate": result.estimate,
        "se": result.se,
        "df": result.df,
        "ci95": result.ci95,
        f"{letter}_vs_half": result.statistic,
        "p_vs_half": result.p,
        **{f"tost_{test.margin:.2f}": _tost(test) for test in result.tost},
    }


def _or_result(done: OrSingle) -> dict[str, Any]:
    return {
        "reader_level": [{"reader": r.reader, "value": r.value, "se": r.se} for r in done.readers],
        "ms_r": done.ms_r,
        "var_error": done.var_error,
        "cov2": done.cov2,
        "RRRC": _inference(done.rrrc),
        "FRRC": _inference(done.frrc),
        "RRFC": _inference(done.rrfc),
    }


def _or_single(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    metric = _METRIC.get(str(args["metric"]))
    if metric is None:
        return None
    if metric == "auc" and args.get("rating") == "verdict 0/1":
        metric = "balanced_accuracy"
    subset = str(args.get("subset", ""))
    modality = subset.partition("==")[2] or None
    cov = cast(Covariance, str(args["cov"]).lower())
    return _or_result(or_single(data.readings(modality), metric, cov, margins=MARGINS))


def _reader_average(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    readings = data.readings()
    out = {}
    for key in ("accuracy", "sensitivity", "specificity", "balanced_accuracy", "auc", "dprime"):
        # The files test every metric against one half, d' included, where it means nothing.
        done = reader_average(readings, key, null=0.5, margins=MARGINS)
        out["dprime_loglinear" if key == "dprime" else key] = {
            **_inference(done.result),
            "sd": done.sd,
            "min": done.minimum,
            "max": done.maximum,
        }
    return out


def _auc(found: roc.Auc) -> dict[str, Any]:
    # pROC truncates the interval to [0, 1].
    ci = found.ci and (max(0.0, found.ci[0]), min(1.0, found.ci[1]))
    return {"auc": found.estimate, "var": found.variance, "ci95": ci}


def _columns(data: Dataset) -> tuple[list[str], dict[str, tuple[FloatArray, FloatArray]]]:
    """Marker columns of a table with one row per subject and a 0/1 ``outcome``."""
    names = ["wfns", "s100b", "ndka"]
    sick = data.table["outcome"].astype(int).to_numpy() == 1
    values = {name: data.table[name].astype(float).to_numpy() for name in names}
    return names, {name: (v[sick], v[~sick]) for name, v in values.items()}


def _delong(data: Dataset, args: dict[str, Any]) -> Any:
    if "outcome" in data.table:
        names, split = _columns(data)
        return {name: _auc(roc.delong(*split[name], positive="1")) for name in names}
    out = []
    for modality in data.modalities:
        readings = data.readings(modality)
        pos = readings.is_positive
        for reader, row in zip(readings.readers, readings.score, strict=True):
            out.append(
                {
                    "reader": reader,
                    "modality": modality,
                    **_auc(roc.delong(row[pos], row[~pos], positive="1")),
                }
            )
    return out


def _delong_paired(data: Dataset, args: dict[str, Any]) -> list[dict[str, Any]]:
    names, split = _columns(data)
    out = []
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            got = roc.delong_paired(*split[a], *split[b])
            out.append(
                {
                    "a": a,
                    "b": b,
                    "z": got.z,
                    "p": got.p,
                    "diff": got.difference,
                    "cov": got.covariance,
                    "ci95": got.ci,
                }
            )
    return out


def _pauc(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    _, split = _columns(data)
    area = roc.pauc(*split["s100b"], spec_from=float(args["spec_from"]))
    return {} if area is None else {"pauc": area[0], "corrected_mcclish": area[1]}


# ------------------------------------------------------------------------------ cases, groups


def _fool_rate(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    readings = data.readings()
    synthetic = [r for r in by_case(readings) if r.truth == readings.positive]
    rows = [
        {"case": r.case, "fooled": r.wrong, "n": r.n, "rate": r.rate, "wilson": r.wilson}
        for r in synthetic
    ]
    organs = case_facts(data.judgments)["organ"].tolist()
    return {
        "top10": rows[:10],
        "bottom5": rows[-5:],
        "by_organ": {
            g.group: {"fooled": g.fooled, "n": g.n_readings, "rate": g.naive.estimate}
            for g in by_group(readings, organs)
        },
    }


def _subgroup(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    labels = case_facts(data.judgments)[str(args["by"])].tolist()
    found = subgroup.by(data.readings(), labels)
    return {
        "groups": {
            g.group: {
                "accuracy": g.accuracy,
                "sens": g.sensitivity,
                "spec": g.specificity,
                "auc_or": _inference(g.result),
            }
            for g in found
        },
        "holm": {g.group: g.p_holm for g in found},
    }


ADAPTERS: dict[str, Callable[[Dataset, dict[str, Any]], Any]] = {
    "proportion_ci": _proportion_ci,
    "diff_proportions": _diff_proportions,
    "confusion": _confusion,
    "pooled": _pooled,
    "per_reader": _per_reader,
    "sdt": _sdt,
    "tost_one_sample": _tost_one_sample,
    "tost_binomial": _tost_binomial,
    "p_adjust": _p_adjust,
    "or_single": _or_single,
    "reader_average": _reader_average,
    "delong": _delong,
    "delong_paired": _delong_paired,
    "pauc": _pauc,
    "fool_rate": _fool_rate,
    "subgroup": _subgroup,
}

"""Readers, cases, groups and clusters of a trial's table."""

from __future__ import annotations

from typing import Any, cast

from readerstudy.analysis.stats import cluster, subgroup
from readerstudy.analysis.stats.confusion import pooled
from readerstudy.analysis.stats.foolrate import by_case, by_group
from readerstudy.analysis.stats.perreader import per_reader
from readerstudy.analysis.stats.reference import formula
from readerstudy.analysis.stats.reference.dataset import Dataset
from readerstudy.analysis.stats.reference.multireader import inference_json
from readerstudy.analysis.stats.tidy import case_facts


def check_pooled(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
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


def check_per_reader(data: Dataset, args: dict[str, Any]) -> list[dict[str, Any]]:
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


def check_gee(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    done = _gee(data, args)
    if done is None:
        return None
    return {
        "n_clusters": done.n_clusters,
        "coef": {c.name: c.estimate for c in done.coefficients},
        "robust_se": {c.name: c.se for c in done.coefficients},
        "wald_z": {c.name: c.z for c in done.coefficients},
        "p_z": {c.name: c.p_z for c in done.coefficients},
        "p_t": {c.name: c.p_t for c in done.coefficients},
        "prob": done.probability, "ci95_z": done.ci95_z, "ci95_t": done.ci95_t,
        "alpha": done.alpha,
    }  # fmt: skip


def _gee(data: Dataset, args: dict[str, Any]) -> cluster.Gee | None:
    rows = formula.subset(data.judgments.first, str(args.get("subset", "")))
    left, _, right = str(args["formula"]).partition("~")
    y, design = formula.outcome(rows, left), formula.design(rows, right)
    if y is None or design is None:
        return None
    groups = str(args["groups"])
    correlation = cast(cluster.Correlation, args.get("corstr", "independence"))
    return cluster.gee(y, rows[groups], design, name=groups, correlation=correlation)


def check_gee_wald(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    done = _gee(data, args)
    if done is None:
        return None
    chi2, df, p = done.wald or (None, None, None)
    return {"chi2": chi2, "df": df, "p": p}


def check_twoway_cluster(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    rows = data.judgments.first
    right = (rows["verdict"] == rows["truth"]).to_numpy(dtype=float)
    done = cluster.twoway_cluster(right, rows["reader_id"], rows["case_id"])
    return {
        "logit_intercept": done.logit, "se_HC0_no_adjust": done.logit_se,
        "se_HC0_cadjust": done.logit_se_adjusted, "se_HC1_cadjust": done.logit_se_adjusted,
        "prob": done.probability, "ci95_t_minG_1_HC0": done.ci95, "p_t_vs_half": done.p_vs_half,
        "linear_mean": done.probability, "linear_se_HC0_no_adjust": done.linear_se,
        "ci95_linear_t": done.linear_ci95, "min_clusters": min(done.n_readers, done.n_cases),
    }  # fmt: skip


def check_fool_rate(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
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


def check_subgroup(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    labels = case_facts(data.judgments)[str(args["by"])].tolist()
    found = subgroup.by(data.readings(), labels)
    return {
        "groups": {
            g.group: {
                "accuracy": g.accuracy,
                "sens": g.sensitivity,
                "spec": g.specificity,
                "auc_or": inference_json(g.result),
            }
            for g in found
        },
        "holm": {g.group: g.p_holm for g in found},
    }

"""AUC and multi-reader methods."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from readerstudy.analysis.stats import imrmc, roc
from readerstudy.analysis.stats.covariance import Covariance, u_moments
from readerstudy.analysis.stats.inference import Inference, Tost
from readerstudy.analysis.stats.mrmc import OrSingle, or_single, reader_average
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.reference.dataset import Dataset
from readerstudy.analysis.stats.types import FloatArray

MARGINS = (0.05, 0.10)
_METRIC = {
    "empirical_auc": "auc",
    "accuracy": "accuracy",
    "binary_sens": "sensitivity",
    "binary_spec": "specificity",
}


_VERDICT = "verdict 0/1"


def metric_of(args: dict[str, Any]) -> str | None:
    """The engine's name of the metric; remarks after the first word do not matter."""
    metric = _METRIC.get(str(args["metric"]).partition(" ")[0])
    balanced = metric == "auc" and args.get("rating") == _VERDICT
    return "balanced_accuracy" if balanced else metric


def covariance(args: dict[str, Any]) -> Covariance:
    return cast(Covariance, str(args.get("cov", "jackknife")).lower())


def cut_of(args: dict[str, Any]) -> float | None:
    """``rating>=3`` as 3.0."""
    return float(str(args["binarise"]).partition(">=")[2]) if "binarise" in args else None


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


def inference_json(result: Inference) -> dict[str, Any]:
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
        "RRRC": inference_json(done.rrrc),
        "FRRC": inference_json(done.frrc),
        "RRFC": inference_json(done.rrfc),
    }


def check_or_single(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    metric = metric_of(args)
    if metric is None:
        return None
    readings = data.subset(str(args.get("subset", "")), cut_of(args))
    return _or_result(or_single(readings, metric, covariance(args), margins=MARGINS))


def check_reader_average(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    readings = data.readings()
    out = {}
    for key in ("accuracy", "sensitivity", "specificity", "balanced_accuracy", "auc", "dprime"):
        # The files test every metric against one half, d' included, where it means nothing.
        done = reader_average(readings, key, null=0.5, margins=MARGINS)
        out["dprime_loglinear" if key == "dprime" else key] = {
            **inference_json(done.result),
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
    names = [name for name in data.schema if name in data.table and name != "outcome"]
    sick = data.table["outcome"].astype(int).to_numpy() == 1
    values = {name: data.table[name].astype(float).to_numpy() for name in names}
    return names, {name: (v[sick], v[~sick]) for name, v in values.items()}


def check_delong(data: Dataset, args: dict[str, Any]) -> Any:
    if "outcome" in data.table:
        names, split = _columns(data)
        return {name: _auc(roc.delong(*split[name], positive="1")) for name in names}
    out = []
    for modality, own in _parts(data, args).items():
        for reader, row in zip(own.readers, own.score, strict=True):
            one, zero = _classes(own, row)
            found = _auc(roc.delong(one, zero, positive="1"))
            out.append({"reader": reader, "modality": modality, **found})
    return out


def _classes(readings: Readings, row: FloatArray) -> tuple[FloatArray, FloatArray]:
    read = ~np.isnan(row)
    return row[read & readings.is_positive], row[read & ~readings.is_positive]


def _parts(data: Dataset, args: dict[str, Any]) -> dict[str, Readings]:
    """Readings by modality, lined up with one another; a trial's table is one modality."""
    if data.is_vtt:
        own = data.readings()
        return {"1": replace(own, score=own.call) if args.get("rating") == _VERDICT else own}
    conditions = data.conditions(cut_of(args))
    return dict(zip(conditions.names, conditions.each, strict=True))


def check_delong_paired(data: Dataset, args: dict[str, Any]) -> list[dict[str, Any]]:
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


def check_pauc(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    names, split = _columns(data)
    # The check that came without a marker was made with this one.
    marker = str(args.get("marker", "s100b" if "s100b" in names else names[0]))
    area = roc.pauc(*split[marker], spec_from=float(args["spec_from"]))
    return {} if area is None else {"pauc": area[0], "corrected_mcclish": area[1]}


def check_imrmc(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    parts = _parts(data, args)
    readings = next(iter(parts.values()))
    scored = {name: own.score for name, own in parts.items()}
    names = list(scored)
    own = {name: _product(readings, scored[name]) for name in names}
    results = [_imrmc_single(readings, name, own[name]) for name in names]
    for i, a in enumerate(names):
        for b in names[i + 1 :]:
            cross = _product(readings, scored[a], scored[b])
            results.append(_imrmc_pair(readings, (a, b), own[a], own[b], cross))
    per_reader = []
    for name in names:
        values = u_moments(readings, scored[name])
        variance = np.diag(values.theta[:, None] * values.theta[None, :]) - np.diag(
            values.sums["different"] / values.counts["different"]
        )
        for i, row in enumerate(scored[name]):
            one, zero = _classes(readings, row)
            per_reader.append(
                {"reader": readings.readers[i], "modality": name, "n0": len(zero), "n1": len(one),
                 "auc": float(values.theta[i]), "var_ustat": float(variance[i])}
            )  # fmt: skip
    return {"results": results, "per_reader": per_reader}


def _product(
    readings: Readings, scored: FloatArray, other: FloatArray | None = None
) -> imrmc.Product:
    found = imrmc.product(u_moments(readings, scored, other))
    if found is None:
        raise ValueError("the reference set has a moment without pairs")
    return found


def _moments(readings: Readings, found: imrmc.Product) -> dict[str, Any]:
    return {
        "n_readers": readings.n_readers, "n0": readings.n_negative, "n1": readings.n_positive,
        "auc_1": found.estimates[0], "auc_2": found.estimates[1],
        "moments_ustat": found.moments.tolist(), "moments_mle": found.v_moments.tolist(),
        "coef": found.coefficients.tolist(),
    }  # fmt: skip


def _tests(result: Any) -> dict[str, Any]:
    return {
        "normal": {"p": result.normal.p, "ci95": result.normal.ci95},
        "t_bdg": {"p": result.result.p, "ci95": result.result.ci95},
        "t_bdg_mle": {"p": result.v_result.p, "ci95": result.v_result.ci95},
    }


def _imrmc_single(readings: Readings, name: str, found: imrmc.Product) -> dict[str, Any]:
    done = imrmc.single(found, df_rule="floor")
    return {
        "modality_1": name, "modality_2": name, **_moments(readings, found),
        "var_ustat": found.variance, "var_mle_vstat": found.v_variance,
        "df_bdg_ustat": done.df_bdg, "df_bdg_mle": done.df_bdg_v, **_tests(done),
    }  # fmt: skip


def _imrmc_pair(
    readings: Readings, names: tuple[str, str], first: imrmc.Product, second: imrmc.Product,
    cross: imrmc.Product,
) -> dict[str, Any]:  # fmt: skip
    done = imrmc.difference(first, second, cross, df_rule="floor")
    return {
        "modality_1": names[0], "modality_2": names[1], **_moments(readings, cross),
        "cov_ustat": cross.variance, "diff": done.estimate, "var_diff_ustat": done.variance,
        "var_diff_mle": done.v_variance, "df_bdg_ustat": done.df_bdg,
        "df_bdg_mle": done.df_bdg_v, **_tests(done),
    }  # fmt: skip

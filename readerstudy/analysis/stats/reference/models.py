"""Mixed models, order and time, calibration, marks with a place, machine against readers."""

from __future__ import annotations

from typing import Any

import numpy as np

from readerstudy.analysis.stats import calibration as calibrate
from readerstudy.analysis.stats import froc, frocor, metrics
from readerstudy.analysis.stats.glmm import sdt_glmm
from readerstudy.analysis.stats.lmm import lmm
from readerstudy.analysis.stats.machine import model_vs_readers
from readerstudy.analysis.stats.mrmc import MeanInference, infer_mean
from readerstudy.analysis.stats.multi import PairDifference
from readerstudy.analysis.stats.readings import ordered
from readerstudy.analysis.stats.reference import formula
from readerstudy.analysis.stats.reference.dataset import Dataset, label
from readerstudy.analysis.stats.tidy import read_judgments
from readerstudy.analysis.stats.timing import cochran_q, experience
from readerstudy.analysis.stats.types import FloatArray


def check_glmm(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    terms = {t.strip() for t in str(args["formula"]).partition("~")[2].replace(" ", "").split("+")}
    if terms - {"truth_synthetic", "truth", "(1|reader)", "(1|case)"} or not data.is_vtt:
        return None
    done = sdt_glmm(data.readings())
    return {
        "intercept": done.intercept, "intercept_se": done.intercept_se, "dprime": done.dprime,
        "dprime_se": done.dprime_se, "dprime_z": done.dprime_z, "dprime_p": done.dprime_p,
        "criterion_c": done.criterion, "sd_reader": done.sd_reader, "sd_case": done.sd_case,
        "loglik": done.loglik, "singular": done.singular,
    }  # fmt: skip


def check_lmm(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    rows = formula.subset(data.judgments.first, str(args.get("subset", "")))
    left, _, right = str(args["formula"]).partition("~")
    y, columns = formula.outcome(rows, left), formula.design(rows, right)
    if y is None or columns is None or args.get("method", "REML") != "REML":
        return None
    done = lmm(
        y, columns, rows["reader_id"].to_numpy(dtype=object),
        rows["case_id"].to_numpy(dtype=object),
    )  # fmt: skip
    return {
        "coef": {c.name: c.estimate for c in done.coefficients},
        "se": {c.name: c.se for c in done.coefficients},
        "sd_reader": done.sd_reader, "sd_case": done.sd_case, "sd_resid": done.sd_residual,
        "loglik": done.loglik,
    }  # fmt: skip


def check_calibration(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    judgments = data.judgments
    done = calibrate.calibration(judgments.first, positive=judgments.positive, replicates=0)
    return {
        "brier": done.brier, "brier_ref_prevalence": done.brier_reference,
        "brier_skill": done.brier_skill, "calibration_intercept_in_the_large": done.in_the_large,
        "slope": done.slope, "intercept": done.intercept, "ece10": done.ece,
        "spiegelhalter_z": done.spiegelhalter_z, "log_loss": done.log_loss,
    }  # fmt: skip


def check_cochran_q(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    done = cochran_q(data.readings())
    return {"n_cases": done.n_cases, "Q": done.statistic, "df": done.df, "p": done.p}


def check_spearman(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    done = experience(data.readings(), data.judgments.first, str(args.get("metric", "accuracy")))
    return {"rho": done.estimate, "p_t_approx": done.p, "n": done.n}


# ------------------------------------------------------------------------------------ location


def _froc(data: Dataset) -> froc.Froc:
    names = data.file if isinstance(data.file, list) else [data.file]
    tables = [read_judgments(data.folder / str(name)) for name in names]
    marks = next(t for t in tables if "mark" in t)
    return frocor.froc_from_tables(marks, next(t for t in tables if "mark" not in t))


def check_froc_fom(data: Dataset, args: dict[str, Any]) -> list[dict[str, Any]] | None:
    if str(args["fom"]) not in {*froc.FOMS, *froc.ALIASES}:
        return None
    marks = _froc(data)
    values = froc.fom(marks, str(args["fom"]))
    return [
        {"modality": label(name), "foms": row.tolist()}
        for name, row in zip(marks.modalities, values, strict=True)
    ]


def check_froc_or(data: Dataset, args: dict[str, Any]) -> dict[str, Any] | None:
    if str(args["fom"]) not in {*froc.FOMS, *froc.ALIASES} or args.get("cov") != "jackknife":
        return None
    done = frocor.froc_or(_froc(data), str(args["fom"]))
    test, parts = done.rrrc.test, done.components
    out: dict[str, Any] = {
        "F": test.statistic, "df1": test.df1, "df2": test.df2, "p": test.p,
        "diff": [_difference(d) for d in done.rrrc.differences],
        "means": [
            {"Estimate": m.result.estimate, "StdErr": m.result.se, "DF": m.result.df,
             "CILower": m.result.ci95 and m.result.ci95[0],
             "CIUpper": m.result.ci95 and m.result.ci95[1], "Cov2": m.cov2}
            for m in done.rrrc.means
        ],
    }  # fmt: skip
    if parts is not None:
        out["var_components"] = {
            "VarR": parts.var_reader, "VarTR": parts.var_condition_reader, "Cov1": parts.cov1,
            "Cov2": parts.cov2, "Cov3": parts.cov3, "Var": parts.var_error,
        }  # fmt: skip
    return out


def _difference(row: PairDifference) -> dict[str, Any]:
    r = row.result
    return {
        "Estimate": r.estimate, "StdErr": r.se, "DF": r.df, "t": r.statistic, "PrGTt": r.p,
        "CILower": r.ci95 and r.ci95[0], "CIUpper": r.ci95 and r.ci95[1],
    }  # fmt: skip


# ------------------------------------------------------------------------------------- machine


def check_model_vs_readers(data: Dataset, args: dict[str, Any]) -> dict[str, Any]:
    """The first reader (or the one named) is the machine; signs as each program prints them."""
    table = data.table
    modality = args.get("modality")
    if modality is None and "modality" in table and table["modality"].nunique() > 1:
        modality = ordered(table["modality"])[0]
    readings = data.readings(None if modality is None else str(modality))
    order = ordered(readings.readers)
    machine = next((str(v) for k, v in args.items() if _names_a_machine(k) and str(v) in order),
                   order[0])  # fmt: skip
    people = [r for r in order if r != machine]
    at = [readings.readers.index(r) for r in people]
    keep = np.isin(readings.readers, people)
    score = readings.score[readings.readers.index(machine)]
    done = model_vs_readers(readings.of_readers(keep), score)
    radiologists = metrics.values(readings, "auc")[at]
    gap, fixed = done.difference, _readers_random(radiologists, done)
    opposite = None if gap.ci95 is None else (-gap.ci95[1], -gap.ci95[0])
    mean = float(radiologists.mean())
    shifted = None if opposite is None or done.machine is None else tuple(
        v + done.machine for v in opposite
    )  # fmt: skip
    return {
        "fomCAD": done.machine, "fomRAD": radiologists.tolist(), "avgRadFom": mean,
        "CIAvgRad": shifted, "CIAvgRadFom": shifted, "ciAvgRadFom": shifted,
        "avgDiffFom": _minus(gap.estimate), "CIAvgDiffFom": opposite, "ciAvgDiffFom": opposite,
        "varR": float(radiologists.var(ddof=1)), "varError": done.var_error, "cov2": done.cov2,
        "Tstat": _minus(gap.statistic), "tstat": _minus(gap.statistic), "df": gap.df,
        "pval": gap.p, "effect": gap.estimate, "ci": gap.ci95, "ci95": gap.ci95,
        "statistic": gap.statistic, "dof": gap.df, "pvalue": gap.p, "p": gap.p, "se": gap.se,
        "estimate": gap.estimate, "rrfc_p": fixed.rrfc.p,
    }  # fmt: skip


def _names_a_machine(key: str) -> bool:
    return any(word in key.lower() for word in ("cad", "model", "machine", "algorithm", "ai"))


def _minus(value: float | None) -> float | None:
    return None if value is None else -value


def _readers_random(values: FloatArray, done: Any) -> MeanInference:
    return infer_mean(done.machine - values, None, null=0.0)


MODEL_ADAPTERS = {
    "glmm": check_glmm,
    "lmm": check_lmm,
    "calibration": check_calibration,
    "cochran_q": check_cochran_q,
    "spearman": check_spearman,
    "froc_fom": check_froc_fom,
    "froc_or": check_froc_or,
    "model_vs_readers": check_model_vs_readers,
}

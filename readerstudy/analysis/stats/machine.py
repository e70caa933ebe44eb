"""A machine that rated the same cases against the readers.

The machine is one fixed rater; readers and cases are samples. Per reader, machine minus reader;
its mean gets the Obuchowski-Rockette analysis of one condition against zero. Reference: Hillis,
Stat Med 26:596 (2007), section 5.3, as used for standalone CAD by Chakraborty, Observer
Performance Methods for Diagnostic Imaging (2017), chapter 22 ("1T-RRRC").
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import sqrt

import numpy as np
from scipy import stats

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.contrast import jackknife_covariance, jackknife_mean
from readerstudy.analysis.stats.inference import Inference
from readerstudy.analysis.stats.mrmc import ReaderValue
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import FloatArray, Interval

#: Half an interval below this is rounding.
_ROUNDING = 1e-12
METHOD = "Obuchowski-Rockette on machine minus reader, readers and cases random, Hillis df"


@dataclass(frozen=True)
class ModelVsReaders:
    """One machine against the readers' mean.

    Attributes:
        machine, machine_ci95: the machine alone, cases random (jackknife, normal).
        readers_mean: the readers alone on the same cases.
        difference: machine minus readers, against zero.
        readers_fixed: the same for these readers and other cases.
        per_reader: each reader's value.
    """

    name: str
    method: str
    metric: str
    label: str
    positive: str
    n_readers: int
    n_cases: int
    machine: float | None
    machine_ci95: Interval | None
    per_reader: tuple[ReaderValue, ...]
    readers_mean: Inference
    difference: Inference
    readers_fixed: Inference
    var_error: float | None
    cov2: float | None
    ms_r: float | None
    reason: str | None = None


def model_vs_readers(
    readings: Readings,
    machine_score: FloatArray,
    metric: str = "auc",
    *,
    name: str = "machine",
    threshold: float = 0.0,
    margins: tuple[float, ...] = (),
) -> ModelVsReaders:
    """Compare a machine's scores with the readers' on the cases it rated.

    Args:
        machine_score: (K,) higher = more positive, in the order of ``readings.cases``; NaN = the
            machine gave none, and the case is left out for the readers too.
        threshold: a score above it is the verdict "positive", for metrics of verdicts.
        margins: equivalence margins around zero.
    """
    keep = ~np.isnan(machine_score)
    part, score = readings.of_cases(keep), machine_score[keep]
    alone = replace(part, readers=(name,), score=score[None, :],
                    call=(score > threshold).astype(np.float64)[None, :])  # fmt: skip
    used, alone = metrics.relevant(part, metric), metrics.relevant(alone, metric)
    spec = metrics.metric(metric)
    values, own = metrics.values(used, metric), float(metrics.values(alone, metric)[0])
    left = metrics.leave_one_out(used, metric)
    own_left = metrics.leave_one_out(alone, metric)
    null = spec.null if spec.null is not None else 0.5
    difference = jackknife_mean(own - values, own_left - left, margins=margins,
                                unit=used.unit_name)  # fmt: skip
    by_reader = tuple(
        ReaderValue(r, None if v != v else float(v), None, None if v == v else "undefined")
        for r, v in zip(used.readers, values, strict=True)
    )
    known = own == own
    reason = None if known else "the machine rated no cases of a class"
    interval = None
    if known and not np.isnan(own_left).any() and own_left.shape[1] > 1:
        half = float(stats.norm.ppf(0.975)) * sqrt(float(jackknife_covariance(own_left)[0, 0]))
        # Without spread (all cases of a class right, or all wrong) a width of zero would be a lie.
        interval = (own - half, own + half) if half > _ROUNDING else None
        reason = reason if interval else "the machine's value has no spread over the cases"
    return ModelVsReaders(
        name, METHOD, metric, spec.label, used.positive, int((~np.isnan(values)).sum()),
        used.n_cases, own if known else None, interval, by_reader,
        jackknife_mean(values, left, null=null, unit=used.unit_name).rrrc,
        replace(difference.rrrc, method=METHOD), difference.frrc, difference.var_error,
        difference.cov2, difference.ms_r, reason,
    )  # fmt: skip

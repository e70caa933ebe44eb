"""Trials that never took place: the Roe-Metz model, and power by simulation.

The rating of reader j on case k, truth t, in one condition is

    mu t + R_jt + C_kt + (RC)_jkt,   Var C + Var RC = 1,

with independent normal terms (Roe and Metz, Acad Radiol 4:298, 1997). With several conditions
half of the variance of readers and of cases is common to them and half is each condition's own; of
Var RC 0.2 is common. The published structures are named by data correlation and reader variance:
"HL" = high correlation, low variance. The mean over readers of the true AUC is
Phi(mu / sqrt(2 (1 + Var R))).

Ratings are cut into ordered levels, because readers answer on a scale of six.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Literal, cast

import numpy as np
from scipy.stats import norm

from readerstudy.analysis.stats import metrics
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.inference import verdict
from readerstudy.analysis.stats.mrmc import OrSingle, or_single
from readerstudy.analysis.stats.planning import Components
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import FloatArray

Structure = Literal["HL", "LH", "HH", "LL"]
STRUCTURES: tuple[Structure, ...] = ("HL", "LH", "HH", "LL")
#: Variance of readers of one truth state and condition: low always, high by the AUC of Table 1.
_LOW, _HIGH = 0.0055, ((0.702, 0.011), (0.855, 0.030), (0.962, 0.056))
#: Variance of RC that several conditions have in common.
_COMMON_NOISE = 0.2


@dataclass(frozen=True)
class RoeMetz:
    """Parameters of the model for one condition.

    Attributes:
        auc: mean over readers of the true area, before ratings are cut into levels.
        var_reader: variance of R, per truth state.
        var_case: variance of C; 1 - ``var_case`` is left for RC, error included.
    """

    auc: float
    var_reader: float
    var_case: float
    name: str = ""

    def __post_init__(self) -> None:
        if not 0 < self.auc < 1:
            raise ValueError("the AUC lies between 0 and 1")
        if self.var_reader < 0 or not 0 <= self.var_case <= 1:
            raise ValueError("var_reader is at least 0 and var_case lies between 0 and 1")

    @classmethod
    def of(cls, structure: Structure, auc: float = 0.5) -> RoeMetz:
        """A structure of Roe and Metz: first letter = data correlation, second = reader variance.

        They pair the high reader variance with three areas; the nearest one is taken.
        """
        if structure not in STRUCTURES:
            raise ValueError(f"unknown structure {structure!r}; one of {', '.join(STRUCTURES)}")
        high = min(_HIGH, key=lambda pair: abs(pair[0] - auc))[1]
        var_reader = 2 * (high if structure[1] == "H" else _LOW)
        return cls(auc, var_reader, 0.6 if structure[0] == "H" else 0.2, structure)

    @property
    def mu(self) -> float:
        """Distance of the two classes on the latent scale."""
        return float(norm.ppf(self.auc)) * sqrt(2 * (1 + self.var_reader))

    def cuts(self, levels: int) -> FloatArray:
        """Thresholds between ``levels`` answers, even on a normal scale around the middle."""
        width = sqrt(1 + self.var_reader + self.mu**2 / 4)
        middle: FloatArray = self.mu / 2 + width * norm.ppf(np.arange(1, levels) / levels)
        return middle

    def truth(self, metric: str = "auc", levels: int | None = 6) -> float:
        """True mean over readers of ``metric`` ("auc" or "balanced_accuracy").

        Cutting into levels makes ties, which lowers the area a little.

        Raises:
            ValueError: another metric.
        """
        if metric not in ("auc", "balanced_accuracy"):
            raise ValueError("the model knows the true auc and balanced_accuracy")
        if metric == "balanced_accuracy":
            levels = 2
        if levels is None:
            return self.auc
        wide = sqrt(1 + self.var_reader)
        edges = np.concatenate([[-np.inf], self.cuts(levels), [np.inf]])
        positive = np.diff(norm.cdf((edges - self.mu) / wide))
        negative = np.diff(norm.cdf(edges / wide))
        return float(positive @ (np.cumsum(negative) - negative / 2))


@dataclass(frozen=True)
class SimulatedPower:
    """What the analysis would say of many simulated trials.

    ``coverage95`` is the share of 95 % intervals that hold the true value; ``mc_se`` the largest
    Monte-Carlo standard error a share can have with that many replicates.
    """

    model: RoeMetz
    metric: str
    n_readers: int
    n_positive: int
    n_negative: int
    margin: float
    replicates: int
    n_undefined: int
    truth: float
    mean_estimate: float | None
    mean_se: float | None
    mean_half_width95: float | None
    coverage95: float | None
    power_difference: float | None
    power_tost: float | None
    mc_se: float
    reason: str | None = None
    method: str = "Roe-Metz simulation, Obuchowski-Rockette analysis of each replicate"


def simulate_roe_metz(
    model: RoeMetz,
    n_readers: int,
    n_positive: int,
    n_negative: int,
    rng: np.random.Generator,
    *,
    levels: int | None = 6,
    missing: float = 0.0,
    positive: str = "synthetic",
    negative: str = "real",
) -> Readings:
    """Readings of one simulated trial.

    Args:
        levels: ordered answers (an even number, so that the middle threshold is the verdict);
            None leaves the latent scale as it is.
        missing: chance that a reading was not made.

    Raises:
        ValueError: no readers or cases, an odd number of levels, or an impossible ``missing``.
    """
    named = {"": model.auc}
    made = simulate_conditions(
        model, named, n_readers, n_positive, n_negative, rng, levels=levels, missing=missing,
        positive=positive, negative=negative,
    )  # fmt: skip
    return made.each[0]


def simulate_conditions(
    model: RoeMetz,
    aucs: Mapping[str, float],
    n_readers: int,
    n_positive: int,
    n_negative: int,
    rng: np.random.Generator,
    *,
    levels: int | None = 6,
    missing: float = 0.0,
    positive: str = "synthetic",
    negative: str = "real",
) -> Conditions:
    """The same readers and cases in several conditions, each with its own true area.

    ``model.auc`` is not used. Raises as :func:`simulate_roe_metz` does.
    """
    if min(n_readers, n_positive, n_negative, len(aucs)) < 1:
        raise ValueError("a simulated trial needs readers and cases of both classes")
    if levels is not None and (levels < 2 or levels % 2):
        raise ValueError("the number of levels is even: half of them for each verdict")
    if not 0 <= missing < 1:
        raise ValueError("the share of missing readings lies between 0 and 1")
    many, n = len(aucs), n_positive + n_negative
    truth = np.arange(n) < n_positive
    alone = many == 1

    def split(size: tuple[int, ...], variance: float, share: float) -> FloatArray:
        """(I, *size) normal values; all conditions have ``share`` of the variance in common."""
        share = 1.0 if alone else share
        shared = rng.normal(size=size) * sqrt(variance * share)
        own = rng.normal(size=(many, *size)) * sqrt(variance * (1 - share))
        return shared + own

    noise = 1 - model.var_case
    common = min(0.5, _COMMON_NOISE / noise) if noise > 0 else 0.5

    reader = split((n_readers, 2), model.var_reader, 0.5)[:, :, truth.astype(int)]
    case = split((n,), model.var_case, 0.5)[:, None, :]
    latent = reader + case + split((n_readers, n), noise, common)
    gone = rng.random((many, n_readers, n)) < missing
    readers = tuple(f"R{j + 1:02d}" for j in range(n_readers))
    cases = tuple(f"C{k + 1:04d}" for k in range(n))
    each = []
    for i, auc in enumerate(aucs.values()):
        own = RoeMetz(auc, model.var_reader, model.var_case)
        score = _rated(latent[i] + own.mu * truth, own, levels)
        score[gone[i]] = np.nan
        call = np.where(np.isnan(score), np.nan, (score > 0).astype(np.float64))
        each.append(
            Readings(readers, cases, positive, negative, truth, np.arange(n, dtype=np.int64),
                     score, call)
        )  # fmt: skip
    return Conditions(tuple(aucs), tuple(each))


def simulated_power(
    model: RoeMetz,
    n_readers: int,
    n_positive: int,
    n_negative: int,
    rng: np.random.Generator,
    *,
    replicates: int = 500,
    metric: Literal["auc", "balanced_accuracy"] = "auc",
    levels: int | None = 6,
    missing: float = 0.0,
    margin: float = 0.10,
    alpha: float = 0.05,
    progress: Callable[[int, int], None] | None = None,
) -> SimulatedPower:
    """Simulate trials, analyse each as a real one (Obuchowski-Rockette, jackknife), count.

    Args:
        progress: called with (done, all) now and then; may raise to stop.

    Raises:
        ValueError: fewer than one replicate, or a design no trial can have.
    """
    if replicates < 1:
        raise ValueError("a simulation needs at least one replicate")
    truth = model.truth(metric, levels)
    rows = []
    for i in range(replicates):
        if progress is not None and i % 25 == 0:
            progress(i, replicates)
        trial = simulate_roe_metz(
            model, n_readers, n_positive, n_negative, rng, levels=levels, missing=missing
        )
        result = or_single(trial, metric).rrrc
        if result.ci95 is None or result.p is None:
            continue
        code = verdict(result, margin, alpha=alpha).code
        low, high = result.ci95
        rows.append(
            (result.estimate, result.se, (high - low) / 2, low <= truth <= high,
             result.p < alpha, code in ("equivalent", "different_within_margin"))
        )  # fmt: skip
    if progress is not None:
        progress(replicates, replicates)
    means: list[float | None] = [None] * 6
    if rows:
        means = [float(value) for value in np.mean(np.array(rows, dtype=np.float64), axis=0)]
    return SimulatedPower(
        model, metric, n_readers, n_positive, n_negative, margin, replicates,
        replicates - len(rows), truth, means[0], means[1], means[2], means[3], means[4], means[5],
        0.5 / sqrt(max(1, len(rows))), None if rows else "no simulated trial could be analysed",
    )  # fmt: skip


def components_of(
    model: RoeMetz,
    n_readers: int,
    n_cases: int,
    rng: np.random.Generator,
    *,
    replicates: int = 200,
    metric: Literal["auc", "balanced_accuracy"] = "auc",
    levels: int | None = 6,
) -> Components:
    """Variance components which trials of this model show on average, for the closed formulas.

    Half of ``n_cases`` are positives. Raises as :func:`simulate_roe_metz` does.
    """
    half = n_cases // 2
    found: list[OrSingle] = []
    for _ in range(replicates):
        trial = simulate_roe_metz(model, n_readers, half, n_cases - half, rng, levels=levels)
        found.append(or_single(trial, metric))
    ms_r, var, cov2 = (
        float(np.mean([cast(float, getattr(one, name)) for one in found]))
        for name in ("ms_r", "var_error", "cov2")
    )
    label = metrics.metric(metric).label
    source = (
        f"Roe-Metz model {model.name} with a true area of {model.auc:.2f}, {label}, "
        f"{replicates} simulated trials of {n_readers} readers and {n_cases} cases"
    )
    return Components(max(0.0, ms_r - var + cov2), var, cov2, n_cases, source)


def _rated(latent: FloatArray, model: RoeMetz, levels: int | None) -> FloatArray:
    """Signed confidence: -L/2..-1 and 1..L/2, or the distance from the middle."""
    if levels is None:
        return latent - model.mu / 2
    step = np.searchsorted(model.cuts(levels), latent).astype(np.float64) - levels // 2
    return np.where(step >= 0, step + 1, step)

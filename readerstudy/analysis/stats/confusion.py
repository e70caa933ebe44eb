"""The 2 x 2 table of verdicts against truth and everything read off it.

positive = the class named ``positive`` (``synthetic`` unless the protocol says otherwise):
TP = positive called positive, FN = positive called negative (with positive = synthetic: a reader
fooled), FP = negative called positive, TN = negative called negative.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import stats

from readerstudy.analysis.stats.proportions import Method, Proportion, rate_ci
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.types import Value, deceiving, ratio

RATES = (
    "sensitivity",
    "specificity",
    "accuracy",
    "ppv",
    "npv",
    "fool_rate",
    "said_positive",
)


@dataclass(frozen=True)
class Confusion:
    """Counts of one reader, or of all readings pooled."""

    positive: str
    negative: str
    tp: int
    fn: int
    fp: int
    tn: int

    @property
    def n_positive(self) -> int:
        return self.tp + self.fn

    @property
    def n_negative(self) -> int:
        return self.fp + self.tn

    @property
    def n(self) -> int:
        return self.n_positive + self.n_negative

    def counts(self, rate: str) -> tuple[int, int]:
        """Numerator and denominator of one of :data:`RATES`."""
        table = {
            "sensitivity": (self.tp, self.n_positive),
            "specificity": (self.tn, self.n_negative),
            "accuracy": (self.tp + self.tn, self.n),
            "ppv": (self.tp, self.tp + self.fp),
            "npv": (self.tn, self.tn + self.fn),
            "fool_rate": self._fooled(),
            "said_positive": (self.tp + self.fp, self.n),
        }
        return table[rate]

    def _fooled(self) -> tuple[int, int]:
        if deceiving(self.positive, self.negative) == self.positive:
            return self.fn, self.n_positive
        return self.fp, self.n_negative

    def rate(self, rate: str, method: Method = "wilson", conf: float = 0.95) -> Proportion:
        """One of :data:`RATES` with its interval (independent trials: one reader)."""
        x, n = self.counts(rate)
        return rate_ci(x, n, method, conf)

    def balanced_accuracy(self) -> Value:
        """Mean of sensitivity and specificity: the AUC of the binary verdict."""
        if not (self.n_positive and self.n_negative):
            return Value(None, "needs cases of both classes")
        return Value((self.tp / self.n_positive + self.tn / self.n_negative) / 2)

    def derived(self) -> dict[str, Value]:
        """Likelihood ratios, Youden, MCC, F1, diagnostic odds ratio, each with its reason."""
        tp, fn, fp, tn = self.tp, self.fn, self.fp, self.tn
        both = bool(self.n_positive and self.n_negative)
        no_class = "needs cases of both classes"
        sens = tp / self.n_positive if self.n_positive else 0.0
        spec = tn / self.n_negative if self.n_negative else 0.0
        mcc_square = float((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
        return {
            "balanced_accuracy": self.balanced_accuracy(),
            "lr_plus": ratio(sens, 1 - spec, "no false alarms") if both else Value(None, no_class),
            "lr_minus": ratio(1 - sens, spec, "specificity is zero")
            if both
            else Value(None, no_class),
            "youden": Value(sens + spec - 1) if both else Value(None, no_class),
            "mcc": ratio(tp * tn - fp * fn, sqrt(mcc_square), "the reader gave one answer only")
            if both
            else Value(None, no_class),
            "f1": ratio(2 * tp, 2 * tp + fp + fn, "no positive case and no positive verdict"),
            "dor": ratio(tp * tn, fp * fn, "no false alarms or no misses"),
        }

    def no_information_p(self) -> float | None:
        """P(at least this accuracy) under the rate of the commoner class."""
        if self.n == 0:
            return None
        base = max(self.n_positive, self.n_negative) / self.n
        return float(stats.binom.sf(self.tp + self.tn - 1, self.n, base))

    def mcnemar(self) -> tuple[float, float] | None:
        """McNemar p (continuity-corrected chi-squared, exact): do FN and FP balance?"""
        b, c = self.fn, self.fp
        if b + c == 0:
            return None
        chi2 = max(abs(b - c) - 1, 0) ** 2 / (b + c)
        exact = float(stats.binomtest(b, b + c, 0.5).pvalue)
        return float(stats.chi2.sf(chi2, 1)), exact


@dataclass(frozen=True)
class Pooled:
    """All readings thrown together; intervals ignore clustering, and the label says so."""

    label: str
    table: Confusion
    wilson: dict[str, Proportion]
    clopper_pearson: dict[str, Proportion]


def confusion(readings: Readings) -> tuple[Confusion, ...]:
    """One table per reader, in the order of ``readings.readers``."""
    pos = readings.is_positive[None, :]
    called, seen = readings.call == 1, readings.read
    counts = [
        np.sum(called & pos, axis=1),
        np.sum(seen & ~called & pos, axis=1),
        np.sum(called & ~pos, axis=1),
        np.sum(seen & ~called & ~pos, axis=1),
    ]
    return tuple(
        Confusion(readings.positive, readings.negative, int(tp), int(fn), int(fp), int(tn))
        for tp, fn, fp, tn in zip(*counts, strict=True)
    )


def pooled(readings: Readings, conf: float = 0.95) -> Pooled:
    """Sum over readers, with intervals that are too narrow by a factor of about two."""
    tables = confusion(readings)
    total = Confusion(
        readings.positive,
        readings.negative,
        sum(t.tp for t in tables),
        sum(t.fn for t in tables),
        sum(t.fp for t in tables),
        sum(t.tn for t in tables),
    )
    return Pooled(
        "naive: ignores that readings share readers and cases",
        total,
        {name: total.rate(name, "wilson", conf) for name in RATES},
        {name: total.rate(name, "clopper_pearson", conf) for name in RATES},
    )

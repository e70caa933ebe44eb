"""Everything about agreement between readers that a report prints, in one call.

Low kappa is expected where readers guess. Agreement is therefore given for all cases and for each
class alone: high agreement on wrong answers means a shared illusion, on right ones a shared cue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from readerstudy.analysis.stats.agreement.alpha import kripp_alpha
from readerstudy.analysis.stats.agreement.chance import (
    Agreement,
    chance_corrected,
    gwet_ac,
    ratings_of,
)
from readerstudy.analysis.stats.agreement.icc import Icc, icc
from readerstudy.analysis.stats.agreement.intra import score_levels
from readerstudy.analysis.stats.agreement.kappa import (
    Fleiss,
    fleiss,
)
from readerstudy.analysis.stats.agreement.pairwise import PairwiseMatrix, pairwise_matrix
from readerstudy.analysis.stats.readings import Readings

#: ICC and Gwet's AC2 treat the signed score as a scale; alpha as ranks.
SCORE_SCALE = "signed confidence"


@dataclass(frozen=True)
class AgreementGroup:
    """Agreement of all readers on one group of cases.

    The first block is about verdicts, the second about the signed confidence score.
    """

    group: str
    n_cases: int
    percent_agreement: Agreement
    fleiss: Fleiss
    gwet_ac1: Agreement
    conger: Agreement
    krippendorff: Agreement
    mean_cohen: PairwiseMatrix
    gwet_ac2_score: Agreement
    krippendorff_ordinal_score: Agreement
    weighted_kappa_score: PairwiseMatrix
    icc_score: tuple[Icc, ...]


@dataclass(frozen=True)
class InterReader:
    """Agreement over all cases, over the positive and over the negative ones."""

    positive: str
    negative: str
    n_readers: int
    groups: dict[str, AgreementGroup]
    reason: str | None = None

    @property
    def pairwise(self) -> PairwiseMatrix:
        """Cohen's kappa of the verdicts of every two readers, over all cases."""
        return self.groups["all"].mean_cohen


def inter_reader(
    readings: Readings, *, rng: np.random.Generator, replicates: int = 1000
) -> InterReader:
    """All coefficients for all cases, and for the cases of each class.

    Args:
        replicates: bootstrap replicates behind the intervals of Krippendorff's alpha.
    """
    levels = score_levels(readings.score[readings.read])
    parts = {
        "all": readings,
        readings.positive: readings.of_cases(readings.is_positive),
        readings.negative: readings.of_cases(~readings.is_positive),
    }
    groups = {
        name: _group(name, part, levels.tolist(), rng, replicates) for name, part in parts.items()
    }
    reason = None if readings.n_readers > 1 else "one reader has nobody to agree with"
    return InterReader(readings.positive, readings.negative, readings.n_readers, groups, reason)


def _group(
    name: str, part: Readings, levels: list[float], rng: np.random.Generator, replicates: int
) -> AgreementGroup:
    verdicts, scores = ratings_of(part), ratings_of(part, "score")
    both = (0.0, 1.0)
    corrected = chance_corrected(verdicts, categories=both)
    return AgreementGroup(
        name, part.n_cases, corrected["percent_agreement"], fleiss(verdicts, both),
        corrected["gwet_ac"], corrected["conger"],
        kripp_alpha(verdicts, "nominal", replicates=replicates, rng=rng),
        pairwise_matrix(verdicts, part.readers, "none", both),
        gwet_ac(scores, "ordinal", levels),
        kripp_alpha(scores, "ordinal", replicates=replicates, rng=rng),
        pairwise_matrix(scores, part.readers, "quadratic", levels), icc(scores),
    )  # fmt: skip

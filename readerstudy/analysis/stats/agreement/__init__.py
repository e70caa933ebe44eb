"""Agreement between readers, and of readers with themselves.

Ratings are a float array (N cases, R raters); NaN = not rated. Verdicts are 1 = positive.
"""

from __future__ import annotations

from readerstudy.analysis.stats.agreement.alpha import kripp_alpha
from readerstudy.analysis.stats.agreement.chance import (
    Agreement,
    chance_corrected,
    gwet_ac,
    ratings_of,
)
from readerstudy.analysis.stats.agreement.icc import Icc, icc
from readerstudy.analysis.stats.agreement.inter import AgreementGroup, InterReader, inter_reader
from readerstudy.analysis.stats.agreement.intra import IntraReader, IntraRow, intra_reader
from readerstudy.analysis.stats.agreement.kappa import (
    CategoryKappa,
    Cohen,
    Fleiss,
    cohen,
    fleiss,
)
from readerstudy.analysis.stats.agreement.marginal import Marginal, bowker, stuart_maxwell
from readerstudy.analysis.stats.agreement.pairwise import Pair, PairwiseMatrix, pairwise_matrix

__all__ = [
    "Agreement",
    "AgreementGroup",
    "CategoryKappa",
    "Cohen",
    "Fleiss",
    "Icc",
    "InterReader",
    "IntraReader",
    "IntraRow",
    "Marginal",
    "Pair",
    "PairwiseMatrix",
    "bowker",
    "chance_corrected",
    "cohen",
    "fleiss",
    "gwet_ac",
    "icc",
    "inter_reader",
    "intra_reader",
    "kripp_alpha",
    "pairwise_matrix",
    "ratings_of",
    "stuart_maxwell",
]

"""FreeTumor's published Visual Turing Test beside this study, with what its two numbers imply.

Wu et al., Nature Communications 16:11053 (2025), report the mean sensitivity and accuracy of 13
radiologists. The mix of real and synthetic cases is not in the text available to us: 9 or 10
synthetic of 18 cases per tumor type fit both numbers, and a mix of one half is the natural design.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

from readerstudy.analysis.tables import (
    Column,
    Results,
    Table,
    bounds,
    count,
    open_bounds,
    share,
    text,
)

NAME = "FreeTumor (2025)"
READERS, SENSITIVITY, ACCURACY = 13, 0.511, 0.608
#: Synthetic cases per tumor type, of 18, that both numbers allow.
MIXES = ((9, 18), (10, 18))


@dataclass(frozen=True)
class Implied:
    """What a sensitivity and an accuracy say together, under a mix of the classes."""

    share_synthetic: float
    specificity: float
    balanced_accuracy: float
    dprime: float
    criterion: float
    auc: float


def implied(sensitivity: float, accuracy: float, share_synthetic: float) -> Implied:
    """Equal-variance signal detection from two rates; positive = synthetic.

    accuracy = p * sensitivity + (1 - p) * specificity, with p the share of synthetic cases.

    Raises:
        ValueError: no specificity between 0 and 1 fits.
    """
    specificity = (accuracy - share_synthetic * sensitivity) / (1 - share_synthetic)
    if not 0 < specificity < 1 or not 0 < sensitivity < 1:
        raise ValueError("no specificity between 0 and 1 fits these numbers")
    z = NormalDist().inv_cdf
    hit, alarm = z(sensitivity), z(1 - specificity)
    dprime = hit - alarm
    return Implied(
        share_synthetic, specificity, (sensitivity + specificity) / 2, dprime,
        -(hit + alarm) / 2, NormalDist().cdf(dprime / sqrt(2)),
    )  # fmt: skip


def comparison(results: Results) -> Table | None:
    """Both studies row by row; None where the positive class is not synthetic or there is none."""
    if results["layout"] != "vtt" or results["positive"] != "synthetic":
        return None
    columns = (
        Column("study", "Study", text), Column("readers", "Readers", count),
        Column("share_synthetic", "Synthetic", share),
        Column("sensitivity", "Sensitivity", share),
        Column("sensitivity_ci95", "95 %", bounds, under=True),
        Column("specificity", "Specificity", share),
        Column("specificity_ci95", "95 %", bounds, under=True),
        Column("accuracy", "Accuracy", share),
        Column("accuracy_ci95", "95 %", bounds, under=True),
        Column("dprime", "d′", share), Column("dprime_ci95", "95 %", open_bounds, under=True),
        Column("criterion", "c", share),
        Column("criterion_ci95", "95 %", open_bounds, under=True),
        Column("auc", "AUC", share), Column("auc_ci95", "95 %", bounds, under=True),
    )  # fmt: skip
    rows = []
    for made, of in MIXES:
        found = implied(SENSITIVITY, ACCURACY, made / of)
        rows.append((
            f"{NAME}, if {made} of {of} synthetic", READERS, made / of, SENSITIVITY, None,
            found.specificity, None, ACCURACY, None, found.dprime, None, found.criterion, None,
            found.auc, None,
        ))  # fmt: skip
    data = results["data"]
    own = {key: results["endpoints"][key]["rrrc"] for key in results["endpoints"]}
    values: list[object] = []
    for key in ("sensitivity", "specificity", "accuracy", "dprime", "criterion", "auc"):
        values += [own[key]["estimate"], own[key]["ci95"]]
    rows.append(
        ("This study", data["n_readers"], data["n_positive"] / data["n_cases"], *values)
    )  # fmt: skip
    return Table(
        "published", "Beside a published Visual Turing Test",
        "Positive class: synthetic. FreeTumor: sensitivity and accuracy as published, without an "
        "interval; specificity, d′, c and AUC are implied by them under the stated mix and equal "
        "variances, not published. The AUC of this study is that of the ratings.",
        columns, tuple(rows), "endpoints.*.rrrc",
    )  # fmt: skip

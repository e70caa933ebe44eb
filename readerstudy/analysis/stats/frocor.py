"""Reading FROC tables, and multi-reader tests of a FROC figure of merit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from readerstudy.analysis.stats import froc, multi
from readerstudy.analysis.stats.contrast import jackknife_covariance
from readerstudy.analysis.stats.froc import Froc
from readerstudy.analysis.stats.mrmc import infer_mean
from readerstudy.analysis.stats.readings import ordered


@dataclass(frozen=True)
class FrocOr:
    """Obuchowski-Rockette analysis of a figure of merit, jackknife covariance.

    ``values[i][j]`` is modality i, reader j. With one modality there is no test between
    modalities, only its mean. No figure of merit but HrAuc has a chance level, so that the tests
    of the means against ``null`` mean little.
    """

    fom: str
    n_units: int
    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]
    components: multi.OrComponents | None
    rrrc: multi.MultiResult
    frrc: multi.MultiResult
    rrfc: multi.MultiResult
    reason: str | None = None


def froc_or(
    data: Froc, fom: str = "wAFROC", *, null: float = 0.5, margins: tuple[float, ...] = ()
) -> FrocOr:
    """Compare modalities (or conditions) by ``fom``; readers and cases random.

    Args:
        null: value to test each modality's mean against.
        margins: equivalence margins for the differences, around zero.
    """
    theta = froc.fom(data, fom)
    left = froc.fom_without(data, fom)
    i, j = theta.shape
    reason = None
    if np.isnan(theta).any() or np.isnan(left).any():
        reason = "a class has fewer than two cases"
    elif j < 2:
        reason = "one reader: the variation between readers cannot be estimated"
    matrix = None if reason else jackknife_covariance(left.reshape(i * j, -1))
    why = reason or ("one modality: there is nothing to compare" if i < 2 else None)
    parts = None if why or matrix is None else multi.components(theta, matrix)
    if reason:
        singles = [infer_mean(row[~np.isnan(row)], None, null=null, reason=reason) for row in theta]
    else:
        singles = multi.condition_means(theta, matrix, null)
    results = multi.compare(data.modalities, theta, parts, singles, margins, why)
    values = tuple(tuple(None if v != v else float(v) for v in row) for row in theta)
    return FrocOr(fom, data.n_units, data.modalities, data.readers, values, parts, *results, why)


def froc_from_tables(marks: pd.DataFrame, cases: pd.DataFrame) -> Froc:
    """Read the tidy pair of tables.

    Args:
        marks: columns reader, case, mark (LL or NL), lesion (for LL), rating, and modality where
            there are several. A lesion marked twice keeps the higher rating.
        cases: one row per lesion (truth 1, lesion, weight), or one row (truth 0); a missing
            weight counts the lesions of a case equally. ``patient`` makes the patient the unit.

    Raises:
        ValueError: a mark on a case or lesion that ``cases`` does not have.
    """
    names = ordered(cases["case"])
    at = {name: k for k, name in enumerate(names)}
    ill = cases[cases["truth"].astype(int) == 1]
    lesion_case = np.array([at[c] for c in ill["case"]], dtype=np.int64)
    positive = np.zeros(len(names), dtype=bool)
    positive[lesion_case] = True
    per_case = np.bincount(lesion_case, minlength=len(names))
    weight = 1 / per_case[lesion_case]
    if "weight" in ill:
        weight = ill["weight"].astype(float).to_numpy()
    keys = {(c, str(v)): n for n, (c, v) in enumerate(zip(ill["case"], ill["lesion"], strict=True))}
    if "modality" not in marks:
        marks = marks.assign(modality="1")
    modalities, readers = ordered(marks["modality"]), ordered(marks["reader"])
    shape = (len(modalities), len(readers))
    lesion = np.full((*shape, len(ill)), -np.inf)
    highest = np.full((*shape, len(names)), -np.inf)
    count = np.zeros((*shape, len(names)))
    columns = zip(*(marks[c] for c in ("modality", "reader", "case", "mark", "lesion", "rating")),
                  strict=True)  # fmt: skip
    for modality, reader, case, mark, which, rating in columns:
        place = (modalities.index(modality), readers.index(reader))
        if case not in at or (mark == "LL" and (case, str(which)) not in keys):
            raise ValueError(f"a mark of reader {reader} is on case {case}, lesion {which!r}, "
                             "which the table of cases does not have")  # fmt: skip
        value = float(rating)
        if mark == "LL":
            spot = (*place, keys[case, str(which)])
            lesion[spot] = max(lesion[spot], value)
        else:
            highest[(*place, at[case])] = max(highest[(*place, at[case])], value)
            count[(*place, at[case])] += 1
    unit = np.arange(len(names), dtype=np.int64)
    if "patient" in cases:
        patient = dict(zip(cases["case"], cases["patient"], strict=True))
        unit = np.unique([patient[n] for n in names], return_inverse=True)[1].astype(np.int64)
    return Froc(tuple(modalities), tuple(readers), tuple(names), positive, unit, lesion_case,
                np.asarray(weight, dtype=np.float64), lesion, highest, count)  # fmt: skip

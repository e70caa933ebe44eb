"""Marks with a place: does the reader point at the lesion, and how sure is she?

A mark on a lesion (LL) or elsewhere (NL) carries a rating; a lesion without a mark rates minus
infinity, and so does the false-positive rating of a case without NL marks. Figures of merit:

    wAFROC   P(lesion rated above the highest NL of a negative case), lesions weighted so that
             every positive case counts once: the one to report
    AFROC    the same, every lesion counts once
    wAFROC1, AFROC1   NL marks on positive cases too; only where there are few negative cases
    HrAuc    AUC of the highest rating on each case, wherever it is
    HrSe, HrSp   share of positive cases with a mark, of negative cases without
    MaxLLF, MaxNLF, MaxNLFAllCases   end point of the FROC curve
    ExpTrnsfmSp   exp(-MaxNLF)

Reference: Chakraborty, Observer Performance Methods for Diagnostic Imaging (2017), chapters 13
and 14; Chakraborty and Berbaum, Med Phys 31:2313 (2004). There is no chance level of one half.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from readerstudy.analysis.stats.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Froc:
    """Marks of J readers on K cases in I modalities.

    Attributes:
        is_positive: (K,) the case has a lesion.
        unit: (K,) codes of what the jackknife leaves out (the case or its patient).
        lesion_case: (L,) case of each lesion; ``lesion_weight`` (L,) sums to 1 per case.
        lesion: (I, J, L) rating of the mark on each lesion, -inf = not marked.
        highest: (I, J, K) highest rating of the other marks of a case, -inf = none.
        count: (I, J, K) number of the other marks.
    """

    modalities: tuple[str, ...]
    readers: tuple[str, ...]
    cases: tuple[str, ...]
    is_positive: BoolArray
    unit: IntArray
    lesion_case: IntArray
    lesion_weight: FloatArray
    lesion: FloatArray
    highest: FloatArray
    count: FloatArray

    @property
    def n_units(self) -> int:
        return len(np.unique(self.unit))


@dataclass(frozen=True, eq=False)
class _Cell:
    """One reader in one modality: what a figure of merit looks at."""

    data: Froc
    lesion: FloatArray
    highest: FloatArray
    count: FloatArray


@dataclass(frozen=True, eq=False)
class _Sum:
    """A figure of merit as sum of ``parts`` over ``rows`` x ``columns``.

    ``parts`` (K, K): row = the case that gives the false positive, column = the case of the
    lesion; or (K,) for a plain rate, with ``columns`` None.
    """

    parts: FloatArray
    rows: FloatArray
    columns: FloatArray | None = None


#: Kinds a file may name: the area under the ROC curve of case ratings is the same.
ALIASES = {"Wilcoxon": "HrAuc"}


def fom(data: Froc, name: str = "wAFROC") -> FloatArray:
    """(I, J) figure of merit; NaN where a class has no case.

    Raises:
        ValueError: an unknown name.
    """
    pieces = _pieces(data, name)
    turn = _turn(name)
    out = np.array([[turn(_value(piece)) for piece in row] for row in pieces])
    return out.reshape(len(data.modalities), len(data.readers))


def wafroc(data: Froc) -> FloatArray:
    """(I, J) weighted AFROC figure of merit."""
    return fom(data, "wAFROC")


def fom_without(data: Froc, name: str = "wAFROC") -> FloatArray:
    """(I, J, U) the figure of merit with each unit left out."""
    _, unit = np.unique(data.unit, return_inverse=True)
    member = np.zeros((len(data.cases), data.n_units))
    member[np.arange(len(data.cases)), unit] = 1.0
    turn = _turn(name)
    rows = [[turn(_without(piece, member)) for piece in row] for row in _pieces(data, name)]
    return np.array(rows).reshape(len(data.modalities), len(data.readers), -1)


# -------------------------------------------------------------------------------------- details


def _turn(name: str) -> Callable[[FloatArray], FloatArray]:
    if name == "ExpTrnsfmSp":
        return lambda v: np.exp(-v)
    return lambda v: v


def _pieces(data: Froc, name: str) -> list[list[_Sum]]:
    kind = ALIASES.get(name, name)
    if kind not in FOMS:
        known = ", ".join([*FOMS, *ALIASES])
        raise ValueError(f"unknown figure of merit {name!r}; one of {known}")
    make = FOMS[kind]
    return [
        [make(_Cell(data, data.lesion[i, j], data.highest[i, j], data.count[i, j]))
         for j in range(len(data.readers))]
        for i in range(len(data.modalities))
    ]  # fmt: skip


def _value(piece: _Sum) -> FloatArray:
    size = float(piece.rows.sum())
    if piece.columns is not None:
        size *= float(piece.columns.sum())
    return np.asarray(float(piece.parts.sum()) / size if size else np.nan)


def _without(piece: _Sum, member: FloatArray) -> FloatArray:
    rows = piece.rows.sum() - piece.rows @ member
    total = float(piece.parts.sum())
    if piece.columns is None:
        left, size = total - piece.parts @ member, rows
    else:
        # Pairs within the unit were taken away as row and as column.
        inside = np.einsum("ku,ku->u", member, piece.parts @ member)
        gone = piece.parts.sum(axis=1) @ member + piece.parts.sum(axis=0) @ member - inside
        left, size = total - gone, rows * (piece.columns.sum() - piece.columns @ member)
    out = np.full(len(size), np.nan)
    np.divide(left, size, out=out, where=size > 0)
    return out


def _wins(ratings: FloatArray, rivals: FloatArray) -> FloatArray:
    """(K rivals, L ratings) 1 = rated above, 0.5 = as high, 0 = below."""
    a, b = ratings[None, :], rivals[:, None]
    win: FloatArray = (a > b) + 0.5 * (a == b)
    return win


def _afroc(cell: _Cell, *, weighted: bool, all_cases: bool) -> _Sum:
    data = cell.data
    k = len(data.cases)
    each = data.lesion_weight if weighted else np.ones(len(data.lesion_case))
    to_case = np.zeros((len(each), k))
    to_case[np.arange(len(each)), data.lesion_case] = each
    rows = np.ones(k) if all_cases else (~data.is_positive).astype(np.float64)
    parts = (_wins(cell.lesion, cell.highest) @ to_case) * rows[:, None]
    columns = data.is_positive.astype(np.float64) if weighted else to_case.sum(axis=0)
    return _Sum(parts, rows, columns)


def _case_rating(cell: _Cell) -> FloatArray:
    """(K,) highest rating on the case, on a lesion or not."""
    best = cell.highest.copy()
    np.maximum.at(best, cell.data.lesion_case, cell.lesion)
    return best


def _hr_auc(cell: _Cell) -> _Sum:
    best, sick = _case_rating(cell), cell.data.is_positive.astype(np.float64)
    return _Sum(_wins(best, best) * (1 - sick)[:, None] * sick[None, :], 1 - sick, sick)


def _hr_se(cell: _Cell) -> _Sum:
    sick = cell.data.is_positive.astype(np.float64)
    return _Sum(sick * (_case_rating(cell) > -np.inf), sick)


def _hr_sp(cell: _Cell) -> _Sum:
    well = (~cell.data.is_positive).astype(np.float64)
    return _Sum(well * (cell.highest == -np.inf), well)


def _max_llf(cell: _Cell) -> _Sum:
    k = len(cell.data.cases)
    marked = (cell.lesion > -np.inf).astype(np.float64)
    hit = np.bincount(cell.data.lesion_case, weights=marked, minlength=k).astype(np.float64)
    return _Sum(hit, np.bincount(cell.data.lesion_case, minlength=k).astype(np.float64))


def _max_nlf(cell: _Cell) -> _Sum:
    well = (~cell.data.is_positive).astype(np.float64)
    return _Sum(well * cell.count, well)


FOMS: dict[str, Callable[[_Cell], _Sum]] = {
    "wAFROC": lambda cell: _afroc(cell, weighted=True, all_cases=False),
    "AFROC": lambda cell: _afroc(cell, weighted=False, all_cases=False),
    "wAFROC1": lambda cell: _afroc(cell, weighted=True, all_cases=True),
    "AFROC1": lambda cell: _afroc(cell, weighted=False, all_cases=True),
    "HrAuc": _hr_auc,
    "HrSe": _hr_se,
    "HrSp": _hr_sp,
    "MaxLLF": _max_llf,
    "MaxNLF": _max_nlf,
    "MaxNLFAllCases": lambda cell: _Sum(cell.count, np.ones(len(cell.count))),
    "ExpTrnsfmSp": _max_nlf,
}

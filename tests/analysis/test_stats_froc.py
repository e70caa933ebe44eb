"""Figures of merit of marks with a place: by hand, and against deleting each case."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from readerstudy.analysis.stats import froc, roc
from readerstudy.analysis.stats.frocor import froc_from_tables, froc_or

#: N1, N2 healthy; P1 has two lesions, P2 one.
CASES = pd.DataFrame(
    [("N1", "0", "0", "0"), ("N2", "0", "0", "0"), ("P1", "1", "1", "0.5"), ("P1", "1", "2", "0.5"),
     ("P2", "1", "1", "1")],
    columns=["case", "truth", "lesion", "weight"],
)  # fmt: skip
MARKS = pd.DataFrame(
    [("R", "N1", "NL", "", "2"), ("R", "N1", "NL", "", "1"), ("R", "P1", "LL", "1", "2"),
     ("R", "P2", "LL", "1", "3"), ("R", "P2", "NL", "", "4")],
    columns=["reader", "case", "mark", "lesion", "rating"],
)  # fmt: skip


def tables(
    seed: int = 4, readers: int = 3, modalities: int = 2, cases: int = 16
) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng = np.random.default_rng(seed)
    lesions = [0 if k % 2 else int(rng.integers(1, 4)) for k in range(cases)]
    rows = [
        (f"C{k:02d}", str(int(n > 0)), str(i + 1 if n else 0), f"P{k // 2}")
        for k, n in enumerate(lesions) for i in range(max(n, 1))
    ]  # fmt: skip
    marks = []
    for i in range(modalities):
        for j in range(readers):
            for k, n in enumerate(lesions):
                at = (str(i), f"R{j}", f"C{k:02d}")
                wrong = rng.integers(1, 6, rng.poisson(0.7))
                marks += [(*at, "NL", "", rating) for rating in wrong]
                found = rng.integers(1 + i, 7, n)
                marks += [(*at, "LL", str(m + 1), found[m]) for m in range(n) if rng.random() < 0.7]
    names = ["modality", "reader", "case", "mark", "lesion", "rating"]
    return pd.DataFrame(marks, columns=names), pd.DataFrame(
        rows, columns=["case", "truth", "lesion", "patient"]
    )


@pytest.mark.parametrize(
    ("name", "want"),
    [
        # lesions 2, unmarked, 3 against N1 at 2 and N2 unmarked: (0.5 + 1), (0 + 0.5), (1 + 1)
        ("wAFROC", (0.5 * 1.5 + 0.5 * 0.5 + 2) / 4),
        ("AFROC", (1.5 + 0.5 + 2) / 6),
        # P1 has no other mark, P2 one at 4
        ("wAFROC1", (0.5 * 2.5 + 0.5 * 1.0 + 3) / 8),
        ("AFROC1", (2.5 + 1.0 + 3) / 12),
        # cases rate 2 and nothing against 2 and 4
        ("HrAuc", (0.5 + 1 + 1 + 1) / 4),
        ("Wilcoxon", 3.5 / 4),
        ("HrSe", 1.0),
        ("HrSp", 0.5),
        ("MaxLLF", 2 / 3),
        ("MaxNLF", 1.0),
        ("MaxNLFAllCases", 0.75),
        ("ExpTrnsfmSp", np.exp(-1)),
    ],
)
def test_figures_of_merit_by_hand(name: str, want: float) -> None:
    assert froc.fom(froc_from_tables(MARKS, CASES), name) == pytest.approx(np.array([[want]]))


def test_a_missing_weight_counts_the_lesions_of_a_case_equally() -> None:
    plain = froc_from_tables(MARKS, CASES.drop(columns="weight"))
    assert plain.lesion_weight.tolist() == [0.5, 0.5, 1.0]
    assert froc.wafroc(plain) == pytest.approx(froc.wafroc(froc_from_tables(MARKS, CASES)))


@pytest.mark.parametrize("name", list(froc.FOMS))
@pytest.mark.parametrize("by", ["case", "patient"])
def test_values_without_a_unit_equal_deleting_its_rows(name: str, by: str) -> None:
    marks, cases = tables()
    data = froc_from_tables(marks, cases if by == "patient" else cases.drop(columns="patient"))
    got = froc.fom_without(data, name)
    for u, unit in enumerate(sorted(cases[by].unique(), key=lambda v: (by == "case", v))):
        if by == "patient":
            u = data.unit[data.cases.index(cases[cases[by] == unit]["case"].iloc[0])]
        gone = set(cases[cases[by] == unit]["case"])
        rest = froc_from_tables(marks[~marks["case"].isin(gone)], cases[~cases["case"].isin(gone)])
        assert got[:, :, u] == pytest.approx(froc.fom(rest, name)), unit


def test_highest_rating_area_is_the_auc_of_the_cases() -> None:
    marks, cases = tables()
    marks = marks.assign(rating=marks["rating"].astype(float))
    data = froc_from_tables(marks, cases)
    best = marks.groupby(["modality", "reader", "case"])["rating"].max()
    for i, modality in enumerate(data.modalities):
        for j, reader in enumerate(data.readers):
            score = np.array([best.get((modality, reader, c), -1.0) for c in data.cases])
            want = roc.auc(score[data.is_positive], score[~data.is_positive])
            assert froc.fom(data, "HrAuc")[i, j] == pytest.approx(want)


def test_two_modalities_are_tested_and_one_only_gets_its_mean() -> None:
    marks, cases = tables(readers=4)
    both = froc_or(froc_from_tables(marks, cases), margins=(0.1,))
    pair = both.rrrc.differences[0].result
    assert pair.estimate == pytest.approx(np.mean(both.values[0]) - np.mean(both.values[1]))
    assert both.rrrc.test.p == pytest.approx(stats.f.sf(
        both.rrrc.test.statistic, 1, both.rrrc.test.df2))  # fmt: skip
    assert pair.p == pytest.approx(both.rrrc.test.p)
    alone = froc_or(froc_from_tables(marks[marks["modality"] == "0"], cases))
    assert alone.reason == "one modality: there is nothing to compare"
    assert alone.rrrc.means[0].result.estimate == pytest.approx(np.mean(both.values[0]))
    assert alone.rrrc.means[0].result.ci95 == pytest.approx(both.rrrc.means[0].result.ci95)


def test_one_reader_or_one_case_of_a_class_has_a_reason() -> None:
    marks, cases = tables(readers=1)
    assert "one reader" in froc_or(froc_from_tables(marks, cases)).reason
    few = cases[cases["case"].isin({"C00", "C01", "C03"})]
    marks, _ = tables()
    got = froc_or(froc_from_tables(marks[marks["case"].isin(set(few["case"]))], few))
    assert "a class has fewer than two cases" in got.reason
    assert got.rrrc.test.p is None


def test_marks_on_unknown_lesions_and_unknown_figures_are_refused() -> None:
    lost = MARKS.assign(lesion="7")
    with pytest.raises(ValueError, match="reader R is on case P1, lesion '7'"):
        froc_from_tables(lost, CASES)
    with pytest.raises(ValueError, match="unknown figure of merit 'JAFROC'"):
        froc.fom(froc_from_tables(MARKS, CASES), "JAFROC")

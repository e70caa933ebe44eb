"""What must hold for any readings: found by hypothesis, shrunk to the smallest that break it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from readerstudy.analysis.stats.binormal import binormal_ml
from readerstudy.analysis.stats.bootstrap import bootstrap_2way
from readerstudy.analysis.stats.conditions import Conditions
from readerstudy.analysis.stats.dbm import dbm
from readerstudy.analysis.stats.imrmc import imrmc, imrmc_multi
from readerstudy.analysis.stats.metrics import METRICS, values
from readerstudy.analysis.stats.mrmc import or_single, reader_average
from readerstudy.analysis.stats.multi import or_multi
from readerstudy.analysis.stats.permutation import label_permutation
from readerstudy.analysis.stats.readings import Readings
from readerstudy.analysis.stats.roc import partial_auc
from readerstudy.analysis.stats.serialize import to_json
from tests.analysis.tables import make

NAN = float("nan")


@st.composite
def trials(draw: st.DrawFn, missing: bool = True, least: int = 1) -> Readings:
    """Few readers and cases, answers on the scale of six, gaps, patients with several cases."""
    readers, cases = draw(st.integers(least, 4)), draw(st.integers(2 * least, 8))
    answer = st.sampled_from([-3.0, -2.0, -1.0, 1.0, 2.0, 3.0] + ([NAN] if missing else []))
    row = st.lists(answer, min_size=cases, max_size=cases)
    score = draw(st.lists(row, min_size=readers, max_size=readers))
    truth = draw(st.lists(st.integers(0, 1), min_size=cases, max_size=cases))
    units = draw(st.none() | st.lists(st.integers(0, 3), min_size=cases, max_size=cases))
    if units is not None:
        units = np.unique(units, return_inverse=True)[1].tolist()
    return make(score, truth, units)


few = settings(max_examples=25, deadline=None)


@few
@given(trials(), st.integers(0, 2**32 - 1))
def test_X1_nothing_raises_and_nothing_is_nan(readings: Readings, seed: int) -> None:
    """Every value is a number or absent with a reason: to_json refuses NaN and infinity."""
    rng = np.random.default_rng(seed)
    pair = Conditions.of({"a": readings, "b": replace(readings, score=-readings.score)})
    found: list[object] = [imrmc(readings), imrmc(readings, "balanced_accuracy")]
    found += [imrmc_multi(pair), dbm(pair), bootstrap_2way(readings, replicates=100, rng=rng)]
    found.append(label_permutation(readings, replicates=100, rng=rng))
    pos = readings.is_positive
    for row in readings.score:
        seen = ~np.isnan(row)
        found.append(binormal_ml(row[pos & seen], row[~pos & seen]))
        found.append(partial_auc(row[pos & seen], row[~pos & seen]))
    for metric in METRICS:
        found += [or_single(readings, metric, margins=(0.1,)), reader_average(readings, metric)]
    for cov in ("jackknife", "delong", "unbiased"):
        found += [or_single(readings, "auc", cov), or_multi(pair, "auc", cov)]
    for result in found:
        to_json(result)
    for cov in ("jackknife", "delong", "unbiased"):
        for part in (or_single(readings, "auc", cov).rrrc, or_single(readings, "auc", cov).frrc):
            assert (part.ci95 is None) == (part.reason is not None)


@few
@given(trials())
def test_a_monotone_transformation_of_ratings_changes_nothing(readings: Readings) -> None:
    # Not of the verdict: the sign stays.
    stretched = replace(readings, score=readings.score**3 + 0.5 * readings.score)
    one, two = or_single(readings), or_single(stretched)
    assert to_json(one) == to_json(two)
    assert to_json(imrmc(readings)) == to_json(imrmc(stretched))


@few
@given(trials())
def test_swapping_scores_mirrors_the_area_and_swapping_classes_keeps_it(readings: Readings) -> None:
    auc = values(readings, "auc")
    assert values(replace(readings, score=-readings.score), "auc") == pytest.approx(
        1 - auc, abs=1e-12, nan_ok=True
    )
    assert values(readings.swapped(), "auc") == pytest.approx(auc, abs=1e-12, nan_ok=True)
    flipped = replace(readings, is_positive=~readings.is_positive)
    assert values(flipped, "auc") == pytest.approx(1 - auc, abs=1e-12, nan_ok=True)
    one, two = or_single(readings).rrrc, or_single(flipped).rrrc
    if one.ci95 is not None:
        assert two.ci95 == pytest.approx((1 - one.ci95[1], 1 - one.ci95[0]), abs=1e-9)
        assert two.p == pytest.approx(one.p, abs=1e-9)


@few
@given(trials(least=2), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(readings: Readings, random) -> None:
    rows, columns = list(range(readings.n_readers)), list(range(readings.n_cases))
    random.shuffle(rows)
    random.shuffle(columns)
    mixed = Readings(
        tuple(readings.readers[i] for i in rows), tuple(readings.cases[k] for k in columns),
        readings.positive, readings.negative, readings.is_positive[columns],
        np.unique(readings.unit[columns], return_inverse=True)[1],
        readings.score[np.ix_(rows, columns)], readings.call[np.ix_(rows, columns)],
        readings.unit_name,
    )  # fmt: skip
    for cov in ("jackknife", "unbiased"):
        one, two = or_single(readings, "auc", cov).rrrc, or_single(mixed, "auc", cov).rrrc
        assert one.estimate == pytest.approx(two.estimate, abs=1e-12)
        assert one.reason == two.reason
        if one.se is not None:
            assert one.se == pytest.approx(two.se, abs=1e-9)


@few
@given(trials(missing=False))
def test_readers_who_all_answer_alike_add_nothing_but_certainty_about_readers(
    readings: Readings,
) -> None:
    """The covariance of duplicates is the variance: three of one reader say what one says."""
    first = readings.of_readers(np.arange(readings.n_readers) == 0)
    three = replace(
        first,
        readers=("R01", "R02", "R03"),
        score=np.repeat(first.score, 3, axis=0),
        call=np.repeat(first.call, 3, axis=0),
    )
    one, many = or_single(first), or_single(three)
    assert many.ms_r is None or many.ms_r == pytest.approx(0.0, abs=1e-15)
    if one.var_error is not None and many.cov2 is not None:
        assert many.cov2 == pytest.approx(one.var_error, abs=1e-12)
        assert (many.frrc.se or 0.0) == pytest.approx(one.frrc.se or 0.0, abs=1e-12)
        if many.rrrc.ci95 is not None:  # no spread between readers: the cases alone, normal
            assert many.rrrc.df is None
            assert many.rrrc.se == pytest.approx(one.frrc.se, abs=1e-12)


@few
@given(trials(missing=False))
def test_the_binary_verdict_is_the_area_of_two_levels(readings: Readings) -> None:
    two_levels = replace(readings, score=2 * readings.call - 1)
    for cov in ("jackknife", "unbiased", "delong"):
        area, verdict = (
            or_single(r, m, cov) for r, m in ((two_levels, "auc"), (readings, "balanced_accuracy"))
        )
        assert area.rrrc.estimate == pytest.approx(verdict.rrrc.estimate, abs=1e-12)
        assert area.rrrc.reason == verdict.rrrc.reason
        if area.rrrc.se is not None:
            assert area.rrrc.se == pytest.approx(verdict.rrrc.se, abs=1e-9)


@few
@given(trials(missing=False, least=2))
def test_repeating_a_condition_shows_no_difference(readings: Readings) -> None:
    done = or_multi(Conditions.of({"a": readings, "b": readings}))
    for result in (done.rrrc, done.frrc, done.rrfc):
        assert result.test.p is None
        assert result.test.reason
    if done.components is not None:
        assert done.components.cov1 == pytest.approx(done.components.var_error, abs=1e-12)
        assert done.components.cov3 == pytest.approx(done.components.cov2, abs=1e-12)

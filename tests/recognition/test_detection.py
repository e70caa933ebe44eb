"""Lesions, hits and the free-response curve."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import compute_froc_curve_data

from recognition.engine.detection import Detection, Target, match
from recognition.engine.froc import froc
from recognition.engine.lesions import find_lesions
from tests.recognition.masks import ball

SHAPE = (20, 60, 60)
MM = (1.0, 1.0, 1.0)


def found(prediction, reference, rule, probability=None):
    predicted, predictions = find_lesions(prediction, MM, probability=probability)
    true, truths = find_lesions(reference, MM)
    return match(predicted, predictions, true, truths, rule)


def test_lesions_come_largest_first_with_size_center_and_probability():
    spacing = (0.8, 0.8, 2.5)
    small, large = ball(SHAPE, (5, 15, 15), 5, spacing), ball(SHAPE, (12, 40, 40), 9, spacing)
    probability = np.where(small, 0.9, 0.6).astype(np.float32)
    labels, lesions = find_lesions(small | large, spacing, probability=probability)
    assert [lesion.number for lesion in lesions] == [1, 2]
    assert [lesion.diameter_mm for lesion in lesions] == pytest.approx([18, 10], rel=0.05)
    assert lesions[1].centroid == pytest.approx((5, 15, 15), abs=0.01)
    assert [lesion.probability for lesion in lesions] == pytest.approx([0.6, 0.9])
    assert labels.max() == 2
    assert (labels == 1).sum() == lesions[0].voxels == large.sum()
    (z0, z1), (y0, y1), (x0, x1) = lesions[0].box
    assert large[z0:z1, y0:y1, x0:x1].sum() == large.sum()


def test_a_crescents_center_lies_in_it():
    crescent = ball(SHAPE, (10, 30, 30), 9, MM) & ~ball(SHAPE, (10, 30, 34), 9, MM)
    _, (lesion, *_) = find_lesions(crescent, MM)
    assert not crescent[tuple(round(c) for c in lesion.centroid)]
    assert crescent[lesion.center]


def test_corners_touch_and_specks_can_be_dropped():
    mask = np.zeros(SHAPE, bool)
    mask[3, 3, 3] = mask[4, 4, 4] = True
    assert len(find_lesions(mask, MM)[1]) == 1
    labels, lesions = find_lesions(mask, MM, smallest_mm=3)
    assert lesions == ()
    assert not labels.any()


def test_the_two_hit_rules_differ_where_they_should():
    reference = ball(SHAPE, (10, 30, 30), 8, MM)
    beside = ball(SHAPE, (10, 30, 39), 8, MM)  # overlaps by more than a tenth, center outside
    speck = ball(SHAPE, (10, 30, 30), 2, MM)  # center inside, hardly any of the union
    assert found(beside, reference, "iou").hits == 1
    assert found(beside, reference, "center").hits == 0
    assert found(speck, reference, "iou").hits == 0
    assert found(speck, reference, "center").hits == 1
    assert len(found(speck, reference, "iou").false_positives) == 1


@pytest.mark.parametrize(("width", "hit"), [(10, True), (9, False)])
def test_an_overlap_of_exactly_a_tenth_is_a_hit(width, hit):
    reference, prediction = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    reference[2, :10, :10] = True  # 100 voxels
    prediction[2, 0, :width] = True  # inside it: the union stays 100
    assert found(prediction, reference, "iou").hits == hit


def test_a_lesion_hit_twice_is_found_once_and_nothing_is_false():
    reference = ball(SHAPE, (10, 30, 30), 9, MM)
    prediction = reference.copy()
    prediction[:, :, 30] = False
    got = found(prediction, reference, "iou")
    assert (got.hits, got.false_positives) == (1, ())


def test_the_surest_of_several_hits_gives_the_rating_of_the_lesion():
    reference = ball(SHAPE, (10, 30, 30), 9, MM)
    prediction = reference.copy()
    prediction[:, :, 30] = False
    sure = np.full(SHAPE, 0.3, np.float32)
    sure[:, :, 31:] = 0.8
    got = found(prediction, reference, "iou", sure)
    assert got.targets[0].found == pytest.approx(0.8)
    assert got.rating == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("diameter", "band", "early"),
    [
        (9.99, "<10 mm", True),
        (10, "10-20 mm", True),
        (20, "20-50 mm", False),
        (50, ">50 mm", False),
    ],
)
def test_bands_are_closed_below(diameter, band, early):
    assert (Target(diameter, None).band, Target(diameter, None).early) == (band, early)


probabilities = st.lists(st.integers(1, 9).map(lambda n: n / 10), max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(probabilities, probabilities, st.integers(0, 3)), min_size=1, max_size=5))
def test_the_curve_equals_monais(scans):
    made = [
        Detection(
            "iou",
            tuple([Target(10, p) for p in hit] + [Target(10, None)] * missed),
            tuple(false),
            max([*hit, *false], default=0),
        )
        for hit, false, missed in scans
    ]
    lesions = sum(len(d.targets) for d in made)
    curve = froc(made)
    if not lesions:
        assert curve.score is None
        return
    hits = np.array([t.found for d in made for t in d.targets if t.found is not None])
    false = np.array([p for d in made for p in d.false_positives])
    per_scan, sensitivity = compute_froc_curve_data(false, hits, lesions, len(made))
    # MONAI follows CAMELYON16: it leaves the laxest threshold out and adds the point (0, 0).
    ours = zip(curve.false_positives_per_scan[:-1], curve.sensitivity[:-1], strict=True)
    assert [(float(x), float(y)) for x, y in zip(per_scan, sensitivity, strict=True)][-2::-1] == [
        pytest.approx(point) for point in ours
    ]


def test_the_score_reads_the_curve_where_luna16_does():
    """Two lesions, one found surely; two false positives over four scans, one between them."""
    scans = [
        Detection("iou", (Target(10, 0.9),), (), 0.9),
        Detection("iou", (Target(10, 0.5),), (0.7,), 0.7),
        Detection("iou", (), (0.4,), 0.4),
        Detection("iou", (), (), 0.0),
    ]
    curve = froc(scans)
    assert curve.thresholds == (0.9, 0.7, 0.5, 0.4)
    assert curve.sensitivity == (0.5, 0.5, 1.0, 1.0)
    assert curve.false_positives_per_scan == (0.0, 0.25, 0.25, 0.5)
    assert curve.sensitivity_at == (0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    assert curve.score == pytest.approx(6.5 / 7)

"""The parts of a utility study: copies, variety, gains, and who learns from what."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from readerstudy.cases.errors import CasesError
from readerstudy.cases.recognition.utility.foreign import as_list
from recognition.engine.detection import Detection, Target
from recognition.engine.errors import RecognitionError
from recognition.engine.evaluation import Scan
from recognition.engine.froc import READ_AT, froc
from recognition.engine.training.lists import read_list, split
from recognition.engine.utility.config import StudyConfig
from recognition.engine.utility.diversity import diversity, vendi
from recognition.engine.utility.gain import (
    Draws,
    Study,
    contrast,
    estimate,
    marks_of,
    ratio,
    sensitivity,
    with_holm,
)
from recognition.engine.utility.lesions import samples_in
from recognition.engine.utility.memorization import memorization
from recognition.engine.utility.plan import (
    Arm,
    Part,
    arms_of,
    check_apart,
    contrasts_of,
    held_out_entries,
    parts_of,
    training_of,
)

MM = (3.0, 3.0, 3.0)
SIDE = 40


# --------------------------------------------------------------------------------------- copies
def lumps(rng) -> np.ndarray:
    """A lesion's contrast (HU) on a cube, 0 outside: balls melted together, with a texture."""
    z, y, x = np.ogrid[:SIDE, :SIDE, :SIDE]
    field = np.zeros((SIDE,) * 3)
    for _ in range(5):
        c = SIDE / 2 + rng.normal(0, 3, 3)
        field += np.exp(-((z - c[0]) ** 2 + (y - c[1]) ** 2 + (x - c[2]) ** 2) / 14)
    mask = ndimage.label(field > 0.7)[0] == 1
    grain = ndimage.gaussian_filter(rng.normal(0, 60, mask.shape), 1.2)
    return np.where(mask, -45 + grain, 0)


def sample(contrast, rng, patient="P"):
    """The lesion as it is found in a CT of its own: other liver, other noise."""
    hu = 100 + contrast + rng.normal(0, 6, contrast.shape)
    organ = np.ones(hu.shape, bool)
    found = samples_in(hu, contrast != 0, organ, MM, name=f"ct of {patient}", patient=patient)
    return max(found, key=lambda one: one.diameter_mm)


def test_a_planted_copy_is_flagged_and_fresh_lesions_are_not():
    rng = np.random.default_rng(5)
    shapes = [lumps(rng) for _ in range(14)]
    real = [sample(shape, rng, f"P{k}") for k, shape in enumerate(shapes)]
    fresh = [sample(lumps(rng), rng) for _ in range(20)]
    # turned, mirrored, moved, paler, in other noise: still the lesion of patient 3
    planted = 0.8 * np.roll(np.flip(np.rot90(shapes[3], 1, (1, 2)), 0), (2, -3, 4), (0, 1, 2))
    copy = sample(planted, rng)
    found = memorization([*fresh, copy], real)
    (pair,) = found.copies
    assert pair.lesion is copy
    assert pair.training is real[3]
    assert found.pairs[0].copy
    assert 0.1 < found.nearer < 0.9
    assert memorization(fresh, real).copies == ()


def test_lesions_of_one_patient_are_no_yardstick_for_each_other():
    rng = np.random.default_rng(6)
    shapes = [lumps(rng) for _ in range(8)]
    twice = [sample(shape, rng, f"P{k}") for k, shape in enumerate(shapes) for _ in range(2)]
    once = twice[::2]
    assert np.median(memorization([], twice).real) == pytest.approx(
        np.median(memorization([], once).real), rel=0.2
    )


def test_without_a_yardstick_nothing_is_called_a_copy():
    rng = np.random.default_rng(7)
    real = [sample(lumps(rng), rng, f"P{k}") for k in range(3)]
    found = memorization([real[0]], real)
    assert found.limit is None
    assert found.copies == ()
    assert "at least 4 are needed" in found.reason
    assert "no training lesion" in memorization([real[0]], []).reason


def test_copies_of_one_lesion_have_no_variety_and_cover_little():
    rng = np.random.default_rng(8)
    real = [sample(lumps(rng) * rng.uniform(0.5, 2), rng, f"P{k}") for k in range(16)]
    varied = [sample(lumps(rng) * rng.uniform(0.5, 2), rng) for _ in range(16)]
    same = [sample(lumps(np.random.default_rng(1)), rng) for _ in range(16)]
    one, other = (diversity(group, real, rng) for group in (varied, same))
    assert one.effective == pytest.approx(one.effective_real, rel=0.35)
    assert other.effective < 0.6 * one.effective
    assert other.coverage < 0.5 * one.coverage
    assert diversity(real[:2], real, rng).effective is None


def test_the_effective_number_of_alike_and_of_unlike():
    assert vendi(np.zeros((7, 3))) == pytest.approx(1)
    assert vendi(100 * np.eye(7)) == pytest.approx(7)


# ---------------------------------------------------------------------------------------- gains
def scan_of(patient, found, false) -> Scan:
    """A scan whose lesions were found with these probabilities (None: missed)."""
    targets = tuple(Target(diameter_mm=8.0 + 8 * k, found=p) for k, p in enumerate(found))
    rating = max([*(p or 0.0 for p in found), *false], default=0.0)
    detections = {r: Detection(r, targets, tuple(false), rating) for r in ("iou", "center")}
    return Scan(f"{patient}.nii.gz", patient, 0.5, None, detections, len(found), 0, 1.0, 1.0)


def random_scans(rng, n=12) -> list[Scan]:
    def p(k):
        return np.round(rng.uniform(0.3, 1, k), 1).tolist()  # ties happen

    return [
        scan_of(
            f"P{k}",
            [q if rng.random() < 0.7 else None for q in p(rng.integers(0, 4))],
            p(rng.integers(0, 5)),
        )
        for k in range(n)
    ]


def test_the_weighted_curve_is_the_free_response_curve():
    rng = np.random.default_rng(2)
    for _ in range(25):
        scans = random_scans(rng)
        patients = [scan.patient for scan in scans]
        marks = marks_of(scans, "iou", patients)
        curve = froc([scan.detections["iou"] for scan in scans])
        ones = np.ones((1, len(scans)))
        for rate, wanted in zip(READ_AT, curve.sensitivity_at, strict=True):
            assert sensitivity(marks, ones, rate)[0] == pytest.approx(wanted)
        assert sensitivity(marks, ones, None)[0] == pytest.approx(curve.score)
        # to draw a patient twice is to have two like that one
        weights = rng.integers(0, 3, len(scans))
        drawn = [scan for scan, w in zip(scans, weights, strict=True) for _ in range(w)]
        again = froc([scan.detections["iou"] for scan in drawn])
        if again.sensitivity_at:
            got = sensitivity(marks, weights[None].astype(float), 1.0)[0]
            assert got == pytest.approx(again.sensitivity_at[READ_AT.index(1.0)])


@pytest.fixture
def planted():
    """Two lesions in each of 20 patients: one arm finds both, one the first, one nothing."""
    patients = [f"P{k:02d}" for k in range(20)]
    finds = {"all": (0.9, 0.9), "half": (0.9, None), "none": (None, None)}
    return Study.of(
        {
            arm: {seed: [scan_of(p, found, [0.95]) for p in patients[:1]]
                  + [scan_of(p, found, []) for p in patients[1:]] for seed in (0, 1)}
            for arm, found in finds.items()
        },
        "iou",
    )  # fmt: skip


def test_ratio_and_gain_of_planted_numbers(planted):
    rng = np.random.default_rng(3)
    draws = Draws.of(planted, 500, rng)
    whole, half, none = (draws.values(planted, arm, 1.0) for arm in ("all", "half", "none"))
    assert (whole[0], half[0], none[0]) == (1.0, 0.5, 0.0)
    assert ratio(half, whole).value == 0.5
    assert ratio(half, whole).low == ratio(half, whole).high == 0.5
    assert ratio(whole, none).value is None
    assert "found none" in ratio(whole, none).reason
    rows = with_holm(
        [
            contrast(planted, draws, "all", "half", "q", 1.0, rng),
            contrast(planted, draws, "half", "none", "q", 1.0, rng),
            contrast(planted, draws, "half", "half", "q", 1.0, rng),
        ]
    )
    assert [row.gain.value for row in rows] == [0.5, 0.5, 0.0]
    assert rows[0].gain.low > 0
    assert [row.p < 0.01 for row in rows] == [True, True, False]
    assert rows[0].p_holm == pytest.approx(3 * rows[0].p)
    assert rows[2].p == 1.0
    # a surer false positive than every find, and none allowed: nothing is found
    assert draws.values(planted, "all", 0.0)[0] == 0.0
    assert estimate(draws.values(planted, "all", 1.0, (50.0, 99.0))).value is None


def test_seeds_that_disagree_widen_the_interval():
    patients = [f"P{k:02d}" for k in range(30)]
    agree = {s: [scan_of(p, (0.9, None), []) for p in patients] for s in (0, 1, 2)}
    disagree = {
        0: [scan_of(p, (0.9, 0.9), []) for p in patients],
        1: [scan_of(p, (0.9, None), []) for p in patients],
        2: [scan_of(p, (None, None), []) for p in patients],
    }
    study = Study.of({"agree": agree, "disagree": disagree}, "iou")
    draws = Draws.of(study, 400, np.random.default_rng(4))
    one, other = (estimate(draws.values(study, arm, 1.0)) for arm in ("agree", "disagree"))
    assert one.value == other.value == 0.5
    assert one.high - one.low < 1e-9
    assert other.high - other.low > 0.5


def test_arms_that_saw_other_scans_are_not_compared():
    one, two = [scan_of("A", (0.9,), [])], [scan_of("B", (0.9,), [])]
    with pytest.raises(ValueError, match="not tested on the scans of the others"):
        Study.of({"x": {0: one}, "y": {0: two}}, "iou")


# ----------------------------------------------------------------------------------- who learns
@pytest.fixture
def study_of(lists, tmp_path):
    def make(**changes) -> StudyConfig:
        training = {
            "data": {
                "labelled": str(lists / "labelled.json"),
                "unlabelled": str(lists / "unlabelled.json"),
                "spacing_mm": [4, 4, 4],
                "crop": [16, 16, 32],
                "folds": 2,
            }
        }
        return StudyConfig.model_validate(
            {"out": str(tmp_path / "study"), "training": training, "seeds": [0]} | changes
        )

    return make


def test_every_arm_learns_from_its_own_lists(study_of):
    config = study_of(arms=["real", "healthy", "synthetic", "both"], scales=[0.5, 1])
    arms = arms_of(config)
    assert [arm.name for arm in arms] == [
        "real only",
        "real + healthy hosts",
        "textural only",
        "real + textural, 50% of hosts",
        "real + textural",
        "real + textural, no gate",
    ]
    assert len({arm.slug for arm in arms}) == len(arms)
    trainings = {arm.name: training_of(config, Part(arm, 3, 0)) for arm in arms}
    assert not trainings["real only"].data.unlabelled
    assert trainings["real + healthy hosts"].synthesizer == "none"
    assert trainings["real + healthy hosts"].data.unlabelled
    assert not trainings["textural only"].data.labelled
    assert trainings["real + textural"].synthesizer == "textural"
    assert {t.optimizer.steps for t in trainings.values()} == {config.training.optimizer.steps}
    assert {t.seed for t in trainings.values()} == {3}
    half = trainings["real + textural, 50% of hosts"].data
    kept = [read_list(n, half.classes, tumors=False) for n in half.unlabelled]
    assert [len(entries) for entries in kept] == [1]
    assert all(entry.image.is_file() for entry in kept[0])
    questions = [(a.name, b.name, q) for a, b, q in contrasts_of(config)]
    assert ("real + textural", "real + healthy hosts", "lesions, not scans") in questions
    assert ("real + textural", "real + textural, no gate", "gate") in questions


def test_every_patient_is_tested_once_for_each_seed_and_never_learned_from(study_of):
    config = study_of()
    for arm in arms_of(config):
        parts = [part for part in parts_of(config) if part.arm == arm]
        tested = [entry.patient for part in parts for entry in held_out_entries(config, part)]
        assert len(tested) == len(set(tested)) == 5
        if arm.kind != "synthetic":
            for part in parts:
                training = training_of(config, part)
                data = training.data
                read = [e for n in data.labelled for e in read_list(n, data.classes, tumors=True)]
                cut = split(read, data.folds, data.fold, training.seed)
                held = {e.patient for e in held_out_entries(config, part)}
                assert held
                assert not held & {e.patient for e in cut.train}


def test_scans_learned_from_and_tested_on_are_refused(study_of, lists):
    check_apart(study_of())
    with pytest.raises(RecognitionError, match=r"stands in .*labelled.json, which is learned from"):
        check_apart(study_of(test=str(lists / "labelled.json")))
    config = study_of()
    training = config.training.model_dump(mode="json")
    training["data"]["made"] = training["data"]["labelled"]
    with pytest.raises(RecognitionError, match="take it out of one"):
        check_apart(study_of(training=training))


def test_an_arm_without_hosts_says_so(study_of):
    config = study_of()
    training = config.training.model_dump(mode="json")
    training["data"]["unlabelled"] = []
    with pytest.raises(RecognitionError, match="has no hosts"):
        training_of(study_of(training=training), Part(Arm("both", config.sources[0]), 0, 0))


# ------------------------------------------------------------------------------- made elsewhere
def touch(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")


@pytest.mark.parametrize(
    "names",
    [
        ("imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"),
        ("imagesTr/a.nii.gz", "labelsTr/a.nii.gz"),
        ("a_ct.nii.gz", "a_label.nii.gz"),
        ("a.nii", "a_mask.nii.gz"),
    ],
)
def test_a_folder_of_volumes_made_elsewhere_is_a_list(names, tmp_path):
    for name in names:
        touch(tmp_path / "made" / name)
    path = as_list(str(tmp_path / "made"), "liver", tmp_path / "lists")
    (entry,) = read_list(path, ("background", "liver", "liver tumor"), tumors=True)
    assert (entry.image, entry.label) == tuple(tmp_path / "made" / name for name in names)
    assert entry.values == ((0, 0), (1, 1), (2, 2))


def test_a_folder_with_its_own_list_keeps_it(tmp_path):
    (tmp_path / "dataset.json").write_text(json.dumps({}))
    assert as_list(str(tmp_path), "liver", tmp_path) == str(tmp_path / "dataset.json")


def test_a_volume_without_a_mask_and_an_empty_folder_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CasesError, match="holds no CT with a mask"):
        as_list(str(tmp_path / "empty"), "liver", tmp_path)
    touch(tmp_path / "made" / "b_ct.nii.gz")
    with pytest.raises(CasesError, match=r"put b_label.nii.gz beside it"):
        as_list(str(tmp_path / "made"), "liver", tmp_path)

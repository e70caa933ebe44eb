"""The gates with a segmentor: recall, ring, boundary, empty mask; and a network as segmentor."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from synthesis.engine.arrays import Box
from synthesis.engine.errors import SynthesisError
from synthesis.engine.generators import get_generator
from synthesis.engine.organs import prior_for
from synthesis.engine.pipeline import prepare, synthesize
from synthesis.engine.quality import DefaultGate, PaperGate, judge, make_gate, recall, verdict
from synthesis.engine.records import Accepted, HostCrop, LesionSpec, NoPlacement, Rejected
from synthesis.engine.segmenters import NetworkSegmenter

from .hosts import ball_host
from .weights import SMALL_CONDITIONAL, SMALL_SEGMENTOR, loaded

LIVER, PANCREAS = 2, 4


class Oracle:
    """Calls a wanted share of the darkened voxels a tumor, and some of the rest."""

    name = "oracle"
    tumor_labels = {LIVER: "liver", PANCREAS: "pancreas"}

    def __init__(self, before, share=1.0, label=LIVER, around=0.0):
        self.before, self.share, self.label, self.around = before, share, label, around

    def segment(self, hu, spacing_zyx):
        found = np.zeros(hu.size, np.uint8)
        inside = np.flatnonzero(self.inside(hu))
        found[inside[: round(self.share * inside.size)]] = self.label
        rest = np.flatnonzero(~self.inside(hu))
        every = max(1, round(1 / self.around)) if self.around else rest.size + 1
        found[rest[every - 1 :: every]] = self.label
        return found.reshape(hu.shape)

    def inside(self, hu):
        return np.isin(np.arange(hu.size), self.before)


def _made():
    """A host crop and a textural lesion in it that passes every measure."""
    prepared = prepare(ball_host())
    lesion = synthesize(prepared, LesionSpec((14.0, 16.0)), get_generator("textural"), 1)
    lesion = lesion.verdict.lesion
    scan = prepared.scan
    host = HostCrop(
        hu=scan.hu.astype(np.float32),
        organ=scan.organ_mask,
        tumor=np.zeros(scan.hu.shape, bool),
        box=Box((0, 0, 0), scan.hu.shape),
        spacing_zyx=(1.0, 1.0, 1.0),
        organ_name="liver",
    )
    return host, lesion


@pytest.fixture(scope="module")
def made():
    host, lesion = _made()
    mask = np.zeros(host.hu.shape, bool)
    mask[lesion.box.slices] = lesion.mask
    return host, lesion, mask


class Whole(Oracle):
    """An oracle that knows the mask on the crop the gate shows it."""

    def __init__(self, host, lesion, **options):
        super().__init__(None, **options)
        from synthesis.engine.quality import _block

        block = _block(host, lesion)
        mask = np.zeros(block.hu.shape, bool)
        mask[lesion.box.within(block.box)] = lesion.mask
        self.before = np.flatnonzero(mask)


PRIOR = prior_for("liver")


def test_the_paper_gate_counts_any_tumor_class(made):
    host, lesion, _ = made
    for label in (LIVER, PANCREAS):
        answer = verdict(PaperGate(Whole(host, lesion, label=label)), host, lesion, PRIOR)
        assert isinstance(answer, Accepted)
        assert answer.scores["recall_any"] == 1.0
    organ = verdict(PaperGate(Whole(host, lesion, label=1)), host, lesion, PRIOR)
    assert isinstance(organ, Rejected)
    assert organ.scores["recall_any"] == 0.0


def test_the_default_gate_asks_for_the_lesions_own_organ(made):
    host, lesion, _ = made
    good = verdict(DefaultGate(Whole(host, lesion)), host, lesion, PRIOR)
    assert isinstance(good, Accepted)
    other = verdict(DefaultGate(Whole(host, lesion, label=PANCREAS)), host, lesion, PRIOR)
    assert isinstance(other, Rejected)
    assert other.code == "unrecognized"
    assert other.reason == (
        "The segmentor calls 0.0% of the lesion a tumor of the liver; at least 70% is needed."
    )
    assert other.scores["recall_any"] == 1.0
    # Every score of the measuring gate is there too.
    assert set(judge(host, lesion, PRIOR)[1]) < set(other.scores)


def _cut_to(lesion, voxels):
    """The same lesion with a mask of exactly that many voxels."""
    mask = np.zeros(lesion.mask.size, bool)
    mask[np.flatnonzero(lesion.mask)[:voxels]] = True
    return dataclasses.replace(lesion, mask=mask.reshape(lesion.mask.shape))


def test_seven_tenths_exactly_is_rejected_by_the_paper_and_enough_for_the_default(made):
    host, lesion, _ = made
    lesion = _cut_to(lesion, 1000)
    paper, default = (gate(Whole(host, lesion, share=0.7)) for gate in (PaperGate, DefaultGate))
    answer = verdict(paper, host, lesion, PRIOR)
    assert isinstance(answer, Rejected)
    assert answer.scores["recall_any"] == 0.7
    assert "70.0% of the lesion a tumor; more than 70% is needed" in answer.reason
    fault, scores = default(host, lesion, PRIOR)
    assert scores["recall_organ"] == 0.7
    assert fault is None or fault.code != "unrecognized"
    just = verdict(PaperGate(Whole(host, lesion, share=0.701)), host, lesion, PRIOR)
    assert isinstance(just, Accepted)


def test_an_empty_mask_scores_nothing_and_is_rejected(made):
    host, lesion, _ = made
    everything = np.ones(host.hu.shape, bool)
    assert recall(everything, ~everything) == 0.0
    empty = dataclasses.replace(lesion, mask=lesion.mask & False)
    answer = verdict(PaperGate(Whole(host, lesion)), host, empty, PRIOR)
    assert isinstance(answer, Rejected)
    assert answer.scores["recall_any"] == 0.0


def test_false_alarms_around_the_lesion_are_rejected(made):
    host, lesion, _ = made
    quiet = verdict(DefaultGate(Whole(host, lesion, around=0.2)), host, lesion, PRIOR)
    assert isinstance(quiet, Accepted)
    assert quiet.scores["false_in_ring"] == pytest.approx(0.2, abs=0.03)
    loud = verdict(DefaultGate(Whole(host, lesion, around=0.5)), host, lesion, PRIOR)
    assert isinstance(loud, Rejected)
    assert loud.code == "ring"
    assert isinstance(
        verdict(PaperGate(Whole(host, lesion, around=0.5)), host, lesion, PRIOR), Accepted
    )


def test_contrast_and_volume_count_in_the_default_gate(made):
    host, lesion, _ = made
    faint = dataclasses.replace(lesion, residual=(lesion.residual // 12).astype(np.int16))
    answer = verdict(DefaultGate(Whole(host, faint)), host, faint, PRIOR)
    assert isinstance(answer, Rejected)
    assert answer.code == "faint"
    assert isinstance(verdict(PaperGate(Whole(host, faint)), host, faint, PRIOR), Accepted)
    gate = DefaultGate(Whole(host, lesion), least_ml=1000.0)
    assert verdict(gate, host, lesion, PRIOR).code == "volume"


def test_the_pipeline_keeps_every_rejection_of_a_gate():
    class Blind:
        name, tumor_labels = "blind", {LIVER: "liver"}
        seen = []

        def segment(self, hu, spacing_zyx):
            self.seen.append(np.asarray(hu.shape) * spacing_zyx)
            return np.zeros(hu.shape, np.uint8)

    spec = LesionSpec((8.0, 9.0), max_attempts=3)
    for policy in ("paper", "default"):
        outcome = synthesize(
            prepare(ball_host()), spec, get_generator("textural"), 1, make_gate(policy, Blind())
        )
        assert isinstance(outcome.verdict, NoPlacement)
        assert [r.code for r in outcome.rejected] == ["unrecognized"] * 3
    # The segmentor sees the block it was trained on, not the whole scan and not a keyhole.
    assert all(((side > 55) & (side <= 97)).all() for side in Blind.seen)
    with pytest.raises(ValueError, match="choose paper or default"):
        make_gate("strict", Blind())


# -- a network as segmentor ----------------------------------------------------------------------


def test_labels_come_back_on_the_scanners_grid():
    """A network that calls dark voxels a liver tumor finds a dark ball where it is."""
    import torch

    checkpoint = loaded(SMALL_SEGMENTOR, "segmentor")

    class Threshold(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.unused = torch.nn.Parameter(torch.zeros(1))

        def forward(self, x):
            logits = torch.zeros(x.shape[0], 7, *x.shape[2:])
            logits[:, LIVER] = 0.5 - x[:, 0]
            return logits

    segmenter = NetworkSegmenter(dataclasses.replace(checkpoint, network=Threshold()))
    assert segmenter.tumor_labels == {2: "liver", 4: "pancreas", 6: "kidney"}
    for spacing in ((0.7, 0.7, 5.0), (1.0, 1.0, 1.0)):
        scan = ball_host(spacing, noise_hu=1.0)
        dark = scan.hu < 37
        labels = segmenter.segment(scan.hu.astype(np.float32), spacing[::-1])
        assert labels.shape == scan.hu.shape
        overlap = 2 * ((labels == LIVER) & dark).sum() / ((labels == LIVER).sum() + dark.sum())
        assert overlap > 0.97


def test_a_fresh_network_gives_the_same_labels_twice():
    segmenter = NetworkSegmenter(loaded(SMALL_SEGMENTOR, "segmentor"), least=(16, 16, 16))
    hu = ball_host((2.0, 2.0, 2.0), radius_mm=16.0).hu.astype(np.float32)
    first, again = (segmenter.segment(hu, (2.0, 2.0, 2.0)) for _ in range(2))
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)


def test_a_generator_is_no_segmentor():
    with pytest.raises(SynthesisError, match="choose one that holds a segmentor"):
        NetworkSegmenter(loaded(SMALL_CONDITIONAL))
    no_tumor = dataclasses.replace(SMALL_SEGMENTOR, classes=("background", "liver"))
    with pytest.raises(SynthesisError, match="has no tumor class"):
        NetworkSegmenter(loaded(no_tumor, "segmentor"))

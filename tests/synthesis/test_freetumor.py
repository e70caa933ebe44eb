"""The learned generator and its network: conditions, bounds, grids, organs, determinism."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from synthesis.engine.arrays import Box
from synthesis.engine.errors import SynthesisError
from synthesis.engine.generators import freetumor, get_generator
from synthesis.engine.grids import grid_around
from synthesis.engine.networks import (
    CONFIGS,
    ConditionalUNetConfig,
    OrganChannel,
    SwinSegmentorConfig,
    UNetSegmentorConfig,
    build_network,
    conditional,
    config_from_json,
    config_to_json,
)
from synthesis.engine.organs import prior_for
from synthesis.engine.pipeline import _crop, prepare, synthesize
from synthesis.engine.records import Accepted, LesionSpec
from synthesis.engine.shapes import draw_radius_field, rasterize

from . import weights
from .hosts import GRIDS, ball_host
from .weights import SMALL_CONDITIONAL, SMALL_HYBRID

# -- the conditional network ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def network():
    return build_network(SMALL_CONDITIONAL)


def _batch(organs=(0, 3), size=16):
    rng = torch.Generator().manual_seed(0)
    shape = (len(organs), 1, size, size, size)
    hu = 60.0 + 40.0 * torch.randn(shape, generator=rng)
    mask = torch.zeros(shape)
    mask[..., 4:12, 4:12, 4:12] = torch.rand(shape, generator=rng)[..., 4:12, 4:12, 4:12]
    noise = torch.randn(shape, generator=rng)
    return hu, mask, noise, torch.tensor(organs)


def test_the_residual_is_exactly_zero_outside_the_mask_and_bounded_inside(network):
    hu, mask, noise, organ = _batch()
    with torch.no_grad():
        residual = network(hu, mask, noise, organ)
        nothing = network(hu, mask * 0, noise, organ)
    assert residual.shape == hu.shape
    assert float(residual[mask == 0].abs().max()) == 0.0
    assert float(nothing.abs().max()) == 0.0
    for row, channel in zip(residual, (SMALL_CONDITIONAL.organs[i] for i in (0, 3)), strict=True):
        assert 0 < float(row.abs().max()) <= channel.bound_hu


def test_before_training_each_organ_starts_at_its_textbook_contrast(network):
    hu, mask, noise, organ = _batch(organs=(0, 1, 2, 3))
    with torch.no_grad():
        field = network.field(hu, mask, noise, organ)
    for row, channel in zip(field, SMALL_CONDITIONAL.organs, strict=True):
        assert float(row.mean()) == pytest.approx(channel.start_hu, rel=0.3)


def test_every_organ_gets_gradient(network):
    for organ in range(len(SMALL_CONDITIONAL.organs)):
        network.zero_grad()
        hu, mask, noise, index = _batch(organs=(organ,))
        network(hu, mask, noise, index).sum().backward()
        for table in (network.organ.weight, network.level.weight):
            gradient = table.grad.abs().sum(dim=1)
            assert float(gradient[organ]) > 0
            assert float(gradient.sum() - gradient[organ]) == 0
    network.zero_grad()


def test_a_sample_does_not_depend_on_its_batch_mates(network):
    hu, mask, noise, organ = _batch()
    with torch.no_grad():
        together = network(hu, mask, noise, organ)
        alone = network(hu[:1], mask[:1], noise[:1], organ[:1])
    assert torch.allclose(together[:1], alone, atol=1e-4)


def test_mask_noise_and_organ_all_matter(network):
    hu, mask, noise, organ = _batch(organs=(0,))
    with torch.no_grad():
        base = network.field(hu, mask, noise, organ)
        for other in (
            network.field(hu + 20, mask, noise, organ),
            network.field(hu, mask * 0.5, noise, organ),
            network.field(hu, mask, -noise, organ),
            network.field(hu, mask, noise, organ + 1),
        ):
            assert float((base - other).abs().max()) > 1e-3


def test_fresh_weights_follow_from_the_seed_and_leave_torch_alone():
    before = torch.random.get_rng_state()
    states = [build_network(SMALL_CONDITIONAL, seed).state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert all(torch.equal(states[0][k], states[1][k]) for k in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


# -- the hybrid ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hybrid():
    return build_network(SMALL_HYBRID)


def test_a_hybrid_starts_as_the_procedural_lesion_and_stays_within_its_correction(hybrid):
    hu, mask, noise, organ = _batch()
    procedural = -50.0 * mask
    with torch.no_grad():
        before = hybrid(hu, mask, noise, organ, procedural)
        hybrid.level.weight.fill_(-50.0)  # as far down as it goes
        after = hybrid(hu, mask, noise, organ, procedural)
        far = hybrid(hu, mask, noise, organ, -140.0 * mask)
        hybrid.level.weight.zero_()
    bounds = torch.tensor([SMALL_HYBRID.organs[i].bound_hu for i in (0, 3)])
    most = SMALL_HYBRID.correction * bounds[:, None, None, None, None]
    assert float(((before - procedural) / most).abs().max()) < 0.05
    assert torch.allclose(after - procedural, -most * mask, rtol=0.02, atol=0.5)
    assert float(far[0].min()) == -SMALL_HYBRID.organs[0].bound_hu  # all in all the bound holds
    assert float(after[mask == 0].abs().max()) == 0.0


def test_a_hybrid_sees_the_procedural_lesion_and_corrects_without_a_checkerboard(hybrid):
    hu, mask, noise, organ = _batch()
    with torch.no_grad():
        one = hybrid.field(hu, mask, noise, organ, -50.0 * mask)
        other = hybrid.field(hu, mask, noise, organ, -20.0 * mask)
    assert float((one - other).abs().max()) > 1e-4
    board = torch.from_numpy((np.indices((16,) * 3).sum(axis=0) % 2) * 2.0 - 1.0).float()
    loud = build_network(SMALL_HYBRID)
    with torch.no_grad():
        loud.head.weight.mul_(500.0)
        field = loud.field(hu, mask, noise, organ, -50.0 * mask)[..., 2:-2, 2:-2, 2:-2]
    rough, whole = field.diff(n=2, dim=-1).std(), field.std()
    assert float(rough) < 0.9 * float(whole)
    left = conditional._smoothed(board[None, None])[..., 4:-4, 4:-4, 4:-4]
    assert float(left.abs().max()) < 1e-3
    level = conditional._smoothed(torch.full((1, 1, 8, 8, 8), 37.0))
    assert torch.allclose(level, torch.tensor(37.0), atol=1e-3)
    with pytest.raises(ValueError, match="needs the procedural change"):
        hybrid.field(hu, mask, noise, organ)


def test_a_hybrid_lesion_is_the_textural_one_and_a_correction():
    generator, liver = weights.hybrid(), prepare(ball_host())
    lesion = _lesion_in(liver)
    host = _crop(liver.scan, lesion, generator.context_mm)
    painted, plain = (
        one.paint(np.random.default_rng(4), host, lesion, liver.prior, 0.0)
        for one in (generator, get_generator("textural"))
    )
    place = lesion.box.within(host.box)
    correction = (painted.change - plain.change)[place]
    # tanh(-0.1) of 0.3 times 150 HU, weighted by the soft edge.
    assert np.allclose(correction, -4.5 * lesion.coverage, atol=1.0)
    assert painted.parameters["mode"] == "hybrid"
    assert painted.parameters["procedural_contrast_hu"] == plain.parameters["contrast_hu"]


def test_a_hybrid_is_painted_with_the_contrast_it_was_trained_with():
    prior = prior_for("lung")
    own = freetumor.appearance(prior, (380.0, 150.0))
    assert (own.contrast, own.contrast_sd, own.absolute) == (380.0, 150.0, False)
    assert freetumor.appearance(prior, None) is prior


# -- configurations ------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", CONFIGS.values(), ids=CONFIGS)
def test_configurations_survive_json(kind):
    config = kind()
    stored = json.loads(json.dumps(config_to_json(config)))
    assert config_from_json(kind.architecture, stored) == config


@pytest.mark.parametrize(
    ("architecture", "values", "message"),
    [
        ("resnet", {}, "no architecture 'resnet'"),
        ("conditional-unet", {"chanels": [4]}, "no setting 'chanels'"),
        ("conditional-unet", {"organs": [{"name": "liver"}]}, "make no sense"),
        ("conditional-unet", {"organs": []}, "must be named, each once"),
        ("conditional-unet", {"channels": [4]}, "at least two levels"),
    ],
)
def test_configurations_that_make_no_sense_are_refused(architecture, values, message):
    with pytest.raises(SynthesisError, match=message):
        config_from_json(architecture, values)


def test_an_organ_channel_must_hold_its_start():
    with pytest.raises(ValueError, match="within its bound"):
        OrganChannel("liver", (-175.0, 250.0), 20.0, -38.0)
    with pytest.raises(ValueError, match="empty or reversed"):
        OrganChannel("liver", (250.0, -175.0), 150.0, -38.0)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(UNetSegmentorConfig(), channels=(4, 8, 8)),
        SwinSegmentorConfig(feature_size=12),
    ],
    ids=["unet", "swin"],
)
def test_segmentors_answer_with_one_logit_per_class(config):
    side = 2 * config.multiple
    with torch.no_grad():
        logits = build_network(config)(torch.zeros(1, 1, side, side, side))
    assert logits.shape == (1, 7, side, side, side)


# -- grids ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
def test_there_and_back_keeps_a_smooth_field_in_place(spacing):
    scan = ball_host(spacing)
    native_mm = spacing[::-1]
    shape = scan.hu.shape
    axes = [np.arange(n) * s for n, s in zip(shape, native_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij")
    smooth = (np.sin(z / 16) + np.cos(y / 11) + np.sin(x / 13)).astype(np.float32)
    center = tuple(n / 2 - 3 for n in shape)
    grid = grid_around(shape, native_mm, (1.5, 1.5, 1.5), center=center, multiple=8)
    assert all(n % 8 == 0 for n in grid.shape)
    region = Box(tuple(n // 4 for n in shape), tuple(n // 2 for n in shape))
    back = grid.to_native(grid.to_network(smooth, order=3), region, order=3)
    assert np.abs(back - smooth[region.slices]).max() < 0.02


def test_a_mask_smaller_than_a_network_voxel_does_not_vanish():
    grid = grid_around((40, 40, 40), (0.5, 0.5, 0.5), (1.5, 1.5, 1.5))
    mask = np.zeros((40, 40, 40), bool)
    assert not grid.mask_to_network(mask).any()
    mask[20, 21, 19] = True
    assert grid.mask_to_network(mask).sum() == 1


# -- the generator -------------------------------------------------------------------------------


def _lesion_in(prepared, diameter=14.0):
    scan = prepared.scan
    center = tuple((n - 1) / 2 for n in scan.hu.shape)
    field = draw_radius_field(np.random.default_rng(0), diameter)
    return rasterize(field, scan.spacing, center)


@pytest.mark.parametrize("make", [weights.conditional, weights.published])
def test_a_zero_mask_changes_nothing(make):
    prepared = prepare(ball_host())
    lesion = _lesion_in(prepared)
    nothing = dataclasses.replace(
        lesion, coverage=lesion.coverage * 0, mask=lesion.mask & False, depth_mm=lesion.depth_mm
    )
    generator = make()
    host = _crop(prepared.scan, lesion, generator.context_mm)
    painted = generator.paint(np.random.default_rng(0), host, nothing, prior_for("liver"), 0.0)
    assert not painted.change.any()
    assert not painted.feather.any()


class Echo(torch.nn.Module):
    """A network that answers with the CT it was shown: what comes back must lie where it was."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def field(self, hu, mask, noise, organ, procedural=None):
        return hu

    def forward(self, image):
        return torch.atanh(image.clamp(0, 0.999)).expand(-1, 3, -1, -1, -1)


@pytest.mark.parametrize("spacing", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("make", [weights.conditional, weights.published])
def test_the_answer_comes_back_to_where_it_belongs(make, spacing, monkeypatch):
    flat = lambda rng, shape, mean, sd: np.full(shape, mean, np.float32)  # noqa: E731
    monkeypatch.setattr("synthesis.engine.generators.freetumor._texture", flat)
    scan = ball_host(spacing)
    axes = [np.arange(n) - n / 2 for n in scan.hu.shape]
    z, y, x = (a * s for a, s in zip(np.meshgrid(*axes, indexing="ij"), spacing[::-1], strict=True))
    scan = dataclasses.replace(scan, hu=np.rint(1.0 * z - 0.6 * y + 0.8 * x).astype(np.int16))
    center = tuple(n / 2 + d / s for n, d, s in zip(scan.hu.shape, (6, -9, 8), spacing[::-1]))
    lesion = rasterize(draw_radius_field(np.random.default_rng(0), 16.0), spacing, center)
    generator = make()
    generator = type(generator)(
        dataclasses.replace(generator.checkpoint, network=Echo()), window=(24, 24, 24)
    )
    host = _crop(scan, lesion, generator.context_mm)
    painted = generator.paint(np.random.default_rng(0), host, lesion, prior_for("liver"), 0.0)
    solid = painted.feather > 0.5
    answer = painted.change[solid] / painted.feather[solid]
    shown = host.hu[solid]
    if generator.mode == "published":  # -425 HU times texture (0.543) times the windowed CT
        answer = -175 - answer / 0.543
    assert np.abs(answer - shown).max() < 3.0
    assert np.ptp(shown) > 15.0


@pytest.mark.parametrize("make", [weights.conditional, weights.published])
def test_the_networks_see_the_region_around_the_lesion_only(make):
    """A scan changed far away from the lesion gets the same lesion."""
    scan = ball_host(radius_mm=40.0)
    lesion = _lesion_in(prepare(scan))
    generator = make()
    host = _crop(scan, lesion, generator.context_mm)
    far = dataclasses.replace(scan, hu=scan.hu.copy())
    inside = host.box.slices
    far.hu[...] = 700
    far.hu[inside] = scan.hu[inside]
    answers = [
        generator.paint(
            np.random.default_rng(1),
            _crop(one, lesion, generator.context_mm),
            lesion,
            prior_for("liver"),
            0.0,
        ).change
        for one in (scan, far)
    ]
    assert np.array_equal(*answers)
    assert np.prod(host.hu.shape) < 0.5 * scan.hu.size


def test_the_record_says_which_weights_made_the_lesion():
    prepared = prepare(ball_host())
    spec = LesionSpec((12.0, 14.0))
    made = synthesize(prepared, spec, weights.conditional(), 1).verdict
    assert isinstance(made, Accepted)
    parameters = made.lesion.parameters
    assert parameters["generator"] == "freetumor"
    assert parameters["mode"] == "conditional"
    assert parameters["checkpoint_sha256"] == "0" * 64
    published = synthesize(prepared, spec, weights.published("organ"), 1).verdict
    assert published.lesion.parameters["channel"] == "organ"
    assert published.lesion.parameters["recipe"] == "abdomen"


def test_channel_by_organ_gives_the_pancreas_its_own_sign():
    """Channel 0 of the test's weights darkens, channel 1 brightens."""
    prepared = prepare(ball_host(organ="pancreas", organ_hu=95.0))
    lesion = _lesion_in(prepared)
    signs = []
    for channel in ("first", "organ"):
        generator = weights.published(channel)
        host = _crop(prepared.scan, lesion, generator.context_mm)
        rng = np.random.default_rng(0)
        painted = generator.paint(rng, host, lesion, prior_for("pancreas"), 0.0)
        signs.append(np.sign(painted.change.sum()))
    assert signs == [-1, 1]


def test_different_noise_gives_different_lesions():
    prepared = prepare(ball_host())
    lesion = _lesion_in(prepared)
    generator = weights.conditional()
    host = _crop(prepared.scan, lesion, generator.context_mm)
    first, again, other = (
        generator.paint(np.random.default_rng(s), host, lesion, prior_for("liver"), 0.0).change
        for s in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize(
    ("make", "known"),
    [
        (weights.conditional, "liver, pancreas, kidney, lung"),
        (weights.published, "liver, pancreas, kidney"),
    ],
)
def test_an_organ_the_network_was_not_made_for_is_refused(make, known):
    prepared = prepare(ball_host(organ="spleen"))
    with pytest.raises(SynthesisError, match=f"'spleen'; it knows {known}"):
        synthesize(prepared, LesionSpec((12.0, 14.0)), make(), 1)


def test_the_lung_gets_solid_nodules():
    prepared = prepare(ball_host(organ="lung", organ_hu=-860.0))
    made = synthesize(prepared, LesionSpec((12.0, 18.0)), weights.conditional(), 3).verdict
    assert isinstance(made, Accepted)
    assert 600 < made.scores["contrast_hu"] < 1000


def test_the_bound_needs_no_more_than_two_levels():
    assert ConditionalUNetConfig(channels=(4, 8)).multiple == 2


def test_the_textural_path_and_the_registry_stay_free_of_torch():
    program = (
        "import sys\n"
        "from synthesis.engine.generators import generator_names, get_generator\n"
        "from synthesis.engine import pipeline, quality, networks, checkpoints\n"
        "get_generator('textural'); generator_names()\n"
        "import django; django.setup()\n"
        "import synthesis.services, synthesis.selectors, synthesis.cards, synthesis.hub\n"
        "print([m for m in ('torch', 'monai', 'safetensors') if m in sys.modules])\n"
    )
    import os

    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "readerstudy.settings"},
    )
    assert done.stdout.strip() == "[]"

"""The published method: parity with recorded numbers, the formula's pieces, the strict gate."""

from __future__ import annotations

import io
import json
import pickle
import shutil

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from synthesis.engine.errors import SynthesisError
from synthesis.engine.interop import parity, recipe
from synthesis.engine.interop.weights import read_published
from synthesis.engine.networks import PublishedUNet3dConfig, build_network


def _check(folder) -> tuple[str, int]:
    out = io.StringIO()
    try:
        call_command("check_parity", str(folder), stdout=out)
    except CommandError as error:
        return f"{out.getvalue()}{error}", error.returncode
    return out.getvalue(), 0


# -- check_parity --------------------------------------------------------------------------------


def test_the_published_numbers_are_reproduced(shared_parity):
    printed, status = _check(shared_parity)
    lines = printed.splitlines()
    assert status == 0, printed
    assert lines[-1] == "2 passed, 0 failed"
    assert sum("largest error" in line for line in lines) == 16


def test_the_generator_has_exactly_the_published_tensors(shared_parity):
    expected = json.loads((shared_parity / "generator_state_dict.json").read_text())
    state = build_network(PublishedUNet3dConfig()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == expected
    assert sum(tensor.numel() for tensor in state.values()) == 19_078_481


@pytest.mark.parametrize(
    ("array", "change"),
    [
        ("logits", lambda a: a + np.float32(3e-4)),
        ("synthetic_image", lambda a: a + np.float32(3e-5)),
        ("synthetic_label", lambda a: np.where(np.arange(a.size).reshape(a.shape) == 5, 9, a)),
        ("qc_accepted", lambda a: ~a),
    ],
)
def test_numbers_that_differ_fail_with_status_1(shared_parity, tmp_path, array, change):
    with np.load(shared_parity / "parity_small.npz") as stored:
        record = {name: stored[name] for name in stored.files}
    record[array] = change(record[array]).astype(record[array].dtype)
    np.savez(tmp_path / "planted.npz", **record)
    printed, status = _check(tmp_path)
    assert status == 1
    assert "0 passed, 1 failed" in printed
    (line,) = [line for line in printed.splitlines() if "too large" in line]
    assert array in line


def test_bad_input_is_one_sentence_and_status_2(shared_parity, tmp_path):
    assert _check(tmp_path / "nowhere")[1] == 2
    assert "no *.npz file" in _check(tmp_path)[0]
    whole = (shared_parity / "parity_small.npz").read_bytes()
    bad = tmp_path / "bad.npz"
    for content in (b"", b"PK\x03\x04 not really", whole[: len(whole) // 2]):
        bad.write_bytes(content)
        printed, status = _check(tmp_path)
        assert status == 2
        assert str(bad) in printed
        assert "copy the file again" in printed
    np.savez(bad, image=np.zeros((8, 8, 8), np.float32))
    assert "the array 'label' is missing" in _check(tmp_path)[0]
    np.savez(bad, **{name: np.zeros((9, 8, 8)) for name in parity.ARRAYS})
    printed, status = _check(tmp_path)
    assert status == 2
    assert "multiples of 8" in printed


def test_a_good_file_beside_a_broken_one_is_not_computed_in_vain(shared_parity, tmp_path):
    shutil.copy(shared_parity / "parity_small.npz", tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(b"")
    printed, status = _check(tmp_path)
    assert status == 2
    assert "largest error" not in printed


# -- the formula ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def narrow():
    return build_network(PublishedUNet3dConfig(width=4))


def test_batch_statistics_are_used_in_eval_mode(narrow):
    x = torch.rand(2, 1, 16, 16, 16, generator=torch.Generator().manual_seed(1))
    assert not narrow.training
    with torch.no_grad():
        alone, together = narrow(x[:1]), narrow(x)
    assert (alone - together[:1]).abs().max() > 1e-2
    assert float(narrow.down_tr64.ops[0].bn1.running_mean.abs().max()) == 0.0
    with torch.no_grad():
        assert torch.equal(narrow.train()(x), together)
    assert float(narrow.eval().down_tr64.ops[0].bn1.running_mean.abs().max()) == 0.0


def _crop():
    rng = np.random.default_rng(0)
    label = np.zeros((24, 24, 24), np.uint8)
    label[4:20, 4:20, 4:12] = 1
    label[4:20, 4:20, 12:20] = 3
    label[6:8, 6:8, 6:8] = 2
    logits = rng.standard_normal((3, 24, 24, 24)).astype(np.float32)
    geometry = np.zeros(label.shape, np.uint8)
    geometry[5:12, 5:12, 5:14] = 1
    image = rng.random(label.shape, dtype=np.float32)
    return image, label, logits, geometry


def test_the_released_code_takes_channel_0_for_every_organ():
    _, label, logits, _ = _crop()
    first = recipe.difference(logits, label)
    by_organ = recipe.difference(logits, label, channel="organ")
    assert np.array_equal(first, recipe.difference(logits[[0, 2, 1]], label))
    assert not np.allclose(by_organ, recipe.difference(logits[[0, 2, 1]], label, channel="organ"))
    assert np.array_equal(first[:, :, :8], by_organ[:, :, :8])  # liver, away from the pancreas


def test_only_organ_changes_and_real_tumors_keep_their_label():
    image, label, logits, geometry = _crop()
    d = recipe.difference(logits, label)
    texture = np.full(label.shape, 0.5, np.float32)
    made = recipe.synthesize_published(image, label, geometry, d, texture, 1.5)
    organ = (label == 1) | (label == 3)
    assert np.array_equal(made.image[~organ], image[~organ])
    assert (made.image[organ & (geometry > 0)] != image[organ & (geometry > 0)]).mean() > 0.99
    assert (made.label_3class[6:8, 6:8, 6:8] == recipe.REAL).all()
    inserted = made.label_3class == recipe.INSERTED
    assert np.array_equal(inserted, organ & (geometry > 0))
    assert np.array_equal(made.label[inserted], label[inserted] + 1)
    assert np.array_equal(made.label[~inserted], label[~inserted])


def test_a_zero_mask_gives_the_identical_crop():
    image, label, logits, geometry = _crop()
    d = recipe.difference(logits, label)
    made = recipe.synthesize_published(image, label, geometry * 0, d, d * 0 + 1, 1.5)
    assert np.array_equal(made.image, image)
    assert np.array_equal(made.label, label)


def test_the_abdomen_subtracts_and_the_chest_adds():
    image, label, logits, geometry = _crop()
    label = (label > 0).astype(np.uint8)
    ones = np.ones(label.shape, np.float32)
    for which, sign in ((recipe.ABDOMEN, -1), (recipe.CHEST, 1)):
        d = recipe.difference(np.abs(logits), label, recipe=which)
        change = (
            recipe.synthesize_published(image, label, geometry, d, ones, 1.0, which).image - image
        )
        assert np.sign(change[label > 0].sum()) == sign
    chest = recipe.difference(-10 + 0 * logits[:1], label, recipe=recipe.CHEST)
    assert 0 < chest.max() < 1e-4  # a sigmoid, never negative
    assert recipe.recipe_for(1) is recipe.CHEST
    with pytest.raises(ValueError, match="2 outputs"):
        recipe.recipe_for(2)


def test_the_kernel_is_a_gaussian_of_seven_voxels():
    point = np.zeros((15, 15, 15), np.float32)
    point[7, 7, 7] = 1
    spread = recipe.smooth_difference(point)
    assert spread.sum() == pytest.approx(1.0, abs=1e-5)
    assert spread[7, 7, 10] > 0 == spread[7, 7, 11]
    assert spread[7, 7, 8] / spread[7, 7, 7] == pytest.approx(np.exp(-0.5), rel=1e-4)


# -- the gate ------------------------------------------------------------------------------------


@given(n=st.integers(1, 100_000), data=st.data())
def test_the_published_gate_is_strictly_above_seven_tenths(n, data):
    found = data.draw(st.integers(0, n))
    assert recipe.gate_of_counts(found, n).accepted == (10 * found > 7 * n)


@pytest.mark.parametrize("tens", [1, 7, 100, 12_345, 1_000_000])
def test_exactly_seven_tenths_is_not_enough(tens):
    assert not recipe.gate_of_counts(7 * tens, 10 * tens).accepted
    assert recipe.gate_of_counts(7 * tens + 1, 10 * tens).accepted


def test_the_gate_at_its_boundary_and_without_a_lesion():
    label = np.zeros((10, 10, 10), np.uint8)
    predicted = np.zeros_like(label)
    assert recipe.published_gate(predicted + 2, label) == recipe.PublishedVerdict(0.0, False)
    label[0, 0] = recipe.INSERTED
    predicted[0, 0, :7] = [2, 4, 6, 2, 4, 6, 2]  # a tumor of any organ counts
    verdict = recipe.published_gate(predicted, label)
    assert verdict.fraction == pytest.approx(0.7)
    assert not verdict.accepted
    predicted[0, 0, 7] = 5  # an organ is no tumor
    assert not recipe.published_gate(predicted, label).accepted
    predicted[0, 0, 7] = 6
    assert recipe.published_gate(predicted, label).accepted


def test_a_file_that_is_not_parity_names_itself(tmp_path):
    with pytest.raises(SynthesisError, match="cannot be read"):
        parity.read_record(tmp_path / "nowhere.npz")


def test_a_refused_pickle_says_one_sentence_and_no_warning(tmp_path, recwarn):
    """Plain pickle of today's protocol: torch would warn of its age before it refuses it."""
    path = tmp_path / "plain.pt"
    path.write_bytes(pickle.dumps({"x": print}))
    with pytest.raises(SynthesisError, match="could run code when loaded, so it was not"):
        read_published(path)
    assert not recwarn.list

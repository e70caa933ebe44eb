"""The registry: published bundles and trained files in, one sentence for everything else."""

from __future__ import annotations

import io
import json
import sys
import types

import pytest
import torch
from django.core.management import CommandError, call_command

from synthesis import hub, selectors, services
from synthesis.engine.checkpoints import file_sha256, load_checkpoint, read_header, save_checkpoint
from synthesis.engine.errors import SynthesisError
from synthesis.engine.generators import Weights, get_generator
from synthesis.engine.interop.parity import rule_weights
from synthesis.engine.interop.weights import read_published
from synthesis.engine.networks import (
    PublishedUNet3dConfig,
    SwinSegmentorConfig,
    build_network,
)
from synthesis.models import Checkpoint

from .weights import SMALL_CONDITIONAL, SMALL_SEGMENTOR


@pytest.fixture(scope="module")
def published_state():
    """Bundle as the authors save it: netG, netD and netSeg (here a narrow one)."""
    generator = build_network(PublishedUNet3dConfig()).state_dict()
    segmentor = build_network(SwinSegmentorConfig(feature_size=12)).state_dict()
    state = {f"netG.{k}": v for k, v in generator.items()}
    state |= {f"netD.{k}": v + 1 if v.is_floating_point() else v for k, v in generator.items()}
    return state | {f"netSeg.module.{k}": v for k, v in segmentor.items()}


@pytest.fixture(scope="module")
def bundle(published_state, tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "TGAN.pt"
    torch.save(published_state, path)
    return path


@pytest.fixture
def trained(tmp_path):
    path = tmp_path / "best.safetensors"
    state = build_network(SMALL_CONDITIONAL, 3).state_dict()
    notes = {"training": "Ten steps on phantoms.", "licence": "Apache-2.0", "steps": "10"}
    save_checkpoint(path, "generator", SMALL_CONDITIONAL, state, notes)
    return path


def _command(*words, **options):
    out = io.StringIO()
    call_command(*words, stdout=out, **options)
    return out.getvalue()


def _refused(*words) -> str:
    with pytest.raises(CommandError) as caught:
        _command(*words)
    assert caught.value.returncode == 2
    sentence = str(caught.value)
    assert "\n" not in sentence
    return sentence


# -- what comes in -------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_published_bundle_becomes_three_checkpoints_with_a_card(bundle, data_dir):
    printed = _command(
        "import_checkpoint", str(bundle), "--name", "freetumor-abdomen",
        "--revision", "abc123", "--licence", "Apache-2.0",
    )  # fmt: skip
    rows = {row.name: row for row in Checkpoint.objects.all()}
    assert {name: row.kind for name, row in rows.items()} == {
        "freetumor-abdomen": "generator",
        "freetumor-abdomen-discriminator": "discriminator",
        "freetumor-abdomen-segmentor": "segmentor",
    }
    folder = data_dir / "checkpoints" / "freetumor-abdomen"
    assert sorted(path.name for path in folder.iterdir()) == [
        "card.json",
        "card.md",
        "discriminator.safetensors",
        "generator.safetensors",
        "segmentor.safetensors",
    ]
    for row in rows.values():
        assert row.sha256 == file_sha256(selectors.checkpoint_file(row))
        assert row.sha256 in printed
        assert row.sha256 in row.card
        assert (row.revision, row.licence, row.source) == ("abc123", "Apache-2.0", "TGAN.pt")
        assert row.source_sha256 == file_sha256(bundle)
    card = json.loads((folder / "card.json").read_text())
    assert [network["kind"] for network in card["networks"]] == [
        "generator", "discriminator", "segmentor",
    ]  # fmt: skip
    assert rows["freetumor-abdomen"].parameters == 19_078_481
    assert not [path for path in folder.parent.iterdir() if path.name.startswith(".")]


@pytest.mark.django_db
def test_converted_weights_are_the_published_ones(bundle, published_state):
    services.import_checkpoint(bundle, "abdomen")
    loaded = selectors.load_registered("abdomen", "generator").network.state_dict()
    assert all(torch.equal(loaded[name], published_state[f"netG.{name}"]) for name in loaded)
    segmentor = selectors.load_registered("abdomen-segmentor", "segmentor")
    assert segmentor.config == SwinSegmentorConfig(feature_size=12)
    assert not any(p.requires_grad for p in segmentor.network.parameters())


def test_one_network_alone_wrapped_and_from_data_parallel(published_state, tmp_path):
    alone = {
        "module." + k.removeprefix("netSeg.module."): v
        for k, v in published_state.items()
        if k.startswith("netSeg.")
    }
    path = tmp_path / "model_baseline_segmentor.pt"
    torch.save({"epoch": 3, "state_dict": alone}, path)
    (network,) = read_published(path)
    assert network.kind == "segmentor"
    assert network.config.classes[2] == "liver tumor"


@pytest.mark.django_db
def test_a_trained_file_keeps_its_bytes_and_its_notes(trained):
    (row,) = services.import_checkpoint(trained, "mine")
    assert row.sha256 == file_sha256(trained)
    assert row.licence == "Apache-2.0"
    assert "Ten steps on phantoms." in row.card
    assert "Steps: 10" in row.card
    generator = get_generator("freetumor", selectors.generator_weights("mine"))
    assert generator.mode == "conditional"
    assert generator.checkpoint.sha256 == row.sha256


@pytest.mark.django_db
def test_a_name_is_taken_once_and_replaced_on_request(trained, data_dir):
    _command("import_checkpoint", str(trained), "--name", "mine")
    assert "already a checkpoint named mine" in _refused(
        "import_checkpoint", str(trained), "--name", "mine"
    )
    save_checkpoint(
        trained, "generator", SMALL_CONDITIONAL, build_network(SMALL_CONDITIONAL, 9).state_dict()
    )
    _command("import_checkpoint", str(trained), "--name", "mine", "--replace")
    row = Checkpoint.objects.get()
    assert row.sha256 == file_sha256(trained) == file_sha256(selectors.checkpoint_file(row))
    assert [path.name for path in (data_dir / "checkpoints").iterdir()] == ["mine"]


@pytest.mark.django_db
def test_the_list_names_every_checkpoint_and_prints_cards(trained):
    assert _command("list_checkpoints", "--kind", "discriminator").startswith("No such weights")
    _command("import_checkpoint", str(trained), "--name", "a-mine")
    first, *others = _command("list_checkpoints").splitlines()
    assert first.startswith("a-mine ")
    assert not first.endswith("shipped")
    assert all(line.endswith("shipped") for line in others)
    assert json.loads(_command("list_checkpoints", "--json"))[0]["config"]["embedding"] == 4
    assert _command("list_checkpoints", "a-mine").startswith("# a-mine")
    assert "a-mine" not in _command("list_checkpoints", "--kind", "segmentor")
    assert "registered are: a-mine" in _refused("list_checkpoints", "yours")


def test_the_same_weights_give_the_same_file(tmp_path):
    state = build_network(SMALL_SEGMENTOR).state_dict()
    first, again = (
        save_checkpoint(tmp_path / n, "segmentor", SMALL_SEGMENTOR, state, {"b": "1", "a": "2"})
        for n in ("one.safetensors", "two.safetensors")
    )
    assert first == again
    assert read_header(tmp_path / "one.safetensors").notes == {"a": "2", "b": "1"}


def test_half_precision_halves_the_file_and_is_read_back_exactly(tmp_path):
    state = build_network(SMALL_SEGMENTOR).state_dict()
    whole, half = tmp_path / "whole.safetensors", tmp_path / "half.safetensors"
    save_checkpoint(whole, "segmentor", SMALL_SEGMENTOR, state)
    save_checkpoint(half, "segmentor", SMALL_SEGMENTOR, state, storage="fp16")
    values = sum(tensor.numel() for tensor in state.values())
    assert whole.stat().st_size - half.stat().st_size == pytest.approx(2 * values, abs=200)
    back = load_checkpoint(half).network.state_dict()
    assert all(tensor.dtype == torch.float32 for tensor in back.values())
    assert all(torch.equal(back[name], state[name].half().float()) for name in state)
    too_large = {**state, next(iter(state)): next(iter(state.values())) * 0 + 1e5}
    with pytest.raises(SynthesisError, match="not numbers"):
        save_checkpoint(half, "segmentor", SMALL_SEGMENTOR, too_large, storage="fp16")


# -- what is refused -----------------------------------------------------------------------------


class Bomb:
    """Unpickled by anybody who trusts it, it makes a file."""

    def __init__(self, crater):
        self.crater = crater

    def __reduce__(self):
        return (eval, (f"__import__('pathlib').Path({str(self.crater)!r}).touch()",))


@pytest.mark.django_db
@pytest.mark.parametrize("legacy", [False, True])
def test_a_pickle_with_code_is_refused_and_not_run(tmp_path, data_dir, legacy):
    path = tmp_path / "evil.pt"
    crater = tmp_path / "crater"
    torch.save({"netG.x": Bomb(crater)}, path, _use_new_zipfile_serialization=not legacy)
    sentence = _refused("import_checkpoint", str(path), "--name", "evil")
    assert str(path) in sentence
    assert "could run code" in sentence
    assert not crater.exists()
    assert not Checkpoint.objects.exists()
    assert not (data_dir / "checkpoints").exists() or not any((data_dir / "checkpoints").iterdir())


@pytest.mark.django_db
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.999])
def test_a_truncated_file_is_refused(bundle, tmp_path, kept):
    path = tmp_path / "TGAN.pt"
    whole = bundle.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    sentence = _refused("import_checkpoint", str(path), "--name", "short")
    assert str(path) in sentence
    assert "copy or download it again" in sentence


@pytest.mark.django_db
def test_a_truncated_safetensors_file_is_refused(trained):
    trained.write_bytes(trained.read_bytes()[:-8])
    sentence = _refused("import_checkpoint", str(trained), "--name", "short")
    assert str(trained) in sentence
    assert "copy or download it again" in sentence


def _without(state, part):
    return {k: v for k, v in state.items() if k != part}


BROKEN = {
    "missing": (
        lambda s: _without(s, "netG.up_tr64.up_conv.bias"),
        "(netG): the tensor up_tr64.up_conv.bias is missing",
    ),
    "extra": (
        lambda s: s | {"netG.attention.weight": torch.zeros(2)},
        "(netG): the tensor attention.weight does not belong there",
    ),
    "stranger": (
        lambda s: s | {"netX.weight": torch.zeros(2)},
        "netX.weight belongs to none of netG, netD, netSeg",
    ),
    "misshapen": (
        lambda s: s | {"netD.down_tr64.ops.0.conv1.weight": torch.zeros(16, 1, 3, 3, 3)},
        "is 16x1x3x3x3 where 32x1x3x3x3 is needed",
    ),
    "not finite": (
        lambda s: s | {"netG.out_tr.final_conv.bias": torch.tensor([0.0, float("nan"), 0.0])},
        "values that are not numbers",
    ),
    "another architecture": (lambda s: {"conv1.weight": torch.zeros(3)}, "another architecture"),
    "half a bundle": (lambda s: {"netG.foo": torch.zeros(3)}, "another architecture"),
    "no tensors": (lambda s: {}, "holds no tensors"),
    "numbers": (lambda s: {"epoch": 3}, "'epoch' is no tensor"),
    "a list": (lambda s: [torch.zeros(2)], "holds a list where a state dict is needed"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_exactly_the_published_network_is_refused(published_state, tmp_path, case):
    change, message = BROKEN[case]
    path = tmp_path / "TGAN.pt"
    torch.save(change(dict(published_state)), path)
    with pytest.raises(SynthesisError) as caught:
        read_published(path)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.django_db
def test_weights_rounded_to_whole_numbers_are_refused(trained):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(trained, "pt") as stream:
        header = stream.metadata()
    state = {name: tensor.to(torch.int32) for name, tensor in load_file(trained).items()}
    save_file(state, trained, header)
    sentence = _refused("import_checkpoint", str(trained), "--name", "whole")
    assert "holds no fractions" in sentence


def test_text_is_not_a_weight_file(tmp_path):
    path = tmp_path / "TGAN.pt"
    path.write_text("<html>404 Not Found</html>")
    with pytest.raises(SynthesisError, match="give the"):
        read_published(path)
    with pytest.raises(SynthesisError, match="There is no file"):
        read_published(tmp_path / "nowhere.pt")


def test_a_safetensors_file_of_other_making_is_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, path)
    with pytest.raises(SynthesisError, match="does not say which network it holds"):
        load_checkpoint(path)
    # Python's JSON reader gives up on deep nesting with an error of its own
    save_file({"a": torch.zeros(2)}, path, {"synthesis.checkpoint": "[" * 50_000})
    with pytest.raises(SynthesisError, match="does not say which network it holds"):
        load_checkpoint(path)


def test_a_changed_file_is_not_loaded(trained):
    good = file_sha256(trained)
    assert load_checkpoint(trained, sha256=good).sha256 == good
    with pytest.raises(SynthesisError, match="has changed since it was registered"):
        load_checkpoint(trained, sha256="0" * 64)


def test_a_segmentor_is_no_generator(tmp_path):
    path = tmp_path / "s.safetensors"
    state = build_network(SMALL_SEGMENTOR).state_dict()
    save_checkpoint(path, "segmentor", SMALL_SEGMENTOR, state)
    with pytest.raises(SynthesisError, match="holds a segmentor, not a generator"):
        get_generator("freetumor", Weights(path))


def test_generators_say_whether_they_need_weights(trained):
    assert get_generator("freetumor").checkpoint.name == "freetumor-small"
    with pytest.raises(ValueError, match="has no weights"):
        get_generator("textural", Weights(trained))


@pytest.mark.django_db
@pytest.mark.parametrize("name", ["", "Über", "../up", "a/b", ".hidden", "a" * 90])
def test_names_that_are_no_folder_names_are_refused(trained, name):
    assert "cannot be used" in _refused("import_checkpoint", str(trained), "--name", name)


# -- the hub -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_without_the_hubs_package_the_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    sentence = _refused("import_checkpoint", "--from-hub", "Luffy503/FreeTumor", "--name", "x")
    assert "pip install huggingface_hub" in sentence
    assert "download baseline/TGAN.pt" in sentence


def _fake_hub(monkeypatch, info, download):
    fake = types.ModuleType("huggingface_hub")
    fake.HfApi = lambda: types.SimpleNamespace(model_info=info)
    fake.hf_hub_download = download
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)


@pytest.mark.django_db
def test_without_a_network_the_sentence_says_so(monkeypatch):
    def unreachable(*args, **options):
        raise ConnectionError("name resolution failed\nlong traceback")

    _fake_hub(monkeypatch, unreachable, None)
    sentence = _refused("import_checkpoint", "--from-hub", "Luffy503/FreeTumor", "--name", "x")
    assert "could not be fetched from the hub (name resolution failed)" in sentence


@pytest.mark.django_db
def test_the_hubs_commit_is_pinned_and_kept(monkeypatch, bundle):
    asked = []

    def info(repository, revision, timeout):
        card = types.SimpleNamespace(license="apache-2.0")
        return types.SimpleNamespace(sha="5f" * 20, card_data=card)

    def download(repository, file, revision, local_dir):
        asked.append((repository, file, revision))
        return str(bundle)

    _fake_hub(monkeypatch, info, download)
    _command("import_checkpoint", "--from-hub", "Luffy503/FreeTumor", "--name", "hub")
    assert asked == [("Luffy503/FreeTumor", "baseline/TGAN.pt", "5f" * 20)]
    row = selectors.checkpoint("hub", "generator")
    assert (row.revision, row.licence) == ("5f" * 20, "apache-2.0")
    assert "5f" * 20 in row.source


@pytest.mark.django_db
def test_a_file_or_the_hub_but_not_both(bundle):
    assert "Give either" in _refused("import_checkpoint", "--name", "x")
    assert "Give either" in _refused(
        "import_checkpoint", str(bundle), "--from-hub", "a/b", "--name", "x"
    )


def test_the_rule_of_weights_leaves_running_statistics_alone():
    assert list(rule_weights({"a.running_mean": (3,), "a.bn1.weight": (3,)})) == ["a.bn1.weight"]
    assert hub.PUBLISHED_FILE == "baseline/TGAN.pt"

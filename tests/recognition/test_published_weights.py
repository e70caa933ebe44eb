"""Published and trained weights, by name: imported safely, the same numbers as MONAI's networks.

No real weights: state dicts of exactly the published architectures with random numbers.
"""

from __future__ import annotations

import subprocess
import sys

import nibabel as nib
import numpy as np
import pytest
import torch
from django.core.management import call_command
from django.core.management.base import CommandError
from monai.networks.nets import SwinUNETR, UNet
from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Orientation
from monai.transforms import ScaleIntensityRange as Scale

from readerstudy.cases.delivery.hosts import read_host
from readerstudy.cases.errors import CasesError
from readerstudy.cases.recognition.weights import choices, chosen, load, start_of
from readerstudy.library.imaging.geometry import conform, to_lps_axes
from recognition.engine.checkpoints import file_sha256, save_checkpoint
from recognition.engine.errors import RecognitionError
from recognition.engine.inference import recognize
from recognition.engine.interop import start_from
from recognition.engine.networks import NetworkConfig, build
from synthesis.models import Checkpoint
from synthesis.selectors import checkpoint, checkpoint_file

pytestmark = pytest.mark.django_db
ABDOMEN = (
    "background", "liver", "liver tumor", "pancreas", "pancreas tumor", "kidney", "kidney tumor",
)  # fmt: skip


def swin(outputs: int, width: int = 12, *, v2: bool = True, seed: int = 1) -> SwinUNETR:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SwinUNETR(in_channels=1, out_channels=outputs, feature_size=width, use_v2=v2).eval()


def take(path, content, name, *extra):
    torch.save(content, path)
    call_command("import_checkpoint", str(path), "--name", name, *extra)


def refused(*arguments) -> str:
    with pytest.raises(CommandError) as caught:
        call_command(*arguments)
    assert caught.value.returncode == 2
    assert not Checkpoint.objects.exists()
    return str(caught.value)


@pytest.mark.slow
def test_a_published_segmentor_finds_what_monais_own_network_finds(tmp_path):
    """From the file to the probability of each voxel, at the published width: 1.2 to 1.4."""
    network = swin(7, 48)
    take(tmp_path / "model_baseline_segmentor.pt", network.state_dict(), "abdomen")
    loaded = load(chosen("abdomen"))
    assert loaded.config.classes == ABDOMEN
    assert loaded.config.windows_hu == ((-175.0, 250.0),)
    assert loaded.config.spacing_mm == (1.5, 1.5, 1.5)
    # a CT with axes of its own: first to the feet, then to the left, then to the front
    hu = np.random.default_rng(3).integers(-200, 300, (32, 32, 64)).astype(np.int16)
    affine = np.array([[0, -1.5, 0, 9], [0, 0, 1.5, 5], [-1.5, 0, 0, 7], [0, 0, 0, 1.0]])
    path = tmp_path / "ct.nii.gz"
    nib.save(nib.Nifti1Image(hu, affine), path)
    prepare = Compose(
        [
            LoadImage(image_only=True),
            EnsureChannelFirst(),
            Orientation("RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))),
            Scale(-175, 250, 0, 1, clip=True),
        ]
    )
    image = prepare(path)
    with torch.inference_mode():
        answer = torch.softmax(network(image[None].as_tensor()), dim=1)[0]
    data = read_host(path).data
    turned, lps = to_lps_axes(data.hu, data.geometry)
    found = recognize(loaded, turned, lps.spacing, roi=turned.shape, precision="fp32")
    back = conform(found.probability, lps, data.geometry)
    canonical = nib.as_closest_canonical(nib.Nifti1Image(back.transpose(2, 1, 0), affine))
    theirs = answer[[2, 4, 6]].sum(dim=0).numpy()
    assert np.abs(np.asarray(canonical.dataobj) - theirs).max() < 1e-5
    assert np.ptp(theirs) > 0.01


WRAPS = {
    "plain": lambda state: state,
    "parallel": lambda state: {"state_dict": {f"module.{k}": v for k, v in state.items()}},
    "voco": lambda state: {
        "net": {f"module.backbone.{k}": v for k, v in state.items()},
        "epoch": 9,
    },
    "older": lambda state: {
        "network_weights": {k.replace("swinViT", "swin_vit"): v for k, v in state.items()}
    },
}


def test_wrappings_and_prefixes_make_no_difference(tmp_path):
    state = swin(7).state_dict()
    for name, wrap in WRAPS.items():
        take(tmp_path / f"{name}.pt", wrap(state), name)
    assert len({row.sha256 for row in Checkpoint.objects.all()}) == 1
    assert {weights.name for weights in choices()} >= set(WRAPS)


def test_the_covid_segmentor_sees_the_chest(tmp_path):
    network = swin(2)
    take(tmp_path / "model_covid_voco160k.pt", network.state_dict(), "covid")
    config = load(chosen("covid")).config
    assert config.classes == ("background", "lung tumor")
    assert config.windows_hu == ((-1000.0, 500.0),)
    assert config.spacing_mm == (1.25, 1.25, 5.0)
    assert config.axes == "RAS"
    row = checkpoint("covid")
    assert row.sha256 == file_sha256(checkpoint_file(row))
    assert row.sha256 in row.card


def test_other_outputs_need_their_names(tmp_path):
    path = tmp_path / "specialist.pt"
    torch.save(swin(3).state_dict(), path)
    told = refused("import_checkpoint", str(path), "--name", "s")
    assert "has 3 outputs" in told
    assert "--classes" in told
    wrong = ("--classes", "background,liver tumor")
    assert "2 classes are named" in refused("import_checkpoint", str(path), "--name", "s", *wrong)
    wrong = ("--classes", "liver,liver tumor,kidney")
    assert "background first" in refused("import_checkpoint", str(path), "--name", "s", *wrong)
    call_command(
        "import_checkpoint", str(path), "--name", "s", "--classes", "background,liver,liver tumor"
    )
    assert chosen("s").organs == ("liver",)


# -- encoders --------------------------------------------------------------------------------------


def head(width: int = 12) -> dict[str, torch.Tensor]:
    """VoCo's self-supervised weights: the encoder under `backbone`, and two projections."""
    whole = swin(14, width, seed=5).state_dict()
    state = {f"backbone.{k}": v for k, v in whole.items() if k.startswith(("swinViT", "encoder"))}
    state |= {f"{k}.layer1.0.weight": torch.zeros(4, 4) for k in ("student", "teacher")}
    return state


def test_an_encoder_starts_a_training_and_finds_nothing(tmp_path, capsys):
    take(tmp_path / "VoCo_B_SSL_head.pt", {"state_dict": head()}, "voco")
    assert checkpoint("voco").kind == "encoder"
    assert "voco" not in {weights.name for weights in choices()}
    with pytest.raises(CasesError, match=r"voco \(encoder\) finds nothing"):
        chosen("voco")
    config = NetworkConfig(name="swinunetr", width=12, classes=ABDOMEN[:3], axes="RAS")
    network = build(config, 1)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    told: list[str] = []
    start_from(start_of("voco", "RAS"), network, config, told.append)
    given_state = head()
    for name, tensor in network.state_dict().items():
        given = given_state.get(f"backbone.{name}")
        assert torch.equal(tensor, before[name] if given is None else given), name
    assert "the decoder is new" in told[0]
    with pytest.raises(CasesError, match=r"set network\.axes to RAS"):
        start_of("voco", "LPS")
    with pytest.raises(RecognitionError, match="another network than the configuration asks for"):
        start_from(
            start_of("voco", "RAS"),
            build(config.model_copy(update={"width": 24})),
            config.model_copy(update={"width": 24}),
            told.append,
        )


def test_a_training_starts_from_a_published_segmentor_by_name(tmp_path, settings_of, capsys):
    import yaml

    network = swin(7)
    take(tmp_path / "abdomen.pt", network.state_dict(), "abdomen")
    document = settings_of(
        network={"name": "swinunetr", "width": 12, "start": "abdomen", "axes": "RAS"},
        data__crop=[32, 32, 64],
        optimizer={"steps": 1, "batch": 1, "lr": 1e-12, "warmup": 0},
    )
    path = tmp_path / "run.yaml"
    path.write_text(yaml.safe_dump(document))
    call_command("train_recognition", "--config", str(path))
    assert "the last layer is new" in capsys.readouterr().out
    from recognition.engine.checkpoints import load_checkpoint

    trained = load_checkpoint(tmp_path / "run" / "network.safetensors")
    assert trained.config.axes == "RAS"
    ours, theirs = trained.network.state_dict(), network.state_dict()
    assert torch.allclose(ours["encoder1.layer.conv1.conv.weight"],
                          theirs["encoder1.layer.conv1.conv.weight"], atol=1e-9)  # fmt: skip
    assert ours["out.conv.conv.weight"].shape[0] == 3


# -- networks of train_recognition -----------------------------------------------------------------


def test_a_trained_network_is_registered_and_used_by_name(tmp_path, capsys):
    from tests.recognition.conftest import write_volume

    config = NetworkConfig(
        name="segresnet", width=4, classes=ABDOMEN[:3], spacing_mm=(4.0, 4.0, 4.0)
    )
    file = tmp_path / "network.safetensors"
    save_checkpoint(file, config, build(config, 1).state_dict(), {"training": "3 steps"})
    call_command("import_checkpoint", str(file), "--name", "my-liver", "--licence", "CC0-1.0")
    row = checkpoint("my-liver")
    assert (row.kind, row.architecture) == ("recognizer", "segresnet")
    assert row.sha256 == file_sha256(file)
    assert "3 steps" in row.card
    call_command("list_checkpoints", "--kind", "recognizer")
    assert "my-liver" in capsys.readouterr().out
    write_volume(tmp_path, "a", 1)
    out = tmp_path / "out"
    call_command(
        "recognize", "--ct", str(tmp_path / "a_ct.nii.gz"), "--checkpoint", "my-liver",
        "--out", str(out), "--window", "16",
    )  # fmt: skip
    assert row.sha256 in (out / "a_ct" / "a_ct.json").read_text()
    checkpoint_file(row).write_bytes(b"")
    load.cache_clear()
    with pytest.raises(CasesError, match="cut off"):
        load(chosen("my-liver"))


# -- what is refused -------------------------------------------------------------------------------


class Code:
    def __reduce__(self):
        return (subprocess.check_call, ([sys.executable, "-c", "open('ran', 'w')"],))


def test_bad_files_are_one_sentence_and_run_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole = tmp_path / "whole.pt"
    torch.save({"state_dict": head()}, whole)
    short = tmp_path / "short.pt"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    assert "truncated" in refused("import_checkpoint", str(short), "--name", "x")
    torch.save({"state_dict": head(), "code": Code()}, tmp_path / "code.pt")
    assert "could run code" in refused(
        "import_checkpoint", str(tmp_path / "code.pt"), "--name", "x"
    )
    assert not (tmp_path / "ran").exists()
    old = dict(swin(7, v2=False).state_dict())
    part = {k: v for k, v in head().items() if "encoder10" not in k}
    other = UNet(3, 1, 2, (4, 8), (2,)).state_dict()
    for name, state, sentence in (
        ("other", other, "holds another architecture"),
        ("part", part, "encoder10.* is missing or of another shape"),
        ("old", {k: v for k, v in old.items() if not k.startswith("decoder")}, "is missing"),
    ):
        torch.save(state, tmp_path / f"{name}.pt")
        told = refused("import_checkpoint", str(tmp_path / f"{name}.pt"), "--name", "x")
        import re

        assert re.search(sentence, told), told

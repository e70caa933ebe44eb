"""The configuration of training: presets, keys, sentences, and the reference that names them."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command

from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.config import PAPER_LOSS
from synthesis.engine.training.reading import (
    all_keys,
    parse_config,
    preset_names,
    read_preset,
    to_yaml,
    with_settings,
)
from tests.conftest import ROOT

REFERENCE = ROOT / "docs" / "reference-training.md"
TRAINING = ROOT / "synthesis" / "engine" / "training"


def test_the_promised_presets_ship_and_are_valid():
    promised = {"liver", "pancreas", "kidney", "abdomen", "lung", "covid", "smoke"}
    promised |= {"freetumor-small"}
    assert set(preset_names()) == promised
    for name in promised:
        config = parse_config(read_preset(name))
        assert parse_config(with_settings({}, [])).seed == 0
        assert config.data.organs


def test_a_configuration_written_reads_back_to_the_same(tmp_path):
    import yaml

    config = parse_config(read_preset("covid"))
    assert parse_config(yaml.safe_load(to_yaml(config))) == config


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"genrator": {}}, "unknown key 'genrator'; did you mean 'generator'?"),
        ({"generator": {"stpes": 3}}, "'generator.stpes'; did you mean 'generator.steps'?"),
        ({"data": {"organs": [{"nam": "x"}]}}, "did you mean 'data.organs.name'?"),
        ({"ema": 0.9}, "did you mean 'generator.ema'?"),
        ({"data": {"crop": [60, 64, 64]}}, "every side of data.crop must be a multiple of 16"),
        ({"data": {"crop": [16, 16, 16]}}, "some side of data.crop must be larger than 16"),
        ({"data": {"crop": "big"}}, "data.crop: "),
        ({"seed": -1}, "seed: "),
        ({"data": {"organs": [{"name": "thyroid"}]}}, "contrast_hu must be given"),
        ({"generator": {"batch": 1}}, "every batch holds a real lesion"),
        ({"generator": {"lr": float("nan")}}, "generator.lr: "),
    ],
)
def test_a_bad_configuration_is_one_sentence_that_names_the_key(document, message):
    with pytest.raises(SynthesisError, match=re.escape(message)) as caught:
        parse_config(document, "X.yaml")
    assert str(caught.value).startswith("X.yaml")
    assert "\n" not in str(caught.value)


def test_settings_change_single_keys_and_leave_the_preset_alone():
    preset = {"data": {"crop": [64, 64, 64]}}
    settings = ["data.crop=[32, 32, 32]", "generator.loss=paper", "data.labelled=a.json"]
    config = parse_config(with_settings(preset, settings))
    assert config.data.crop == (32, 32, 32)
    assert config.data.labelled == ("a.json",)
    assert config.generator.loss.model_dump() == PAPER_LOSS
    assert preset == {"data": {"crop": [64, 64, 64]}}
    with pytest.raises(SynthesisError, match="takes key=value"):
        with_settings({}, ["data.crop"])


def test_the_reference_names_every_key_with_its_default_and_meaning():
    text = REFERENCE.read_text("utf-8")
    rows = dict(re.findall(r"^\| `([\w.\[\]]+)` \| (.*) \|$", text, flags=re.MULTILINE))
    expected = {}
    for key, field in all_keys():
        default = "–" if field.is_required() else shown(field.default)
        expected[key] = f"{default} | {field.description}"
    assert rows == expected


def shown(value):
    if value is None or value in ("", ()):
        return "empty"
    if isinstance(value, tuple):
        return ", ".join(shown(item) for item in value)
    if isinstance(value, bool):
        return str(value).lower()
    return f"`{value}`" if isinstance(value, str) else f"{value:g}"


def test_B9_every_key_is_used_by_the_code():
    """A flag that nothing reads is worse than none."""
    text = "".join(
        path.read_text("utf-8")
        for path in TRAINING.glob("*.py")
        if path.name not in ("config.py", "reading.py")
    )
    own = (TRAINING / "config.py").read_text("utf-8").split("class TrainingConfig")[1]
    unused = [
        key
        for key, _ in all_keys()
        if not re.search(rf"\.{key.rsplit('.', 1)[-1]}\b", text + own)
        # Read through the properties `contrast` and `spread` of an organ.
        and not key.endswith((".contrast_hu", ".contrast_sd"))
    ]
    assert unused == []


def test_B1_importing_the_training_reads_no_file_and_needs_no_folder(tmp_path):
    """The published modules load some fifteen data lists, from wherever they are started."""
    program = (
        "import sys\n"
        "opened = []\n"
        "def hook(event, arguments):\n"
        "    name = str(arguments[0]) if event == 'open' else ''\n"
        "    if name.endswith(('.json', '.yaml', '.npy')) and 'site-packages' not in name:\n"
        "        opened.append(name)\n"
        "sys.addaudithook(hook)\n"
        "import synthesis.engine.training.generator\n"
        "print(opened, 'monai' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[] False"


@pytest.mark.parametrize(
    ("command", "arguments", "sentence"),
    [
        ("train_segmentor", ["--preset", "spleen"], "There is no preset 'spleen'"),
        ("train_generator", ["--config", "nothing.yaml"], "There is no configuration nothing.yaml"),
        ("train_segmentor", ["--preset", "liver"], "There are no labelled volumes"),
        ("train_generator", ["--preset", "liver"], "run train_segmentor with this configuration"),
        (
            "train_segmentor",
            ["--preset", "liver", "--set", "data.labelled=no.json"],
            "There is no data list no.json",
        ),
        ("train_segmentor", ["--preset", "smoke", "--set", "device=cuda"], "set device: cpu"),
        (
            "train_segmentor",
            ["--preset", "smoke", "--set", "segmentor.precision=fp16"],
            "fp16 needs a GPU",
        ),
        ("train_segmentor", ["--preset", "smoke", "--resume"], "There is nothing to resume"),
        ("train_segmentor", ["--preset", "smoke", "--set", "sed=1"], "did you mean 'seed'?"),
    ],
)
def test_bad_commands_end_with_one_sentence_and_status_2(
    command, arguments, sentence, tmp_path, settings
):
    small = ["--set", f"out={tmp_path / 'run'}"]
    if "--resume" in arguments:
        small += ["--set", "data.phantoms.labelled=1", "--set", "data.phantoms.unlabelled=0"]
        small += ["--set", "data.phantoms.validation=0"]
    with pytest.raises(CommandError, match=re.escape(sentence)) as caught:
        call_command(command, *arguments, *small)
    assert caught.value.returncode == 2
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()

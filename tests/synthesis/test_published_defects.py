"""What the released code gets wrong before it trains at all, and habits it must not teach us.

The defects are numbered as in the specification of the re-implementation, B0 to B9. Those that
show in training have their tests there (`test_training_*.py`), named after their number; the
first one and the habits are here.
"""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from django.db.utils import OperationalError

from synthesis.engine.errors import SynthesisError
from synthesis.engine.networks import SwinSegmentorConfig, build_network
from synthesis.engine.pipeline import prepare, synthesize
from synthesis.engine.quality import PaperGate
from synthesis.engine.records import Accepted, LesionSpec, NoPlacement
from synthesis.engine.segmenters import NetworkSegmenter
from synthesis.engine.training.generator import (
    GeneratorTrainer,
    discriminator_config,
    generator_config,
    make_critic,
)
from synthesis.engine.training.reading import parse_config, preset_names, read_preset
from synthesis.engine.training.segmentor import segmentor_config
from synthesis.engine.training.statistics import LesionStatistics
from synthesis.engine.training.team import Team
from tests.conftest import ROOT

from . import weights
from .hosts import ball_host
from .test_training_run import batch_of
from .training_data import tiny_document

ENGINE = ROOT / "synthesis"
COMMANDS = sorted(
    path.stem
    for path in (ENGINE / "management" / "commands").glob("*.py")
    if not path.stem.startswith("_")
)


@pytest.mark.parametrize("command", [*COMMANDS, "synthesize"])
def test_B0_every_command_starts(command, capsys):
    """No entry point of the released code runs as it is: a list is asked for `.tolist()`."""
    with pytest.raises(SystemExit) as ended:
        call_command(command, "--help")
    assert ended.value.code == 0
    assert command in capsys.readouterr().out


@pytest.mark.parametrize("preset", preset_names())
def test_B0_the_networks_of_every_preset_can_be_built(preset):
    config = parse_config(read_preset(preset))
    real = [LesionStatistics((-50.0,) * 5, (10.0,) * 5, 2)] * len(config.data.organs)
    architectures = (
        segmentor_config(config),
        generator_config(config, real),
        discriminator_config(config),
    )
    for architecture in architectures:
        # On no device: the shapes are what matters, not 20 million numbers.
        with torch.device("meta"):
            network = build_network(architecture)
        assert sum(p.numel() for p in network.parameters()) > 1000


@pytest.mark.parametrize(
    "command", [["list_checkpoints"], ["import_checkpoint", "x.pt", "--name", "x"]]
)
def test_a_command_before_the_first_migration_says_what_to_do(command, monkeypatch):
    from synthesis.models import Checkpoint

    class Gone:
        def __getattr__(self, name):
            raise OperationalError("no such table: synthesis_checkpoint")

    monkeypatch.setattr(Checkpoint, "objects", Gone())
    with pytest.raises(CommandError, match=r"set it up with `manage\.py migrate`") as caught:
        call_command(*command)
    assert caught.value.returncode == 2


# -- a SwinUNETR, the published critic and gate ----------------------------------------------------

TINY_SWIN = SwinSegmentorConfig(feature_size=12)


def test_a_swin_unetr_is_a_critic_in_the_published_way(tmp_path):
    """Published losses, published discriminator, SwinUNETR as frozen critic: a finite step."""
    made = tiny_document(tmp_path, tmp_path / "out")
    made["data"] |= {"spacing_mm": [1.5] * 3, "crop": [32, 32, 64]}
    made["generator"] |= {"loss": "paper", "discriminator": "published", "discriminator_width": 2}
    config = parse_config(made)
    critic = make_critic(weights.loaded(TINY_SWIN, "segmentor"), config)
    frozen = [p.clone() for p in critic.network.parameters()]
    real = [LesionStatistics((-50.0,) * 5, (10.0,) * 5, 2)] * 2
    trainer = GeneratorTrainer(config, critic, real, Team())
    item = {
        key: torch.nn.functional.pad(value, (24, 24, 8, 8, 8, 8)) if value.ndim == 5 else value
        for key, value in batch_of([0, 1]).items()
    }
    before = [p.clone() for p in trainer.generator.parameters()]
    told = trainer.step(0, [item])
    assert all(np.isfinite(value) for value in told.values())
    assert 0 < told["seg"] < 1
    after = list(trainer.generator.parameters())
    assert any(not torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(frozen, critic.network.parameters(), strict=True))
    # Its deepest level halves five times and normalizes what is left: one voxel is not enough.
    made["data"]["crop"] = [32, 32, 32]
    with pytest.raises(SynthesisError, match=r"needs more than 32 x 32 x 32 voxels of data\.crop"):
        make_critic(weights.loaded(TINY_SWIN, "segmentor"), parse_config(made))


def test_a_swin_unetr_is_a_gate_in_the_published_way():
    segmenter = NetworkSegmenter(weights.loaded(TINY_SWIN, "segmentor"), least=(32, 32, 32))
    gate = dataclasses.replace(PaperGate(segmenter), context_mm=20.0)
    prepared = prepare(ball_host((2.0, 2.0, 2.0), radius_mm=24.0))
    outcome = synthesize(prepared, LesionSpec((9.0, 9.0), max_attempts=1), _textural(), 1, gate)
    assert isinstance(outcome.verdict, Accepted | NoPlacement)
    scores = [r.scores for r in outcome.rejected] or [outcome.verdict.scores]
    assert 0.0 <= scores[0]["recall_any"] <= 1.0


# -- habits ----------------------------------------------------------------------------------------


def _textural():
    from synthesis.engine.generators import get_generator

    return get_generator("textural")


@pytest.mark.parametrize("make", [_textural, weights.conditional, weights.published])
def test_global_random_state_is_neither_read_nor_moved(make):
    generator, prepared = make(), prepare(ball_host((2.0, 2.0, 2.0), radius_mm=20.0))
    hashes = []
    for seed in (1, 2):
        np.random.seed(seed)  # noqa: NPY002
        torch.manual_seed(seed)
        state = np.random.get_state()[1].copy()  # noqa: NPY002
        outcome = synthesize(prepared, LesionSpec((8.0, 12.0), 0.5), generator, 5)
        hashes.append([r.lesion.sha256 for r in outcome.rejected])
        hashes[-1].append(getattr(getattr(outcome.verdict, "lesion", None), "sha256", ""))
        assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002
        torch.manual_seed(seed + 10)
        expected = torch.rand(3)
        torch.manual_seed(seed + 10)
        assert torch.equal(torch.rand(3), expected)
    assert hashes[0] == hashes[1]


#: What may not stand in the engine, and why.
FORBIDDEN = {
    r"\.cuda\(\)": "a device somebody chose for everybody",
    r"[\"']/(data|home|mnt)/": "a path of somebody's computer",
    r"(np|numpy)\.random\.(seed|rand|randn|randint|choice|normal|uniform)\(": "global randomness",
    r"^import random$": "global randomness",
    r"(?<!default_generator)(?<!Generator\(\))\.manual_seed\(": "global randomness",
    r"weights_only=False": "a pickle that may hold code",
}


@pytest.mark.parametrize("pattern", FORBIDDEN, ids=FORBIDDEN.values())
def test_the_engine_is_free_of(pattern):
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in Path(ENGINE).rglob("*.py")
        for match in re.finditer(pattern, path.read_text("utf-8"), re.MULTILINE)
    ]
    assert found == []

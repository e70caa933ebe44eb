"""Both stages end to end on tiny volumes: defects of the published training, kills, processes."""

from __future__ import annotations

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from django.core.management import CommandError, call_command
from torch.utils.data import default_collate

from synthesis.engine.checkpoints import load_checkpoint
from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.generator import GeneratorTrainer, make_critic, train_generator
from synthesis.engine.training.losses import Counts
from synthesis.engine.training.monitor import Monitor
from synthesis.engine.training.reading import parse_config, to_yaml
from synthesis.engine.training.segmentor import SegmentorTrainer, learning_rate, train_segmentor
from synthesis.engine.training.statistics import LesionStatistics
from synthesis.engine.training.team import Team
from tests.conftest import ROOT
from tests.synthesis.training_data import tiny_document, write_lists

ALONE = Team()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    write_lists(folder)
    return folder


def quiet(_):
    pass


def document(folder, out, **generator):
    made = tiny_document(folder, out)
    made["generator"] |= generator
    return made


@pytest.fixture(scope="module")
def unbroken(folder):
    """Both stages, in one go."""
    config = parse_config(tiny_document(folder, folder / "unbroken"))
    return train_generator(config, team=ALONE, say=quiet)


@pytest.fixture
def trainer(folder, unbroken, tmp_path):
    config = parse_config(document(folder, tmp_path))
    segmentor = folder / "unbroken" / "segmentor" / "segmentor.safetensors"
    critic = make_critic(load_checkpoint(segmentor, kind="segmentor"), config)
    real = [LesionStatistics((-55.0, -48.0, -40.0, -32.0, -25.0), (10.0,) * 5, 2)] * 2
    return GeneratorTrainer(config, critic, real, ALONE)


def batch_of(organs, *, real=True):
    """Crops by hand with one lesion each; `organs` are indices."""
    rng = np.random.default_rng(5)
    size, side = len(organs), 16
    hu = torch.from_numpy(100 + 10 * rng.standard_normal((size, 1, side, side, side), np.float32))
    hard = torch.zeros_like(hu, dtype=torch.bool)
    hard[:, :, 4:9, 4:9, 4:9] = True
    tumor = torch.zeros_like(hard)
    if real:
        tumor[:, :, 12:, 12:, 12:] = True
    return {
        "hu": hu,
        "organ": torch.tensor(organs),
        "soft": hard * 0.9,
        "hard": hard,
        "tumor": tumor,
        "real": tumor,
        "body": ~hard & ~tumor,
        "noise": torch.from_numpy(rng.standard_normal(hu.shape, np.float32)),
        "reference": torch.full((size,), 100.0),
        "has": torch.ones(size, dtype=torch.bool),
        "procedural": -40.0 * hard,
    }


def test_B9_stage_1_needs_no_generator_and_stage_2_uses_what_it_made(unbroken, folder):
    run = folder / "unbroken"
    segmentor = load_checkpoint(run / "segmentor" / "segmentor.safetensors", kind="segmentor")
    assert segmentor.config.classes[3:] == ("kidney", "kidney tumor")
    generator = load_checkpoint(unbroken.checkpoint, kind="generator")
    assert [organ.name for organ in generator.config.organs] == ["liver", "kidney"]
    # Before training it paints the contrast of the measured lesions (-40 and -65 HU).
    starts = [organ.start_hu for organ in generator.config.organs]
    assert starts == pytest.approx([-39, -63], abs=4)
    assert re.search(r"6 steps of 2 crops on 4 labelled \(4 les", generator.notes["training"])
    assert "2 unlabelled volumes" in generator.notes["training"]
    assert "passed the gate" in generator.notes["training"]
    assert load_checkpoint(unbroken.checkpoint.with_name("discriminator.safetensors"))
    assert (run / "generator" / "config.yaml").is_file()
    assert not list(run.rglob("*.part"))


def test_tensorboard_event_files_hold_every_number(tmp_path):
    """Parsed record by record, as TensorBoard does: length, checksum, message, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for start in (0, 2):  # the second run goes on after step 2
        monitor = Monitor(
            tmp_path, "generator", start=start, steps=4, every=1, team=ALONE, say=quiet,
            tensorboard=True,
        )  # fmt: skip
        for done in range(start + 1, 5):
            monitor.step(done, {"loss": 10.0 * start + 1.0 / done})
        monitor.note(4, {"mean contrast HU": -37.5})
        monitor.close()
    seen, restarts = {}, set()
    for path in sorted((tmp_path / "tensorboard").iterdir(), key=lambda p: p.stat().st_mtime_ns):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            data = data[12 + length + 4 :]
            if event.session_log.status:
                restarts.add(event.step)
            for value in event.summary.value:
                seen.setdefault(value.tag, {}).setdefault(event.step, []).append(value.simple_value)
    assert set(seen) == {"generator/loss", "generator/mean_contrast_HU"}
    assert seen["generator/loss"][1] == [pytest.approx(1.0)]
    assert seen["generator/loss"][4] == [pytest.approx(0.25), pytest.approx(20.25)]
    assert seen["generator/mean_contrast_HU"] == {4: [-37.5, -37.5]}
    assert 3 in restarts  # what the first run wrote from step 3 on is hidden


def test_trained_files_enter_the_registry(unbroken, db, capsys):
    from synthesis.services import import_checkpoint

    (row,) = import_checkpoint(unbroken.checkpoint, "tiny")
    assert row.kind == "generator"
    assert "6 steps of 2 crops" in row.card


def test_an_interrupted_run_resumes_to_the_weights_of_an_unbroken_one(folder, unbroken, tmp_path):
    config = parse_config(document(folder, tmp_path / "run"))

    def stop(stage, step):
        def say(line):
            if line.startswith(stage) and f" {step}/" in line:
                raise KeyboardInterrupt

        return say

    # Broken off in stage 1 after its checkpoint at step 2, and in stage 2 after step 4.
    with pytest.raises(KeyboardInterrupt):
        train_segmentor(config, team=ALONE, say=stop("segmentor", 3))
    train_segmentor(config, team=ALONE, say=quiet, resume=True)
    with pytest.raises(KeyboardInterrupt):
        train_generator(config, team=ALONE, say=stop("generator", 5))
    train_generator(config, team=ALONE, say=quiet, resume=True)
    for name in ("segmentor/segmentor", "generator/generator", "generator/discriminator"):
        mine, whole = (
            load_checkpoint(base / f"{name}.safetensors").network.state_dict()
            for base in (tmp_path / "run", folder / "unbroken")
        )
        assert all(torch.equal(mine[key], whole[key]) for key in whole), name
    logs = [
        (base / "generator" / "log.jsonl").read_text()
        for base in (tmp_path / "run", folder / "unbroken")
    ]
    assert logs[0] == logs[1]


def test_a_run_is_not_overwritten_and_other_settings_do_not_resume_it(folder, unbroken):
    made = tiny_document(folder, folder / "unbroken")
    with pytest.raises(SynthesisError, match="already holds a run; add --resume"):
        train_generator(parse_config(made), team=ALONE, say=quiet)
    made["generator"]["lr"] = 0.5
    with pytest.raises(SynthesisError, match="belongs to a run with other settings"):
        train_generator(parse_config(made), team=ALONE, say=quiet, resume=True)


def test_B2_every_organ_moves_the_weights_of_its_own_and_of_no_other(trainer):
    for organ, other in ((0, 1), (1, 0)):
        item = batch_of([organ, organ])
        counts = Counts.from_tensor(Counts.of([item]))
        _, terms = trainer._painted(0, item, counts)
        trainer.generator.zero_grad(set_to_none=True)
        sum(weight * term for weight, term in terms.values()).backward()
        for weights in (trainer.generator.organ.weight, trainer.generator.level.weight):
            assert weights.grad[organ].abs().sum() > 0
            assert weights.grad[other].abs().sum() == 0
        assert trainer.generator.head.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("organ", [0, 1])
def test_B3_real_tumors_of_every_organ_teach_the_discriminator(trainer, organ):
    """Untouched organ is never called fake, whatever its label; its real tumors are real."""
    item = batch_of([organ])
    item["hard"].zero_()
    item["soft"] = item["soft"] * 0
    item["has"].zero_()
    counts = Counts.from_tensor(Counts.of([item]))
    seen = []
    hook = trainer.discriminator.register_forward_hook(
        lambda _, __, out: seen.append(out.retain_grad() or out)
    )
    trainer.discriminator_step(1, [item], [item["hu"]], counts)
    hook.remove()
    gradient = seen[0].grad[:, :, 12:, 12:, 12:]
    assert (gradient[:, 1] < 0).all()  # more real
    assert (seen[0].grad[:, 2] >= 0).all()  # nowhere more fake


def test_B4_nothing_of_the_generators_step_is_left_in_the_discriminators(trainer, monkeypatch):
    items = [batch_of([0, 1])]
    counts = Counts.from_tensor(Counts.of(items))
    made, _ = trainer.generator_step(0, items, counts)
    assert all(p.grad is None for p in trainer.discriminator.parameters())
    used = []
    original = type(trainer.judge).step

    def step(self):
        used.append([p.grad.clone() for p in self.network.parameters()])
        original(self)

    monkeypatch.setattr(type(trainer.judge), "step", step)
    state = {k: v.clone() for k, v in trainer.discriminator.state_dict().items()}
    for parameter in trainer.discriminator.parameters():
        parameter.grad = torch.full_like(parameter, 7.0)  # what somebody left behind
    trainer.discriminator_step(1, items, made, counts)
    trainer.discriminator.load_state_dict(state)
    trainer.discriminator_step(1, items, made, counts)
    assert all(torch.equal(a, b) for a, b in zip(*used, strict=True))
    # And the critic never has gradients.
    assert all(p.grad is None for p in trainer.critic.network.parameters())


def test_B6_no_network_depends_on_the_rest_of_the_batch(trainer):
    together, alone = batch_of([0, 1]), batch_of([0, 1])
    together["hu"][1] += 500
    with torch.no_grad():
        for network in (trainer.generator, trainer.average):
            first, second = (
                network(i["hu"], i["soft"], i["noise"], i["organ"]) for i in (together, alone)
            )
            assert torch.equal(first[0], second[0])
        for network in (trainer.discriminator, trainer.critic.network):
            first, second = (network(i["hu"].clamp(0, 200) / 200) for i in (together, alone))
            assert torch.equal(first[0], second[0])
            assert not torch.equal(first[1], second[1])


def test_nothing_changes_outside_the_mask_and_the_average_follows(trainer):
    item = batch_of([0, 1])
    before = [p.clone() for p in trainer.average.parameters()]
    values = trainer.step(0, [item])
    made, _ = trainer.generator_step(0, [item], Counts.from_tensor(Counts.of([item])))
    assert torch.equal(made[0][item["soft"] == 0], item["hu"][item["soft"] == 0])
    assert not torch.equal(made[0], item["hu"])
    assert any(not torch.equal(a, b) for a, b in zip(before, trainer.average.parameters()))
    assert set(values) >= {"loss", "seg", "fool", "stats", "disc", "contrast_hu"}
    assert values["contrast_hu"] == pytest.approx(-36, abs=10)


def test_lesions_move_towards_the_statistics_of_real_ones(trainer):
    """Contrast must not collapse: lesions at -36 HU are drawn to real ones at -90."""
    item = batch_of([0, 1])
    trainer.statistics = [
        LesionStatistics((-110.0, -100.0, -90.0, -80.0, -70.0), (10.0,) * 5, 2)
    ] * 2
    for updater in (trainer.paint, trainer.judge):
        updater.optimizer.param_groups[0]["lr"] = 0.02
    values = [trainer.step(100 + number, [item]) for number in range(25)]
    assert values[-1]["stats"] < 0.6 * values[0]["stats"]
    assert values[-1]["contrast_hu"] < values[0]["contrast_hu"] - 15
    assert values[-1]["loss"] < values[0]["loss"]
    assert values[-1]["disc"] < values[0]["disc"]


def test_a_batch_in_two_passes_makes_the_update_of_one_pass(folder, unbroken, tmp_path):
    def weights(**keys):
        config = parse_config(document(folder, tmp_path, **keys))
        segmentor = folder / "unbroken" / "segmentor" / "segmentor.safetensors"
        critic = make_critic(load_checkpoint(segmentor, kind="segmentor"), config)
        real = [LesionStatistics((-50.0,) * 5, (10.0,) * 5, 2)] * 2
        made = GeneratorTrainer(config, critic, real, ALONE)
        whole = batch_of([0, 1, 0, 1])
        size = config.generator.batch
        parts = [
            {key: value[k : k + size] for key, value in whole.items()} for k in range(0, 4, size)
        ]
        losses = [made.step(n, parts)["loss"] for n in range(3)]
        return losses, made.generator.head.weight.detach()

    (one, head_one), (two, head_two) = weights(batch=4), weights(batch=2, accumulate=2)
    assert one == pytest.approx(two, rel=1e-4)
    assert torch.allclose(head_one, head_two, atol=1e-4)


@pytest.mark.parametrize(
    "keys",
    [
        {"precision": "bf16"},
        {"loss": "paper"},
        {"loss": {"adversarial": "hinge", "r1_every": 1}},
        {"discriminator": "published", "discriminator_width": 2},
    ],
)
def test_every_kind_of_training_takes_a_finite_step(folder, unbroken, tmp_path, keys):
    config = parse_config(document(folder, tmp_path, **keys))
    segmentor = folder / "unbroken" / "segmentor" / "segmentor.safetensors"
    critic = make_critic(load_checkpoint(segmentor, kind="segmentor"), config)
    real = [LesionStatistics((-50.0,) * 5, (10.0,) * 5, 2)] * 2
    made = GeneratorTrainer(config, critic, real, ALONE)
    for number in range(2):
        values = made.step(number, [batch_of([0, 1])])
        assert all(np.isfinite(value) for value in values.values())
    if keys.get("loss") == "paper":
        assert set(values) == {"loss", "seg", "fool", "contrast_hu", "disc"}
        assert values["loss"] == pytest.approx(values["seg"] + 0.1 * values["fool"])


def test_the_critic_must_know_the_tumors_and_the_grid(folder, unbroken, tmp_path):
    segmentor = folder / "unbroken" / "segmentor" / "segmentor.safetensors"
    made = document(folder, tmp_path)
    made["data"]["organs"] = [{"name": "pancreas"}]
    with pytest.raises(SynthesisError, match="does not know pancreas tumor; it knows liver,"):
        make_critic(load_checkpoint(segmentor), parse_config(made))
    made = document(folder, tmp_path)
    made["data"]["spacing_mm"] = [1.0, 1.0, 1.0]
    with pytest.raises(SynthesisError, match="make them equal"):
        make_critic(load_checkpoint(segmentor), parse_config(made))


def test_stage_1_learns_one_batch_by_heart_and_the_rate_follows_its_plan(folder, tmp_path):
    config = parse_config(document(folder, tmp_path))
    made = SegmentorTrainer(config, ALONE)
    from synthesis.engine.training.crops import Schedule, SegmentorCrops
    from synthesis.engine.training.run import load_pool

    pool = load_pool(config, ALONE, quiet)
    schedule = Schedule(pool.labelled, (), repeats=1, lesion_share=0.5, seed=0)
    crops = SegmentorCrops(schedule, config.data, config.segmentor, 0)
    item = default_collate([crops[0], crops[1]])
    losses = [made.step(1, [dict(item)])["loss"] for _ in range(20)]
    assert losses[-1] < 0.8 * losses[0]
    stage = config.segmentor.model_copy(update={"warmup": 10, "steps": 110})
    rates = [learning_rate(stage, step) / stage.lr for step in (0, 9, 10, 60, 110)]
    assert rates == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0], abs=1e-9)


def test_a_training_that_breaks_down_says_so_and_keeps_the_last_good_file(folder, tmp_path):
    made = document(folder, tmp_path)
    made["segmentor"] |= {"lr": 1e20, "warmup": 0, "checkpoint_every": 100}
    with pytest.raises(SynthesisError, match=r"broke down at step \d .*; lower segmentor\.lr"):
        train_segmentor(parse_config(made), team=ALONE, say=quiet)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_samples_and_progress_can_be_looked_at(folder, unbroken, tmp_path):
    from PIL import Image

    made = document(folder, tmp_path, steps=2, samples_every=1, validation_crops=0)
    made["tensorboard"] = True
    made["generator"]["segmentor"] = str(folder / "unbroken/segmentor/segmentor.safetensors")
    lines = []
    train_generator(parse_config(made), team=ALONE, say=lines.append)
    assert any(re.search(r"^generator \[#{10}\.{10}\] 1/2  loss .* s left", x) for x in lines), (
        lines
    )
    pictures = sorted((tmp_path / "generator" / "samples").glob("*.png"))
    assert [p.name for p in pictures] == ["0000001.png", "0000002.png"]
    assert Image.open(pictures[0]).size[0] > 4 * 24
    log = [json.loads(x) for x in (tmp_path / "generator/log.jsonl").read_text().splitlines()]
    assert [x["step"] for x in log] == [1, 2]
    if any("TensorBoard is not installed" in line for line in lines):
        assert not (tmp_path / "generator" / "tensorboard").exists()
    else:
        assert list((tmp_path / "generator" / "tensorboard").glob("events*"))


# -- in processes of their own -------------------------------------------------------------------


def environment(tmp_path):
    return {
        **os.environ,
        "READERSTUDY_DATA_DIR": str(tmp_path / "data"),
        "OMP_NUM_THREADS": "1",
        "MASTER_ADDR": "127.0.0.1",
    }


def launch(tmp_path, config_file, *options, processes=1, command="train_generator"):
    program = [sys.executable]
    if processes > 1:
        program += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return subprocess.Popen(
        [*program, "manage.py", command, "--config", str(config_file), *options],
        cwd=ROOT,
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process, seconds=240):
    out, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, out
    return out


def write_config(path, made):
    path.write_text(to_yaml(parse_config(made)))
    return path


@pytest.mark.slow
def test_a_run_killed_with_SIGKILL_resumes_to_the_same_file(folder, unbroken, tmp_path):
    made = document(folder, tmp_path / "run", steps=16)
    made["generator"]["segmentor"] = str(folder / "unbroken/segmentor/segmentor.safetensors")
    killed = write_config(tmp_path / "killed.yaml", made)
    process = launch(tmp_path, killed)
    state = tmp_path / "run" / "generator" / "state.safetensors"
    deadline = time.monotonic() + 180
    while not state.is_file() and time.monotonic() < deadline:
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    ended(launch(tmp_path, killed, "--resume"))
    made["out"] = str(tmp_path / "whole")
    ended(launch(tmp_path, write_config(tmp_path / "whole.yaml", made)))
    one, two = (
        (tmp_path / name / "generator" / "generator.safetensors").read_bytes()
        for name in ("run", "whole")
    )
    assert one == two


@pytest.mark.slow
def test_two_processes_give_the_loss_curve_of_one_with_the_doubled_batch(
    folder, unbroken, tmp_path
):
    """Both stages, the second on what the first made."""
    curves = {}
    for processes, batch in ((1, 4), (2, 2)):
        made = document(folder, tmp_path / f"by{processes}", batch=batch)
        made["segmentor"]["batch"] = batch
        ended(launch(tmp_path, write_config(tmp_path / "x.yaml", made), processes=processes))
        for stage in ("segmentor", "generator"):
            log = (tmp_path / f"by{processes}" / stage / "log.jsonl").read_text()
            rows = map(json.loads, log.splitlines())
            curves[stage, processes] = [row["loss"] for row in rows if "loss" in row]
    for stage, steps in (("segmentor", 4), ("generator", 6)):
        assert len(curves[stage, 1]) == steps
        assert curves[stage, 2] == pytest.approx(curves[stage, 1], rel=1e-3)


@pytest.mark.slow
def test_the_smoke_preset_lowers_the_losses(tmp_path, capsys):
    shorter = ["--set", "segmentor.steps=200", "--set", "generator.steps=75"]
    call_command("train_generator", "--preset", "smoke", "--set", f"out={tmp_path}", *shorter)
    logs = {
        stage: [json.loads(x) for x in (tmp_path / stage / "log.jsonl").read_text().splitlines()]
        for stage in ("segmentor", "generator")
    }
    losses = [row["loss"] for row in logs["segmentor"] if "loss" in row]
    assert losses[-1] < 0.7 * losses[0]
    # The losses of the generator are those of other crops each time; held-out ones stay the same.
    first, last = (logs["generator"][k]["recognition loss"] for k in (0, -1))
    assert last < 0.9 * first


def test_a_preset_without_data_says_what_to_add(tmp_path):
    with pytest.raises(CommandError, match=r"--set data\.labelled=FILE\.json"):
        call_command("train_segmentor", "--preset", "lung", "--set", f"out={tmp_path / 'x'}")

"""Training of the recognition networks."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from django.core.management import call_command
from django.core.management.base import CommandError
from torch.nn import functional

from recognition.engine.checkpoints import load_checkpoint
from recognition.engine.errors import RecognitionError
from recognition.engine.networks import NetworkConfig, build, network_names
from recognition.engine.training.config import TrainingConfig
from recognition.engine.training.crops import Crops, Inserted, cutmix
from recognition.engine.training.lists import class_of, read_list, split
from recognition.engine.training.loop import train
from recognition.engine.training.loss import allowed_classes, dice_cross_entropy
from recognition.engine.training.reading import preset_names, read_config
from recognition.engine.training.team import Team
from recognition.engine.training.volumes import Volumes

CLASSES = ("background", "liver", "liver tumor")


def config_of(document) -> TrainingConfig:
    return TrainingConfig.model_validate(document)


def quiet(_: str) -> None:
    """Says nothing."""


class Marker:
    """A synthesizer that leaves a cube of 500 HU, or rejects."""

    name = "marker"

    def __init__(self, *, rejects: bool = False) -> None:
        self.rejects, self.asked = rejects, 0

    def insert(self, hu, organ, organ_name, spacing, rng):
        self.asked += 1
        assert organ_name == "liver"
        assert organ.any()
        if self.rejects:
            return None
        mask = np.zeros(hu.shape, bool)
        mask[tuple(np.argwhere(organ)[rng.integers(organ.sum())])] = True
        return Inserted(np.where(mask, 500, hu).astype(np.float32), mask)


# ------------------------------------------------------------------------------------- networks
@pytest.mark.parametrize("name", network_names())
def test_every_network_maps_windows_to_classes_and_starts_from_its_seed(name):
    config = NetworkConfig(name=name, width=4, classes=CLASSES)
    one, same, other = (build(config, seed) for seed in (1, 1, 2))
    n = config.multiple
    with torch.inference_mode():
        assert one(torch.zeros(1, 1, n, n, 2 * n)).shape == (1, 3, n, n, 2 * n)
    first, again, third = (list(network.state_dict().values()) for network in (one, same, other))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first, third, strict=True))


# ---------------------------------------------------------------------------------------- lists
@pytest.mark.parametrize(
    ("name", "number"),
    [("liver", 1), ("Liver tumour", 2), ("cancer", 2), ("liver_cyst", 1), ("spleen", 0)],
)
def test_label_names_mean_classes(name, number):
    assert class_of(name, CLASSES) == number


def test_folds_keep_a_patient_together_and_carry_hashes(lists):
    entries = read_list(str(lists / "labelled.json"), CLASSES, tumors=True)
    cut = split(entries, folds=5, fold=2, seed=7)
    assert (len(cut.train), len(cut.test)) == (4, 1)
    assert sorted(v["fold"] for v in cut.document["volumes"]) == [0, 1, 2, 3, 4]
    assert all(len(v["sha256"]) == 64 for v in cut.document["volumes"])
    assert split(entries, 5, 2, 7).document == cut.document
    twins = [replace(entry, patient=f"P{k // 2}") for k, entry in enumerate(entries)]
    for fold in range(3):
        held = split(twins, 3, fold, 7)
        assert not {e.patient for e in held.train} & {e.patient for e in held.test}


# ---------------------------------------------------------------------------------------- crops
@pytest.fixture(scope="module")
def volumes(lists):
    made = []
    for name, tumors in (("labelled", True), ("unlabelled", False)):
        entries = read_list(str(lists / f"{name}.json"), CLASSES, tumors=tumors)
        made.append(Volumes(entries, (4, 4, 4), lists / "cache"))
    return made


def test_a_crop_follows_from_its_number_alone(settings_of, volumes):
    config = config_of(settings_of())
    first, again = Crops(config, *volumes), Crops(config, *volumes)
    items = [first[n] for n in (3, 1, 2)]
    for item, n in zip(items, (3, 1, 2), strict=True):
        assert torch.equal(item["hu"], again[n]["hu"])
        assert torch.equal(item["label"], again[n]["label"])
    assert not torch.equal(items[0]["hu"], items[1]["hu"])


def test_tumor_crops_show_a_tumor_and_unlabelled_ones_count_as_healthy(settings_of, volumes):
    config = config_of(settings_of(sampling={"labelled_share": 1.0, "tumor_share": 1.0}))
    crops = Crops(config, *volumes)
    assert all((crops[n]["label"] == 2).any() for n in range(6))
    config = config_of(settings_of(sampling={"labelled_share": 0.0}))
    crops = Crops(config, *volumes)
    assert all(crops[n]["annotated"].tolist() == [True, True, True] for n in range(3))
    unknown = settings_of(sampling={"labelled_share": 0.0}, data__unlabelled_tumors="unknown")
    assert Crops(config_of(unknown), *volumes)[0]["annotated"].tolist() == [True, True, False]


def test_volumes_made_elsewhere_show_their_tumors_and_are_in_no_fold(settings_of, lists, volumes):
    config = config_of(settings_of(sampling={"labelled_share": 0.0, "tumor_share": 1.0}))
    entries = read_list(str(lists / "labelled.json"), CLASSES, tumors=True)
    marker = Marker()
    crops = Crops(config, volumes[0], Volumes(entries, (4, 4, 4), lists / "cache"), marker)
    for item in (crops[n] for n in range(4)):
        assert (item["label"] == 2).any()
        assert item["annotated"].tolist() == [True, True, True]
    assert marker.asked == 0
    made = str(lists / "labelled.json")
    document = settings_of(data__labelled=[], data__made=[made], optimizer__steps=1)
    train(config_of(document), Team(), say=quiet)
    assert json.loads((Path(document["out"]) / "splits.json").read_text())["volumes"] == []


def test_crops_from_anywhere_also_show_what_is_no_organ(settings_of, volumes):
    def organ(share):
        sampling = {"labelled_share": 1.0, "tumor_share": 0.0, "anywhere_share": share}
        crops = Crops(config_of(settings_of(sampling=sampling)), *volumes)
        return [int((crops[n]["label"] > 0).sum()) for n in range(12)]

    assert np.mean(organ(1.0)) < 0.8 * np.mean(organ(0.0))


def test_synthesis_goes_into_tumor_free_crops_only_and_a_rejected_one_stays_healthy(
    settings_of, volumes
):
    config = config_of(settings_of(sampling={"labelled_share": 0.0, "shift_hu": 0, "scale": 0}))
    for marker in (Marker(), Marker(rejects=True)):
        item = Crops(config, *volumes, marker)[0]
        assert marker.asked == 1
        assert int(item["synthetic"]) == (-1 if marker.rejects else 1)
        assert bool((item["label"] == 2).any()) != marker.rejects
        assert bool((item["hu"] == 500).any()) != marker.rejects
        if not marker.rejects:
            assert torch.equal(item["hu"][0] == 500, item["label"] == 2)
    tumors = config_of(settings_of(sampling={"labelled_share": 1.0, "tumor_share": 1.0}))
    marker = Marker()
    assert int(Crops(tumors, *volumes, marker)[0]["synthetic"]) == 0
    assert marker.asked == 0


def test_cutmix_cuts_image_and_label_at_one_place():
    hu = torch.stack([torch.full((1, 6, 6, 6), float(k)) for k in range(2)])
    label = torch.stack([torch.full((6, 6, 6), k) for k in range(2)])
    batch = {"hu": hu, "label": label, "annotated": torch.ones(2, 3, dtype=torch.bool)}
    swapped = 0
    for seed in range(20):
        cutmix(batch, np.random.default_rng(seed), chance=1.0)
        assert torch.equal(batch["hu"][:, 0].long(), batch["label"])
        swapped += bool(0 < batch["label"][0].float().mean() < 1)
    assert swapped
    batch["annotated"][1, 2] = False
    before = batch["label"].clone()
    cutmix(batch, np.random.default_rng(0), chance=1.0)
    assert torch.equal(batch["label"], before)


# ----------------------------------------------------------------------------------------- loss
def test_with_everything_annotated_the_loss_is_cross_entropy_and_dice():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 3, 4, 4, 4, generator=generator)
    label = torch.randint(0, 3, (2, 4, 4, 4), generator=generator)
    p = torch.softmax(logits, 1)
    one_hot = functional.one_hot(label, 3).movedim(-1, 1).float()
    overlap, total = (p * one_hot).sum((0, 2, 3, 4)), (p + one_hot).sum((0, 2, 3, 4))
    dice = ((2 * overlap + 1) / (total + 1))[1:]
    wanted = functional.cross_entropy(logits, label) + (1 - dice).mean()
    got = dice_cross_entropy(logits, label, torch.ones(2, 3, dtype=torch.bool))
    assert float(got) == pytest.approx(float(wanted), rel=1e-5)


def test_a_tumor_nobody_looked_for_costs_nothing_inside_its_organ():
    label = torch.ones(1, 2, 2, 2, dtype=torch.long)
    says_tumor = torch.tensor([0.0, 0.0, 20.0])[None, :, None, None, None].expand(1, 3, 2, 2, 2)
    known, unknown = torch.tensor([[True, True, True]]), torch.tensor([[True, True, False]])
    assert float(dice_cross_entropy(says_tumor, label, known)) > 5
    assert float(dice_cross_entropy(says_tumor, label, unknown)) < 0.01
    neither = allowed_classes(torch.tensor([[True, False, False]]))[0]
    assert neither[0].tolist() == [True, True, True]


# ------------------------------------------------------------------------------------- training
def weights(path) -> dict[str, torch.Tensor]:
    return load_checkpoint(Path(path)).network.state_dict()


def test_training_lowers_the_loss_and_a_broken_run_resumes_to_the_same_weights(
    settings_of, tmp_path
):
    whole = settings_of(optimizer__steps=12)
    report = train(config_of(whole), Team(), say=quiet)
    assert report.losses[-1] < report.losses[0]

    class Stopped(Exception):
        pass

    def stop(line: str) -> None:
        if line.startswith("step 8 "):
            raise Stopped

    broken = {**whole, "out": str(tmp_path / "broken")}
    with pytest.raises(Stopped):
        train(config_of(broken), Team(), say=stop)
    resumed = train(config_of(broken), Team(), resume=True, say=quiet)
    for (key, a), b in zip(
        weights(report.checkpoint).items(), weights(resumed.checkpoint).values(), strict=True
    ):
        assert torch.equal(a, b), key
    with pytest.raises(RecognitionError, match="already holds a run"):
        train(config_of(broken), Team(), say=quiet)
    other = {**broken, "seed": 9}
    with pytest.raises(RecognitionError, match="belongs to a run with other settings"):
        train(config_of(other), Team(), resume=True, say=quiet)


def test_the_held_out_fold_is_written_down_and_never_trained_on(settings_of, volumes):
    document = settings_of(data__fold=1, optimizer__steps=1)
    train(config_of(document), Team(), say=quiet)
    out = Path(document["out"])
    cut = json.loads((out / "splits.json").read_text())
    assert cut["held_out"] == 1
    notes = load_checkpoint(out / "network.safetensors").notes
    assert notes["split_sha256"] == cut["sha256"]
    assert "nothing was chosen by looking at them" in notes["held_out"]


def test_the_moving_average_is_what_is_saved(settings_of, tmp_path):
    plain = train(config_of(settings_of(optimizer__steps=3)), Team(), say=quiet)
    document = settings_of(optimizer__steps=3, optimizer__ema=0.9) | {"out": str(tmp_path / "ema")}
    averaged = train(config_of(document), Team(), say=quiet)
    last, mean = (list(weights(r.checkpoint).values()) for r in (plain, averaged))
    assert any(not torch.equal(a, b) for a, b in zip(last, mean, strict=True))


@pytest.mark.slow
def test_two_processes_follow_the_loss_of_one_with_the_doubled_batch(settings_of, tmp_path):
    one = settings_of(optimizer__batch=2, optimizer__steps=4, optimizer__warmup=0)
    alone = train(config_of(one), Team(), say=quiet).losses
    two = {**one, "out": str(tmp_path / "two"), "optimizer": {**one["optimizer"], "batch": 1}}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump(two))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2"]
    launch += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"]
    config = ["--config", str(tmp_path / "two.yaml")]
    command = [sys.executable, *launch, "manage.py", "train_recognition", *config]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    rows = (tmp_path / "two" / "log.jsonl").read_text().splitlines()
    # each process normalizes Dice over its own crops, hence the tolerance
    assert [json.loads(row)["loss"] for row in rows] == pytest.approx(alone, rel=0.1)


# --------------------------------------------------------------------------------- the command
def test_the_command_trains_from_a_file_and_the_textural_synthesizer(settings_of, tmp_path, capsys):
    document = settings_of(synthesizer="textural", sampling={"labelled_share": 0.5})
    document["data"]["unlabelled"] = document["data"]["labelled"].replace("labelled", "unlabelled")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(document))
    call_command("train_recognition", "--config", str(path), "--set", "optimizer.steps=2")
    told = capsys.readouterr().out
    assert "5 labelled volumes" in told
    assert "Trained 2 steps" in told


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_is_valid(name):
    assert read_config(name).network.name == "unet"


BAD = {
    "a key with a slip": ("optimizer.step=3", "did you mean 'optimizer.steps'"),
    "a key of another section": ("network.steps=3", "did you mean 'optimizer.steps'"),
    "a value out of range": ("optimizer.lr=-1", "optimizer.lr"),
    "an unknown network": ("network.name=vnet", "network.name"),
    "a crop that does not fit": ("data.crop=[17,16,16]", "multiple of"),
    "no list": ("data.labelled=/nowhere.json", "There is no data list /nowhere.json"),
    "nothing to train on": ("data.labelled=[]", "There are no volumes to train on"),
    "fp16 without a GPU": ("optimizer.precision=fp16", "fp16 needs a GPU"),
    "too many folds": ("data={labelled: LIST, folds: 9, fold: 0}", "cannot be cut into 9 folds"),
    "an organ the list lacks": ("data={labelled: LIST, organs: [lung]}", "names none of the"),
    "no such weights": ("network.start=/no.safetensors", "There is no checkpoint /no.safetensors"),
    "weights for nobody": ("synthesizer_checkpoint=x", "needs a synthesizer"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_settings_are_one_sentence_and_status_2(case, settings_of, tmp_path, lists):
    change, sentence = BAD[case]
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(settings_of()))
    change = change.replace("LIST", str(lists / "labelled.json"))
    with pytest.raises(CommandError) as error:
        call_command("train_recognition", "--config", str(path), "--set", change)
    assert error.value.returncode == 2
    assert sentence in str(error.value)
    assert not (tmp_path / "run").exists()

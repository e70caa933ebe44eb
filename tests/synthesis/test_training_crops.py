"""What the networks are shown: lists, volumes, crops, and whose turn it is."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.crops import Schedule, SegmentorCrops, Shards
from synthesis.engine.training.hosts import HostCrops
from synthesis.engine.training.lists import class_of, read_lists
from synthesis.engine.training.reading import parse_config
from synthesis.engine.training.statistics import lesion_statistics
from synthesis.engine.training.volumes import QUANTILES, load_resampled, prepare_pool
from tests.synthesis.training_data import SPACING, tiny_document, tiny_volume, write_lists

CLASSES = ("background", "liver", "liver tumor", "kidney", "kidney tumor")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lists")
    write_lists(folder)
    return folder


@pytest.fixture(scope="module")
def config(folder):
    return parse_config(tiny_document(folder, folder / "run"))


@pytest.fixture(scope="module")
def pool(config, folder):
    data = config.data
    lists = read_lists(data.labelled, data.unlabelled, data.classes)
    return prepare_pool(lists, data, folder / "cache", 0, lambda _: None)


def hosts(config, pool, **options):
    organs = config.data.organs
    statistics = {
        o.name: lesion_statistics(o, 2 * k + 2, pool.labelled) for k, o in enumerate(organs)
    }
    schedule = Schedule(pool.labelled, pool.unlabelled, repeats=1, lesion_share=0.5, seed=0)
    fixed = {"noise_channels": 1, "procedural_until": 0, "key": (0, 3)}
    return HostCrops(schedule, config.data, statistics, **(fixed | options))


@pytest.mark.parametrize(
    ("name", "classes", "found"),
    [
        ("liver", CLASSES, "liver"),
        ("Liver_tumour", CLASSES, "liver tumor"),
        ("left kidney", CLASSES, "kidney"),
        ("kidney cyst", CLASSES, "kidney"),
        ("cancer", CLASSES, "background"),
        ("cancer", CLASSES[:3], "liver tumor"),
        ("spleen", CLASSES, "background"),
        ("lesion", ("background", "lung", "lung tumor"), "lung tumor"),
    ],
)
def test_label_names_mean_classes(name, classes, found):
    assert classes[class_of(name, classes)] == found


def test_a_list_annotates_only_what_it_names(pool):
    assert [v.annotated for v in pool.labelled] == [
        *[(False, True, True, False, False)] * 2,
        *[(False, False, False, True, True)] * 2,
    ]
    assert len(pool.unlabelled) == 2
    assert len(pool.validation) == 2
    for volume in pool.unlabelled:
        assert set(volume.places) == {1, 3}  # real tumors of unlabelled volumes are not known


def test_volumes_come_on_the_networks_grid_with_x_to_the_left(folder):
    hu, label = load_resampled(folder / "ct1.nii.gz", folder / "label1.nii.gz", (SPACING,) * 3)
    there, _ = tiny_volume(1)
    # Stored with x to the right and y to the front: both axes are turned around.
    assert np.array_equal(hu, there[::-1, ::-1].transpose(2, 1, 0))
    coarse, _ = load_resampled(folder / "ct1.nii.gz", folder / "label1.nii.gz", (4.0, 4.0, 8.0))
    assert coarse.shape == (9, 16, 16)  # voxel centers from end to end
    assert set(np.unique(label)) == {0, 1, 2}


def test_real_lesions_are_measured_against_their_organ(pool, config):
    real = lesion_statistics(config.data.organs[0], 2, pool.labelled)
    assert real.measured == 2
    medians = [
        lesion.quantiles[QUANTILES.index(0.5)]
        for volume in pool.labelled[:2]
        for lesion in volume.lesions
    ]
    assert medians == pytest.approx([-40, -40], abs=4)
    # The engine's table (-38) and two lesions at -40 agree; nothing measured leaves the table.
    assert real.contrast_hu == pytest.approx(-39, abs=2)
    assert lesion_statistics(config.data.organs[0], 2, []).contrast_hu == -38.0


def test_the_cache_is_used_again_and_a_changed_file_is_noticed(folder, config, monkeypatch):
    from synthesis.engine.training import volumes

    data = config.data
    read = []
    genuine = volumes.load_resampled
    monkeypatch.setattr(
        volumes, "load_resampled", lambda *files: read.append(files[0].name) or genuine(*files)
    )
    lists = read_lists(data.labelled, data.unlabelled, data.classes)
    cache = folder / "other-cache"
    for _ in range(2):
        prepare_pool(lists, data, cache, 0, lambda _: None)
    assert len(read) == 8
    (folder / "ct1.nii.gz").touch()
    prepare_pool(lists, data, cache, 0, lambda _: None)
    assert read[8:] == ["ct1.nii.gz"]
    assert not list(cache.glob(".*"))


def test_B8_two_processes_see_every_labelled_and_unlabelled_volume_once_per_round(pool):
    schedule = Schedule(pool.labelled, pool.unlabelled, repeats=2, lesion_share=0.0, seed=3)
    assert schedule.round_length == 2 * 4 + 2
    seen = []
    for rank in range(2):
        shards = Shards(0, 5, batch=1, accumulate=1, rank=rank, world=2)
        seen.append([schedule.turn(i).volume for (i,) in shards])
    assert sorted([*seen[0], *seen[1]]) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 5]
    # Another round, another order.
    first, second = ([schedule.turn(i + k * 10).volume for i in range(10)] for k in range(2))
    assert first != second
    assert sorted(first) == sorted(second)


def test_processes_and_forward_passes_share_the_crops_of_one_large_batch():
    whole = [i for part in Shards(3, 5, batch=8, accumulate=1, rank=0, world=1) for i in part]
    parts = []
    for rank in range(2):
        for part in Shards(3, 5, batch=2, accumulate=2, rank=rank, world=2):
            parts += part
    assert sorted(parts) == whole == list(range(24, 40))


@pytest.mark.parametrize("share", [0.5, 0.25, 1 / 3])
def test_every_batch_holds_real_lesions(pool, share):
    schedule = Schedule(pool.labelled, pool.unlabelled, repeats=1, lesion_share=share, seed=0)
    turns = [schedule.turn(i) for i in range(240)]
    size = round(1 / share)
    for start in range(0, 240, size):
        lesions = [turn for turn in turns[start : start + size] if turn.lesion]
        assert len(lesions) >= 1
        assert all(turn.volume < 4 for turn in lesions)


def test_a_crop_follows_from_its_index_alone(config, pool):
    crops, again = hosts(config, pool), hosts(config, pool)
    [crops[i] for i in (5, 2)]
    one, other = crops[7], again[7]
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert not torch.equal(one["noise"], again[8]["noise"])


def test_hosts_hold_a_lesion_inside_the_organ_and_clear_of_real_tumors(config, pool):
    crops = hosts(config, pool, procedural_until=100)
    made, organs = 0, set()
    for index in range(24):
        item = crops[index]
        hard, soft, real = item["hard"], item["soft"], item["real"]
        assert not (hard & real).any()
        assert not (soft[real] > 0).any()
        assert not (item["body"] & (hard | real)).any()
        if not item["has"]:
            assert not soft.any()
            continue
        made += 1
        organs.add(int(item["organ"]))
        assert item["reference"].item() == pytest.approx((110, 160)[int(item["organ"])], abs=6)
        assert item["procedural"][hard].mean() < -5
        assert not item["procedural"][soft == 0].any()
        diameter = (6 * hard.sum().item() * SPACING**3 / np.pi) ** (1 / 3)
        low, high = config.data.organs[int(item["organ"])].diameter_mm
        assert 0.9 * low < diameter < 1.1 * high
    assert made > 12
    assert organs == {0, 1}


def test_segmentor_crops_carry_what_their_labels_may_mean(config, pool):
    schedule = Schedule(pool.labelled, (), repeats=1, lesion_share=0.5, seed=0)
    crops = SegmentorCrops(schedule, config.data, config.segmentor, 0)
    for index in range(6):
        item = crops[index]
        assert item["hu"].shape == (1, 24, 24, 24)
        assert set(item["label"].unique().tolist()) <= {0, *np.flatnonzero(item["annotated"])}
        if schedule.turn(index).lesion:
            assert ((item["label"] > 0) & (item["label"] % 2 == 0)).any()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"labels": {"1": "spleen"}}, "names none of the classes"),
        ({"labels": {"x": "liver"}}, "must map numbers"),
        ({"labels": None}, 'has no "labels"'),
        ({"training": [{"label": "label1.nii.gz"}]}, "item 1 of 'training' has no \"image\""),
        ({"training": [{"image": "ct1.nii.gz"}]}, "a predicted one will do"),
        ({"training": [{"image": "no.nii.gz", "label": "label1.nii.gz"}]}, "there is no file"),
        ({"labels": {"1": "liver"}}, "holds the label 2"),
        ({"training": [{"image": "ct1.nii.gz", "label": "bad.nii.gz"}]}, "cannot be read"),
        ({"training": [{"image": "ct1.nii.gz", "label": "grid.nii.gz"}]}, "not on the grid"),
    ],
)
def test_bad_lists_and_volumes_are_one_sentence(folder, config, change, sentence):
    import nibabel

    (folder / "bad.nii.gz").write_bytes((folder / "label1.nii.gz").read_bytes()[:200])
    moved = nibabel.Nifti1Image(tiny_volume(1)[1], np.diag([3.0, 3.0, 3.0, 1.0]))
    nibabel.save(moved, folder / "grid.nii.gz")
    document = json.loads((folder / "liver.json").read_text()) | change
    (folder / "changed.json").write_text(json.dumps(document))
    with pytest.raises(SynthesisError) as caught:
        lists = read_lists([str(folder / "changed.json")], [], config.data.classes)
        prepare_pool(lists, config.data, folder / "cache", 0, lambda _: None)
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)

"""Data lists from masks in files of their own, lesions grown in crops, phantoms of both kinds."""

from __future__ import annotations

import io

import nibabel
import numpy as np
import pytest
import yaml
from django.core.management import CommandError, call_command

from synthesis.engine.training.config import Phantoms
from synthesis.engine.training.crops import Schedule, SegmentorCrops
from synthesis.engine.training.growing import Grower
from synthesis.engine.training.hosts import HostCrops
from synthesis.engine.training.lists import read_lists
from synthesis.engine.training.reading import parse_config
from synthesis.engine.training.statistics import statistics_of
from synthesis.engine.training.volumes import Pool, prepare_pool, stand_ins
from tests.synthesis.training_data import tiny_document, tiny_volume, write_lists, write_nifti

CLASSES = ("background", "liver", "liver tumor", "kidney", "kidney tumor")


@pytest.fixture
def scans(tmp_path):
    """Three patients whose masks lie in files of their own, one of them with several labels."""
    root = tmp_path / "scans"
    for number, name in enumerate(("a", "b", "c")):
        hu, label = tiny_volume(number)
        write_nifti(root / name / "ct.nii.gz", hu)
        write_nifti(root / name / "liver.nii.gz", np.isin(label, (1, 2)).astype(np.uint8))
        write_nifti(root / name / "tumor.nii.gz", (label == 2).astype(np.uint8))
        write_nifti(root / name / "all.nii.gz", label)
    return root


def described(tmp_path, *scans):
    path = tmp_path / "data.yaml"
    path.write_text(yaml.safe_dump({"scans": list(scans)}))
    return path


def scan(name, part, **masks):
    masks = {k.replace("_", " "): v for k, v in masks.items()}
    return {"image": f"{name}/ct.nii.gz", "part": part, "masks": masks}


LIVER = {"liver": "{0}/liver.nii.gz", "liver_tumor": "{0}/tumor.nii.gz"}


def masks_of(name):
    return {key: value.format(name) for key, value in LIVER.items()}


def test_masks_in_files_of_their_own_become_decathlon_lists(scans, tmp_path):
    kidney = {"kidney": {"file": "c/all.nii.gz", "values": [3, 4]}}
    description = described(
        tmp_path,
        scan("a", "training", **masks_of("a")),
        scan("b", "validation", **masks_of("b")),
        scan("c", "unlabelled", **kidney),
    )
    said = io.StringIO()
    call_command("list_training_data", description, root=scans, out=tmp_path / "lists", stdout=said)
    written = [line.removeprefix("Wrote ") for line in said.getvalue().splitlines()]
    assert [path.rsplit("/", 1)[1] for path in written] == ["labelled-1.json", "unlabelled-1.json"]
    lists = read_lists(written[:1], written[1:], CLASSES)
    assert [len(part) for part in (lists.labelled, lists.validation, lists.unlabelled)] == [1, 1, 1]
    assert lists.labelled[0].annotated == (False, True, True, False, False)
    assert lists.unlabelled[0].annotated == (False, False, False, True, False)
    there = np.asarray(nibabel.load(lists.labelled[0].label).dataobj)
    expected = tiny_volume(0)[1]
    assert np.array_equal(there, np.where(expected <= 2, expected, 0))  # the tumor lies on top
    kidneys = np.asarray(nibabel.load(lists.unlabelled[0].label).dataobj)
    assert np.array_equal(kidneys > 0, tiny_volume(2)[1] >= 3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"part": "test"}, "scan 1: part is 'test'; choose one of: training"),
        ({"image": "a/no.nii.gz"}, "scan 1: there is no file"),
        ({"masks": {"liver": "a/no.nii.gz"}}, "scan 1: there is no file"),
        ({"masks": {}}, "scan 1 has no masks"),
        ({"masks": {"liver": {"file": "a/all.nii.gz"}}}, "a mask is a file name or"),
        ({"note": "x"}, "scan 1 needs the keys image, part, masks"),
        ({"masks": {"liver": "off.nii.gz"}}, "is not on the grid of"),
    ],
)
def test_a_description_that_makes_no_sense_is_one_sentence(scans, tmp_path, change, sentence):
    write_nifti(scans / "off.nii.gz", np.zeros((8, 8, 8), np.uint8))
    description = described(tmp_path, scan("a", "training", **masks_of("a")) | change)
    with pytest.raises(CommandError) as caught:
        call_command("list_training_data", description, root=scans, out=tmp_path / "lists")
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.returncode == 2
    assert not list(tmp_path.glob("lists/*.json"))


# -- lesions grown in crops ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """Configuration and volumes; one labelled phantom among them."""
    folder = tmp_path_factory.mktemp("lists")
    write_lists(folder)
    document = tiny_document(folder, folder / "run")
    document["data"]["labelled"] = document["data"]["labelled"][:1]
    extent = [100.0, 260.0, 320.0]
    document["data"]["phantoms"] = {"kind": "mixed", "labelled": 1, "extent_mm": extent}
    document["data"]["spacing_mm"] = [4.0, 4.0, 4.0]
    document["data"]["crop"] = [16, 16, 16]
    document["segmentor"]["procedural_share"] = 1.0
    config = parse_config(document)
    data = config.data
    lists = read_lists(data.labelled, data.unlabelled, data.classes)
    return config, prepare_pool(lists, data, folder / "cache", 0, lambda _: None)


def test_stage_1_gets_procedural_lesions_that_are_labelled(tiny):
    config, pool = tiny
    phantom = Pool(tuple(v for v in pool.labelled if v.phantom), (), ())
    schedule = Schedule(phantom.labelled, (), repeats=1, lesion_share=0.0, seed=0)
    grower = Grower(config.data, statistics_of(config.data, pool))
    plain = SegmentorCrops(schedule, config.data, None, 0)
    grown = SegmentorCrops(schedule, config.data, config.segmentor, 0, grower)
    more = 0
    for index in range(12):
        item = grown[index]
        again = grown[index]
        assert all((item[key] == again[key]).all() for key in item)
        label = item["label"].numpy()
        more += int(np.isin(label, (2, 4)).sum()) > int(
            np.isin(plain[index]["label"], (2, 4)).sum()
        )
    assert more >= 4


def test_lesions_of_phantoms_stand_in_only_where_no_real_ones_are(tiny):
    config, pool = tiny
    # Liver lesions were annotated in patients, kidney lesions in the phantom alone.
    assert stand_ins(pool.labelled) == {4}
    statistics = statistics_of(config.data, pool)
    real = [v for v in pool.labelled if not v.phantom]
    assert statistics["liver"].measured == sum(len(v.lesions) for v in real) > 0
    schedule = Schedule(pool.labelled, (), repeats=1, lesion_share=0.5, seed=0, real_first=True)
    crops = HostCrops(
        schedule, config.data, statistics, noise_channels=1, procedural_until=0, key=(0, 3)
    )
    hidden = 0
    for index in range(24):
        item, turn = crops[index], schedule.turn(index)
        volume = schedule.volumes[turn.volume]
        assert not (item["real"] & ~item["tumor"]).any()
        if not volume.phantom:
            assert (item["real"] == item["tumor"]).all()
        hidden += bool((item["tumor"] & ~item["real"]).any())
    assert hidden


def test_phantoms_of_both_kinds_teach_the_organs_they_have(tmp_path):
    document = {
        "data": {
            "organs": [{"name": "liver"}, {"name": "lung", "bound_hu": 1000}],
            "spacing_mm": [6, 6, 6],
            "crop": [32, 32, 32],
            "phantoms": Phantoms(kind="mixed", labelled=2, lesions=1).model_dump(),
        },
        "segmentor": {"channels": [4, 8]},
        "generator": {"channels": [4, 8], "discriminator_channels": [4, 8]},
    }
    data = parse_config(document).data
    pool = prepare_pool(read_lists((), (), data.classes), data, tmp_path, 0, lambda _: None)
    assert [v.annotated for v in pool.labelled] == [
        (False, True, True, False, False),
        (False, False, False, True, True),
    ]
    assert [1 in v.places for v in pool.labelled] == [True, False]
    assert [3 in v.places for v in pool.labelled] == [False, True]

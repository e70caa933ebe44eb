"""The cache of a training: shared by processes, outlives a kill, remade where it is damaged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from recognition.engine.errors import RecognitionError
from recognition.engine.training.config import TrainingConfig
from recognition.engine.training.lists import read_list
from recognition.engine.training.loop import train
from recognition.engine.training.team import Team
from recognition.engine.training.volumes import Volumes
from tests.recognition.conftest import write_volume

CLASSES = ("background", "liver", "liver tumor")


def open_volumes(lists, cache):
    entries = read_list(str(lists / "labelled.json"), CLASSES, tumors=True)
    return Volumes(entries, (4, 4, 4), cache)


def cached(cache):
    return sorted(cache.glob("[!.]*.pt"))


@pytest.mark.slow
def test_two_processes_prepare_a_share_each_and_a_killed_preparation_goes_on(tmp_path):
    items = [write_volume(tmp_path, f"v{k}", k) for k in range(10)]
    labels = {"0": "background", "1": "liver", "2": "liver_tumour"}
    listed, cache = tmp_path / "list.json", tmp_path / "cache"
    listed.write_text(json.dumps({"labels": labels, "training": items}))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"),
        *("--rdzv-backend", "c10d", "--rdzv-endpoint", "localhost:0"),
        *("-m", "tests.recognition.prepare_cache", str(listed), str(cache)),
    ]
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 90
    while len(cached(cache)) < 3:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = {path.name: path.stat().st_mtime_ns for path in cached(cache)}
    assert len(before) < 10
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    after = {path.name: path.stat().st_mtime_ns for path in cached(cache)}
    assert len(after) == 10
    assert {name: after[name] for name in before} == before
    shares = [(cache / f"made-{rank}.txt").read_text().split() for rank in range(2)]
    assert all(len(share) == len(set(share)) for share in shares)
    assert not set(shares[0]) & set(shares[1])
    assert {len(share) for share in shares} <= {4, 5}  # a kill may come between file and note


@pytest.mark.parametrize("damage", ["cut off", "empty", "overwritten", "a byte flipped"])
def test_a_damaged_volume_of_the_cache_is_made_anew(damage, lists, tmp_path):
    cache = tmp_path / "cache"
    volumes = open_volumes(lists, cache)
    assert volumes.prepare(0, 1, lambda _: None) == {}
    wanted = volumes[0].hu
    path = volumes._data.file(0)
    whole = path.read_bytes()
    middle = len(whole) // 2
    path.write_bytes(
        {
            "cut off": whole[:middle],
            "empty": b"",
            "overwritten": b"x" * len(whole),
            "a byte flipped": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        }[damage]
    )
    assert np.array_equal(open_volumes(lists, cache)[0].hu, wanted)
    mended = path.stat().st_mtime_ns
    assert len(path.read_bytes()) == len(whole)
    assert np.array_equal(open_volumes(lists, cache)[0].hu, wanted)
    assert path.stat().st_mtime_ns == mended


def test_what_cannot_be_used_is_listed_and_the_rest_prepared(settings_of, lists, tmp_path):
    document = settings_of()
    document["data"]["cache"] = str(tmp_path / "cache")
    folder = tmp_path / "some"
    folder.mkdir()
    items = [write_volume(folder, f"a{k}", k) for k in range(4)]
    (folder / items[1]["image"]).write_bytes(b"nothing")
    (folder / items[2]["label"]).write_bytes(b"nothing")
    labels = {"0": "background", "1": "liver", "2": "liver_tumour"}
    (folder / "list.json").write_text(json.dumps({"labels": labels, "training": items}))
    document["data"]["labelled"] = str(folder / "list.json")
    with pytest.raises(RecognitionError, match="2 volumes cannot be used"):
        train(TrainingConfig.model_validate(document), Team(), say=lambda _: None)
    rows = (tmp_path / "cache" / "failed-0.csv").read_text().splitlines()
    assert len(rows) == 3
    assert len(cached(tmp_path / "cache")) == 2
    document["data"]["labelled"] = str(lists / "labelled.json")
    train(TrainingConfig.model_validate(document), Team(), say=lambda _: None)
    assert not (tmp_path / "cache" / "failed-0.csv").exists()

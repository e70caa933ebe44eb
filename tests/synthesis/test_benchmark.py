"""The benchmark's own arithmetic: windows counted as MONAI does, ratios and verdicts by hand."""

from __future__ import annotations

import json

import numpy as np
import pytest

from readerstudy.cases import synthesis_benchmark as glue
from readerstudy.ops.benchmarks import SUITES, as_json, as_markdown, machine
from synthesis.benchmark import count_windows, foreground, peak_mb


@pytest.mark.parametrize(
    "shape", [(96, 96, 96), (97, 96, 96), (160, 256, 256), (50, 120, 121), (150, 512, 512)]
)
def test_windows_are_counted_as_monai_slides_them(shape):
    from monai.data.utils import dense_patch_slices
    from monai.inferers.utils import _get_scan_interval

    roi = (96, 96, 96)
    padded = tuple(max(size, 96) for size in shape)
    step = _get_scan_interval(padded, roi, 3, (0.75,) * 3)
    assert count_windows(shape) == len(dense_patch_slices(padded, roi, step))


def test_windows_by_hand():
    # Starts 0, 24, ..., 160: eight along 256 voxels; 0, 24, 48, 64: four along 160.
    assert count_windows((160, 256, 256)) == 4 * 8 * 8


def test_the_foreground_is_the_box_of_all_that_is_above():
    hu = np.full((4, 5, 6), -1000)
    hu[1, 2, 3] = hu[2, 4, 3] = 0
    assert foreground(hu, -175.0) == (slice(1, 3), slice(2, 5), slice(3, 4))


def test_peak_memory_is_that_of_this_process_and_never_falls():
    before = peak_mb()
    block = np.ones(60_000_000, np.uint8)
    during = peak_mb()
    del block
    assert 20 < before <= during
    assert peak_mb() >= during - 5  # the kernel counts in batches


def way(wall, tries=1, made=True):
    row = {"wall_s": wall, "cpu_s": wall, "mapping_s": 0.01, "tries": tries, "made": made}
    return {
        "lesions": [row, row | {"wall_s": 2 * wall}, row],
        "first_s": 1.0,
        "peak_mb": 500.0,
        "loading_s": 2.0,
        "precision": "generator bf16, gate bf16",
    }


def recipe(window_s=12.0, ours_s=0.2):
    half = {"wall_s": window_s / 2, "cpu_s": window_s}
    ours = {"wall_s": ours_s / 2, "cpu_s": ours_s}
    return {
        "windows": 140, "grid": [160, 187, 244], "timed": 2, "generator": half, "gate": half,
        "peak_mb": 4000.0, "ours": {"generator": ours, "gate": ours},
    }  # fmt: skip


def test_ratios_and_verdicts_follow_from_the_times():
    found = {m.name: m for m in glue._lesion_measures(way(0.08), way(0.5), recipe())}
    assert found["(a) textural, wall"].value == pytest.approx(80.0)
    assert found["(a) textural, wall"].met
    assert found["(c) whole volume, wall, estimated"].value == 140 * 12
    assert found["c / a, wall"].value == 140 * 12 / 0.08
    assert found["c / b, wall"].value == 140 * 12 / 0.5
    assert found["c / b, wall"].met
    assert found["Published over ours on that window, wall"].value == pytest.approx(60.0)
    assert found["Published over ours on that window, wall"].met
    assert found["(b) peak memory"].met
    assert found["(c) peak memory"].met is None  # no demand on the published recipe


def test_what_misses_its_bound_is_said_to_miss_it():
    measures = glue._lesion_measures(way(0.12), way(2.0), recipe(ours_s=0.4))
    missed = {m.name for m in measures if m.met is False}
    assert missed == {
        "(a) textural, wall",
        "c / b, wall",
        "Published over ours on that window, wall",
    }


def test_realism_is_written_only_where_it_could_be_measured_and_always_with_n():
    row = {
        "n": 1, "tried": None, "diameter_mm": 20.0, "contrast_hu": -30.0, "histogram_hu": None,
        "noise_ratio": None, "noise_n": 0, "noise_within": 0, "edge_mm": 3.0, "edge_n": 1,
        "edge_distance_mm": None, "nearest": None,
    }  # fmt: skip
    real = glue._realism_measures("lung", "real", row)
    assert [(m.name, m.value) for m in real] == [
        ("Real, lung: lesions", 1),
        ("Real, lung: contrast, median of 1", -30.0),
        ("Real, lung: edge rise, median of 1", 3.0),
    ]
    made = row | {"tried": 9, "noise_ratio": 1.1, "noise_n": 8, "noise_within": 7}
    noise = next(m for m in glue._realism_measures("lung", "textural", made) if "noise" in m.name)
    assert (noise.value, noise.target, noise.met) == (1.1, "0.8 to 1.25", False)


def test_the_suite_is_written_as_table_and_json_with_the_machine():
    a, b, c = way(0.08), way(0.5, tries=2, made=False), recipe()
    notes = glue._lesion_notes(a, b, c, "Learned: tiny.")
    section = glue.Section("One lesion", glue._lesion_measures(a, b, c), notes)
    where = machine()
    text = as_markdown("synthesis", where, [section])
    assert "2 of 140 windows were timed" in text
    assert "3 of 3 lesions found no place or passed in none" in text
    assert where["processor"] in text
    assert "| c / a, wall | 21,000 times |" in text
    assert json.loads(as_json("synthesis", where, [section]))["machine"]["packages"]["torch"]
    assert {where.partition(":")[0] for _, where in SUITES["synthesis"]} == {
        "readerstudy.cases.synthesis_benchmark"
    }

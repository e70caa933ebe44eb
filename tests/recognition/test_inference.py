"""A whole CT through a network: grids, windows, files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from recognition.engine.checkpoints import Loaded, load_checkpoint, save_checkpoint
from recognition.engine.errors import RecognitionError
from recognition.engine.inference import recognize, windows
from recognition.engine.networks import NetworkConfig, build
from tests.recognition.masks import ball

CLASSES = ("background", "liver", "liver tumor", "kidney", "kidney tumor")


class Bright(nn.Module):
    """Sees a liver tumor above 100 HU and a kidney tumor below -30; window -100 to 300."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.largest: tuple[int, ...] = ()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.largest = max(self.largest, tuple(x.shape[2:]))
        hu = x * 400 - 100
        out = torch.zeros(len(x), 5, *x.shape[2:])
        out[:, 2] = torch.where(hu > 100, 30.0, -30.0)[:, 0]
        out[:, 4] = torch.where(hu < -30, 30.0, -30.0)[:, 0]
        return out


@pytest.fixture
def bright() -> Loaded:
    config = NetworkConfig(
        name="unet", classes=CLASSES, windows_hu=((-100, 300),), spacing_mm=(2.0, 2.0, 2.0)
    )
    return Loaded("bright", config, Bright(), "0" * 64, {})


@pytest.mark.parametrize("spacing", [(2.0, 2.0, 2.0), (1.0, 1.0, 4.0), (0.8, 0.8, 5.0)])
def test_tumors_are_found_where_they_are_on_the_scanners_own_grid(bright, spacing):
    shape = tuple(round(mm / s) for mm, s in zip((120, 160, 160), spacing[::-1], strict=True))
    z, y, x = (n // 2 for n in shape)
    liver, kidney = (
        ball(shape, (z, y, x // 2), 14, spacing),
        ball(shape, (z, y, 3 * x // 2), 14, spacing),
    )
    hu = np.full(shape, 0, np.int16)
    hu[liver], hu[kidney] = 200, -60
    told = []
    got = recognize(bright, hu, spacing, roi=(48, 48, 48), tell=lambda a, b: told.append((a, b)))
    assert got.mask.shape == shape
    for organ, place in ((2, liver), (4, kidney)):
        found = got.organ == organ
        assert 2 * (found & place).sum() / (found.sum() + place.sum()) > 0.85
    assert got.mask.sum() == (got.organ > 0).sum()
    assert told[-1][0] == told[-1][1] == len(told)
    assert bright.network.largest == (48, 48, 48)


def test_a_published_network_sees_the_patient_as_its_authors_did():
    """Arrays (x, y, z) to the right, the front and the head, and back again."""
    config = NetworkConfig(name="unet", classes=CLASSES, spacing_mm=(2.0, 2.0, 2.0), axes="RAS")
    seen: list[torch.Tensor] = []

    class Watch(Bright):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x)
            return super().forward(x)

    hu = np.full((16, 24, 32), 0, np.int16)
    hu[12:, :6, :8] = 250  # head, front, right
    loaded = Loaded("published", config, Watch(), "0" * 64, {})
    got = recognize(loaded, hu, (2.0, 2.0, 2.0), roi=(16, 24, 32))
    (block,) = seen
    assert block.shape[2:] == (32, 24, 16)
    where = torch.nonzero(block[0, 0] == 1.0)
    # the first voxels of our right and front are the last of theirs
    assert where.min(dim=0).values.tolist() == [24, 18, 12]
    assert where.max(dim=0).values.tolist() == [31, 23, 15]
    assert np.array_equal(got.organ == 2, hu == 250)


def test_air_alone_is_never_shown_to_the_network(bright):
    got = recognize(bright, np.full((8, 16, 16), -1000, np.int16), (1, 1, 1))
    assert not got.mask.any()
    assert bright.network.largest == ()


def test_the_threshold_is_a_probability(bright):
    hu = np.full((24, 24, 24), 200, np.int16)
    for threshold in (0.1, 0.9):
        assert recognize(bright, hu, (2, 2, 2), roi=(16,) * 3, threshold=threshold).mask.all()
    with pytest.raises(ValueError, match="threshold"):
        recognize(bright, hu, (2, 2, 2), threshold=1.0)


@pytest.mark.parametrize(
    ("shape", "overlap", "count"),
    [
        ((96, 96, 96), 0.25, 1),
        ((97, 96, 96), 0.25, 2),
        ((192, 96, 10), 0.5, 3),
        ((240, 96, 96), 0.25, 3),
    ],
)
def test_windows_are_counted_as_monai_visits_them(shape, overlap, count):
    from monai.data.utils import dense_patch_slices
    from monai.inferers.utils import _get_scan_interval

    roi = (96, 96, 96)
    assert windows(shape, roi, overlap) == count
    padded = [max(n, r) for n, r in zip(shape, roi, strict=True)]
    interval = _get_scan_interval(padded, roi, 3, (overlap,) * 3)
    assert len(dense_patch_slices(padded, roi, interval)) == count


def test_a_checkpoint_comes_back_whole_and_a_bad_file_is_one_sentence(tmp_path):
    config = NetworkConfig(name="segresnet", width=4, classes=CLASSES)
    network = build(config, 3)
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, config, network.state_dict(), {"training": "none"})
    loaded = load_checkpoint(path)
    assert loaded.config == config
    assert loaded.notes == {"training": "none"}
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            network.state_dict().values(), loaded.network.state_dict().values(), strict=True
        )
    )
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RecognitionError, match=r"net\.safetensors"):
        load_checkpoint(path)
    with pytest.raises(RecognitionError, match="There is no checkpoint"):
        load_checkpoint(tmp_path / "none.safetensors")
    torch.save({"a": torch.zeros(1)}, tmp_path / "pickle.safetensors")
    with pytest.raises(RecognitionError, match="not a safetensors file"):
        load_checkpoint(tmp_path / "pickle.safetensors")

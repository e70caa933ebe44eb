"""Volumes in the library with organ and tumor masks, small enough to be quick."""

from __future__ import annotations

import numpy as np
import pytest

from readerstudy.library.imaging.geometry import IDENTITY, Geometry, VolumeData
from readerstudy.library.models import Volume
from readerstudy.library.services import MaskData, store_volume
from tests.synthesis.hosts import ball_host

# x to the right, y to the front, z to the feet: nothing as a viewer wants it.
FLIPPED = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, -1.0))


def keep(scan, *, name="Ball", patient="P1", direction=IDENTITY, actor=None, organ_label="liver"):
    """Store a scan of the engine's tests as a volume of the library."""
    masks = []
    if scan.organ_mask is not None:
        masks.append(MaskData("organ", organ_label, scan.organ_mask, "phantom"))
    if scan.tumor_mask is not None:
        masks.append(MaskData("tumor", "tumor", scan.tumor_mask, "phantom"))
    geometry = Geometry(scan.hu.shape, scan.spacing, (0.0, 0.0, 0.0), direction)
    stored = store_volume(
        VolumeData(scan.hu, geometry), masks, patient=patient, origin_format="phantom", name=name
    )
    return Volume.objects.prefetch_related("masks").get(pk=stored.volume.pk)


@pytest.fixture
def host(db):
    """A liver-like ball of 64 mm without a tumor."""
    return keep(ball_host((1.5, 1.5, 3.0)))


@pytest.fixture
def sick(db):
    """The same with a real tumor of 20 mm in its middle."""
    return keep(ball_host((1.5, 1.5, 3.0), tumor_radius_mm=10.0, seed=3), name="Sick", patient="P2")


@pytest.fixture
def made_run(host, coordinator, run_jobs):
    """A finished run of three lesions in `host`."""
    from readerstudy.cases.services import start_run

    run = start_run(
        volumes=[host],
        organs=["liver"],
        per_volume=3,
        diameter_mm=(10.0, 18.0),
        seed=11,
        mass_effect=0.5,
        actor=coordinator,
    )
    run_jobs()
    run.refresh_from_db()
    return run


@pytest.fixture
def both(made_run, sick):
    """One real and one synthetic accepted candidate."""
    from readerstudy.cases.models import Candidate
    from readerstudy.cases.services import decide, make_candidates

    real = make_candidates(sick)[0]
    synthetic = made_run.candidates.filter(state="pending").first()
    return [
        decide(Candidate.objects.get(pk=c.pk), "accepted", actor=None) for c in (real, synthetic)
    ]


def ellipsoid(shape, center, radii):
    z, y, x = np.indices(shape)
    gaps = zip((z, y, x), center, radii, strict=True)
    return sum(((axis - c) / r) ** 2 for axis, c, r in gaps) < 1

"""A small trial with pixels, its readers' answers, and lesions of other patients to learn from."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

import numpy as np
from scipy import ndimage

from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import Patch, real_patch, save_patch
from readerstudy.library import paths
from readerstudy.reading.models import Judgment
from readerstudy.trials import actions, services
from readerstudy.trials.models import Assignment, Case, Trial
from readerstudy.trials.preparation import prepare
from tests.trials.world import document, make_volume

from .factory import START

SHAPE = (14, 56, 56)
MM = np.array([2.5, 0.8, 0.8])


def lesion(kind: str, seed: int, tamper: bool = False, patient: str = "") -> Candidate:
    """A lesion of about 14 mm, 45 HU darker: in the scan, or added to it by the same rule.

    ``tamper``: what is added also takes half of the noise away.
    """
    rng = np.random.default_rng(seed)
    volume = make_volume(patient or f"S-{seed}")
    noise = ndimage.gaussian_filter(rng.standard_normal(SHAPE), (0.2, 0.7, 0.7))
    noise *= 12.0 / noise.std()
    place = (np.indices(SHAPE).T - (np.array(SHAPE) - 1) / 2).T
    radius = np.sqrt(((place.T * MM / rng.uniform(6.0, 8.0, 3)) ** 2).sum(axis=-1)).T
    change = -45.0 / (1.0 + np.exp(np.clip((radius - 1.0) / 0.12, -50, 50)))
    change = np.rint(change)
    mask = radius < 1.0
    hu = np.rint(100.0 + noise)
    if kind == "real":
        hu = hu + change
        patch = real_patch((0, 0, 0), mask)
    else:
        if tamper:
            change = np.rint(change - 0.5 * noise * mask)
        patch = Patch((0, 0, 0), mask, mask.astype(np.float16), change.astype(np.int16))
    volume.rows, volume.columns, volume.slices = SHAPE[1], SHAPE[2], SHAPE[0]
    volume.save()
    np.save(paths.ct_file(volume.pk), hu.astype(np.int16))
    run = None
    if kind == "synthetic":
        run = SynthesisRun.objects.first() or SynthesisRun.objects.create(seed=1, requested=99)
    row = Candidate.objects.create(
        volume=volume, kind=kind, organ="liver", center=[28, 28, 7],
        bbox=[[18, 38], [18, 38], [4, 10]], diameter_mm=14.0, volume_ml=1.4, contrast_hu=-45,
        state="accepted", run=run, lesion_index=seed,
    )  # fmt: skip
    row.patch_sha256 = save_patch(row.pk, patch)
    row.save()
    return row


def pool(per_arm: int, *, tamper: bool = False) -> None:
    for k in range(per_arm):
        lesion("real", 1000 + k)
        lesion("synthetic", 2000 + k, tamper)


def opened(coordinator: Any, *readers: Any, per_arm: int = 5, tamper: bool = False) -> Trial:
    """An open trial of liver cases; who is asked reads all of them."""
    for k in range(per_arm):
        lesion("real", 10 + k)
        lesion("synthetic", 500 + k, tamper)
    asked = document(practice={"real": 0, "synthetic": 0}, repeats={"count": 0, "minimum_gap": 3})
    asked["rendition"] = {"matrix": 128, "max_slices": 14}
    asked["design"]["size_bands"] = [{"name": "any", "from_mm": 0, "to_mm": 400}]
    asked["design"]["strata"] = [
        {"organ": "liver", "size_band": "any", "real": per_arm, "synthetic": per_arm}
    ]
    trial = services.create_trial(
        title="Liver trial", actor=coordinator, slug="liver", seed=7, protocol=asked
    )
    services.choose_cases(trial, actor=coordinator)
    prepare(trial, actor=coordinator)
    for user in readers:
        services.add_reader(trial, email=user.email, actor=coordinator)
    services.allocate(trial, actor=coordinator)
    trial.refresh_from_db()
    return actions.open_trial(trial, actor=coordinator)


def answered(trial: Trial, seed: int = 4) -> None:
    """Every assignment gets an answer drawn without a look at the truth."""
    rng = np.random.default_rng(seed)
    places = Assignment.objects.filter(trial=trial, phase=Case.Phase.MAIN).order_by("pk")
    rows = []
    for number, place in enumerate(places):
        rating = int(rng.integers(1, 7))
        rows.append(Judgment(
            client_uuid=uuid.uuid4(), assignment=place, rating=rating,
            verdict="synthetic" if rating > 3 else "real",
            confidence=rating - 3 if rating > 3 else 4 - rating, client_elapsed_ms=9000,
            client_active_ms=9000, server_first_served_at=START + timedelta(minutes=number),
            server_received_at=START + timedelta(minutes=number, seconds=9),
        ))  # fmt: skip
    Judgment.objects.bulk_create(rows)


def unblinded(trial: Trial, actor: Any) -> Trial:
    trial = actions.close_trial(trial, actor=actor)
    return actions.unblind_trial(
        trial, actor=actor, reason="The data are locked.", confirmation=trial.slug
    )

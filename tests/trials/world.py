"""Candidates on disk and trials at every stage of their life, made through the real services."""

from __future__ import annotations

import copy
import secrets
from typing import Any

import numpy as np

from readerstudy.cases.models import Candidate, SynthesisRun
from readerstudy.cases.patches import Patch, real_patch, save_patch
from readerstudy.library import paths
from readerstudy.library.models import Volume
from readerstudy.trials import actions, services
from readerstudy.trials.design import template
from readerstudy.trials.models import Trial
from readerstudy.trials.preparation import prepare

SHAPE = (9, 40, 40)


def document(**changes: Any) -> dict[str, Any]:
    """A valid small protocol: 3 real and 4 synthetic main cases, 1 + 1 practice, 1 repeat."""
    data = template.vtt_ct_1("Liver trial") | {
        "positive_class": "synthetic",
        "practice": {"real": 1, "synthetic": 1},
        "repeats": {"count": 1, "minimum_gap": 3},
        "rendition": {"matrix": 128, "max_slices": 8},
    }
    data["design"]["strata"] = [
        {"organ": "liver", "size_band": "small", "real": 2, "synthetic": 2},
        {"organ": "kidney", "size_band": "small", "real": 1, "synthetic": 2},
    ]
    return copy.deepcopy(data) | changes


def make_volume(patient: str, seed: int = 0) -> Volume:
    hu = np.random.default_rng(seed).normal(40, 12, SHAPE).round().astype(np.int16)
    z, y, x = SHAPE
    volume = Volume.objects.create(
        name=f"scan of {patient}", patient=patient, sha256=secrets.token_hex(32), rows=y,
        columns=x, slices=z, spacing_x=0.8, spacing_y=0.8, spacing_z=2.5, origin=[0, 0, 0],
        direction=[1, 0, 0, 0, 1, 0, 0, 0, 1], hu_min=int(hu.min()), hu_max=int(hu.max()),
        origin_format="nifti",
    )  # fmt: skip
    file = paths.ct_file(volume.pk)
    file.parent.mkdir(parents=True, exist_ok=True)
    np.save(file, hu)
    return volume


def make_candidate(
    kind: str,
    organ: str = "liver",
    *,
    diameter: float = 6.0,
    volume: Volume | None = None,
    patient: str = "",
) -> Candidate:
    """An accepted candidate with its files; of a patient of its own unless one is given."""
    volume = volume or make_volume(patient or f"P-{secrets.token_hex(4)}")
    run = None
    if kind == "synthetic":
        run = SynthesisRun.objects.first() or SynthesisRun.objects.create(seed=1, requested=9)
    candidate = Candidate.objects.create(
        volume=volume, kind=kind, organ=organ, center=[20, 20, 4],
        bbox=[[18, 22], [18, 22], [3, 6]], diameter_mm=diameter, volume_ml=0.2, contrast_hu=-20,
        state="accepted", run=run, lesion_index=run.candidates.count() if run else 0,
    )  # fmt: skip
    mask = np.ones((3, 4, 4), np.bool_)
    patch = real_patch((3, 18, 18), mask)
    if kind == "synthetic":
        patch = Patch(patch.offset, mask, mask.astype(np.float16), np.full(mask.shape, -20, "i2"))
    candidate.patch_sha256 = save_patch(candidate.pk, patch)
    candidate.save()
    return candidate


def stock(extra: int = 1) -> list[Candidate]:
    """Enough candidates for `document()`, and `extra` more of each kind and organ."""
    wanted = {("real", "liver"): 3, ("synthetic", "liver"): 3, ("real", "kidney"): 1,
              ("synthetic", "kidney"): 2}  # fmt: skip
    return [
        make_candidate(kind, organ)
        for (kind, organ), count in wanted.items()
        for _ in range(count + extra)
    ]


def drafted(coordinator: Any, **changes: Any) -> Trial:
    return services.create_trial(
        title="Liver trial", actor=coordinator, slug="liver", seed=7, protocol=document(**changes)
    )


def prepared(coordinator: Any, *, readers: tuple[Any, ...] = ()) -> Trial:
    """A draft that is ready to open."""
    stock()
    trial = drafted(coordinator)
    services.choose_cases(trial, actor=coordinator)
    prepare(trial, actor=coordinator)
    for user in readers:
        services.add_reader(trial, email=user.email, actor=coordinator)
    if readers:
        services.allocate(trial, actor=coordinator)
    trial.refresh_from_db()
    return trial


def opened(coordinator: Any, *readers: Any) -> Trial:
    return actions.open_trial(prepared(coordinator, readers=readers), actor=coordinator)


STATES = ("draft", "open", "paused", "closed", "unblinded")


def in_state(state: str, coordinator: Any, *readers: Any) -> Trial:
    """A trial brought to `state` by the real actions."""
    trial = prepared(coordinator, readers=readers)
    if state == "draft":
        return trial
    trial = actions.open_trial(trial, actor=coordinator)
    if state == "paused":
        return actions.pause_trial(trial, actor=coordinator)
    if state in {"closed", "unblinded"}:
        trial = actions.close_trial(trial, actor=coordinator)
    if state == "unblinded":
        trial = actions.unblind_trial(
            trial, actor=coordinator, reason="The data are locked.", confirmation="liver"
        )
    return trial

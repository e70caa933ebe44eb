"""A small trial on disk and in the database, made without the rooms that make one for real.

Every case may have the same pixels: then whatever differs between two responses is a leak.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from django.test import Client

from readerstudy.audit.services import record, trial_chain
from readerstudy.cases.codec import encode_frame, pad
from readerstudy.cases.frames import FRAMES as FRAMES_FILE
from readerstudy.cases.frames import INDEX
from readerstudy.cases.models import Candidate, Rendition, SynthesisRun
from readerstudy.cases.paths import rendition_folder
from readerstudy.library.models import Volume
from readerstudy.trials.design.protocol import read
from readerstudy.trials.design.template import vtt_ct_1
from readerstudy.trials.models import (
    Assignment,
    Case,
    CaseTruth,
    Membership,
    ProtocolVersion,
    Trial,
)

SIZE = 32
FRAMES = 6
BUCKET = 4096
ARMS = ("real", "synthetic")


def pixels(seed: int = 0, frames: int = FRAMES, size: int = SIZE) -> np.ndarray:
    """HU of a small scan, int16 (z, y, x)."""
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 12, (frames, size, size))
    hu[:, size // 4 : size // 2, size // 4 : size // 2] += (
        60 + 10 * np.arange(frames)[:, None, None]
    )
    return hu.round().astype(np.int16)


def store_frames(rendition: Rendition, hu: np.ndarray, bucket: int = BUCKET) -> None:
    """Write the frames of a rendition as the cases room lays them out."""
    folder = rendition_folder(rendition.pk)
    folder.mkdir()
    (folder / FRAMES_FILE).write_bytes(b"".join(pad(encode_frame(plane), bucket) for plane in hu))
    (folder / INDEX).write_text(json.dumps({"bucket_bytes": bucket, "frames": len(hu)}))


def make_rendition(hu: np.ndarray, organ: str = "liver", bucket: int = BUCKET) -> Rendition:
    frames, rows, columns = hu.shape
    rendition = Rendition.objects.create(
        organ=organ,
        frames=frames,
        rows=rows,
        columns=columns,
        spacing=[0.8, 0.8],
        slice_spacing=2.5,
        marker=[[columns // 4, columns // 2], [rows // 4, rows // 2], [1, frames - 1]],
        start_slice=frames // 2,
        bucket_bytes=bucket,
        rule={"version": 1},
        sha256=hashlib.sha256(hu.tobytes()).hexdigest(),
    )
    store_frames(rendition, hu, bucket)
    return rendition


@dataclass
class World:
    """A trial with its cases in the order in which every reader meets them."""

    trial: Trial
    cases: list[Case]
    memberships: dict[int, Membership] = field(default_factory=dict)

    def member(self, user: Any) -> Membership:
        return self.memberships[user.pk]

    def assignments(self, user: Any) -> list[Assignment]:
        return list(self.member(user).assignments.order_by("position"))

    def set_state(self, state: str) -> None:
        Trial.objects.filter(pk=self.trial.pk).update(state=state)
        self.trial.refresh_from_db()

    def set_truth(self, arms: list[str]) -> None:
        """What each case is, in the order of the cases: candidate, run and truth table."""
        volume = Volume.objects.filter(name="scan").first() or Volume.objects.create(
            name="scan", patient="P1", sha256=secrets.token_hex(32), rows=SIZE, columns=SIZE,
            slices=FRAMES, spacing_x=0.8, spacing_y=0.8, spacing_z=2.5, origin=[0, 0, 0],
            direction=[1, 0, 0, 0, 1, 0, 0, 0, 1], hu_min=-1024, hu_max=1000, origin_format="nifti",
        )  # fmt: skip
        run = SynthesisRun.objects.create(seed=1, requested=len(arms))
        for attempt, (case, arm) in enumerate(zip(self.cases, arms, strict=True)):
            CaseTruth.objects.filter(case=case).delete()
            candidate = Candidate.objects.create(
                volume=volume, kind=arm, organ=case.organ, center=[1, 1, 1], diameter_mm=12,
                attempt=attempt,
                bbox=[[0, 2], [0, 2], [0, 2]], volume_ml=1, contrast_hu=40, state="accepted",
                run=run if arm == "synthetic" else None,
                provenance={"generator": "textural"} if arm == "synthetic" else {},
            )  # fmt: skip
            CaseTruth.objects.create(
                case=case,
                arm=arm,
                generator="textural" if arm == "synthetic" else "none",
                candidate=candidate.pk,
                diameter_mm=12,
            )


def protocol_document(**changes: Any) -> dict[str, Any]:
    data = vtt_ct_1("Liver trial") | {"positive_class": "synthetic"}
    for name, value in changes.items():
        data[name] = value
    return read(data).document()


def set_protocol(trial: Trial, **changes: Any) -> ProtocolVersion:
    document = protocol_document(**changes)
    number = trial.protocols.count() + 1
    version = ProtocolVersion.objects.create(
        trial=trial,
        number=number,
        document=document,
        sha256=hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest(),
    )
    trial.active_protocol = version
    trial.save(update_fields=["active_protocol"])
    return version


def build(
    readers: list[Any],
    *,
    practice: int = 2,
    main: int = 4,
    slug: str = "liver",
    coordinator: Any = None,
    twins: bool = True,
    hu: np.ndarray | None = None,
    bucket: int = BUCKET,
    **protocol: Any,
) -> World:
    """An open trial with consent still to be given by its readers."""
    trial = Trial.objects.create(slug=slug, title="Liver trial", state="open", seed=7)
    set_protocol(trial, **protocol)
    cases = []
    for index in range(practice + main):
        scan = hu if hu is not None else pixels(0 if twins else index)
        cases.append(
            Case.objects.create(
                trial=trial,
                number=index + 1,
                phase="practice" if index < practice else "main",
                rendition=make_rendition(scan, bucket=bucket),
                organ="liver",
                size_band="medium",
                patient_key=f"p{index}",
            )
        )
    world = World(trial, cases)
    world.set_truth([ARMS[index % 2] for index in range(len(cases))])
    for number, user in enumerate(readers, start=1):
        world.memberships[user.pk] = enlist(world, user, f"R{number:02d}")
    if coordinator is not None:
        Membership.objects.create(trial=trial, user=coordinator, role="coordinator", code="C01")
    record(None, "trials.opened", trial, chain=trial_chain(slug))
    return world


def enlist(world: World, user: Any, code: str) -> Membership:
    membership = Membership.objects.create(trial=world.trial, user=user, role="reader", code=code)
    for position, case in enumerate(world.cases, start=1):
        Assignment.objects.create(
            trial=world.trial,
            membership=membership,
            position=position,
            case=case,
            phase=case.phase,
            token=secrets.token_urlsafe(32),
        )
    return membership


CLIENT = {
    "elapsed_ms": 4200, "active_ms": 4000, "load_ms": 800, "started_at": "2026-11-21T08:00:00Z",
    "submitted_at": "2026-11-21T08:00:05Z", "slices_seen": [0, 1, 2, 3], "zoom": 1.5,
    "windows_used": [{"name": "Liver", "center": 60, "width": 160}], "backend": "cpu",
    "screen": {"width": 1920, "height": 1080, "dpr": 1, "canvas": [900, 900]}, "hidden_ms": 0,
    "frame_errors": [],
}  # fmt: skip


class Desk:
    """A reader at a browser, without the browser: the same requests over the same addresses."""

    def __init__(self, client: Client, slug: str = "liver") -> None:
        self.client = client
        self.slug = slug
        self.api = f"/api/reading/{slug}"

    def consent(self) -> None:
        page = self.client.get(f"/read/{self.slug}/consent/")
        sha = page.context["text_sha256"]
        response = self.client.post(
            f"/read/{self.slug}/consent/", {"agree": "yes", "text_sha256": sha}
        )
        assert response.status_code == 302, response.content

    def worklist(self) -> dict[str, Any]:
        response = self.client.get(f"{self.api}/worklist")
        assert response.status_code == 200, response.content
        return response.json()

    def post(self, token: str, rating: int = 4, **body: Any) -> Any:
        payload = {
            "client_uuid": str(body.pop("client_uuid", uuid.uuid4())),
            "token": token,
            "rating": rating,
            "comment": "",
            "cues": [],
            "client": CLIENT,
        } | body
        return self.client.post(
            f"{self.api}/judgments", json.dumps(payload), content_type="application/json"
        )

    def answer(self, rating: int = 4, **body: Any) -> dict[str, Any]:
        """Answer the current case; returns the next worklist."""
        current = self.worklist()["current"]
        response = self.post(current["token"], rating, **body)
        assert response.status_code == 200, response.content
        return response.json()["worklist"]

    def go_on(self) -> Any:
        return self.client.post(f"/read/{self.slug}/continue/")

    def draft(self, token: str, draft: Any) -> Any:
        return self.client.put(
            f"{self.api}/draft",
            json.dumps({"token": token, "draft": draft}),
            content_type="application/json",
        )

    def read_practice(self) -> None:
        while (state := self.worklist())["state"] == "reading" and state["phase"] == "practice":
            self.answer()
        self.go_on()

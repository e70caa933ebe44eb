"""An open trial for measuring: one phantom scan, shown as often as there are cases.

The browser cannot tell that its cases share a file on the server's disk: every reader and case
has addresses of its own, so nothing is cached twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from typing import TYPE_CHECKING, Any

from django.db import transaction

from readerstudy.accounts.services import create_user
from readerstudy.audit.services import record, trial_chain
from readerstudy.cases import codec
from readerstudy.cases.frames import FRAMES, INDEX
from readerstudy.cases.models import Rendition
from readerstudy.cases.paths import rendition_folder
from readerstudy.trials.design.protocol import read
from readerstudy.trials.design.template import vtt_ct_1
from readerstudy.trials.models import Assignment, Case, Membership, ProtocolVersion, Trial

if TYPE_CHECKING:
    import numpy as np

SLUG = "bench"
SPACING_MM = (0.75, 1.6)


def email(number: int) -> str:
    return f"bench-{number:02d}@example.org"


def build(
    *, readers: int, cases: int, shape: tuple[int, int, int], password: str, seed: int = 1
) -> None:
    """Make the trial: `cases` main cases of one scan of `shape` (z, y, x), without breaks."""
    import numpy as np

    from synthesis.engine.phantoms import make_phantom

    spacing = (SPACING_MM[0], SPACING_MM[0], SPACING_MM[1])
    rng = np.random.default_rng(seed)
    hu = make_phantom(rng, "abdomen", shape=shape, spacing=spacing, lesions=1).hu
    encoded = [codec.encode_frame(frame) for frame in hu]
    bucket = codec.bucket_for(max(map(len, encoded)))
    padded = [codec.pad(frame, bucket) for frame in encoded]
    with transaction.atomic():
        trial = Trial.objects.create(slug=SLUG, title="Benchmark", state="open", seed=seed)
        trial.active_protocol = _protocol(trial)
        trial.save(update_fields=["active_protocol"])
        made = [_case(trial, number + 1, hu, padded, bucket) for number in range(cases)]
        for number in range(1, readers + 1):
            _reader(trial, number, made, password)
        record(None, "trials.opened", trial, chain=trial_chain(SLUG))


def _protocol(trial: Trial) -> ProtocolVersion:
    data = vtt_ct_1("Benchmark") | {
        "positive_class": "synthetic",
        "sessions": {"cases_per_session": 200, "break_minutes": 0, "minutes_per_case": 3},
    }
    protocol = read(data)
    return ProtocolVersion.objects.create(
        trial=trial, number=1, document=protocol.document(), sha256=protocol.sha256
    )


def _case(
    trial: Trial, number: int, hu: np.ndarray[Any, Any], padded: list[bytes], bucket: int
) -> Case:
    frames, rows, columns = hu.shape
    rendition = Rendition.objects.create(
        organ="liver",
        frames=frames,
        rows=rows,
        columns=columns,
        spacing=[SPACING_MM[0], SPACING_MM[0]],
        slice_spacing=SPACING_MM[1],
        marker=[[columns // 3, columns // 2], [rows // 3, rows // 2], [frames // 3, frames // 2]],
        start_slice=frames // 2,
        bucket_bytes=bucket,
        sha256=hashlib.sha256(hu.tobytes()).hexdigest(),
    )
    folder = rendition_folder(rendition.pk)
    folder.mkdir(parents=True)
    first = folder.parent / "bench.bin"
    if not first.exists():
        first.write_bytes(b"".join(padded))
    os.link(first, folder / FRAMES)
    (folder / INDEX).write_text(json.dumps({"bucket_bytes": bucket, "frames": frames}))
    return Case.objects.create(
        trial=trial,
        number=number,
        rendition=rendition,
        organ="liver",
        size_band="medium",
        patient_key=f"bench-{number}",
    )


def _reader(trial: Trial, number: int, cases: list[Case], password: str) -> None:
    user = create_user(email(number), password=password, display_name=f"Reader {number}")
    membership = Membership.objects.create(
        trial=trial, user=user, role=Membership.Role.READER, code=f"R{number:02d}"
    )
    Assignment.objects.bulk_create(
        Assignment(
            trial=trial,
            membership=membership,
            position=position,
            case=case,
            token=secrets.token_urlsafe(32),
        )
        for position, case in enumerate(cases, start=1)
    )


def counts() -> dict[str, int]:
    """What the database holds after a run, to compare with what was sent."""
    from readerstudy.audit.models import AuditEvent
    from readerstudy.audit.selectors import verify
    from readerstudy.reading.models import Judgment

    return {
        "judgments": Judgment.objects.count(),
        "client_uuids": Judgment.objects.values("client_uuid").distinct().count(),
        "assignments": Judgment.objects.values("assignment").distinct().count(),
        "events": AuditEvent.objects.filter(action="reading.judged").count(),
        "chain_ok": int(verify(trial_chain(SLUG)) is None),
    }

"""A1, A2: who gets what at every address. A new address without a row here fails the suite."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import URLPattern, get_resolver, reverse

from readerstudy.cases.models import Recognition, RecognitionRun
from readerstudy.cases.paths import recognition_folder
from readerstudy.jobs.models import Job, JobBatch
from readerstudy.library.models import Mask, Upload, UploadFile, Volume
from readerstudy.trials.models import Membership, Trial
from tests.reading.world import build

pytestmark = pytest.mark.django_db

PERSONAS = (
    "anonymous",
    "reader",
    "peer",
    "coordinator",
    "researcher",
    "other_reader",
    "other_coordinator",
    "nobody",
)
# "ok": served or answered in substance; "in": sent to the sign-in; a number: that status.
PUBLIC = dict.fromkeys(PERSONAS, "ok")
SIGNED_IN = PUBLIC | {"anonymous": "in"}
SITE_COORDINATORS = dict.fromkeys(PERSONAS, 403) | {
    "anonymous": "in",
    "coordinator": "ok",
    "other_coordinator": "ok",
}
OUTSIDE = dict.fromkeys(PERSONAS, 404) | {"anonymous": "in"}
# Members without the right get 403: they know that the trial exists.
TRIAL_COORDINATORS = OUTSIDE | {
    "coordinator": "ok",
    "researcher": 403,
    "reader": 403,
    "peer": 403,
}
TRIAL_TEAM = TRIAL_COORDINATORS | {"researcher": "ok"}
TRIAL_READERS = OUTSIDE | {"reader": "ok", "peer": "ok"}
# There is nothing to see before the trial is unblinded, not even for its team.
SEALED = TRIAL_COORDINATORS | {"coordinator": 404, "researcher": 404}
# Readers ask here for a case that is not theirs, or before they have given consent.
STRANGE_CASE = OUTSIDE | {"reader": 403, "peer": 403}
OWN_UPLOAD = SITE_COORDINATORS | {"other_coordinator": 404}
STAFF = SITE_COORDINATORS | {"researcher": "ok"}
OWN_JOB = OUTSIDE | {"coordinator": "ok", "other_coordinator": "ok"}

GET, POST = "get", "post"
# url name -> (method, who gets what). Keyword arguments come from the world below.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "home": (GET, SIGNED_IN),
    "healthz": (GET, PUBLIC),
    "favicon": (GET, PUBLIC),
    "accounts:invitation": (GET, dict.fromkeys(PERSONAS, 404)),
    "accounts:profile": (GET, SIGNED_IN),
    "jobs:detail": (GET, OWN_JOB),
    "jobs:cancel": (POST, OWN_JOB),
    "jobs:retry": (POST, OWN_JOB),
    "jobs:batches": (GET, SITE_COORDINATORS),
    "jobs:batch": (GET, SITE_COORDINATORS),
    "jobs:batch_failed": (GET, SITE_COORDINATORS),
    "jobs:cancel_batch": (POST, SITE_COORDINATORS),
    "jobs:retry_batch": (POST, SITE_COORDINATORS),
    "library:index": (GET, SITE_COORDINATORS),
    "library:upload_new": (GET, SITE_COORDINATORS),
    "library:upload": (GET, OWN_UPLOAD),
    "library:upload_import": (POST, OWN_UPLOAD),
    "library:upload_again": (POST, OWN_UPLOAD),
    "library:upload_discard": (POST, OWN_UPLOAD),
    "library:volume": (GET, SITE_COORDINATORS),
    "library:volume_edit": (POST, SITE_COORDINATORS),
    "library:make_organ": (POST, SITE_COORDINATORS),
    "library:volume_delete": (POST, SITE_COORDINATORS),
    "library:preview": (GET, SITE_COORDINATORS),
    "library:plane": (GET, SITE_COORDINATORS),
    "library:mask_delete": (POST, SITE_COORDINATORS),
    "cases:index": (GET, SITE_COORDINATORS),
    "cases:find_real": (POST, SITE_COORDINATORS),
    "cases:import_synthetic": (GET, SITE_COORDINATORS),
    "cases:new_run": (GET, SITE_COORDINATORS),
    "cases:run": (GET, SITE_COORDINATORS),
    "cases:delete_run": (POST, SITE_COORDINATORS),
    "cases:recognition": (GET, SITE_COORDINATORS),
    "cases:new_recognition": (GET, SITE_COORDINATORS),
    "cases:recognition_run": (GET, SITE_COORDINATORS),
    "cases:delete_recognition": (POST, SITE_COORDINATORS),
    "cases:recognition_result": (GET, SITE_COORDINATORS),
    "cases:recognition_frame": (GET, SITE_COORDINATORS),
    "cases:recognition_file": (GET, SITE_COORDINATORS),
    "cases:candidates": (GET, SITE_COORDINATORS),
    "cases:bulk": (POST, SITE_COORDINATORS),
    "cases:queue": (GET, SITE_COORDINATORS),
    "cases:candidate": (GET, SITE_COORDINATORS),
    "cases:decide": (POST, SITE_COORDINATORS),
    "cases:undo": (POST, SITE_COORDINATORS),
    "cases:block": (GET, SITE_COORDINATORS),
    "cases:preview": (GET, SITE_COORDINATORS),
    "trials:index": (GET, STAFF),
    "trials:new": (GET, SITE_COORDINATORS),
    "trials:template": (GET, STAFF),
    "trials:detail": (GET, TRIAL_TEAM),
    "trials:history": (GET, TRIAL_TEAM),
    "trials:transition": (GET, TRIAL_COORDINATORS),
    "trials:protocol": (GET, TRIAL_TEAM),
    "trials:protocol_upload": (POST, TRIAL_COORDINATORS),
    "trials:protocol_file": (GET, TRIAL_TEAM),
    "trials:cases": (GET, TRIAL_COORDINATORS),
    "trials:draw": (POST, TRIAL_COORDINATORS),
    "trials:prepare": (POST, TRIAL_COORDINATORS),
    "trials:mark": (POST, TRIAL_COORDINATORS),
    "trials:readers": (GET, TRIAL_COORDINATORS),
    "trials:add_member": (POST, TRIAL_COORDINATORS),
    "trials:remove_member": (POST, TRIAL_COORDINATORS),
    "trials:restore_reader": (POST, TRIAL_COORDINATORS),
    "trials:renew_invitation": (POST, TRIAL_COORDINATORS),
    "trials:allocation": (GET, TRIAL_COORDINATORS),
    "trials:allocation_file": (GET, SEALED | {"researcher": 403}),
    "trials:truth_file": (GET, SEALED),
    "reading:enter": (GET, TRIAL_READERS),
    "reading:instructions": (GET, TRIAL_READERS),
    "reading:consent": (GET, TRIAL_READERS),
    "reading:case": (GET, TRIAL_READERS),
    "reading:practice_done": (GET, TRIAL_READERS),
    "reading:break": (GET, TRIAL_READERS),
    "reading:go_on": (POST, STRANGE_CASE),
    "reading:pause": (GET, TRIAL_READERS),
    "reading:done": (GET, TRIAL_READERS),
    "reading:progress": (GET, TRIAL_TEAM),
    "reading:frame": (GET, dict.fromkeys(PERSONAS, 404)),
    "analysis:planning": (GET, STAFF),
    "analysis:results": (GET, TRIAL_TEAM),
    "analysis:compute": (POST, TRIAL_TEAM),
    "analysis:machines": (POST, TRIAL_TEAM),
    "analysis:results_json": (GET, SEALED),
    "analysis:report": (GET, SEALED),
    "analysis:figure": (GET, SEALED),
    "analysis:table": (GET, SEALED),
    "analysis:cases": (GET, SEALED),
    "analysis:review": (GET, SEALED),
    "analysis:review_frame": (GET, SEALED),
    "analysis:export": (POST, TRIAL_TEAM),
    "analysis:bundle": (GET, SEALED),
    "api:openapi-json": (GET, SIGNED_IN),
    "api:begin": (POST, SITE_COORDINATORS),
    "api:arrived": (GET, OWN_UPLOAD),
    "api:discard": ("delete", OWN_UPLOAD),
    "api:chunk": ("put", OWN_UPLOAD),
    "api:finish": (POST, OWN_UPLOAD),
    "api:worklist": (GET, TRIAL_READERS),
    "api:draft": ("put", STRANGE_CASE),
    "api:judgments": (POST, STRANGE_CASE),
    "api:api-root": (GET, OUTSIDE),
}
# Addresses of django-allauth: it guards them itself; here only that strangers get no further
# than the sign-in where somebody must be signed in.
OPEN_TO_STRANGERS = {
    "account_login",
    "account_logout",
    "account_inactive",
    "account_signup",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
    "account_confirm_email",
    "account_confirm_login_code",
    "account_email_verification_sent",
    "mfa_authenticate",
}


API = {name for name in ROWS if name.startswith("api:")}


def addresses(patterns: Any = None, namespace: str = "") -> Iterator[str]:
    for pattern in patterns if patterns is not None else get_resolver().url_patterns:
        if isinstance(pattern, URLPattern):
            yield f"{namespace}{pattern.name}"
        else:
            inner = f"{namespace}{pattern.namespace}:" if pattern.namespace else namespace
            yield from addresses(pattern.url_patterns, inner)


def is_allauth(name: str) -> bool:
    return name.startswith(("account_", "mfa_", "usersessions_"))


def test_A1_every_address_has_its_row():
    names = {name for name in addresses() if not is_allauth(name)}
    assert names == set(ROWS)


@pytest.fixture
def people(
    coordinator, other_coordinator, researcher, reader, peer_reader, other_reader, nobody
) -> dict[str, Any]:
    return {
        "reader": reader,
        "peer": peer_reader,
        "coordinator": coordinator,
        "researcher": researcher,
        "other_reader": other_reader,
        "other_coordinator": other_coordinator,
        "nobody": nobody,
    }


@pytest.fixture
def arguments(people: dict[str, Any]) -> dict[str, Any]:
    """A trial with its team, another trial with its own, and one thing of every kind."""
    world = build([people["reader"], people["peer"]], coordinator=people["coordinator"])
    world.set_truth(["real", "synthetic"] * (len(world.cases) // 2))
    Membership.objects.create(
        trial=world.trial, user=people["researcher"], role="researcher", code="S01"
    )
    other = Trial.objects.create(slug="other", title="Other", seed=1)
    for role, code in (("other_reader", "R01"), ("other_coordinator", "C01")):
        Membership.objects.create(
            trial=other, user=people[role], role=role.removeprefix("other_"), code=code
        )
    volume = Volume.objects.get()
    mask = Mask.objects.create(
        volume=volume, kind="organ", label="liver", sha256="0" * 64, voxels=1, volume_ml=1.0,
        origin_format="nifti",
    )  # fmt: skip
    upload = Upload.objects.create(owner=people["coordinator"])
    file = UploadFile.objects.create(upload=upload, name="a.nii", size=10)
    candidate = volume.candidates.first()
    job = Job.objects.create(kind="cases.synthesize", created_by=people["coordinator"])
    batch = JobBatch.objects.create(title="Two files", kind="cases.synthesize", queue="cpu")
    looked = RecognitionRun.objects.create(checkpoint="net", sha256="0" * 64, job=job)
    found = Recognition.objects.create(run=looked, volume=volume, state="done")
    files = recognition_folder(found.pk)
    files.mkdir()
    (files / "outlines.json").write_text("[]")
    (files / "found_lesions.csv").write_text("lesion\n")
    return {
        "batch_id": batch.pk,
        "slug": world.trial.slug,
        "token": "x" * 43,
        "index": 0,
        "job_id": job.pk,
        "upload_id": upload.pk,
        "file_id": file.pk,
        "volume_id": volume.pk,
        "mask_id": mask.pk,
        "plane": "axial",
        "run_id": volume.candidates.exclude(run=None).first().run_id,
        "candidate_id": candidate.pk,
        "recognition_id": looked.pk,
        "result_id": found.pk,
        "part": "lesions.csv",
        "side": "before",
        "step": "pause",
        "number": 1,
        "what": "include",
        "code": "R01",
        "name": "forest",
        "form": "pdf",
        "bundle_id": uuid.uuid4(),
    }


def address(name: str, arguments: dict[str, Any]) -> str:
    possible = get_resolver()
    for part in name.split(":")[:-1]:
        possible = next(p for p in possible.url_patterns if getattr(p, "namespace", None) == part)
    pattern = next(p for p in _flat(possible.url_patterns) if p.name == name.rsplit(":", 1)[-1])
    wanted = pattern.pattern.regex.groupindex or pattern.pattern.converters
    return reverse(name, kwargs={key: arguments[key] for key in wanted})


def _flat(patterns: Any) -> Iterator[URLPattern]:
    for pattern in patterns:
        if isinstance(pattern, URLPattern):
            yield pattern
        elif not pattern.namespace:
            yield from _flat(pattern.url_patterns)


# Valid bodies: what is refused is refused for who asks, not for what is asked.
BODIES = {
    "begin": {"files": [{"name": "a.nii", "size": 10}]},
    "draft": {"token": "x" * 43, "draft": {}},
    "judgments": {
        "client_uuid": "00000000-0000-4000-8000-000000000000",
        "token": "x" * 43,
        "rating": 4,
        "client": {},
    },
}


def outcome(client: Client, name: str, method: str, url: str) -> Any:
    body = BODIES.get(name.removeprefix("api:"), {})
    options = {"content_type": "application/json", "data": body} if name in API else {}
    url = f"{url}?offset=0" if name == "api:chunk" else url
    response = getattr(client, method)(url, **options)
    signed_out = response.status_code == 401 or response.get("Location", "").startswith(
        "/accounts/login/"
    )
    if signed_out:
        return "in"
    return response.status_code if response.status_code in {403, 404, 500} else "ok"


@pytest.mark.parametrize("name", sorted(ROWS))
def test_A1_each_person_gets_what_the_table_says(name, people, arguments, client_for):
    method, expected = ROWS[name]
    url = address(name, arguments)
    got = {
        persona: outcome(client_for(people.get(persona)), name, method, url)
        for persona in sorted(PERSONAS, key=lambda p: expected[p] == "ok")
    }
    assert {who: got[who] for who in PERSONAS if got[who] != expected[who]} == {}


@pytest.mark.parametrize("name", sorted({n for n in addresses() if is_allauth(n)}))
def test_A1_strangers_get_no_further_than_the_sign_in(name, client_for):
    arguments = {"key": "a-b", "uidb36": "a"}
    response = client_for().get(address(name, arguments))
    if name in OPEN_TO_STRANGERS:
        assert response.status_code in {200, 302, 404}
    else:
        assert response["Location"].startswith("/accounts/login/")


OF_A_TRIAL = sorted(
    name
    for name, (_, who) in ROWS.items()
    if who["nobody"] == 404
    and name.startswith(("trials:", "reading:", "analysis:", "api:"))
    and name not in {"reading:frame", "api:api-root"}
)


@pytest.mark.parametrize("name", OF_A_TRIAL)
def test_A2_what_is_not_yours_looks_like_what_does_not_exist(name, people, arguments, client_for):
    method, _ = ROWS[name]
    client = client_for(people["nobody"])
    bodies = []
    for slug in (arguments["slug"], "no-such-trial"):
        url = address(name, arguments | {"slug": slug})
        response = getattr(client, method)(url)
        body = response.content.decode()
        bodies.append((response.status_code, _masked(body)))
    assert bodies[0] == bodies[1]


def _masked(body: str) -> str:
    import re

    return re.sub(r'(csrfmiddlewaretoken" value=|X-CSRFToken": )"[^"]+"', "", body)


@pytest.mark.parametrize("name", sorted(n for n, (method, _) in ROWS.items() if method != GET))
def test_A3_a_write_without_the_csrf_token_is_refused(name, people, arguments, client_for):
    method, expected = ROWS[name]
    allowed = next(
        p for p in PERSONAS if expected[p] == "ok" or (p, expected[p]) == ("reader", 403)
    )
    client = client_for(people[allowed], csrf=True)
    response = getattr(client, method)(address(name, arguments), content_type="application/json")
    assert response.status_code == 403


def test_A4_a_role_taken_away_ends_at_the_next_request(people, arguments, client_for):
    from django.utils import timezone

    client = client_for(people["coordinator"])
    url = reverse("trials:readers", args=[arguments["slug"]])
    assert client.get(url).status_code == 200
    Membership.objects.filter(user=people["coordinator"]).update(valid_to=timezone.now())
    assert client.get(url).status_code == 404

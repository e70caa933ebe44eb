"""The upload API against its own OpenAPI document: any input gives a documented status."""

from __future__ import annotations

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from .http import announce
from .makers import phantom, write_nifti

pytestmark = pytest.mark.django_db
QUIET = settings(
    max_examples=25,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def operations():
    from readerstudy.api import api

    document = json.loads(json.dumps(api.get_openapi_schema(), default=str))
    schema = schemathesis.openapi.from_dict(document).include(path_regex="^/api/library")
    return [operation.ok() for operation in schema.get_all_operations()]


def ask(client, operation, case, upload):
    """The generated request, sent to an upload that is there."""
    values = dict(case.path_parameters or {})
    if "upload_id" in values:
        values["upload_id"] = upload
    body = json.dumps(case.body) if isinstance(case.body, dict | list) else ""
    return client.generic(
        operation.method.upper(),
        operation.path.format(**values),
        body,
        content_type="application/json",
        query_params=case.query or None,
    )


def test_every_answer_is_documented(coordinator, client_for, tmp_path):
    client = client_for(coordinator)
    client.raise_request_exception = False
    path = write_nifti(tmp_path / "ct.nii", phantom())
    upload = announce(client, {"ct.nii": path}).json()["id"]
    seen = set()
    for operation in operations():
        documented = {int(code) for code in operation.definition.raw["responses"]}

        def answer(case):
            response = ask(client, operation, case, upload)  # noqa: B023 - called in this turn
            assert response.status_code in documented, response.content[:300]  # noqa: B023
            seen.add((operation.method.upper(), response.status_code))  # noqa: B023

        QUIET(given(operation.as_strategy())(answer))()
    assert {method for method, _ in seen} == {"POST", "GET", "PUT", "DELETE"}
    assert {status for _, status in seen} & {200, 204}

"""The reading API against its own OpenAPI document: any input gives a documented status."""

from __future__ import annotations

import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings

from tests.reading.world import Desk

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
    schema = schemathesis.openapi.from_dict(document).include(path_regex="^/api/reading")
    return [operation.ok() for operation in schema.get_all_operations()]


def ask(client, operation, case, tokens):
    """Send the generated body as it is, and once more about each of `tokens`."""
    body = case.body if isinstance(case.body, dict | list) else None
    bodies = [body, *(body | {"token": token} for token in tokens if isinstance(body, dict))]
    path = operation.path.format(slug="liver")
    for sent in bodies:
        method = operation.method.upper()
        response = client.generic(method, path, json.dumps(sent), "application/json")
        assert str(response.status_code) in operation.definition.raw["responses"], response.content
        if response.status_code >= 400:
            assert isinstance(response.json()["detail"], str)
        yield response.status_code


def explore(client, operation, tokens, seen):
    @QUIET
    @given(case=operation.as_strategy())
    def check(case):
        seen.update(ask(client, operation, case, tokens))

    check()


@pytest.mark.parametrize("who", ["reader", "nobody", "anonymous"])
def test_every_answer_is_documented(world, reader, nobody, client_for, who):
    client = client_for({"reader": reader, "nobody": nobody, "anonymous": None}[who])
    client.raise_request_exception = False
    tokens = [""]
    if who == "reader":
        desk = Desk(client)
        desk.consent()
        tokens.append(desk.worklist()["current"]["token"])
    seen: set[int] = set()
    for operation in operations():
        explore(client, operation, tokens, seen)
    expected = {"reader": {200, 204, 422}, "nobody": {404, 422}, "anonymous": {401}}
    assert expected[who] <= seen

"""Headers of every response, on pages, errors and static files alike."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.test import Client

from tests.conftest import ROOT

pytestmark = pytest.mark.django_db
PATHS = ["/healthz", "/accounts/login/", "/", "/nothing-here/", "/api/nothing", "/static/site.css"]


@pytest.mark.parametrize("path", PATHS)
def test_S6_every_response_carries_the_security_headers(path):
    response = Client().get(path)
    csp = response["Content-Security-Policy"]
    assert "unsafe-inline" not in csp and "unsafe-eval" not in csp
    assert "frame-ancestors 'none'" in csp
    assert response["X-Content-Type-Options"] == "nosniff"
    assert response["Referrer-Policy"] == "same-origin"
    assert "geolocation=()" in response["Permissions-Policy"]


def test_S6_webassembly_is_allowed_to_scripts_of_workers_and_nowhere_else():
    script = Client().get("/static/site.js")
    assert "'wasm-unsafe-eval'" in script["Content-Security-Policy"]
    for path in PATHS:
        assert "wasm" not in Client().get(path)["Content-Security-Policy"]


def test_S7_cookies_are_closed_to_scripts(reader, client_for, settings):
    client = Client()
    client.get("/accounts/login/")
    response = client.post(
        "/accounts/login/", {"login": reader.email, "password": "correct horse battery"}
    )
    for name in ("sessionid", "csrftoken"):
        assert response.cookies[name]["httponly"] and response.cookies[name]["samesite"] == "Lax"


def test_S9_an_error_page_never_shows_the_exception(client_for, coordinator, monkeypatch):
    from readerstudy import views

    def broken(user):
        raise RuntimeError("the secret detail")

    monkeypatch.setattr(views, "home_context", broken)
    client = client_for(coordinator)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert b"secret detail" not in response.content and b"nothing was changed" in response.content


def test_health_says_ok():
    assert Client().get("/healthz").json() == {"status": "ok"}


def test_O9_no_page_script_or_style_names_an_external_host():
    files = [
        path
        for folder in ("templates", "static/site")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in {".html", ".js", ".css"} and "vendor" not in path.parts
    ]
    assert files
    hosts = re.compile(r"""(?:src|href|url|action|@import)\s*[=(]\s*["']?(?:https?:)?//""")
    offenders = [str(path) for path in files if hosts.search(Path(path).read_text())]
    assert offenders == []


def test_no_template_has_inline_script_or_style():
    inline = re.compile(
        r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son(?:click|load|change|input)=", re.IGNORECASE
    )
    offenders = [
        f"{path}: {match.group(0)}"
        for path in (ROOT / "templates").rglob("*.html")
        if (match := inline.search(path.read_text()))
    ]
    assert offenders == []

"""Tests about the code base itself."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from tests.conftest import ROOT

HEAVY = ("torch", "monai", "scipy", "statsmodels", "matplotlib", "nibabel", "highdicom", "pandas")


def test_O12_the_web_path_imports_no_heavy_library():
    """After a first request in a fresh process none of the heavy libraries is loaded."""
    program = (
        "import sys, django; django.setup()\n"
        "from django.test import Client\n"
        "from django.urls import get_resolver\n"
        "get_resolver().url_patterns\n"
        "assert Client(SERVER_NAME='localhost').get('/accounts/signup/').status_code == 200\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().splitlines()[-1] == "[]"


def environment() -> dict[str, str]:
    import os

    return {**os.environ, "DJANGO_SETTINGS_MODULE": "readerstudy.settings"}


def test_every_link_in_the_documents_leads_somewhere():
    documents = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    links = [
        (document, target)
        for document in documents
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text())
        if not target.startswith(("http://", "https://"))
    ]
    broken = [
        f"{document.name}: {target}"
        for document, target in links
        if not (document.parent / target).exists()
    ]
    assert links
    assert broken == []


def test_the_version_is_said_once():
    import readerstudy

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert readerstudy.__version__ == project["version"]


def test_every_command_of_the_readme_exists():
    from django.core.management import get_commands

    commands = set(re.findall(r"dev\.py manage (\w+)", (ROOT / "README.md").read_text()))
    assert commands
    assert commands <= set(get_commands())

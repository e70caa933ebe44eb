#!/usr/bin/env python
"""Command line of the platform: `python manage.py help` lists what it can do."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Sequence

KEY = "READERSTUDY_SECRET_KEY"
#: Commands from files to files. They sign nothing and store nothing in a site, so they run before
#: there is one; everything else fails without the site's own key.
FILES_ALONE = {
    "analyze",
    "benchmark",
    "check_parity",
    "check_statistics",
    "evaluate_recognition",
    "help",
    "plan_scale",
    "recognize",
    "segment_organs",
    "synthesize",
    "train_generator",
    "train_recognition",
    "train_segmentor",
    "utility_study",
}


def is_about_files(words: Sequence[str]) -> bool:
    """Whether the command line asks a site for nothing that it would have to sign or keep."""
    if {"-h", "--help"} & set(words):
        return True
    if not words or words[0] not in FILES_ALONE or any(w.startswith("--queue") for w in words):
        return False
    return words[0] != "segment_organs" or "--ct" in words


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "readerstudy.settings")
    words = sys.argv[1:]
    if words[:1] == ["demo"]:
        os.environ.setdefault("READERSTUDY_DEMO", "1")
    known = {KEY, f"{KEY}_FILE", "READERSTUDY_DEMO"} & set(os.environ)
    if not known and is_about_files(words):
        os.environ[KEY] = secrets.token_urlsafe(64)
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(f"manage.py: {error}", file=sys.stderr)  # noqa: T201  the command line is a terminal
        sys.exit(2)


if __name__ == "__main__":
    main()

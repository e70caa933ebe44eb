#!/usr/bin/env python
"""Command line of the platform: `python manage.py help` lists what it can do."""

from __future__ import annotations

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "readerstudy.settings")
    if sys.argv[1:2] == ["demo"]:
        os.environ.setdefault("READERSTUDY_DEMO", "1")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        print(f"manage.py: {error}", file=sys.stderr)  # noqa: T201  the command line is a terminal
        sys.exit(2)


if __name__ == "__main__":
    main()

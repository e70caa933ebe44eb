"""Choosing volumes on the command line: by id, by name, or all of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.core.management.base import CommandParser

from readerstudy.errors import UserError
from readerstudy.library.models import Volume


def add_volume_argument(parser: CommandParser) -> None:
    parser.add_argument(
        "--volume",
        action="append",
        default=[],
        metavar="ID_OR_NAME",
        help="a volume of the library; may be given several times (default: all)",
    )


def chosen_volumes(given: Sequence[str], **needed: Any) -> list[Volume]:
    """The volumes named in `given`, or all that meet `needed`. Raises UserError for an unknown."""
    rows = Volume.objects.prefetch_related("masks")
    if not given:
        return list(rows.filter(**needed).distinct().order_by("name"))
    return [_one(rows, text) for text in given]


def _one(rows: Any, text: str) -> Volume:
    try:
        found = rows.filter(pk=uuid.UUID(text)).first()
    except ValueError:
        found = rows.filter(name=text).first()
    if found is None:
        raise UserError(f"There is no volume {text!r} in the library; see its page for the names.")
    volume: Volume = found
    return volume

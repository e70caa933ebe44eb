"""A table of readings from anywhere: read, checked, analysed. No trial and no database.

Every defect is one sentence with the rows and the rule broken.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from readerstudy import __version__
from readerstudy.errors import UserError

from . import validation

if TYPE_CHECKING:
    from .stats.analyze import Machines
    from .stats.conditions import Conditions
    from .stats.files import Source
    from .stats.names import Schema
    from .stats.plan import Plan

Progress = Callable[[int, int, str], None]
Results = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What was asked for on the command line; None = not said."""

    file: Path
    schema: Schema | None = None
    positive: str | None = None
    margin: float | None = None
    plan: Path | None = None
    title: str | None = None
    machines: Path | None = None
    machine_threshold: float = 0.0


@dataclass(frozen=True)
class Done:
    """The results document, and the readings it rests on."""

    results: Results
    conditions: Conditions


def analyze_file(wanted: Wanted, progress: Progress) -> Done:
    """Read, check and analyse a table.

    Raises:
        UserError: the file or the plan cannot be used; one sentence.
    """
    from .stats.analyze import analyze
    from .stats.conditions import Conditions
    from .stats.files import read_source
    from .stats.modalities import analyze_ratings
    from .stats.ratings import check_ratings, to_conditions
    from .stats.tidy import JudgmentsError, check, to_readings

    data = _bytes(wanted.file)
    settings = _settings(wanted)
    try:
        source = read_source(wanted.file, wanted.schema, data)
        if source.schema == "vtt":
            plan = _plan(_with_classes(settings, source))
            results = analyze(source.table, plan, machines=_machines(wanted), progress=progress)
            conditions = Conditions.of({"1": to_readings(check(source.table, plan), plan)})
        else:
            if wanted.machines is not None:
                raise UserError(
                    "--machines takes judgments with verdicts (--schema vtt); a table of ratings "
                    "alone has no readers' verdicts to compare with."
                )
            ratings = check_ratings(source, settings.get("positive"))
            names = {"positive": ratings.positive, "negative": ratings.negative}
            results = analyze_ratings(ratings, _plan({**settings, **names}), progress=progress)
            conditions = to_conditions(ratings)
    except JudgmentsError as error:
        own = "" if wanted.machines is None else wanted.machines.name
        raise UserError(_sentence(wanted.file.name, str(error), own)) from None
    except ValueError as error:
        raise UserError(f"The plan cannot be used: {error}.") from None
    header = {
        "name": wanted.file.name,
        "title": wanted.title,
        "layout": source.layout,
        "rows": len(source.table),
        "sha256": hashlib.sha256(data).hexdigest(),
        "plan": wanted.plan.name if wanted.plan else None,
        "plan_sha256": hashlib.sha256(_bytes(wanted.plan)).hexdigest() if wanted.plan else None,
        "software": f"readerstudy {__version__}",
    }
    whole = {
        "schema": results["schema"], "source": header, "validation": validation.stored(), **results
    }  # fmt: skip
    return Done(whole, conditions)


def _machines(wanted: Wanted) -> Machines | None:
    """The table of machine ratings, where one is given."""
    from .stats.analyze import Machines
    from .stats.tidy import read_judgments

    if wanted.machines is None:
        return None
    name = wanted.machines.name
    table = read_judgments(io.BytesIO(_bytes(wanted.machines)), name)
    return Machines(table, wanted.machine_threshold, name)


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"There is no file {path}: check the path.") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder: give the table in it.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from None


def _settings(wanted: Wanted) -> dict[str, Any]:
    """The plan file, with the options of the command over it."""
    settings: dict[str, Any] = {}
    if wanted.plan is not None:
        settings = _plan_file(wanted.plan)
    if wanted.positive is not None:
        settings["positive"] = wanted.positive
    if wanted.margin is not None:
        settings["margin"] = wanted.margin
    return settings


def _plan_file(path: Path) -> dict[str, Any]:
    import yaml

    try:
        settings = yaml.safe_load(_bytes(path))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark else ""
        raise UserError(
            f"{path.name} is not YAML{where}: write one `key: value` per line."
        ) from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise UserError(f"{path.name} is not a plan: write one `key: value` per line.")
    return {str(key): value for key, value in settings.items()}


def _plan(settings: dict[str, Any]) -> Plan:
    from .stats.plan import Plan

    plan = Plan.from_json(settings)
    return replace(plan, margin=float(plan.margin))


def _with_classes(settings: dict[str, Any], source: Source) -> dict[str, Any]:
    """Name the negative class from the table, where the plan does not.

    Raises:
        JudgmentsError: the positive class does not occur.
    """
    from .stats.tidy import JudgmentsError

    positive = str(settings.get("positive", "synthetic"))
    if "negative" in settings or "truth" not in source.table:
        return settings
    usual = {"synthetic": "real", "real": "synthetic"}
    if positive in usual:
        return {**settings, "negative": usual[positive]}
    found = sorted({str(value).strip() for value in source.table["truth"]})
    if positive not in found:
        raise JudgmentsError(
            f"truth is never {positive!r}: its values are {', '.join(map(repr, found[:5]))}."
        )
    others = [value for value in found if value != positive]
    if len(others) != 1:
        raise JudgmentsError(
            f"Beside {positive!r} the truth has {len(others)} other values: there must be two "
            "classes."
        )
    return {**settings, "negative": others[0]}


def _sentence(name: str, message: str, other: str = "") -> str:
    """The rule broken, with the name of the file in it."""
    said = message.startswith(name) or (other != "" and message.startswith(other))
    return message if said else f"{name}: {message}"

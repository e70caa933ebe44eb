"""Reading a configuration: a file or a preset, then single keys on top."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from recognition.engine.errors import RecognitionError
from recognition.engine.training.config import TrainingConfig

PRESETS = Path(__file__).resolve().parents[2] / "presets"

Model = TypeVar("Model", bound=BaseModel)


def preset_names(folder: Path = PRESETS) -> tuple[str, ...]:
    """The presets that ship."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))


def read_config(
    source: Path | str, changes: Sequence[str] = (), *, out: str = ""
) -> TrainingConfig:
    """The configuration in a file, or the preset of that name, with ``a.b=value`` changes.

    Args:
        source: a path, or the name of a preset.
        changes: single keys; values are YAML.
        out: folder of the run, where the configuration names none.

    Raises:
        RecognitionError: no such file or preset, not YAML, an unknown key (naming the nearest
            one), or a value that makes no sense.
    """
    return read_model(TrainingConfig, PRESETS, source, changes, out=out)


def read_model(
    model: type[Model],
    presets: Path,
    source: Path | str,
    changes: Sequence[str] = (),
    *,
    out: str = "",
) -> Model:
    """As ``read_config``, for any model with an ``out`` and any folder of presets."""
    path = Path(source)
    if isinstance(source, str):
        names = preset_names(presets)
        if source not in names:
            raise RecognitionError(
                f"There is no preset {source!r}; choose one of: {', '.join(names)}."
            )
        path = presets / f"{source}.yaml"
    document = _with_changes(_read(path), changes)
    if out and not document.get("out"):
        document["out"] = out
    where = f"The preset {source}" if isinstance(source, str) else str(source)
    _refuse_unknown(document, model, "", where, dict(all_keys(model)))
    try:
        return model.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        raise RecognitionError(f"{where}{': ' + key if key else ''}: {text}.") from error


def _read(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecognitionError(f"There is no configuration {path}; check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise RecognitionError(f"{path} cannot be read as text ({error}).") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f" (line {mark.line + 1})" if mark is not None else ""
        raise RecognitionError(f"{path} is not valid YAML{line}; correct it there.") from error
    if not isinstance(document, dict):
        raise RecognitionError(f"{path} holds no configuration; write keys as `key: value`.")
    return document


def _with_changes(document: dict[str, Any], changes: Sequence[str]) -> dict[str, Any]:
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key.strip():
            raise RecognitionError(f"--set takes key=value, not {change!r}.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise RecognitionError(f"The value of --set {key} is not valid YAML.") from error
        *path, last = key.strip().split(".")
        here = document
        for part in path:
            here = here.setdefault(part, {})
            if not isinstance(here, dict):
                raise RecognitionError(f"--set {key}: {part} is no section here.")
        here[last] = value
    return document


def _refuse_unknown(
    document: Mapping[str, Any],
    model: type[BaseModel],
    prefix: str,
    where: str,
    every: Mapping[str, FieldInfo],
) -> None:
    for key, value in document.items():
        if key not in model.model_fields:
            near = difflib.get_close_matches(str(key), model.model_fields, n=1, cutoff=0.5)
            ends = {name.rsplit(".", 1)[-1]: name for name in every}
            hint = f"{prefix}{near[0]}" if near else ends.get(str(key), "")
            known = f"known here: {', '.join(model.model_fields)}"
            raise RecognitionError(
                f"{where} has an unknown key {prefix + str(key)!r}; "
                f"{f'did you mean {hint!r}?' if hint else known + '.'}"
            )
        below = _section(model.model_fields[key])
        if below is not None and isinstance(value, Mapping):
            _refuse_unknown(value, below, f"{prefix}{key}.", where, every)


def _section(field: FieldInfo) -> type[BaseModel] | None:
    kind = field.annotation
    return kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None


def all_keys(
    model: type[BaseModel] = TrainingConfig, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """Every key that holds a value, with dots."""
    for name, field in model.model_fields.items():
        below = _section(field)
        if below is None:
            yield f"{prefix}{name}", field
        else:
            yield from all_keys(below, f"{prefix}{name}.")

"""Reading a training configuration: a file or a preset, then single keys on top."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from synthesis.engine.errors import SynthesisError
from synthesis.engine.training.config import TrainingConfig

PRESETS = Path(__file__).resolve().parents[2] / "presets"


def preset_names() -> tuple[str, ...]:
    """The presets that ship."""
    return tuple(sorted(path.stem for path in PRESETS.glob("*.yaml")))


def read_preset(name: str) -> dict[str, Any]:
    """The document of a preset. Raises SynthesisError naming the known ones."""
    if name not in preset_names():
        raise SynthesisError(
            f"There is no preset {name!r}; choose one of: {', '.join(preset_names())}."
        )
    return read_yaml(PRESETS / f"{name}.yaml")


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML document that is a mapping. Raises SynthesisError naming the file and line."""
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SynthesisError(f"There is no configuration {path}; check the path.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SynthesisError(f"{path} cannot be read as text ({error}).") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise SynthesisError(f"{path} is not valid YAML{where}; correct it there.") from error
    if not isinstance(document, dict):
        raise SynthesisError(f"{path} holds no configuration; write keys as `key: value`.")
    return document


def with_settings(document: Mapping[str, Any], settings: Sequence[str]) -> dict[str, Any]:
    """A copy of ``document`` with ``a.b=value`` settings applied; values are YAML.

    Raises:
        SynthesisError: a setting without ``=``, or one below a key that is no section.
    """
    out = _copied(document)
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise SynthesisError(f"--set takes key=value, not {setting!r}.")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise SynthesisError(f"The value of --set {key} is not valid YAML.") from error
        *path, last = key.strip().split(".")
        here = out
        for part in path:
            below = here.setdefault(part, {})
            if not isinstance(below, dict):
                raise SynthesisError(f"--set {key}: {part} is no section here.")
            here = below
        here[last] = value
    return out


def _copied(document: Mapping[str, Any]) -> dict[str, Any]:
    return {k: _copied(v) if isinstance(v, Mapping) else v for k, v in document.items()}


def parse_config(document: Mapping[str, Any], where: str = "The configuration") -> TrainingConfig:
    """Check a document.

    Raises:
        SynthesisError: an unknown key (naming the nearest), or a value that makes no sense.
    """
    _refuse_unknown(document, TrainingConfig, "", where)
    try:
        return TrainingConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        text = first["msg"].removeprefix("Value error, ")
        spot = f": {key}" if key else ""
        raise SynthesisError(f"{where}{spot}: {text}.") from error


def _refuse_unknown(
    document: Mapping[str, Any], model: type[BaseModel], prefix: str, where: str
) -> None:
    for key, value in document.items():
        if key not in model.model_fields:
            raise SynthesisError(_unknown(f"{prefix}{key}", str(key), model, where))
        below = section_of(model.model_fields[key])
        if below is None:
            continue
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                _refuse_unknown(part, below, f"{prefix}{key}.", where)


def _unknown(full: str, key: str, model: type[BaseModel], where: str) -> str:
    near = difflib.get_close_matches(key, model.model_fields, n=1, cutoff=0.5)
    if not near:
        # The right key may stand in another section.
        last = {name: name.rsplit(".", 1)[-1] for name, _ in all_keys()}
        near = [name for name, end in last.items() if end == key][:1]
    else:
        near = [full.removesuffix(key) + near[0]]
    known = ", ".join(model.model_fields)
    hint = f"did you mean {near[0]!r}?" if near else f"known here: {known}."
    return f"{where} has an unknown key {full!r}; {hint}"


def section_of(field: FieldInfo) -> type[BaseModel] | None:
    """The section a field holds, one or many; None for a plain value."""
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def all_keys(
    model: type[BaseModel] = TrainingConfig, prefix: str = ""
) -> Iterator[tuple[str, FieldInfo]]:
    """Every key that holds a value, with dots; lists of sections carry ``[]``."""
    for name, field in model.model_fields.items():
        below = section_of(field)
        if below is None:
            yield f"{prefix}{name}", field
            continue
        many = field.annotation is not below
        yield from all_keys(below, f"{prefix}{name}{'[]' if many else ''}.")


def to_yaml(config: TrainingConfig) -> str:
    """The whole configuration, defaults included, as YAML that reads back to the same."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)

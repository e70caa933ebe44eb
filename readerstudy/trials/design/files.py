"""Protocol files: YAML (or JSON, which is YAML too) in and out."""

from __future__ import annotations

import json
from typing import Any

import yaml

from readerstudy.trials.design.errors import ProtocolError
from readerstudy.trials.design.protocol import Protocol, read

MAX_BYTES = 256 * 1024
HEADER = (
    "# Protocol of a Visual Turing Test; every key is explained in docs/reference-protocol.md.\n"
)


class _Loader(yaml.SafeLoader):
    """Plain data only: no aliases (a small file could unfold into a huge one), no key twice."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ProtocolError(
                f"Line {mark.line + 1} refers to another part of the file (`*name`); write the "
                "values out."
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise ProtocolError(
                    f"Line {key.start_mark.line + 1}: the key `{key.value}` stands twice; remove "
                    "one."
                )
            if isinstance(key.value, str):
                seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


class _Dumper(yaml.SafeDumper):
    """Long texts as readable blocks, short lists of names in one line."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def parse(content: bytes) -> Any:
    """Untrusted bytes to plain data. Raises ProtocolError with the line that is wrong."""
    if len(content) > MAX_BYTES:
        raise ProtocolError(
            f"The protocol file has {len(content)} bytes; it may have {MAX_BYTES} at most."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ProtocolError(
            f"The protocol file is not UTF-8 text (byte {error.start + 1}); save it as UTF-8."
        ) from None
    if text.lstrip().startswith("{"):
        return _parse_json(text)
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "the file"
        problem = (error.problem or "it cannot be read").rstrip(".")
        raise ProtocolError(f"The protocol file is not valid YAML at {where}: {problem}.") from None
    except yaml.YAMLError:
        raise ProtocolError(
            "The protocol file holds characters that YAML does not allow; save it as plain text."
        ) from None
    except (ValueError, RecursionError, TypeError):
        raise ProtocolError(
            "The protocol file cannot be read as YAML; download the template and edit it."
        ) from None


def _parse_json(text: str) -> Any:
    # Not left to the YAML reader: JSON may be indented with tabs, YAML may not.
    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in items]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise ProtocolError(f"The key `{twice}` stands twice in the file; remove one.")
        return dict(items)

    try:
        return json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise ProtocolError(
            f"The protocol file is not valid JSON at line {error.lineno}, column {error.colno}: "
            f"{error.msg}."
        ) from None
    except (RecursionError, ValueError):
        raise ProtocolError(
            "The protocol file cannot be read as JSON; download the template and edit it."
        ) from None


def load(content: bytes) -> Protocol:
    """A checked protocol from the bytes of a file. Raises ProtocolError."""
    return read(parse(content))


def dump(protocol: Protocol) -> str:
    """The protocol as YAML that a person can edit; `load` gives the same protocol back."""
    return HEADER + yaml.dump(
        protocol.document(), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=96
    )

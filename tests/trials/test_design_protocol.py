"""The protocol document: schema, hash, sentences, files."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from readerstudy.trials.design import files, template
from readerstudy.trials.design.errors import ProtocolError
from readerstudy.trials.design.protocol import Protocol, read


def document(**changes: Any) -> dict[str, Any]:
    return template.vtt_ct_1("A trial") | {"positive_class": "synthetic"} | changes


def sentence_for(data: Any) -> str:
    with pytest.raises(ProtocolError) as caught:
        read(data)
    return str(caught.value)


def test_template_is_valid_once_the_positive_class_is_chosen() -> None:
    protocol = read(document())
    assert protocol.design.cases == 60
    assert protocol.total_positions == 4 + 60 + 6
    assert protocol.hours_per_reader == pytest.approx(3.5)
    # Not exactly one half, so that counting does not help.
    real = sum(row.real for row in protocol.design.strata)
    assert real != protocol.design.cases - real


def test_positive_class_has_no_default() -> None:
    assert sentence_for(template.vtt_ct_1()) == "`positive_class` is missing; add it."


# value to set at a path -> sentence
BAD: list[tuple[tuple[Any, ...], Any, str]] = [
    (
        ("positive_class",),
        "fake",
        "`positive_class` is “fake”; use synthetic or real.",
    ),
    (
        ("windws",),
        [],
        "`windws` is not a key of the protocol; did you mean `windows`?",
    ),
    (
        ("design", "strata", 1, "sythetic"),
        4,
        "`design.strata[2].sythetic` is not a key of the protocol; did you mean `synthetic`?",
    ),
    (
        ("windows", 0, "presets", 0, "centre"),
        4,
        "`windows[1].presets[1].centre` is not a key of the protocol; did you mean `center`?",
    ),
    (
        ("endpoint",),
        {"measure": "auc", "equivalence_margin": 0.7},
        "`endpoint.equivalence_margin` is “0.7”; it must be less than 0.5.",
    ),
    (
        ("endpoint",),
        {"equivalence_margin": float("nan")},
        "`endpoint.equivalence_margin` is not a finite number; give one.",
    ),
    (
        ("design", "strata", 0, "real"),
        "four",
        "`design.strata[1].real` is “four”; give a whole number.",
    ),
    (
        ("design", "strata", 0, "real"),
        True,
        "`design.strata[1].real` is “true”; give a whole number.",
    ),
    (
        ("design", "strata", 0, "real"),
        -1,
        "`design.strata[1].real` is “-1”; it must be at least 0.",
    ),
    (
        ("design", "strata", 0, "size_band"),
        "tiny",
        "`design`: stratum liver, tiny names no size band; use one of small, medium, large.",
    ),
    (
        ("design", "size_bands", 1, "from_mm"),
        5,
        "`design`: size bands small and medium overlap; let medium start at 10 mm.",
    ),
    (
        ("design", "size_bands", 1, "to_mm"),
        10,
        "`design.size_bands[2]`: ends at 10 mm, not above its start; raise to_mm.",
    ),
    (
        ("design", "longest_run"),
        3,
        "`design.longest_run` is “3”; it must be at least 5.",
    ),
    (
        ("repeats",),
        {"count": 40, "minimum_gap": 30},
        "Repeats: 40 repeats at least 30 positions apart do not fit 60 main cases; lower "
        "minimum_gap to 21 or less, or lower the count.",
    ),
    (
        ("rating_labels",),
        ["yes", "no"],
        "`rating_labels` has 2 entries; give at least 6.",
    ),
    (
        ("rating_labels",),
        ["a", "b", "c", "d", "e", "A"],
        "`rating_labels`: two ratings have the same label; rename one.",
    ),
    (("question",), "", "`question` is empty; write something."),
    (("question",), "two\nlines", "`question` is “two\nlines”; use one line of plain text."),
    (("question",), 7, "`question` is “7”; write it as text."),
    (("marker",), "box", "`marker` is “box”; write it as `key: value` pairs."),
    (("going_back",), True, "`going_back` is “true”; use false."),
    (
        ("rendition",),
        {"matrix": 500},
        "`rendition.matrix` is “500”; use 128, 256, 384, 512, 768 or 1024.",
    ),
    (("design", "strata"), [], "`design.strata` has 0 entries; give at least 1."),
    (
        ("windows",),
        [{"organ": "liver", "presets": [{"name": "Soft", "center": 40, "width": 400}]}],
        "Windows has no presets for kidney, lung; add them, or an entry for the organ `default`.",
    ),
]


@pytest.mark.parametrize(("path", "value", "sentence"), BAD, ids=lambda item: str(item)[:40])
def test_bad_value_gives_one_sentence_naming_the_key(
    path: tuple[Any, ...], value: Any, sentence: str
) -> None:
    data = copy.deepcopy(document())
    target: Any = data
    for part in path[:-1]:
        target = target[part]
    target[path[-1]] = value
    assert sentence_for(data) == sentence


def test_a_protocol_needs_both_arms() -> None:
    data = copy.deepcopy(document())
    for row in data["design"]["strata"]:
        row["real"] = 0
    assert sentence_for(data) == "`design`: no stratum has a real case; a trial needs both arms."


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from([*Protocol.model_fields, "x"]), inner, max_size=4)
        ),
        max_leaves=8,
    )
)
def test_any_data_is_a_protocol_or_a_sentence(data: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        read(data)
    assert str(caught.value)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [leaf for index, item in enumerate(value) for leaf in leaves(item, (*path, index))]
    return [(path, value)]


def changed(path: tuple[Any, ...], value: Any) -> Any:
    """Another value of the same type."""
    others = {
        "format": "other",
        "going_back": True,
        "feedback": "always",
        "measure": "balanced_accuracy",
        "positive_class": "real",
        "kind": "none",
        "rule": "middle",
        "rendering": "cpu",
        "matrix": 256,
    }
    if path[-1] in others:
        return others[path[-1]]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return type(value)(value + 1) if value >= 1 or isinstance(value, int) else value / 2 + 0.01
    return value + "x"


def test_D5_hash_changes_when_any_field_changes() -> None:
    base = read(document()).document()
    seen = {read(base).sha256}
    refused = []
    for path, value in leaves(base):
        data = copy.deepcopy(base)
        target: Any = data
        for part in path[:-1]:
            target = target[part]
        target[path[-1]] = changed(path, value)
        try:
            digest = read(data).sha256
        except ProtocolError:
            # A value that contradicts the rest is refused, so it cannot slip in unnoticed.
            refused.append(path[-1])
            continue
        assert digest not in seen, path
        seen.add(digest)
    assert len(seen) > 120
    assert set(refused) == {"format", "going_back", "feedback", "name", "size_band", "to_mm"}


def test_D5_every_field_of_the_schema_is_in_the_hashed_document() -> None:
    def check(model: BaseModel, data: dict[str, Any]) -> None:
        assert set(type(model).model_fields) == set(data)
        for name in type(model).model_fields:
            value = getattr(model, name)
            if isinstance(value, BaseModel):
                check(value, data[name])

    protocol = read(document())
    check(protocol, json.loads(protocol.canonical()))


def test_same_meaning_gives_same_hash() -> None:
    data = document()
    shuffled = dict(reversed(list(data.items())))
    crlf = copy.deepcopy(data)
    crlf["wording"]["consent"] = crlf["wording"]["consent"].replace("\n", "\r\n") + "\r\n"
    integers = copy.deepcopy(data)
    integers["design"]["size_bands"][0]["to_mm"] = 10.0
    hashes = {read(item).sha256 for item in (data, shuffled, crlf, integers)}
    assert len(hashes) == 1


def test_hash_is_stable_across_releases() -> None:
    # If this changes, stored protocols no longer verify: bump the format instead.
    assert read(document()).sha256 == (
        "434049f57f4962ea04ed64c931ec26778623afccce505ddf9099ba18d6a945ef"
    )


def test_windows_of_an_organ_fall_back_to_default() -> None:
    protocol = read(document())
    assert protocol.windows_for("lung")[0].name == "Lung"
    assert protocol.windows_for("spleen")[0].name == "Soft tissue"


# ---------------------------------------------------------------------------------------- files
def test_yaml_and_json_round_trip() -> None:
    protocol = read(document())
    text = files.dump(protocol)
    assert files.load(text.encode()) == protocol
    assert files.load(json.dumps(protocol.document(), indent="\t").encode()) == protocol
    # Long texts stay readable.
    assert "  instructions: |\n" in text or "  instructions: |-\n" in text


BAD_FILES = [
    (b"", "The protocol is not a list of `key: value` pairs; download the template and edit it."),
    (
        b"- 1\n- 2\n",
        "The protocol is not a list of `key: value` pairs; download the template and edit it.",
    ),
    (b"title: a\ntitle: b\n", "Line 2: the key `title` stands twice; remove one."),
    (b'{"title": "a", "title": "b"}', "The key `title` stands twice in the file; remove one."),
    (
        b"a: &x [1]\nb: *x\n",
        "Line 2 refers to another part of the file (`*name`); write the values out.",
    ),
    (
        b"title: [a\n",
        "The protocol file is not valid YAML at line 2, column 1: expected ',' or ']', "
        "but got '<stream end>'.",
    ),
    (b'{"title": ', "The protocol file is not valid JSON at line 1, column 11: Expecting value."),
    (b"title: \xff\n", "The protocol file is not UTF-8 text (byte 8); save it as UTF-8."),
    (
        b"title: \x00\n",
        "The protocol file holds characters that YAML does not allow; save it as plain text.",
    ),
    (
        b"title: !!python/object/apply:os.system [ls]\n",
        "The protocol file is not valid YAML at line "
        "1, column 8: could not determine a constructor for the tag "
        "'tag:yaml.org,2002:python/object/apply:os.system'.",
    ),
    (
        b"x" * (files.MAX_BYTES + 1),
        "The protocol file has 262145 bytes; it may have 262144 at most.",
    ),
    (b"[" * 20000, "The protocol file cannot be read as YAML; download the template and edit it."),
    (
        b'{"a":' * 20000,
        "The protocol file cannot be read as JSON; download the template and edit it.",
    ),
    (
        b"when: 2026-13-45\n",
        "The protocol file cannot be read as YAML; download the template and edit it.",
    ),
    (
        b"? [a, b]\n: 1\n",
        "The protocol file cannot be read as YAML; download the template and edit it.",
    ),
]


@pytest.mark.parametrize(("content", "sentence"), BAD_FILES, ids=lambda item: repr(item)[:30])
def test_bad_file_gives_one_sentence(content: bytes, sentence: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        files.load(content)
    assert str(caught.value) == sentence


@given(st.binary(max_size=200))
def test_any_bytes_are_a_protocol_or_a_sentence(content: bytes) -> None:
    with pytest.raises(ProtocolError):
        files.load(content)

"""The one reader of JSON: what it refuses, in one line, and what a seal notices."""

import json
import math
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mesascope.records import parsing
from mesascope.records.parsing import SEAL, Damaged, parse, sealed, unsealed

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**17), 10**17)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
documents = st.dictionaries(st.text(max_size=8), values, max_size=4)


@given(value=values)
def test_what_json_writes_is_read(value: Any) -> None:
    for ascii_only in (True, False):
        assert parse(json.dumps(value, ensure_ascii=ascii_only).encode(), "x") == value


REFUSED: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", r"x\.json is not JSON \(Expecting value"),
    "half": (b'{"a": ', r"x\.json is not JSON \("),
    "more than one": (b"1 2", r"x\.json is not JSON \(Extra data"),
    "another encoding": ('{"a": "é"}'.encode("latin-1"), r"x\.json is not JSON: its byte 7 is not UTF-8\. Save it as UTF-8"),
    "a mark": (b"\xef\xbb\xbf{}", r"x\.json is not JSON \(Unexpected UTF-8 BOM"),
    "without end": (b"[" * 10**5, r"x\.json cannot be used: its values are nested more than 64 deep"),
    "deep": (b"[" * 900 + b"]" * 900, r"x\.json cannot be used: its values are nested more than 64 deep"),
    "deep in an object": (b'{"a":' * 65 + b"1" + b"}" * 65, r"nested more than 64 deep"),
    "a name twice": (b'{"dim": 3, "n": 1, "dim": 4}', r"the name 'dim' occurs twice in one object\. Keep one"),
    "a long number": (b"1" * 400, r"a whole number of 400 digits; .* Write a large number as 1e20"),
    "a longer one": (b'{"a": -' + b"1" * 5000 + b"}", r"a whole number of 5000 digits"),
    "half a character": (rb'{"a": "\ud800"}', r"it holds '\\ud800', which is half of a surrogate pair"),
    "in a name": (rb'{"\udc80": 1}', r"it holds '\\udc80', which is half of a surrogate pair"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_in_a_line(case: str) -> None:
    content, message = REFUSED[case]
    with pytest.raises(Damaged, match=message) as caught:
        parse(content, "x.json")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_a_file_of_any_size_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "LARGEST", 2**20)
    with pytest.raises(Damaged, match=r"x\.json must be at most 1 MiB; it has 3 MiB\."):
        parse(b" " * (3 * 2**20), "x.json")


def test_nesting_is_refused_whatever_pythons_own_limit() -> None:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(10**6)  # as some libraries do: the parser would run out of the C stack
    try:
        with pytest.raises(Damaged, match="nested more than 64 deep"):
            parse(b"[" * 10**6, "x.json")
    finally:
        sys.setrecursionlimit(before)
    assert parse(b'["' + b"[" * 100 + b'"]', "x.json") == ["[" * 100]  # brackets in a string are none


def test_what_is_deep_enough_is_read() -> None:
    assert parse(b"[" * 64 + b"]" * 64, "x")
    assert parse(rb'"\ud83d\ude00"', "x") == "😀"
    assert parse(b"-999999999999999999", "x") == -999999999999999999
    assert math.isnan(parse(b"NaN", "x"))  # no JSON, but Python writes it; every configuration refuses it by name


@given(body=documents)
@settings(max_examples=50)
def test_a_sealed_document_is_opened(body: dict[str, Any]) -> None:
    document = parse(json.dumps(sealed(body)).encode(), "x")
    for required in (True, False):
        assert unsealed(document, "x", required=required) == body
    backwards = dict(reversed(document.items()))
    assert unsealed(backwards, "x", required=True) == body


def test_tuples_and_numbers_as_names_are_sealed_as_they_are_read() -> None:
    body = {"a": (1, 2), "b": {10: 1, 9: 2, "x": 3}}
    assert unsealed(sealed(body), "x", required=True) == {"a": [1, 2], "b": {"10": 1, "9": 2, "x": 3}}


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_json_is_not_sealed(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        sealed({"a": [value]})


CHANGED: dict[str, Any] = {
    "a value": {"a": 1, "b": [2.5, 3]},
    "its kind": {"a": 1, "b": [2, True]},
    "an item less": {"a": 1, "b": [2]},
    "a field less": {"a": 1},
    "a field more": {"a": 1, "b": [2, 3], "c": None},
    "a name": {"A": 1, "b": [2, 3]},
}


@pytest.mark.parametrize("case", CHANGED)
def test_a_change_breaks_the_seal(case: str) -> None:
    seal = sealed({"a": 1, "b": [2, 3]})[SEAL]
    changed = CHANGED[case] | {SEAL: seal}
    with pytest.raises(Damaged, match=r"^x is damaged, or was changed after .* of its contents\.$"):
        unsealed(changed, "x", required=True)
    with pytest.raises(Damaged, match=r"If you changed the file, delete that field\."):
        unsealed(changed, "x", required=False)


@pytest.mark.parametrize("document", [{"a": 1}, {}, [1], "a", None])
def test_what_has_no_seal_is_not_ours(document: Any) -> None:
    with pytest.raises(Damaged, match=r"x has no content_sha256: it is damaged, or was not written by this version"):
        unsealed(document, "x", required=True)
    assert unsealed(document, "x", required=False) == document

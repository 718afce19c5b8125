"""Foreign text in messages: short, and nothing that a terminal would obey."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesascope.records.shown import LONGEST, plain, said, shown


@pytest.mark.parametrize("value", ["x", "Did you?", [1], {"a": 1}, (1, 2.5), None, True, 10**18, "κ"])
def test_what_is_short_and_printed_is_quoted_as_python_writes_it(value: Any) -> None:
    assert shown(value) == repr(value)


def test_a_path_has_no_quotes() -> None:
    assert shown(Path("runs") / "my run") == "runs/my run"
    assert shown(Path("a\x1b[31mb\nc")) == r"a\x1b[31mb\nc"


HOSTILE = {
    "red": "\x1b[31mred",
    "a new line": "a\nmesascope: all is well",
    "over what is there": "a\rb\bc",
    "from right to left": "a\u202eb",
    "eight-bit control": "a\x9b31m",
    "half a character": "a\udc80",
    "long": "x" * 10**6,
    "a long list": [["x" * 1000] * 1000] * 1000,
    "a deep list": [[[[[[[[[[[[["x" * 1000]]]]]]]]]]]]],
    "a long number": 10**5000,
    "long numbers": [10**5000, -(10**5000)],
    "many names": {f"name {i}": i for i in range(1000)},
}


@pytest.mark.parametrize("case", HOSTILE)
def test_whatever_it_is_it_is_one_inert_line(case: str) -> None:
    value = HOSTILE[case]
    for line in (shown(value), *([shown(Path(value))] if isinstance(value, str) else [])):
        assert len(line) <= LONGEST
        assert line.isprintable()
        line.encode()


def test_a_list_without_end_is_cut() -> None:
    deep: list[Any] = []
    for _ in range(10**5):
        deep = [deep]
    assert len(shown(deep)) <= LONGEST


@given(text=st.text(alphabet=st.characters(codec=None, categories=None)))
def test_no_text_reaches_the_terminal_raw(text: str) -> None:
    assert plain(text).isprintable()
    assert plain(plain(text)) == plain(text)
    assert plain("plain text, κ²") == "plain text, κ²"


def test_what_others_say_is_their_first_line() -> None:
    assert said(ValueError("first\nsecond")) == "first"
    assert said(ValueError("\n  a\x1bb\nc")) == r"a\x1bb"
    assert said(ValueError()) == ""
    assert len(said(ValueError("x" * 10**6))) <= LONGEST

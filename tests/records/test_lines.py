"""A log of sealed lines: what was written comes back, and damage is said."""

from pathlib import Path

import pytest

from mesascope.records.lines import append_line, keep_lines, read_lines
from mesascope.records.parsing import Damaged


@pytest.fixture
def log(tmp_path: Path) -> Path:
    for step in range(1, 6):
        append_line(tmp_path / "metrics.jsonl", {"step": step, "loss": 0.1 * step})
    return tmp_path / "metrics.jsonl"


def steps(log: Path) -> list[int]:
    return [line["step"] for line in read_lines(log)]


def test_what_is_written_is_read(log: Path) -> None:
    assert read_lines(log) == tuple({"step": step, "loss": 0.1 * step} for step in range(1, 6))


@pytest.mark.parametrize("damage", [b"\xff", b"9", b"\x1b", b"\n"])
def test_a_damaged_line_is_named(log: Path, damage: bytes) -> None:
    whole = log.read_bytes()
    place = whole.index(b'"step": 3') + 8
    log.write_bytes(whole[:place] + damage + whole[place + 1 :])
    with pytest.raises(Damaged, match=r"metrics\.jsonl, line 3, ") as caught:
        read_lines(log)
    assert str(caught.value).isprintable()


def test_a_resumed_run_keeps_the_lines_that_are_whole(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    log.write_bytes(log.read_bytes().replace(b'"step": 2', b'"step": \xff') + b'3\n{"step": 1}\n{"step": 6, "lo')
    keep_lines(log, lambda line: line["step"] <= 4)
    assert steps(log) == [1, 3, 4]
    said = [record.getMessage() for record in caplog.records]
    assert [message.split(" ")[2].rstrip(",") for message in said[:3]] == ["2", "6", "7"]
    assert all(message.endswith("The line is dropped.") for message in said[:3])
    assert "ends in an incomplete line" in said[3]


def test_a_last_line_that_was_cut_off_is_passed_over_and_said(log: Path, caplog: pytest.LogCaptureFixture) -> None:
    log.write_bytes(log.read_bytes()[:-20])
    assert steps(log) == [1, 2, 3, 4]
    assert "ends in an incomplete line, as a killed run leaves it" in caplog.text

"""Work items that share a part: it is done once for all that are left, and every result is kept on its own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mesascope.plans import Here, Plan, Work, execute
from mesascope.plans.engines import Finished
from mesascope.plans.joining import joined
from mesascope.plans.work import Say, Shared
from mesascope.records.journal import Journal


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A result."""

    value: int


def note(items: Sequence[tuple[Path, int]], say: Say) -> None:
    """Prepare: one line per call."""
    say("preparing")
    with (items[0][0]).open("a") as lines:
        lines.write(",".join(str(value) for _, value in items) + "\n")


def work(where: Path, value: int, key: str | None) -> Work[Number]:
    shared = None if key is None else Shared(key=key, item=(where, value), prepare=note)
    return Work(name=f"item {value}", key=value, result=Number, run=Answer(value), shared=shared)


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """An engine in this process that says it has several workers."""

    workers: int

    def results(self, works: Sequence[Work[Any]], say: Say) -> Finished:
        return Here().results(works, say)


class Answer:
    """A work item's function, which other processes can be sent."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __call__(self, say: Say) -> Number:
        return Number(value=10 * self.value)


def items(where: Path) -> tuple[Work[Number], ...]:
    return tuple(work(where, i, {0: "even", 1: "odd"}[i % 2] if i < 6 else None) for i in range(7))


@pytest.mark.parametrize("workers", [1, 2, 6])
def test_a_part_is_done_once_for_all_that_a_worker_has(workers: int, tmp_path: Path) -> None:
    notes, engine = tmp_path / "notes", Several(workers=workers)
    found = execute(Plan(words="numbers", works=items(notes)), Journal(tmp_path), engine=engine)
    assert {name: each.value for name, each in found.items()} == {f"item {i}": 10 * i for i in range(7)}
    assert list(found) == [f"item {i}" for i in range(7)]
    expected = {"0,2", "1,3"} if workers == 6 else {"0,2,4", "1,3,5"}  # one that is alone does its part itself
    assert set(notes.read_text().split()) == expected


def test_only_what_is_left_is_joined(tmp_path: Path) -> None:
    notes, plan = tmp_path / "notes", Plan(words="numbers", works=items(tmp_path / "notes"))
    execute(plan, Journal(tmp_path))
    parts = sorted((tmp_path / "parts").glob("*.json"))
    for path in parts:
        if '"item 2"' in path.read_text() or '"item 4"' in path.read_text():
            path.unlink()
    notes.unlink()
    assert execute(plan, Journal(tmp_path))["item 4"].value == 40
    assert notes.read_text() == "2,4\n"


def test_nothing_is_joined_where_there_are_as_many_workers() -> None:
    made = items(Path("notes"))
    assert [item.members for item in joined(made, 100)] == [(w,) for w in (*made[:6:2], *made[1:6:2], made[6])]


def test_the_largest_item_comes_first() -> None:
    made = (*items(Path("notes"))[:3], items(Path("notes"))[6])
    assert [len(item.members) for item in joined(made[::-1], 2)] == [2, 1, 1]

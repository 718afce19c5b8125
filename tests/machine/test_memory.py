"""What this machine can hold, and what is said of more."""

import os
import resource
from pathlib import Path

import pytest

from mesascope.machine import memory as room
from mesascope.machine.memory import check_memory, memory


@pytest.fixture
def fresh() -> None:
    memory.cache_clear()


def test_what_does_not_fit_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "memory", lambda: 8 * 2**30)
    check_memory("it", 8 * 2**30, "Take less.")
    for needed, words in (
        (8 * 2**30 + 1, "8 GiB"), (2**34, "16 GiB"), (10**14, "93,132 GiB"),
        (10**40, r"9\.3e\+30 GiB"), (10**500, r"3e\+141 GiB"),
    ):  # fmt: skip
        with pytest.raises(
            ValueError, match=rf"^it needs about {words}.* of memory, and this machine has 8 GiB\. Take less\.$"
        ):
            check_memory("it", needed, "Take less.")


@pytest.mark.usefixtures("fresh")
def test_a_container_and_a_limit_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0 < memory() <= physical
    (tmp_path / "none").write_text("max\n")
    (tmp_path / "some").write_text(f"{2**20}\n")
    for names, limit, expected in (
        (("none", "missing"), -1, physical),
        (("some", "none"), -1, 2**20),
        (("none",), 2**19, 2**19),
        (("some",), 2**30, 2**20),
    ):
        memory.cache_clear()
        monkeypatch.setattr(room, "_LIMITS", [str(tmp_path / name) for name in names])
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert memory() == expected
    memory.cache_clear()

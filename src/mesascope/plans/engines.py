"""Where a plan's work is done: in this process, or in others on this machine. `mesascope.plans.cluster` has a cluster."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol, TypeVar, runtime_checkable

from mesascope.machine.processes import Died, in_processes
from mesascope.plans.work import Say, Work
from mesascope.records.shown import said

T = TypeVar("T")


@runtime_checkable
class Engine(Protocol):
    """Does pieces of work, in any order."""

    def results(self, works: Sequence[Work[Any]], say: Say) -> Iterator[tuple[Work[Any], Any | Died]]:
        """Each piece with what came out, as it is done; `Died` for one that ended every worker which tried it.

        Whoever stops listening ends what is still being worked on.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """One after the other, in this process."""

    def results(self, works: Sequence[Work[Any]], say: Say) -> Iterator[tuple[Work[Any], Any | Died]]:
        """As `Engine.results`."""
        for work in works:
            say(work.name)
            with naming(work):
                found = work.run(functools.partial(_within, say, work.name))
            yield work, found


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """In ``workers`` processes on this machine, with one thread each."""

    workers: int

    def results(self, works: Sequence[Work[Any]], say: Say) -> Iterator[tuple[Work[Any], Any | Died]]:
        """As `Engine.results`."""
        for work in works[:1]:
            _check_sent(work)
        calls = [functools.partial(do, work) for work in works]
        for number, found in in_processes(calls, self.workers):
            say(works[number].name)
            yield works[number], found


def _check_sent(work: Work[Any]) -> None:
    """Raise where another process cannot be sent the work: somebody's own subject may hold what cannot leave this one."""
    try:
        ForkingPickler.dumps(work.run)
    except Exception as error:  # whatever its parts raise
        raise ValueError(
            f"--workers must be able to send the work to other processes; {work.name} cannot be sent ({said(error)}). Leave "
            "--workers out, or define what it holds at the top of a module."
        ) from error


def do(work: Work[T]) -> T:
    """What a worker does: the work, telling nobody."""
    with naming(work):
        return work.run(_silent)


@contextlib.contextmanager
def naming(work: Work[Any]) -> Iterator[None]:
    """Have an error say in which work it was."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in {work.name}")
        raise


def _silent(words: str) -> None:
    """Tell nobody."""


def _within(say: Say, name: str, words: str) -> None:
    say(f"{name}: {words}")


__all__ = ("Engine", "Here", "Processes", "do", "naming")

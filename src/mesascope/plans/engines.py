"""Engines, which run a plan's work: in this process or in others on this machine. For a cluster: `mesascope.plans.cluster`."""

import contextlib
import functools
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import Any, Protocol, TypeVar, runtime_checkable

from mesascope.machine.processes import Died, in_processes
from mesascope.plans.work import Say, Work
from mesascope.records.shown import said

T = TypeVar("T")
Finished = Generator[tuple[Work[Any], Any | Died], None, None]
"""Work items with their results, as they are done; closing it cancels the rest."""


@runtime_checkable
class Engine(Protocol):
    """Runs work items, in any order."""

    @property
    def workers(self) -> int:
        """How many items run at the same time, at most."""
        ...

    def results(self, works: Sequence[Work[Any]], say: Say) -> Finished:
        """Each work item with its result, in the order of completion; `Died` for work that killed every worker that tried it.

        When the caller stops iterating, unfinished work is cancelled.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Here:
    """Runs work items one after the other, in this process."""

    @property
    def workers(self) -> int:
        """One: this process."""
        return 1

    def results(self, works: Sequence[Work[Any]], say: Say) -> Finished:
        """As `Engine.results`."""
        for work in works:
            say(work.name)
            with naming(work):
                found = work.run(functools.partial(_within, say, work.name))
            yield work, found


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """Runs work items in ``workers`` processes on this machine, with one thread each."""

    workers: int

    def results(self, works: Sequence[Work[Any]], say: Say) -> Finished:
        """As `Engine.results`."""
        for work in works[:1]:
            _check_sent(work)
        calls = [functools.partial(do, work) for work in works]
        for number, found in in_processes(calls, self.workers):
            say(works[number].name)
            yield works[number], found


def _check_sent(work: Work[Any]) -> None:
    """Check that work can be sent to another process: a user's subject may hold objects that cannot be pickled."""
    try:
        ForkingPickler.dumps(work.run)
    except Exception as error:  # pickling may raise anything
        raise ValueError(
            f"--workers must be able to send the work to other processes; {work.name} cannot be sent ({said(error)}). Leave "
            "--workers out, or define the classes and functions that it holds at the top level of a module."
        ) from error


def do(work: Work[T]) -> T:
    """Do a work item in a worker, without progress messages."""
    with naming(work):
        return work.run(_silent)


@contextlib.contextmanager
def naming(work: Work[Any]) -> Iterator[None]:
    """Add the name of the work item to an exception."""
    try:
        yield
    except Exception as error:
        error.add_note(f"in {work.name}")
        raise


def _silent(words: str) -> None:
    """Discard a progress message."""


def _within(say: Say, name: str, words: str) -> None:
    say(f"{name}: {words}")


__all__ = ("Engine", "Finished", "Here", "Processes", "do", "naming")

"""An existing Dask cluster, on which a plan's work is done. Needs the extra ``cluster``."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, as_completed
from dataclasses import dataclass
from typing import Any

from mesascope.machine.processes import TRIES, Died, with_one_thread
from mesascope.plans.engines import do
from mesascope.plans.work import Say, Work
from mesascope.records.provenance import commit, provenance
from mesascope.records.shown import said, shown

PATIENCE = 10
"""Seconds within which a scheduler must answer, and have a worker."""
ALIKE = ("mesascope", "torch", "numpy")
"""Packages whose version must be the same everywhere, or the numbers are not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The workers of a Dask scheduler, one thread for each piece of work.

    A worker that dies takes nothing with it: Dask gives its work to another. Work that is there when several die (Dask's
    setting ``allowed-failures``) is tried once more by itself, at the end. Ctrl-C here ends what is still being worked on.

    Attributes:
        scheduler: its address, as in ``tcp://host:8786``, or the path of its scheduler file.

    Source: `distributed`, whose client offers the interface of `concurrent.futures`.
    """

    scheduler: str

    def results(self, works: Sequence[Work[Any]], say: Say) -> Iterator[tuple[Work[Any], Any | Died]]:
        """As `mesascope.plans.engines.Engine.results`.

        Raises:
            ValueError: nobody answers, there is no worker, or one has another version of what the numbers depend on.
            OSError: the scheduler is lost.
        """
        distributed = _library()
        with _connected(distributed, self.scheduler) as client:
            executor = client.get_executor(pure=False)
            try:
                suspects = []
                running = {executor.submit(_on_worker, work): work for work in works}
                for future in as_completed(list(running)):
                    work = running.pop(future)  # the last reference: Dask would keep the result, and do lost ones again
                    say(work.name)
                    try:
                        yield work, future.result()
                    except distributed.KilledWorker:
                        suspects.append(work)
                for work in suspects:  # alone: Dask also suspects what only waited on the workers that died
                    try:
                        yield work, executor.submit(_on_worker, work).result()
                    except distributed.KilledWorker:
                        yield work, Died(workers=TRIES)
            except CancelledError as error:
                raise OSError(
                    f"the scheduler {shown(self.scheduler)} was lost. What came back is kept; the same command goes on there."
                ) from error
            finally:
                executor.shutdown(wait=False)  # which cancels

    def check(self) -> None:
        """Raise, as `results` does, before any work is made."""
        with _connected(_library(), self.scheduler):
            pass


def _on_worker(work: Work[Any]) -> Any:
    return with_one_thread(lambda: do(work))


def _library() -> Any:
    try:
        import distributed  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise ValueError(
            "--scheduler needs the package distributed, which is not installed: pip install 'mesascope[cluster]'."
        ) from error
    return distributed


@contextlib.contextmanager
def _connected(distributed: Any, scheduler: str) -> Iterator[Any]:
    """A client of a scheduler that has a worker, all of whose workers run what runs here."""
    where = {"scheduler_file": scheduler} if os.path.isfile(scheduler) else {"address": scheduler}
    try:
        client = distributed.Client(**where, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(
            f"--scheduler must be the address of a Dask scheduler, as in tcp://host:8786, or its scheduler file; "
            f"{shown(scheduler)} did not answer within {PATIENCE} s ({said(error)})."
        ) from error
    try:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ValueError(
                f"the scheduler {shown(scheduler)} must have a worker; it had none within {PATIENCE} s. Start some: dask "
                "worker --nthreads 1 --scheduler-file FILE."
            ) from error
        _check_alike(client)
        yield client
    finally:
        client.close()


def _check_alike(client: Any) -> None:
    try:
        found: dict[str, dict[str, str]] = client.run(versions)
    except Exception as error:  # whatever a worker without this package raises
        raise ValueError(f"every worker must have mesascope {versions()['mesascope']}; {said(error)}.") from error
    here = versions()
    for worker, there in sorted(found.items()):
        if differing := [name for name in here if there.get(name) != here[name]]:
            name = differing[0]
            raise ValueError(
                f"every worker must run what runs here, or the numbers differ; worker {worker} has {name} {there.get(name)}, and "
                f"here it is {here[name]}. Start the workers from this environment."
            )


def versions() -> dict[str, Any]:
    """What the numbers depend on."""
    return {name: provenance()["versions"][name] for name in ALIKE} | {"commit": commit()}


__all__ = ("Cluster",)

"""The engine that runs a plan's work on an existing Dask cluster. It needs the extra ``cluster``."""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import dataclass
from typing import Any, final

from mesascope.machine.processes import TRIES, Died, with_one_thread
from mesascope.plans.engines import Finished, do
from mesascope.plans.work import Say, Work
from mesascope.records.provenance import commit, provenance
from mesascope.records.shown import said, shown

PATIENCE = 10
"""Seconds within which a scheduler must answer and have a worker."""
LOOK = 10
"""Seconds without a result after which it is asked whether there are workers."""
ALONE = 600
"""Seconds without any worker after which a plan ends: they are gone, and nobody starts others."""
ALIKE = ("mesascope", "torch", "numpy")
"""Packages whose versions must be the same on all workers; otherwise the numbers would differ."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The workers of a Dask scheduler, with one thread per work item.

    When a worker dies, Dask gives its work to another worker. A work item that was on several workers when they died (Dask's
    setting ``allowed-failures``) is tried once more alone, at the end. Ctrl-C here cancels unfinished work.

    Attributes:
        scheduler: the scheduler's address, such as ``tcp://host:8786``, or the path of its scheduler file.

    Source: `distributed`, whose client offers the interface of `concurrent.futures`.
    """

    scheduler: str

    @property
    def workers(self) -> int:
        """As many as there are items: a cluster grows and shrinks, so nothing is joined for it."""
        return sys.maxsize

    def results(self, works: Sequence[Work[Any]], say: Say) -> Finished:
        """As `mesascope.plans.engines.Engine.results`.

        Raises:
            ValueError: the scheduler does not answer, has no worker, or a worker has another version of a package in `ALIKE`.
            OSError: the connection to the scheduler is lost.
        """
        distributed = _library()
        with _connected(distributed, self.scheduler) as client:
            executor = client.get_executor(pure=False)

            def tried(some: Sequence[Work[Any]]) -> Finished:
                alone = _Alone()
                running = {executor.submit(_on_worker, work): work for work in some}
                while running:
                    done = wait(running, timeout=LOOK, return_when=FIRST_COMPLETED).done
                    if not done:
                        alone.check(client)
                    for future in done:
                        # The last reference goes: otherwise Dask keeps the result, and computes lost ones again.
                        work = running.pop(future)
                        try:
                            yield work, future.result()
                        except distributed.KilledWorker:
                            yield work, Died(workers=TRIES)

            try:
                suspects = []
                for work, found in tried(works):
                    say(work.name)
                    if isinstance(found, Died):
                        suspects.append(work)
                    else:
                        yield work, found
                for work in suspects:  # one at a time: Dask also blames work that was only queued on the dead workers
                    yield from tried([work])
            except CancelledError as error:
                raise OSError(
                    f"the scheduler {shown(self.scheduler)} was lost. Finished work is kept; run the same command to resume."
                ) from error
            finally:
                executor.shutdown(wait=False)  # this cancels unfinished work

    def check(self) -> None:
        """Check the cluster, with the errors of `results`, before any work is prepared."""
        with _connected(_library(), self.scheduler):
            pass


@final
class _Alone:
    """Since when a scheduler has had no worker."""

    def __init__(self) -> None:
        self._since: float | None = None

    def check(self, client: Any) -> None:
        """Raise once no worker has been there for `ALONE` seconds.

        Raises:
            OSError: with what to do.
        """
        if client.scheduler_info()["workers"]:
            self._since = None
            return
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > ALONE:
            raise OSError(
                f"the scheduler has had no worker for {ALONE} s. The finished results are kept; start workers, and run the same "
                "command to resume."
            )


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
    """A client of a scheduler that has at least one worker, and whose workers all run the same versions as this process."""
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
                f"the scheduler {shown(scheduler)} must have a worker; it had none within {PATIENCE} s. Start workers: "
                "dask worker --nthreads 1 --scheduler-file FILE."
            ) from error
        _check_alike(client)
        yield client
    finally:
        client.close()


def _check_alike(client: Any) -> None:
    try:
        found = _versions_there(client)
    except Exception as error:  # a worker without this package may raise anything
        raise ValueError(
            f"every worker must have mesascope {versions()['mesascope']}; {said(error)}. Start the workers from this environment."
        ) from error
    here = versions()
    for worker, there in sorted(found.items()):
        if differing := [name for name in here if there.get(name) != here[name]]:
            name = differing[0]
            raise ValueError(
                f"every worker must run the same versions as this process, or the numbers differ; worker {worker} has {name} "
                f"{there.get(name)}, and this process has {here[name]}. Start the workers from this environment."
            )


def _versions_there(client: Any) -> dict[str, dict[str, str]]:
    """The versions of every worker. Where one ends while it is asked, those that are left are asked again."""
    for _ in range(TRIES):
        with contextlib.suppress(OSError):
            return client.run(versions)
    return client.run(versions)


def versions() -> dict[str, Any]:
    """The versions and the commit that the numbers depend on."""
    return {name: provenance()["versions"][name] for name in ALIKE} | {"commit": commit()}


__all__ = ("Cluster",)

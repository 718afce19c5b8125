"""Processes that end with this one, however it ends.

This module is light to import, so that a worker is on watch before it loads anything that takes seconds.
"""

import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def in_processes(work: Callable[[S], T], items: Sequence[S], workers: int) -> Iterator[T]:
    """Results in the order of the items, each computed with one thread.

    Whoever stops listening, by an exception say, ends the workers; so does the end of this process, since the system then
    closes its end of the pipe that they watch. Signals are for this process alone: Ctrl-C reaches a whole group.

    Args:
        work: a function of one item, that can be pickled.
        items: what it is called with.
        workers: how many processes.

    Raises:
        MemoryError: somebody else ended a worker; mostly that is the system, when memory runs out.
    """
    spawn = multiprocessing.get_context("spawn")
    watched, held = spawn.Pipe(duplex=False)
    pool = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_watch, initargs=(watched,))
    try:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})  # inherited by the workers
        try:
            futures = [pool.submit(_with_one_thread, work, item) for item in items]
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for future in futures:
            yield future.result()
        pool.shutdown()
    except BrokenProcessPool as error:
        raise MemoryError(
            "a worker process was ended from outside, as the system does when memory runs out. Use fewer threads."
        ) from error
    finally:
        held.close()
        watched.close()
        pool.shutdown(wait=False, cancel_futures=True)


def _watch(parent: Connection) -> None:
    """In a worker: end as soon as nobody holds the other end of the pipe."""

    def wait() -> None:
        parent.poll(None)  # nothing is ever sent: what comes is the end
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _with_one_thread(work: Callable[[S], T], item: S) -> T:
    import torch  # noqa: PLC0415 (heavy: the watch comes first)

    torch.set_num_threads(1)
    return work(item)


def run_beside(command: list[str], folder: Path | str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run another program in a folder, and wait for what it says.

    Where there is ``setpriv`` (on every Linux), the system ends the program if it ends this process.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    bound = shutil.which("setpriv")
    whole = command if bound is None else [bound, "--pdeathsig", "KILL", *command]
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)


__all__ = ("in_processes", "run_beside")

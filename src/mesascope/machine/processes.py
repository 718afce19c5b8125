"""Processes that end with this one, however it ends.

This module is light to import, so that a worker is on watch before it loads anything that takes seconds.
"""

import collections
import multiprocessing
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Generic, TypeVar, final

T = TypeVar("T")
TRIES = 3
"""Workers that one call may end before it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """What comes back of a call that ended every worker which tried it: mostly memory ran out, and the system ended them."""

    workers: int


def in_processes(
    calls: Sequence[Callable[[], T]], workers: int, *, tries: int = TRIES
) -> Iterator[tuple[int, T | Died]]:
    """The number and the result of each call, as they are done; each is computed with one thread.

    A worker that somebody ends takes nothing with it: its call goes to another worker, up to ``tries`` times, and the other
    calls go on. Whoever stops listening, by an exception say, ends the workers; so does the end of this process, since the
    system then closes its end of the pipe that they watch. Signals are for this process alone: Ctrl-C reaches a whole group.

    Args:
        calls: functions without arguments that can be pickled, such as partials.
        workers: how many processes.
        tries: workers that one call may end.

    Raises:
        Exception: whatever a call raises.
    """
    spawn = multiprocessing.get_context("spawn")
    watched, held = spawn.Pipe(duplex=False)
    idle = [_Worker(watched) for _ in range(min(workers, len(calls)))]
    running: dict[Future[T], tuple[int, _Worker]] = {}
    waiting, died = collections.deque(range(len(calls))), collections.Counter[int]()
    try:
        while waiting or running:
            while waiting and idle:
                number, worker = waiting.popleft(), idle.pop()
                running[worker.submit(calls[number])] = (number, worker)
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                number, worker = running.pop(future)
                idle.append(worker)
                try:
                    yield number, future.result()
                except BrokenProcessPool:
                    worker.end(wait=True)
                    idle[-1] = _Worker(watched)
                    died[number] += 1
                    if died[number] < tries:
                        waiting.append(number)
                    else:
                        yield number, Died(workers=tries)
        for worker in idle:
            worker.end(wait=True)
    finally:
        held.close()
        watched.close()
        for worker in (*idle, *(worker for _, worker in running.values())):
            worker.end(wait=False)


@final
class _Worker(Generic[T]):
    """One process. A pool of one each, so that it is known whose call ended it."""

    def __init__(self, watched: Connection) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=spawn, initializer=_watch, initargs=(watched,))

    def submit(self, call: Callable[[], T]) -> Future[T]:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})  # inherited by the worker
        try:
            return self._pool.submit(with_one_thread, call)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def end(self, *, wait: bool) -> None:
        self._pool.shutdown(wait=wait, cancel_futures=True)


def _watch(parent: Connection) -> None:
    """In a worker: end as soon as nobody holds the other end of the pipe."""

    def wait_for_the_end() -> None:
        parent.poll(None)  # nothing is ever sent: what comes is the end
        os._exit(1)

    threading.Thread(target=wait_for_the_end, daemon=True).start()


def with_one_thread(call: Callable[[], T]) -> T:
    """What the call returns, computed with one thread, as every worker computes."""
    import torch  # noqa: PLC0415 (heavy: the watch comes first)

    torch.set_num_threads(1)
    return call()


def run_beside(command: list[str], folder: Path | str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run another program in a folder, and wait for what it says.

    Where there is ``setpriv`` (on every Linux), the system ends the program if it ends this process.

    Raises:
        subprocess.TimeoutExpired: it took longer.
    """
    bound = shutil.which("setpriv")
    whole = command if bound is None else [bound, "--pdeathsig", "KILL", *command]
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)


__all__ = ("Died", "in_processes", "run_beside", "with_one_thread")

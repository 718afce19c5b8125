"""Worker processes that end when this process ends, for whatever reason.

This module is fast to import, so that a worker watches its parent before it loads anything that takes seconds.
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

from mesascope.machine.progress import plain_warnings

T = TypeVar("T")
TRIES = 3
"""Number of workers that one call may kill before it is given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Died:
    """The result of a call that killed every worker that tried it, mostly because memory ran out."""

    workers: int


def in_processes(
    calls: Sequence[Callable[[], T]], workers: int, *, tries: int = TRIES
) -> Iterator[tuple[int, T | Died]]:
    """The index and the result of each call, in the order of completion; each call is computed with one thread.

    If a worker is killed, its call goes to another worker, up to ``tries`` times, and the other calls go on. The workers end
    when the caller stops iterating (because of an exception, for example), and when this process ends, because the system then
    closes its end of the pipe that they watch. Workers ignore signals, because Ctrl-C reaches the whole process group: only
    this process handles them.

    Args:
        calls: functions without arguments that can be pickled, such as partials.
        workers: number of processes.
        tries: number of workers that one call may kill.

    Raises:
        Exception: any exception of a call.
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
    """One process, in a pool of its own, so that it is known which call killed it."""

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
    """In a worker: end as soon as the other end of the pipe is closed."""

    def wait_for_the_end() -> None:
        parent.poll(None)  # nothing is ever sent, so this returns only when the pipe closes
        os._exit(1)

    threading.Thread(target=wait_for_the_end, daemon=True).start()


def with_one_thread(call: Callable[[], T]) -> T:
    """The call's result, computed as in every worker: with one thread, and with warnings in one line each."""
    import torch  # noqa: PLC0415 (slow to load: the watch must start first)

    torch.set_num_threads(1)
    with plain_warnings():
        return call()


def run_beside(command: list[str], folder: Path | str, seconds: float) -> "subprocess.CompletedProcess[str]":
    """Run another program in a folder and wait for its output.

    If ``setpriv`` is installed (as on every Linux), the system kills the program when this process dies.

    Raises:
        subprocess.TimeoutExpired: the program took longer than ``seconds``.
    """
    bound = shutil.which("setpriv")
    whole = command if bound is None else [bound, "--pdeathsig", "KILL", *command]
    return subprocess.run(whole, cwd=folder, capture_output=True, text=True, timeout=seconds, check=False)


__all__ = ("Died", "in_processes", "run_beside", "with_one_thread")

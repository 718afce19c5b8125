"""Ctrl-C and SIGTERM during a training: it stops between two steps, with everything on disk."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType


class Interrupted(Exception):
    """Training was stopped by a signal; everything up to ``step`` is on disk."""

    def __init__(self, step: int, directory: Path) -> None:
        super().__init__(f"stopped after step {step}; continue with --resume --out {directory}")
        self.step = step
        self.directory = directory


@contextmanager
def stop_requested() -> Iterator[threading.Event]:
    """An event that SIGINT and SIGTERM set, so that training stops between two steps. The second signal stops at once.

    After training, the last signal is raised again, so that the outer signal handler receives it.
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    came: list[int] = []

    def request(signum: int, frame: FrameType | None) -> None:
        came.append(signum)
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    before = {s: signal.signal(s, request) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[-1])

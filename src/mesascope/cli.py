"""Entry point of the command line. It handles signals before slow modules load, so that Ctrl-C always ends with one line.

Exit status: 0 done, 1 failed while working, 2 unusable arguments or input, 130 interrupted.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit status.

    SIGTERM counts as Ctrl-C. A second signal, or any signal while the package loads, ends the process at once. This is safe,
    because all files are written atomically.
    """
    phase = "loading"

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal phase
        if phase != "running":
            os.write(2, b"mesascope: stopped\n")
            os._exit(130)
        phase = "stopping"
        raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)} if ours else {}

    def begin() -> None:
        nonlocal phase
        phase = "running"

    try:
        from mesascope.commands import run  # noqa: PLC0415 (not before signals are handled)

        return run(sys.argv[1:] if arguments is None else list(arguments), begin)
    finally:
        for number, handler in before.items():  # the command is ending, and its status must not change
            signal.signal(number, signal.SIG_IGN if arguments is None else handler)


__all__ = ("main",)


if __name__ == "__main__":
    sys.exit(main())

"""The door of the command line. It opens before anything is loaded that takes seconds, so that Ctrl-C always ends in a line.

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

    SIGTERM counts as Ctrl-C. The second of them, and any while the package loads, ends the process at once; that is as safe as
    a kill, since whatever is written is written atomically.
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
        from mesascope.commands import run  # noqa: PLC0415 (not before signals are heard)

        return run(sys.argv[1:] if arguments is None else list(arguments), begin)
    finally:
        for number, handler in before.items():  # the command is about to end anyway, and with the status that it has
            signal.signal(number, signal.SIG_IGN if arguments is None else handler)


__all__ = ("main",)


if __name__ == "__main__":
    sys.exit(main())

"""What this machine can hold, so that what is too large is refused with the numbers, before any of it is made."""

import contextlib
import os
import resource
from functools import cache
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much of the machine this group of processes (a container, say) may use."""


def check_memory(what: str, needed: int, remedy: str) -> None:
    """Raise if something needs more memory than this machine has.

    Args:
        what: what needs it, for the message.
        needed: bytes, as estimated.
        remedy: what to do about it.

    Raises:
        ValueError: with both numbers.
    """
    if needed > (has := memory()):
        raise ValueError(f"{what} needs about {_gib(needed)} of memory, and this machine has {_gib(has)}. {remedy}")


@cache
def memory() -> int:
    """Bytes that this process can have at most: of the machine, of its container, and by ``ulimit -v``."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # another version of Linux's groups, or no limit ("max")
            found.append(int(Path(path).read_text()))
    found.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(limit for limit in found if limit > 0)


def _gib(size: int) -> str:
    gib = min(size, 2**500) / 2**30  # more is no float
    return f"{gib:,.0f} GiB" if 10 <= gib < 10**6 else f"{gib:.2g} GiB"

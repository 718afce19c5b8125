"""Memory limits: anything too large for this machine is refused, with both sizes, before memory is used for it."""

import contextlib
import os
import resource
from functools import cache
from pathlib import Path

_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Files with the memory limit of this process's control group (a container, for example) on Linux."""


def check_memory(what: str, needed: int, remedy: str) -> None:
    """Raise if something needs more memory than this machine has.

    Args:
        what: what needs the memory, for the message.
        needed: bytes, as estimated.
        remedy: what the user can do about it.

    Raises:
        ValueError: it needs more; the message gives both sizes.
    """
    if needed > (has := memory()):
        raise ValueError(f"{what} needs about {_gib(needed)} of memory, and this machine has {_gib(has)}. {remedy}")


@cache
def memory() -> int:
    """Bytes that this process can use at most: the least of the limits of the machine, its container and ``ulimit -v``."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in _LIMITS:
        with contextlib.suppress(OSError, ValueError):  # another version of control groups, or no limit ("max")
            found.append(int(Path(path).read_text()))
    found.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(limit for limit in found if limit > 0)


def _gib(size: int) -> str:
    gib = min(size, 2**500) / 2**30  # a larger size may not fit into a float
    return f"{gib:,.0f} GiB" if 10 <= gib < 10**6 else f"{gib:.2g} GiB"

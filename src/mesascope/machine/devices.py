"""Devices and threads for computing on this machine. Fast to import: only functions that need torch load it."""

import os

from mesascope.machine.memory import memory
from mesascope.records.shown import said, shown

THREADS = 256
"""No machine of today makes good use of more threads; with a few thousand, the system ends the process."""


def check_device(device: str, name: str = "device") -> None:
    """Check that torch can compute on a device, by a small computation there.

    Args:
        device: such as ``cpu`` or ``cuda:1``.
        name: the argument's name in messages.

    Raises:
        ValueError: torch cannot compute there.
    """
    if device == "cpu":  # every machine has one, so torch need not be loaded
        return
    import torch  # noqa: PLC0415 (heavy)

    try:
        torch.ones(1, device=device).tolist()
    except Exception as error:  # torch raises half a dozen classes, depending on what is missing
        reason = said(error) or type(error).__name__
        raise ValueError(
            f"{name} must be a device that this machine has; got {shown(device)} ({reason}). Pass 'cpu'."
        ) from error


def device_memory(device: str) -> int:
    """Bytes that a computation on a device can use: a GPU's own memory, or what this process may use of the machine's."""
    if not device.startswith("cuda"):
        return memory()
    import torch  # noqa: PLC0415 (heavy)

    return torch.cuda.get_device_properties(device).total_memory


def check_threads(threads: int, name: str = "threads") -> None:
    """Check that this machine can use this number of threads.

    Raises:
        ValueError: fewer than one, or more than a machine can use.
    """
    most = max(THREADS, os.cpu_count() or 1)
    if not 1 <= threads <= most:
        raise ValueError(
            f"{name} must be at least 1 and at most {most}; got {threads}. This machine has {os.cpu_count()} cores."
        )


def set_threads(threads: int, name: str = "threads") -> None:
    """Compute with this number of threads from now on. `ValueError` as for `check_threads`."""
    import torch  # noqa: PLC0415 (heavy)

    check_threads(threads, name)
    torch.set_num_threads(threads)


__all__ = ("check_device", "check_threads", "device_memory", "set_threads")

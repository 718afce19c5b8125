"""Where tensors can be computed here, and with how many threads. Light to import: torch is loaded by what needs it."""

import os

from mesascope.records.shown import said, shown

THREADS = 256
"""More than that no machine of today uses well; at some thousands the system refuses, and takes the process along."""


def check_device(device: str, name: str = "device") -> None:
    """Check that torch can compute on a device, by computing something there.

    Args:
        device: such as ``cpu`` or ``cuda:1``.
        name: what the caller calls it.

    Raises:
        ValueError: it cannot.
    """
    if device == "cpu":  # every machine has one, and nothing need be loaded to say so
        return
    import torch  # noqa: PLC0415 (heavy)

    try:
        torch.ones(1, device=device).tolist()
    except Exception as error:  # torch raises half a dozen classes, by what is missing
        reason = said(error) or type(error).__name__
        raise ValueError(
            f"{name} must be one that this machine has; got {shown(device)} ({reason}). Pass 'cpu'."
        ) from error


def check_threads(threads: int, name: str = "threads") -> None:
    """Check that a machine can use so many threads.

    Raises:
        ValueError: less than one, or more than a machine can use.
    """
    most = max(THREADS, os.cpu_count() or 1)
    if not 1 <= threads <= most:
        raise ValueError(
            f"{name} must be at least 1 and at most {most}; got {threads}. This machine has {os.cpu_count()} cores."
        )


def set_threads(threads: int, name: str = "threads") -> None:
    """Compute with so many threads from now on. `ValueError` as for `check_threads`."""
    import torch  # noqa: PLC0415 (heavy)

    check_threads(threads, name)
    torch.set_num_threads(threads)


__all__ = ("check_device", "check_threads", "set_threads")

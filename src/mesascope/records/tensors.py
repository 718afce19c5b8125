"""Tensors on disk: safetensors, written atomically and checked against a hash."""

import errno
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors
import safetensors.torch
from torch import Tensor

from mesascope.records.parsing import Damaged
from mesascope.records.shown import said, shown
from mesascope.records.store import check_file, sha256, write_bytes


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Write safetensors atomically; return the content's SHA-256. `OSError` as for `write_bytes`."""
    return write_bytes(path, safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))


def read_tensors(path: Path, expected_sha256: str | None = None) -> dict[str, Tensor]:
    """Tensors of a safetensors file, checked against a hash.

    Raises:
        Damaged: the file is not readable as safetensors, or its hash differs.
        MemoryError: the tensors do not fit into memory; this says nothing about the file.
    """
    check_file(path)
    if expected_sha256 is not None and sha256(path) != expected_sha256:
        raise Damaged(f"{shown(path)} is damaged: its hash is not the one recorded when it was written.")
    try:
        return safetensors.torch.load_file(path)
    except Exception as error:  # safetensors raises its own class, OSError or ValueError, depending on the damage
        if f"os error {errno.ENOMEM}" in str(error):
            raise MemoryError(f"{shown(path)} cannot be read ({said(error)}).") from error
        raise Damaged(f"{shown(path)} is not a readable safetensors file ({said(error)}).") from error


def each_tensor(path: Path) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a safetensors file one after another, so that one is in memory at a time.

    Raises:
        Damaged: the file is not readable as safetensors.
    """
    check_file(path)
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            for name in sorted(file.keys()):
                yield name, file.get_tensor(name)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise Damaged(f"{shown(path)} is not a readable safetensors file ({said(error)}).") from error

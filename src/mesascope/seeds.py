"""All randomness: a generator from (seed, stream, step), never a global one."""

import hashlib

import torch
from jaxtyping import Float
from torch import Tensor

CHUNK = 64
"""Rows of `uniform` that come from one generator: each has a fixed cost."""
_WORDS = 624
"""Number of 32-bit words in the state of torch's CPU generator, the Mersenne Twister MT19937."""
_STATE = slice(24, 24 + 8 * _WORDS)
"""Where these words are in the bytes that `torch.Generator.get_state` returns. Each word takes eight bytes."""


def generator(seed: int, stream: str, step: int = 0) -> torch.Generator:
    """A CPU generator that depends only on its three arguments.

    Numbers are drawn on the CPU even when the computation runs on another device, so that a seed gives the same numbers on
    every device.

    `torch.Generator.manual_seed` keeps only 32 bits of a seed, so that some of a few hundred thousand streams would be equal
    bit for bit. Here the whole state comes from a hash of the arguments.

    Args:
        seed: the user's seed.
        stream: what the numbers are for, such as ``"task/inputs"``; different streams are independent.
        step: which step, chunk or repetition.

    Raises:
        ValueError: a seed or step below zero.
    """
    if seed < 0 or step < 0:
        raise ValueError(f"seed and step must be 0 or more; got seed={seed}, step={step}.")
    words = hashlib.shake_128(f"{seed}/{stream}/{step}".encode()).digest(4 * _WORDS)
    rng = torch.Generator().manual_seed(0)
    state = rng.get_state()
    state[_STATE].view(torch.int64).copy_(torch.frombuffer(bytearray(words), dtype=torch.uint32))
    return rng.set_state(state)


def uniform(n: int, width: int, *, seed: int, stream: str, start: int = 0) -> Float[Tensor, "row width"]:
    """Uniform random numbers from 0 to below 1, in double precision; row i depends on seed, stream, ``width`` and i alone.

    Args:
        n, width: number of rows and their length.
        seed, stream: as in `generator`.
        start: the number of the first row.
    """
    first = start // CHUNK
    chunks = range(first, -(-(start + n) // CHUNK))
    rows = [torch.rand(CHUNK, width, generator=generator(seed, stream, i), dtype=torch.float64) for i in chunks]
    skipped = start - first * CHUNK
    return torch.cat([torch.empty(0, width, dtype=torch.float64), *rows])[skipped : skipped + n]

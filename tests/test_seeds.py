"""The generator: known numbers, streams that are all different, and what it refuses."""

import hashlib

import numpy as np
import pytest
import torch

from mesascope.seeds import generator


def _numpy(text: str) -> np.random.MT19937:
    """NumPy's Mersenne Twister with the state that the hash of ``text`` says."""
    twister = np.random.MT19937()
    words = np.frombuffer(hashlib.shake_128(text.encode()).digest(4 * 624), dtype=np.uint32)
    twister.state = {**twister.state, "state": {"key": words, "pos": 624}}
    return twister


def test_numbers_are_those_of_numpys_twister_in_the_hashed_state() -> None:
    drawn = torch.randint(2**24, (2000,), generator=generator(7, "task/inputs", 3))
    raw = _numpy("7/task/inputs/3").random_raw(2000)  # beyond 624: the state is renewed as well
    np.testing.assert_array_equal(drawn.numpy(), raw % 2**24)


def test_streams_that_share_the_32_bits_torch_would_keep_differ() -> None:
    """Two seeds of a pair that were equal bit for bit when 64 bits of a hash went through `manual_seed`."""

    def kept(step: int) -> int:
        digest = hashlib.blake2b(f"0/pair/{step}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "little") >> 1 & 0xFFFFFFFF

    seen: dict[int, int] = {}
    pairs = [(seen[kept(step)], step) for step in range(200_000) if seen.setdefault(kept(step), step) != step]
    assert pairs  # the birthday of 32 bits: about five are expected
    for first, second in pairs:
        a, b = (torch.rand(4, generator=generator(0, "pair", step)) for step in (first, second))
        assert not torch.equal(a, b)


def test_no_two_of_many_streams_begin_alike() -> None:
    first = torch.stack([torch.randint(2**62, (1,), generator=generator(0, "many", step)) for step in range(50_000)])
    assert len(first.unique()) == 50_000


@pytest.mark.parametrize(("seed", "step"), [(-1, 0), (0, -1)])
def test_what_is_below_zero_is_refused(seed: int, step: int) -> None:
    with pytest.raises(ValueError, match="seed and step must be 0 or more"):
        generator(seed, "any", step)

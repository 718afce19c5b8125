"""Readers: what is in a stream is found exactly, what is not is not, and noise does not mislead them."""

import pytest
import torch

from mesascope.instruments.reading.readers import Reader, noise_of
from mesascope.seeds import generator

PROMPTS, QUERIES, WIDTH = 400, 8, 6
ROOT = torch.ones(PROMPTS, 1, dtype=torch.float64)


def noise(*shape, stream="values"):
    return torch.randn(*shape, generator=generator(0, stream), dtype=torch.float64)


def read(reader, targets, stream):
    return reader.read(reader.found(targets), stream)


def still(stream):
    return torch.zeros(stream.shape[-1], stream.shape[-1], dtype=torch.float64)


def test_what_a_stream_holds_is_read_exactly_also_elsewhere_and_at_any_scale():
    stream, other = noise(PROMPTS, QUERIES, WIDTH), noise(50, QUERIES, WIDTH, stream="other")
    stream[..., 1] *= 1e-4  # a small direction counts as much as a large one
    other[..., 1] *= 1e-4
    direction = torch.tensor([0.3, 2e3, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
    reader = Reader.of(stream, ROOT, still(stream))
    found = read(reader, stream @ direction + 0.7, other)
    assert torch.allclose(found, other @ direction + 0.7)


def test_several_targets_are_read_at_once():
    stream = noise(PROMPTS, QUERIES, WIDTH)
    targets = torch.stack([stream[..., 0], noise(PROMPTS, QUERIES, stream="unrelated")])
    reader = Reader.of(stream, ROOT, still(stream))
    found = reader.read(reader.found(targets), stream)
    assert torch.allclose(found[0], targets[0])
    assert float(found[1].square().mean()) < 0.01  # seven numbers fitted to 3,200 values


def test_what_counts_less_is_given_less_weight():
    stream = noise(PROMPTS, QUERIES, WIDTH)
    root = ROOT.clone()
    root[::2] = 1e-6
    targets = torch.where(root < 1, 1e3 * noise(PROMPTS, QUERIES, stream="wild"), stream[..., 2])
    found = read(Reader.of(stream, root, still(stream)), targets, stream)
    assert torch.allclose(found[1::2], targets[1::2], atol=1e-3)


@pytest.mark.parametrize("noisy", [0.0, 0.3])
def test_a_noisy_copy_is_read_with_slope_one_though_a_clean_likeness_stands_beside_it(noisy):
    """Least squares would read a mixture of the noisy copy and of what resembles it."""
    truth, other = noise(PROMPTS, QUERIES), noise(PROMPTS, QUERIES, stream="other")
    likeness = truth + 0.5 * other

    def stream(which):
        return torch.stack([truth + noisy**0.5 * noise(PROMPTS, QUERIES, stream=which), likeness], -1)

    first, second = stream("first"), stream("second")
    covariance = noise_of(first, second, ROOT)
    assert covariance.flatten().tolist() == pytest.approx([noisy, 0.0, 0.0, 0.0], abs=0.02)
    reader = Reader.of(first, ROOT, covariance)
    third = stream("third")
    error = read(reader, truth, third) - truth
    assert float((error * truth).mean()) == pytest.approx(0, abs=0.05)
    assert float((error * other).mean()) == pytest.approx(0, abs=0.05)
    plain = Reader.of(first, ROOT, still(first))
    misled = float(((read(plain, truth, third) - truth) * other).mean())
    assert misled > 0.1 if noisy else misled == pytest.approx(0, abs=1e-9)

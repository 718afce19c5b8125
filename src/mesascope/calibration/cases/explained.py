"""Subjects on every class of explanation that iterate nothing: a description holds for their layers, and no candidate does."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import PoolPosterior, run
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.instruments.explaining import planted
from mesascope.instruments.explaining.planted import Answering
from mesascope.models.scripted import Scripted
from mesascope.seeds import generator
from mesascope.types import Prompts, Subject

LAYERS = (3, 8)
"""Fewest and most layers."""


def _layers(name: str, answering: Callable[[Draw, int], Sequence[Answering]]) -> tuple[str, Callable[[Draw], Subject]]:
    """A kind of subject, from its name and a function that makes the answers of each of so many layers."""

    def make(draw: Draw) -> Subject:
        ways = answering(draw, draw.whole("layers", *LAYERS))
        return Scripted(name=name, layers=len(ways), script=lambda prompts: torch.stack([way(prompts) for way in ways]))

    return name, make


def _seeds(draw: Draw, layers: int) -> list[int]:
    """A seed for each layer."""
    return [1000 * draw.seed + 10 * draw.index + layer for layer in range(layers)]


def _falling(first: float, layers: int) -> list[float]:
    """A number for each layer, 0.6 times that of the layer before."""
    return [first * 0.6**layer for layer in range(layers)]


def _flow_at_last(draw: Draw, layers: int) -> list[Answering]:
    """Layers that answer zero, and a last one that answers as gradient flow at some time."""
    time = draw.number("time times c", 0.3, 30.0) / draw.scale
    return [planted.filtering(torch.zeros_like)] * (layers - 1) + [planted.gradient_flow(time)]


def _filters(draw: Draw, layers: int) -> list[Answering]:
    return [planted.random_filter(seed, draw.scale) for seed in _seeds(draw, layers)]


def _polynomials(draw: Draw, layers: int) -> list[Answering]:
    return [planted.random_polynomial(s, min(i, 3), draw.scale) for i, s in enumerate(_seeds(draw, layers))]


def _smoothers(draw: Draw, layers: int) -> list[Answering]:
    first = draw.scale**0.5 * draw.number("first bandwidth over √c", 1.0, 4.0)
    return [planted.smoothing(width) for width in _falling(first, layers)]


def _by_condition(draw: Draw, layers: int) -> list[Answering]:
    """Ridge regression with a penalty that falls with the prompt's condition number, and from layer to layer."""

    def at_penalty(penalty: float) -> Answering:
        def gains(at: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
            smallest = at.masked_fill(at == 0, torch.inf).amin(-1, keepdim=True)  # outside the null space
            return at / (at + penalty * 3 * (smallest / at[:, -1:]).sqrt())

        return planted.filtering(gains)

    first = draw.scale * draw.number("first penalty over c", 0.5, 3.0)
    return [at_penalty(penalty) for penalty in _falling(first, layers)]


def _pool(draw: Draw, layers: int) -> list[Answering]:
    """The posterior mean over a pool, with noise that falls from layer to layer."""
    size = draw.task.weight_variance**0.5

    def at_noise(noise: float) -> Answering:
        def answer(prompts: Prompts) -> Float[Tensor, "batch query"]:
            rng = generator(draw.seed, "calibration/pool", draw.index)
            pool = size * torch.randn(64, prompts.dim, generator=rng, dtype=torch.float64)
            return run(PoolPosterior(pool=pool, noise=noise), prompts).predictions[1]

        return answer

    first = size * (draw.scale * draw.task.dim) ** 0.5 * draw.number("first noise over a label", 0.5, 3.0)
    return [at_noise(noise) for noise in _falling(first, layers)]


AT_LAST = _layers("gradient flow in the last layer", _flow_at_last)
KINDS = (
    _layers("random filters", _filters),
    _layers("random polynomials", _polynomials),
    _layers("smoothers", _smoothers),
    _layers("ridge by condition number", _by_condition),
    _layers("pool learnt by heart", _pool),
)
CASES = (
    *(Case(name=name, truth=(), make=make, share=2) for name, make in KINDS),
    # Without noise, because with noise no layer would leave the answer unchanged.
    Case(name=AT_LAST[0], truth=(), make=AT_LAST[1], share=2, noisy=False),
)

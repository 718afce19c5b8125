"""Subjects that run no iteration, or not the same one in all layers or on all prompts."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    Algorithm,
    ConjugateGradient,
    GradientDescent,
    LastLabel,
    MeanLabel,
    NearestExample,
    Nesterov,
    run,
)
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.models.constructions import Construction, Weights, conjugate_gradient, gradient_descent, nesterov
from mesascope.models.scripted import Scripted, followed
from mesascope.models.subject import TransformerSubject
from mesascope.models.transformer import Transformer, TransformerConfig
from mesascope.seeds import generator
from mesascope.types import Prompts, Subject


def _untrained(draw: Draw) -> Subject:
    config = TransformerConfig(dim=draw.task.dim, examples=draw.task.examples, layers=draw.choice("layers", (2, 4)))
    return TransformerSubject(name="untrained", model=Transformer(config, seed=draw.seed + draw.index))


def _shuffled(draw: Draw) -> Subject:
    """A construction with random heads."""
    built = conjugate_gradient() if draw.choice("heads of", ("gradient descent", "CG")) == "CG" else gradient_descent()
    return built.reinitialised(draw.seed + draw.index)


def _zeros(draw: Draw) -> Subject:
    layers = draw.steps()
    return Scripted(name="zeros", layers=layers, script=lambda p: p.targets.new_zeros(layers, *p.targets.shape))


def _constant(algorithm: Algorithm) -> Callable[[Draw], Subject]:
    """A subject with the same closed form after every layer."""
    return lambda draw: followed(algorithm.name, algorithm, [1] * draw.steps())


def _ridge_path(draw: Draw) -> Subject:
    """Ridge solutions with a λ that decreases from layer to layer, which resemble the iterates of an algorithm."""
    layers = draw.steps() + 1
    first, last = draw.number("first λ/nc", 1.0, 30.0), draw.number("last λ/nc", 0.003, 0.1)
    ridges = draw.scale * torch.logspace(math.log10(first), math.log10(last), layers, dtype=torch.float64)

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        channels = SpectralChannels.of(prompts)
        return channels.predictions(channels.eigenvalues / (channels.eigenvalues + ridges[:, None, None]))

    return Scripted(name="ridge path", layers=layers, script=script)


def _random_features(draw: Draw) -> Subject:
    """Ridge regression on random rectified features, with more of them in every layer."""
    layers, width = draw.steps(), draw.whole("features a layer", 8, 16)
    rng = generator(draw.seed, "calibration/features", draw.index)

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        drawn = torch.randn(64, layers * width, generator=rng.clone_state(), dtype=torch.float64)
        shown, asked = (t @ drawn[: prompts.dim] for t in (prompts.xs, prompts.queries))
        rows = []
        for count in range(width, layers * width + 1, width):
            x, q = shown[..., :count].relu(), asked[..., :count].relu()
            gram = x.mT @ x + 0.1 * draw.scale * torch.eye(count, dtype=torch.float64)
            rows.append((q @ torch.linalg.solve(gram, x.mT @ prompts.ys[..., None]))[..., 0])
        return torch.stack(rows)

    return Scripted(name="random features", layers=layers, script=script)


def _both(draw: Draw) -> tuple[int, GradientDescent]:
    steps = draw.whole("steps", 3, 6)
    return steps, member(draw, GradientDescent(), steps, near=True)


def _mixture(draw: Draw) -> Subject:
    """Gradient descent on some prompts, conjugate gradient on the others, by the first label's sign."""
    layers, descent = _both(draw)

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        one, other = (run(a, prompts, layers).predictions[1:] for a in (descent, ConjugateGradient()))
        return torch.where((prompts.ys[:, 0] > 0)[:, None], one, other)

    return Scripted(name="mixture", layers=layers, script=script)


def _turning(draw: Draw) -> Subject:
    """Gradient descent that turns into conjugate gradient half-way."""
    layers, descent = _both(draw)
    half = layers // 2

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        first = run(descent, prompts, half)
        assert first.weights is not None
        left = replace(prompts, ys=prompts.ys - (prompts.xs @ first.weights[-1][..., None])[..., 0])
        second = run(ConjugateGradient(), left, layers - half).predictions[1:]
        return torch.cat([first.predictions[1:], first.predictions[-1] + second])

    return Scripted(name="turning", layers=layers, script=script)


def _scaled(make: Callable[..., Construction], algorithm: Algorithm | None = None) -> Callable[[Draw], Subject]:
    """A network with all answers times a factor: 1.05 wₖ is not an iterate of any candidate, and its limit is no solution."""

    def subject(draw: Draw) -> Subject:
        steps = draw.steps(least=3, most=8 if algorithm is None else 16)
        factor = draw.choice("answers times", (0.8, 0.95, 1.05, 1.25))
        found = {} if algorithm is None else numbers(member(draw, algorithm, steps, near=True))
        built = make(**{"iterations" if algorithm is None else "layers": steps}, **found)

        def build(dim: int) -> Weights:
            network = built.build(dim)
            return replace(network, readout=factor * network.readout)

        return replace(built, build=build, holds=None)

    return subject


CASES = (
    Case(name="untrained transformer", truth=(), make=_untrained, share=4, noisy=False),
    Case(name="random heads", truth=(), make=_shuffled, share=2),
    Case(name="zeros", truth=(), make=_zeros, share=2),
    Case(name="ridge path", truth=(), make=_ridge_path, share=5),
    Case(name="nearest example", truth=(), make=_constant(NearestExample()), share=2),
    Case(name="mean label", truth=(), make=_constant(MeanLabel()), share=1),
    Case(name="last label", truth=(), make=_constant(LastLabel()), share=1),
    Case(name="random features", truth=(), make=_random_features, share=3),
    Case(name="mixture over prompts", truth=(), make=_mixture, share=5),
    Case(name="descent, then conjugate", truth=(), make=_turning, share=3),
    # Without noise, because noise would hide a factor of 1.05.
    *(
        Case(name=f"{name}, scaled", truth=(), make=_scaled(make, algorithm), share=share, noisy=False)
        for name, make, algorithm, share in (
            ("gradient descent", gradient_descent, GradientDescent(), 4),
            ("Nesterov", nesterov, Nesterov(), 2),
            ("conjugate gradient", conjugate_gradient, None, 2),
        )
    ),
)

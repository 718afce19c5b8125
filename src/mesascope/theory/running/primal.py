"""Networks that store their vectors: conjugate gradient, and gradient descent under a causal mask."""

import dataclasses
import itertools
from collections.abc import Iterator
from fractions import Fraction

import torch

from mesascope.models.constructions import primal_conjugate_gradient, primal_gradient_descent
from mesascope.theory.running.reading import Reading, Rebuilding, draw, prompts_of, ran, rewritten
from mesascope.theory.statements.attention import applied

DIM, EXAMPLES, PROMPTS, LAYERS = 3, 6, 32, 3
PREFIXES = (1, 2, 4)
"""Numbers of examples that a token sees: powers of two, so that means are exact."""
CURVATURES = (1.0, 2.0, 4.0)
BELOW, ROOT = 0.99, 2.02
"""A lower bound of the curvatures and the root of an upper bound of their ratio; slack keeps rounding within the bounds."""


def causal_descent(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """Gradient descent in primal form under a causal mask: each token descends on its own prefix."""
    xs = draw((PROMPTS, EXAMPLES, 1), seed, "primal/x", exact, zero=False)
    ys = draw((PROMPTS, EXAMPLES), seed, "primal/y", exact)
    descent = primal_gradient_descent(layers=LAYERS, step_size=0.5)
    construction = change(rewritten(descent, lambda network: dataclasses.replace(network, causal=True)))
    seen = ran(construction, construction.channels(1), prompts_of(xs, ys), exact)
    for seen_by in PREFIXES:
        x, y = (seen.held[0][name][:, :seen_by, 0] for name in ("x", "label"))
        solved = (x * y).sum(1) / (x * x).sum(1)
        weight = [held["weights"][:, seen_by - 1, 0] for held in seen.held]
        values = {"x": list(x.T), "y": list(y.T), "m": seen_by, "w_star": solved, "w": weight}
        size = (Fraction if exact else float)(0.5 / seen_by)
        for steps in range(LAYERS + 1):
            yield Reading(key="causal_steps", values={**values, "eta": size, "n": steps}, laws=(1,))


def conjugate_gradient(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """Readings of conjugate gradient in three channels, and of the curvature matrix that each token applies."""
    assert not exact, "its quotients are rounded"
    construction = change(primal_conjugate_gradient(iterations=DIM))
    xs = draw((PROMPTS, EXAMPLES, DIM), seed, "conjugate/x", exact)
    ys = draw((PROMPTS, EXAMPLES), seed, "conjugate/y", exact)
    seen = ran(construction, construction.channels(DIM), prompts_of(xs, ys), exact)
    for token in range(EXAMPLES):
        x = [[seen.held[0]["x"][:, i, axis] for axis in range(DIM)] for i in range(token + 1)]
        for layer in range(1, DIM + 1):
            vector = [seen.held[layer]["direction"][:, token, axis] for axis in range(DIM)]
            image = [(token + 1) * seen.added[layer]["image"][:, token, axis] for axis in range(DIM)]
            values = {"d": DIM, "m": token + 1, "x": x, "p": vector}
            yield Reading(key="causal_primal", values=values, measured={applied: image})
    yield from _conjugate(change, seed)


def _conjugate(change: Rebuilding, seed: int) -> Iterator[Reading]:
    """Inputs on the axes, so that coordinates are channels: the vectors at the query after each layer, and the coefficients.

    Along each axis all targets pull the weight in one direction, with sizes from 1 to 2. So no channel's weight is near 0, and
    before the last step the residual has shrunk by a factor below 14 (`numeric.AMPLIFIED`). With a weight near 0 it could
    shrink to rounding error.
    """
    construction = change(primal_conjugate_gradient(iterations=DIM))
    signs = draw((PROMPTS, EXAMPLES), seed, "conjugate/signs", False).sign()
    xs = torch.zeros(PROMPTS, EXAMPLES, DIM, dtype=torch.float64)
    for axis, curvature in enumerate(CURVATURES):  # a third of the examples lies on each axis
        xs[:, axis::DIM, axis] = signs[:, axis::DIM] * (DIM * curvature) ** 0.5
    along = draw((PROMPTS, DIM), seed, "conjugate/weights", False).sign().repeat(1, EXAMPLES // DIM)
    ys = signs * along * (1 + draw((PROMPTS, EXAMPLES), seed, "conjugate/targets", False).sigmoid())
    seen = ran(construction, construction.channels(DIM), prompts_of(xs, ys), False)
    mean = [(xs[..., axis] ** 2).mean(1) for axis in range(DIM)]
    solved = [(xs[..., axis] * ys).mean(1) / mean[axis] for axis in range(DIM)]
    vectors = {
        short: [[held[name][:, EXAMPLES, axis] for axis in range(DIM)] for held in seen.held[1:]]
        for short, name in (("w", "weights"), ("r", "residual"), ("p", "direction"))
    }
    squares = [sum(r * r for r in row) for row in vectors["r"]]
    energies = [sum(p * (a * p) for p, a in zip(row, mean, strict=True)) for row in vectors["p"]]
    values = {
        **vectors,
        "d": DIM,
        "a": mean,
        "w_star": solved,
        "alpha": [r / e for r, e in zip(squares[:DIM], energies[:DIM], strict=True)],
        "beta": [after / before for before, after in itertools.pairwise(squares)],
        "c": list(draw((DIM, PROMPTS), seed, "conjugate/polynomial", False)),
        "a_1": torch.tensor(BELOW, dtype=torch.float64),
        "z": torch.tensor(ROOT, dtype=torch.float64),
        "rho": torch.tensor((ROOT - 1) / (ROOT + 1), dtype=torch.float64),
    }
    for steps in range(DIM + 1):
        every = {**values, "n": steps}
        yield Reading(key="cg_optimal", values=every, laws=(0, 1, 2))
        yield Reading(key="cg_rate", values=every, laws=(4, 5, 6))
        if steps < DIM:  # the last residual is only rounding error
            yield Reading(key="cg_conjugate", values=every, laws=(0, 1))
    yield Reading(key="cg_terminates", values=values, laws=(1, 2, 3))

"""Chebyshev iteration: the remaining share of the error, times T at 0, is a Chebyshev polynomial at the curvature."""

import itertools
from collections.abc import Iterator

import torch

from mesascope.models.constructions import chebyshev_iteration
from mesascope.theory.rounding import Rounded
from mesascope.theory.running.reading import Reading, Rebuilding, draw, prompts_of, ran

LAYERS, EXAMPLES, PROMPTS = 4, 4, 48
SMALLEST, ROOT = 0.25, 3.0
"""The interval of the coefficients: from SMALLEST to SMALLEST · ROOT². It is wide enough that T at 0, by which rounding errors
are multiplied, stays small."""


def polynomials(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """Prompts with one channel; a third have a curvature above the interval."""
    assert not exact, "the coefficients are rounded"
    largest = SMALLEST * ROOT**2
    draws = draw((PROMPTS,), seed, "chebyshev/curvature", exact).sigmoid()
    inside = torch.arange(PROMPTS) % 3 > 0
    curvature = torch.where(inside, SMALLEST + (largest - SMALLEST) * draws, largest * (1 + draws / 4))
    xs = curvature.sqrt()[:, None, None] * draw((PROMPTS, EXAMPLES, 1), seed, "chebyshev/x", exact).sign()
    ys = xs[..., 0]  # w* is 1
    construction = change(chebyshev_iteration(layers=LAYERS, smallest=SMALLEST, largest=largest))
    seen = ran(construction, construction.channels(1), prompts_of(xs, ys), exact)
    at = (largest + SMALLEST - 2 * Rounded.of(curvature)) / (largest - SMALLEST)
    at_zero = (largest + SMALLEST) / (largest - SMALLEST)
    of_zero = [1.0, at_zero]
    for _ in itertools.repeat(None, LAYERS - 1):
        of_zero.append(2 * at_zero * of_zero[-1] - of_zero[-2])
    left = [of * (1 + Rounded.of(held["label"][:, EXAMPLES, 0])) for of, held in zip(of_zero, seen.held, strict=True)]
    known = {"x": at, "x_0": at_zero, "a": curvature, "a_1": SMALLEST, "z": ROOT, "t": left, "T": of_zero}
    # Solution ρ of −x = (ρ + 1/ρ)/2, if −x is at least 1.
    beyond = -at.value - (at.value**2 - 1).clamp(min=0).sqrt()
    for n in range(LAYERS):
        yield Reading(key="chebyshev_inside", values={**known, "n": n}, laws=(0, 1, 2))
        signed = [value * (-1) ** k for k, value in enumerate(left)]  # T is even or odd
        mirrored = {**known, "x": -at, "t": signed, "rho": beyond, "n": n}
        yield Reading(key="chebyshev_outside", values=mirrored, laws=(1, 2, 3))
        rho = (ROOT - 1) / (ROOT + 1)
        yield Reading(key="chebyshev_bound", values={**known, "rho": rho, "n": n}, laws=(6, 7, 8))

"""Fit any family to a subject's path: coefficients, steps per layer, and the layer after which the steps start."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.decoding import Projection
from mesascope.instruments.identification.family import Family
from mesascope.instruments.identification.fitting import Aim, Fit, fit_options, timings
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.identification.variable_fitting import fit_variable


def fit_path(
    family: Family,
    runner: Runner,
    subject: Float[Tensor, "layer batch query"],
    *,
    projection: Projection | None = None,
    idle: Sequence[int] = (),
    smaller: Sequence[Fit] = (),
    only: tuple[int, ...] = (),
) -> Fit:
    """The member of the family that describes the subject's path best, over coefficients and timings.

    Args:
        family: the candidate.
        runner: the prompts.
        subject: the subject's path on them.
        projection: see `Aim`.
        idle: the layers, counted from 1, that leave the answer unchanged.
        smaller: fits of other families. The search also starts from those that this family contains, so that the result is
            never worse than theirs.
        only: the steps after each layer, if only one timing is allowed.
    """
    options = {
        tuple(timing.steps(len(subject))): timing
        for timing in timings(len(subject), idle)
        if not (family.composes and timing.stride > 1)
    }
    if only:
        options = {only: options[only]}
    aim = Aim.of(runner, subject, projection)
    if family.variable is None:
        fit = fit_options(family, aim, list(options), smaller)
    else:
        fit = fit_variable(family, aim, list(options), idle, smaller)
    return Fit(family=family, values=fit.values, steps=fit.steps, timing=options[fit.steps], loss=fit.loss)

"""A construction with additional idle layers between, before or after its own layers."""

import dataclasses
import functools
from collections.abc import Callable

from mesascope.models.constructions.gradient_descent import gradient_descent
from mesascope.models.constructions.network import Construction, Layer, Weights, check_depth
from mesascope.records.checks import check_count

IDLE = Layer(heads=())


def spaced(construction: Construction, every: int) -> Construction:
    """The construction with ``every`` − 1 idle layers before each of its own layers.

    Channels: those of the construction. An idle layer has no heads, and leaves the stream unchanged.

    Args:
        construction: any construction; all its numbers of layers are multiplied.
        every: the factor; 1 changes only the options.

    Raises:
        ValueError: every is not a whole number from 1 to 1000, or the result has more than 1000 layers.
    """
    check_depth("every", every)
    check_depth("layers times every", construction.layers * every)
    return dataclasses.replace(
        construction,
        layers=construction.layers * every,
        layers_per_step=construction.layers_per_step * every,
        layers_to_start=construction.layers_to_start * every,
        build=functools.partial(_spread, build=construction.build, every=every),
        options={**construction.options, "every": every},
    )


def padded(construction: Construction, *, before: int = 0, after: int = 0) -> Construction:
    """The construction with idle layers before its first and after its last.

    Channels: those of the construction. With layers after the last, it declares no state, because the number of steps taken
    no longer follows from the depth.

    Args:
        construction: any construction.
        before, after: numbers of idle layers.

    Raises:
        ValueError: a number below 0, or the result has more than 1000 layers.
    """
    check_count("before", before, least=0)
    check_count("after", after, least=0)
    check_depth("layers, including before and after,", construction.layers + before + after)
    return dataclasses.replace(
        construction,
        layers=construction.layers + before + after,
        layers_to_start=construction.layers_to_start + before,
        build=functools.partial(_pad, build=construction.build, before=before, after=after),
        options={**construction.options, "before": before, "after": after},
        holds=None if after else construction.holds,
    )


def spaced_gradient_descent(*, steps: int = 4, step_size: float = 0.25, every: int = 2) -> Construction:
    """Gradient descent with a step only in every second layer, or in every third, and so on.

    Channels: ``x``; ``label``, as in `gradient_descent`.

    Args:
        steps: number of steps of gradient descent.
        step_size: η, for the mean gradient Xᵀ(Xw − y)/n.
        every: number of layers per step; the last of them takes the step.

    Raises:
        ValueError: steps or every outside 1 to 1000, more than 1000 layers in all, or a step size that is not a finite
            number above 0.

    Source: von Oswald et al. 2023, Proposition 1, with idle layers between the steps.
    """
    check_depth("steps", steps)
    construction = spaced(gradient_descent(layers=steps, step_size=step_size), every)
    options = {"steps": steps, "step_size": step_size, "every": every}
    return dataclasses.replace(construction, name="spaced-gradient-descent", options=options)


def _spread(dim: int, *, build: Callable[[int], Weights], every: int) -> Weights:
    network = build(dim)
    layers = tuple(each for layer in network.layers for each in (*(IDLE,) * (every - 1), layer))
    return dataclasses.replace(network, layers=layers)


def _pad(dim: int, *, build: Callable[[int], Weights], before: int, after: int) -> Weights:
    network = build(dim)
    return dataclasses.replace(network, layers=((IDLE,) * before + network.layers + (IDLE,) * after))

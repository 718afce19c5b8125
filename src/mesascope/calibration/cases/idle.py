"""Iterations that begin late or end early, or all of whose steps are in one layer: the others hold nothing, or repeat the answer.

The candidates pass over layers that leave the answer as it is, so that an iteration between idle layers is what its moving
layers run. A single layer is no path, whatever the answer: several steps of any method lead there, and nothing but none is right.
What these layers say carries no noise, for then none of them would leave the answer as it is.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, ConjugateGradient, GradientDescent, HeavyBall, Nesterov, run
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.calibration.scripted import Scripted, followed
from mesascope.models.constructions import Construction, conjugate_gradient, gradient_descent, nesterov
from mesascope.models.constructions.spaced import padded
from mesascope.seeds import generator
from mesascope.types import Prompts, Subject

STEPS = (4, 12)
"""Fewest and most in a single layer."""


def _any(draw: Draw, steps: int) -> Algorithm:
    """One of three iterations, with coefficients that suit so many steps."""
    algorithms: dict[str, Algorithm] = {a.name: a for a in (GradientDescent(), HeavyBall(), ConjugateGradient())}
    return _suited(draw, algorithms[draw.choice("algorithm", tuple(algorithms))], steps)


def _suited(draw: Draw, algorithm: Algorithm, steps: int) -> Algorithm:
    """With coefficients near the best ones, if it has any."""
    return algorithm if isinstance(algorithm, ConjugateGradient) else member(draw, algorithm, steps, near=True)


def _first_layer(draw: Draw) -> Subject:
    """All steps in the first layer; the others repeat it."""
    steps, layers = draw.whole("steps", *STEPS), draw.whole("layers", 3, 8)
    return followed("all at once", _any(draw, steps), [steps] * layers)


def _last_layer(draw: Draw) -> Subject:
    """All steps in the last layer; the others say nothing, or a function of the query alone."""
    steps, before = draw.whole("steps", *STEPS), draw.whole("layers before", 2, 6)
    algorithm = _any(draw, steps)
    size = draw.choice("size of what is before", (0.0, 0.1, 1.0)) * draw.task.weight_variance**0.5
    rng = generator(draw.seed, "calibration/before", draw.index)
    drawn = size * torch.randn(before, 64, generator=rng, dtype=torch.float64)

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        early = torch.einsum("bqd,ld->lbq", prompts.queries, drawn[:, : prompts.dim].to(prompts.queries))
        return torch.cat([early, run(algorithm, prompts, steps).predictions[-1:]])

    return Scripted(name="all at last", layers=before + 1, script=script)


def _network(draw: Draw, algorithm: Algorithm) -> Construction:
    """Two to eight steps, by a network."""
    steps = draw.whole("steps", 2, 8)
    if isinstance(algorithm, ConjugateGradient):
        return conjugate_gradient(iterations=steps)
    make = nesterov if isinstance(algorithm, Nesterov) else gradient_descent
    return make(layers=steps, **numbers(_suited(draw, algorithm, steps)))


def _afterwards(algorithm: Algorithm) -> Callable[[Draw], Subject]:
    """An iteration that is over before the last layer, by at least as many layers as a step takes, and up to four."""

    def make(draw: Draw) -> Subject:
        network = _network(draw, algorithm)
        return padded(network, after=draw.whole("layers after", network.layers_per_step, 4))

    return make


def _late(algorithm: Algorithm) -> Callable[[Draw], Subject]:
    """An iteration that begins after three to five layers: later than the offsets that every path is tried with."""
    return lambda draw: padded(_network(draw, algorithm), before=draw.whole("layers before", 3, 5))


DESCENT, ACCELERATED, CONJUGATE = GradientDescent(), Nesterov(), ConjugateGradient()


def _kinds(
    words: str, make: Callable[[Algorithm], Callable[[Draw], Subject]], share: int, *algorithms: Algorithm
) -> tuple[Case, ...]:
    return tuple(
        Case(name=f"{algorithm.name}, {words}", truth=(algorithm.name,), make=make(algorithm), share=share, noisy=False)
        for algorithm in algorithms
    )


CASES = (
    Case(name="all steps in the first layer", truth=(), make=_first_layer, share=4, noisy=False),
    Case(name="all steps in the last layer", truth=(), make=_last_layer, share=5, noisy=False),
    *_kinds("idle afterwards", _afterwards, 3, DESCENT, ACCELERATED, CONJUGATE),
    *_kinds("late", _late, 2, DESCENT, CONJUGATE),
)

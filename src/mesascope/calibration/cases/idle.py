"""Iterations that begin late or end early, or that take all steps in one layer; the other layers are idle or repeat the answer.

The candidates skip layers that do not change the answer, so an iteration between idle layers is identified from its other
layers. A single layer is not a path, whatever its answer: several steps of any method can lead there, so the only right answer
is "none". These subjects' answers have no noise, because with noise no layer would leave the answer unchanged.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, ConjugateGradient, GradientDescent, HeavyBall, Nesterov, run
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.models.constructions import Construction, conjugate_gradient, gradient_descent, nesterov
from mesascope.models.constructions.spaced import padded
from mesascope.models.scripted import Scripted, followed
from mesascope.seeds import generator
from mesascope.types import Prompts, Subject

STEPS = (4, 12)
"""Fewest and most steps in a single layer."""


def _any(draw: Draw, steps: int) -> Algorithm:
    """One of three algorithms, with coefficients suited to the number of steps."""
    algorithms: dict[str, Algorithm] = {a.name: a for a in (GradientDescent(), HeavyBall(), ConjugateGradient())}
    return _suited(draw, algorithms[draw.choice("algorithm", tuple(algorithms))], steps)


def _suited(draw: Draw, algorithm: Algorithm, steps: int) -> Algorithm:
    """The algorithm with coefficients near the best ones, if it has coefficients."""
    return algorithm if isinstance(algorithm, ConjugateGradient) else member(draw, algorithm, steps, near=True)


def _first_layer(draw: Draw) -> Subject:
    """A subject with all steps in the first layer; the other layers repeat its answer."""
    steps, layers = draw.whole("steps", *STEPS), draw.whole("layers", 3, 8)
    return followed("all at once", _any(draw, steps), [steps] * layers)


def _last_layer(draw: Draw) -> Subject:
    """A subject with all steps in the last layer; the layers before answer zero, or a function of the query alone."""
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
    """A network that takes two to eight steps of the algorithm."""
    steps = draw.whole("steps", 2, 8)
    if isinstance(algorithm, ConjugateGradient):
        return conjugate_gradient(iterations=steps)
    make = nesterov if isinstance(algorithm, Nesterov) else gradient_descent
    return make(layers=steps, **numbers(_suited(draw, algorithm, steps)))


def _afterwards(algorithm: Algorithm) -> Callable[[Draw], Subject]:
    """An iteration that ends before the last layer: by at least the layers of one step, and at most four layers."""

    def make(draw: Draw) -> Subject:
        network = _network(draw, algorithm)
        return padded(network, after=draw.whole("layers after", network.layers_per_step, 4))

    return make


def _late(algorithm: Algorithm) -> Callable[[Draw], Subject]:
    """An iteration that begins after three to five layers: later than all offsets that identification tries."""
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

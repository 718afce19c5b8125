"""Held-out error: that of a subject, and its ratio to the errors of other subjects on the same prompts."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import LeastSquares, run
from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.asking.lines import beside_constant
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, ratio, squared_error
from mesascope.types import Measurement, Prompts, Subject, Task, adjusted

NAME = "error"
MSE = Quantity(name="MSE", unit="y²")
OVER = Quantity(name="MSE over another's", combine=ratio)
NOBODY: Mapping[str, Subject] = MappingProxyType({})


def errors(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 1024,
    queries: int = 8,
    rivals: Mapping[str, Subject] = NOBODY,
) -> tuple[Measurement, ...]:
    """Mean squared error on held-out prompts, and its ratio to that of every rival.

    The ratio is paired: resampling draws the same prompts for both, so its interval is much narrower than those of the two
    errors.

    Controls. Positive: least squares (0 if labels have no noise and there are at least as many examples as dimensions), with an
    intercept where numbers are written as text; for a ratio, the rival over itself, which is 1. Negative: answering zero, one
    example alone (`from_one_example`), the untrained subject.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        queries: queries per prompt.
        rivals: the subjects to compare it with, by name.
    """
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    own = squared_error(answers(subject, prompts), prompts)
    negative = {
        "answering zero": squared_error(torch.zeros_like(prompts.targets), prompts),
        "one example alone": squared_error(from_one_example(prompts), prompts),
    }
    if (fresh := untrained(subject, seed)) is not None:
        negative["untrained network"] = squared_error(answers(fresh, prompts), prompts)
    solved = run(LeastSquares(), beside_constant(prompts) if subject.domain.written else prompts)
    best = squared_error(solved.predictions[1], prompts)
    found = [measure(NAME, MSE, own, draws, coordinates={}, positive={"least squares": best}, negative=negative)]
    for name, rival in rivals.items():
        theirs = squared_error(answers(rival, prompts), prompts)
        found.append(
            measure(
                NAME,
                OVER,
                torch.stack([own, theirs], -1),
                draws,
                coordinates={"over": name},
                positive={"the other over itself": torch.stack([theirs, theirs], -1)},
                negative={other: torch.stack([sums, theirs], -1) for other, sums in negative.items()},
            )
        )
    return tuple(found)


def from_one_example(prompts: Prompts) -> Float[Tensor, "batch query"]:
    """The answers from the weights of smallest norm that fit the first example: the least a learner can take from a context.

    On isotropic inputs the error is 1 − 1/d of the target's variance, since one direction of d is known.
    """
    alone = dataclasses.replace(prompts, xs=prompts.xs[:, :1], ys=prompts.ys[:, :1])
    return run(LeastSquares(), alone).predictions[1]


INSTRUMENT = Instrument(
    name=NAME,
    question="How large is its error compared with simple learners?",
    measure=errors,
    quantities=(
        "MSE",
        "MSE over another's",
    ),
    coordinates=("over",),
    sizes=sizes(n=(32, 512, 2048)),
)

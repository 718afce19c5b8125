"""Coverage of the score's nominal 95 % intervals, on subjects with noise and on one that mimics a candidate."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.calibration.counting import share
from mesascope.instruments.identification.families import BY_NAME
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.prompts import standard
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import Losses, losses, noisy, telling_apart
from mesascope.seeds import generator
from mesascope.types import Control, Measurement

POPULATION, LAYERS = 20_000, 5
FITTING = 300
"""Number of prompts on which coefficients are fitted, once; the estimand takes the coefficients as fixed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Noisy:
    """A subject that follows an algorithm with noise, or a path of ridge solutions, and is scored against a candidate."""

    name: str
    follows: str
    candidate: str
    noise: float


OTHER = "newton-schulz"
"""A second candidate; layers and prompts on which both candidates agree are left out, as in `identify`."""
SUBJECTS = (
    Noisy(name="gradient descent, 10 % noise", follows="gradient-descent", candidate="gradient-descent", noise=0.1),
    Noisy(
        name="conjugate gradient, 10 % noise", follows="conjugate-gradient", candidate="conjugate-gradient", noise=0.1
    ),
    Noisy(
        name="conjugate gradient, 50 % noise", follows="conjugate-gradient", candidate="conjugate-gradient", noise=0.5
    ),
    Noisy(name="a ridge path, against gradient descent", follows="ridge path", candidate="gradient-descent", noise=0.0),
)


def coverage(*, seed: int = 0, repetitions: int = 500, prompts: int = 300) -> tuple[Measurement, ...]:
    """How often the 95 % interval of a score contains the score of the population from which its prompts are drawn.

    The population is 20,000 discriminating prompts, so that its score is known. Each repetition draws prompts from
    it, the same number from each stratum, and computes the same interval as `identify`. The value is the share of repetitions
    whose interval contains the population's score, with a Clopper–Pearson interval.

    Controls. Negative: the share that contains the score of a population with a 10 % larger loss, which should be smaller.

    Args:
        seed: the seed of the population, the noise and the draws.
        repetitions: number of repetitions.
        prompts: number of prompts per repetition.
    """
    distribution = standard()
    population = Runner(distribution.task.sample(POPULATION, seed=seed, stream="coverage/population"))
    fitting = Runner(distribution.task.sample(FITTING, seed=seed, stream="coverage/fitting"))
    rng = generator(seed, "coverage/draws")
    drawn, weights = [], []
    for repetition in range(repetitions):
        index = _stratified(population, prompts, rng)
        drawn.append(index)
        strata = population.prompts.strata
        weights.append(
            bootstrap.weights(prompts, seed=seed + repetition, strata=None if strata is None else strata[index])
        )
    found = []
    for number, subject in enumerate(SUBJECTS):
        whole = _losses(subject, fitting, population, generator(seed, "coverage/noise", number))
        truth = float(whole.scores[0])
        shifted = 1 - 1.1 * (1 - truth)
        holds = [_interval(whole, index, draws) for index, draws in zip(drawn, weights, strict=True)]
        value, interval = share(sum(low <= truth <= high for low, high in holds), repetitions)
        other, _ = share(sum(low <= shifted <= high for low, high in holds), repetitions)
        found.append(
            Measurement(
                instrument="coverage",
                quantity="share of 95 % intervals that hold the score",
                value=value,
                interval=interval,
                n=repetitions,
                coordinates={"subject": subject.name, "prompts": prompts, "score": truth},
                controls=(Control(kind="negative", name="a score that is off by a tenth of the loss", value=other),),
            )
        )
    return tuple(found)


def sentences(found: Sequence[Measurement]) -> tuple[str, ...]:
    """The results in a sentence for each subject."""
    return tuple(
        f"95 % intervals of the score held it in {m.value:.1%} of {m.n} repetitions ({m.coordinates['subject']})."
        for m in found
    )


def _losses(subject: Noisy, fitting: Runner, population: Runner, rng: torch.Generator) -> Losses:
    there, here = _path(subject.follows, fitting), _path(subject.follows, population)
    variance = population.prompts.target_variance
    answers = noisy(here, subject.noise, variance, rng)
    candidates = torch.stack(
        [fit_path(BY_NAME[name], fitting, there).answers(population) for name in (subject.candidate, OTHER)]
    )
    return losses(answers, candidates, variance, telling_apart(candidates, variance))


def _path(name: str, runner: Runner) -> Float[Tensor, "layer batch query"]:
    if name == "ridge path":
        ridges = torch.logspace(1, -2, LAYERS, dtype=torch.float64)[:, None, None]
        eigenvalues = runner.channels.eigenvalues
        return runner.channels.predictions(eigenvalues / (eigenvalues + ridges))
    family = BY_NAME[name]
    return runner.predictions(family, (0.15,) * len(family.coefficients), LAYERS)[1:]


def _stratified(runner: Runner, prompts: int, rng: torch.Generator) -> Tensor:
    strata = runner.prompts.strata
    assert strata is not None
    names = strata.unique()
    each = prompts // len(names)
    return torch.cat(
        [(members := (strata == s).nonzero()[:, 0])[torch.randperm(len(members), generator=rng)[:each]] for s in names]
    )


def _interval(whole: Losses, index: Tensor, draws: Tensor) -> tuple[float, float]:
    return whole.on(index).intervals(draws)[0]

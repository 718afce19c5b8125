"""The questions that an explanation needs: the same prompts again, with other labels, and under other examples."""

import dataclasses
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.glm import linearised
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.reading.paths import Paths, Splits, asked_again, paths
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import units
from mesascope.instruments.statistics.scores import partners
from mesascope.seeds import generator
from mesascope.tasks.generalised import draw_labels
from mesascope.types import (
    GlmFamily,
    LinearTask,
    Prompts,
    RelabelledTask,
    Subject,
    Task,
    adjusted,
    glm_family,
    weight_deviation,
    with_queries,
)

OTHERS = 3
"""Label vectors of other functions that a context is asked with, beside those of the superposition."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Asked:
    """Prompts of one distribution with a subject's answers.

    Answers after every layer are in ``paths``: on the prompts that are fitted to, on those that are scored, and on the latter
    asked again with slightly moved queries (of text, with the examples in another order), which shows the noise. So it is
    whenever a context is asked again, since noise may be a function of these: no two askings share theirs.

    Of binary labels, counts and digits, no sum is a possible label. There linearity is asked by exchange: a subject that is
    linear in the labels but for a constant answers the same in sum when every second example exchanges its label between y and
    z. What explains the answers then reads binary labels and counts as linear predictors to first order
    (`mesascope.algorithms.glm.linearised`).

    Attributes:
        fitting, scoring: the prompts, with the labels as explanations read them.
        paths: the answers after every layer.
        superposed: what the answers would be if the subject were linear in the labels: with z the labels of another function
            on the same inputs, (answer to (y + z)/√2 + answer to (y − z)/√2)/√2. By exchange, the difference between the
            answers to y and z and those to both mixtures is made of four answers and not of two; it counts for 1/√2.
        others: the scored contexts with labels of other functions, z first, and the answers to them. Those to z are not
            asked for, but follow from linearity: (answer to (y + z)/√2 − answer to (y − z)/√2)/√2. By exchange they are.
        swapped: answers to the same queries under another prompt's examples.
        units: what squared errors on the scored prompts are divided by.
        draws: of the bootstrap over the scored prompts.
        fitting_draws: of that over the fitted ones.
    """

    fitting: Prompts
    scoring: Prompts
    paths: Paths
    superposed: Float[Tensor, "batch query"]
    others: tuple[tuple[Prompts, Float[Tensor, "batch query"]], ...]
    swapped: Float[Tensor, "batch query"]
    units: Float[Tensor, " batch"]
    draws: Float[Tensor, "repeat batch"]
    fitting_draws: Float[Tensor, "_ batch"]

    @property
    def answers(self) -> Float[Tensor, "batch query"]:
        """The subject's answers on the scored prompts."""
        return self.paths.scoring[-1]


def ask(
    subject: Subject, task: Task, *, seed: int, prompts: int, readout: Literal["auto", "own", "fitted"] = "auto"
) -> Asked:
    """Ask a subject everything that its explanation rests on.

    Args:
        subject: what to examine.
        task: the distribution. Enough queries are taken that each prompt's own weights can be fitted.
        seed: of prompts and resampling.
        prompts: number of prompts that are fitted to, and of those that are scored. As many are taken for fitted readouts,
            which are needed where the subject's own are not sensible.
        readout: how layers before the last are read; see `mesascope.instruments.reading.paths.paths`.
    """
    task = with_queries(task, max(2 * QUERIES, 3 * task.dim))
    fitting, scoring = (task.sample(prompts, seed=seed, stream=f"explain/{use}") for use in ("fit", "score"))

    def reading() -> tuple[Prompts, Prompts]:
        few = adjusted(task, queries=min(QUERIES, task.queries))
        first = few.sample(prompts, seed=seed, stream="explain/read")
        return first, first

    splits = Splits(fitting=fitting, scoring=scoring, again=asked_again(subject, scoring, seed), reading=reading)
    path = paths(subject, splits, seed=seed, readout=readout)
    times = itertools.count(seed + 1)

    def asked(labels: Tensor) -> Tensor:
        return answers(subject, asked_again(subject, _relabelled(scoring, labels), next(times), HARDLY))

    z, *more = (_other_labels(task, scoring, seed, place) for place in range(OTHERS))
    glm = glm_family(task)
    superposed, of_z = (_summed if glm is None and not subject.domain.written else _exchanged)(
        asked, path.scoring[-1], scoring.ys, z
    )
    other = partners(scoring)
    swapped = dataclasses.replace(scoring, xs=scoring.xs[other], ys=scoring.ys[other])
    return Asked(
        fitting=as_read(fitting, glm),
        scoring=as_read(scoring, glm),
        paths=path,
        superposed=superposed,
        others=(
            (as_read(_relabelled(scoring, z), glm), of_z),
            *((as_read(_relabelled(scoring, ys), glm), asked(ys)) for ys in more),
        ),
        swapped=answers(subject, asked_again(subject, swapped, next(times), HARDLY)),
        units=units(path.scoring[-1:], scoring.target_variance)[0],
        draws=bootstrap.weights(prompts, seed=seed, strata=scoring.strata),
        fitting_draws=bootstrap.weights(prompts, seed=seed + 1, strata=fitting.strata, repeats=REPEATS),
    )


HARDLY = 1e-4
"""How far queries are moved when their context is asked with other labels: the answers stay, and noise does not."""
QUERIES = 8
REPEATS = 400
"""Repetitions of the bootstrap for what is fitted anew in each of them."""


Labels = Float[Tensor, "batch example"]
Asking = Callable[[Labels], Float[Tensor, "batch query"]]


def _summed(
    asked: Asking, of_y: Float[Tensor, "batch query"], y: Labels, z: Labels
) -> tuple[Float[Tensor, "batch query"], Float[Tensor, "batch query"]]:
    """The answers to y and z that follow from those to sums of both; that to y itself is not needed."""
    plus, minus = (asked((y + sign * z) / 2**0.5) for sign in (1, -1))
    return (plus + minus) / 2**0.5, (plus - minus) / 2**0.5


def _exchanged(
    asked: Asking, of_y: Float[Tensor, "batch query"], y: Labels, z: Labels
) -> tuple[Float[Tensor, "batch query"], Float[Tensor, "batch query"]]:
    """As `_summed`, by exchanging the labels of every second example; the answers to z are asked for."""
    second, of_z = torch.arange(y.shape[1]) % 2 == 1, asked(z)
    mixed = asked(torch.where(second, z, y)) + asked(torch.where(second, y, z))
    return of_y + (mixed - of_z - of_y) / 2**0.5, of_z


def as_read(prompts: Prompts, glm: GlmFamily | None) -> Prompts:
    """The prompts in double precision, with the labels as explanations read them."""
    double = prompts.to(dtype=torch.float64)
    return double if glm is None else _relabelled(double, linearised(glm, double.ys))


def _relabelled(prompts: Prompts, labels: Float[Tensor, "batch example"]) -> Prompts:
    return dataclasses.replace(prompts, ys=labels)


def _other_labels(task: Task, prompts: Prompts, seed: int, place: int) -> Float[Tensor, "batch example"]:
    """Labels of another function on the same inputs: of weights drawn from the prior, or of another prompt."""
    if isinstance(task, RelabelledTask):
        return task.other_labels(prompts, seed=seed, place=place)
    rng = generator(seed, "explain/labels", place)
    if not isinstance(task, LinearTask):
        glm, order = glm_family(task), torch.arange(len(prompts)).roll(-place - 1)
        if glm is None or prompts.weights is None:
            return prompts.ys[order]
        predictors = (prompts.xs.double() @ prompts.weights.double()[order][..., None])[..., 0]
        return draw_labels(glm, predictors, rng).to(prompts.ys)
    weights = torch.randn(len(prompts), prompts.dim, generator=rng, dtype=torch.float64) * weight_deviation(task)
    noise = task.noise * torch.randn(prompts.ys.shape, generator=rng, dtype=torch.float64)
    return ((prompts.xs.double() @ weights[..., None])[..., 0] + noise).to(prompts.ys)


__all__ = ("Asked", "as_read", "ask")

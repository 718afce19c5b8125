"""Contraction: the error that each layer leaves along every eigenvector of XᵀX, compared with the law of gradient descent."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, run
from mesascope.instruments.asking.applicability import NotApplicable, latent_weights
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models.constructions import Construction
from mesascope.tasks import LinearRegression
from mesascope.types import Control, Measurement, Prompts, Subject

NAME = "contraction"
LEFT, DISTANCE = "what is left", "distance from the law"
LAW, WRONG_LAW = "the law", "the law for 0.9 of the gain"
ITSELF = "gradient descent itself, in one dimension"
WRONG = 0.9
"""The negative control is the law for this share of the gain."""


def contraction(
    subject: Subject, task: LinearRegression, *, seed: int = 0, n: int = 64, step_size: float
) -> tuple[Measurement, ...]:
    """The error left along each eigenvector of XᵀX/n before the first layer (layer 0) and after every layer.

    For a unit eigenvector u this is (uᵀw_k − uᵀw)² over (uᵀw)², read from what the layers answer when u is the query. Under
    gradient descent it is (1 − ηλ)²ᵏ after k layers. The first quantity is its median over prompts; the second is the
    largest distance of any prompt from the law. The coordinate ``eigenvalue`` is that of XᵀX/n, rounded to six digits.

    Controls. Positive: the law; for the distance, that of gradient descent itself in one dimension. Negative: the law for 0.9
    of the gain.

    Args:
        subject: a network whose own readout is exact after every layer.
        task: where the prompts come from; XᵀX/n must have the same eigenvalues in every prompt.
        seed: the seed of the prompts.
        n: number of prompts.
        step_size: η of the law.

    Raises:
        NotApplicable: the subject is not a hand-built network.
    """
    if not isinstance(subject, Construction):
        raise NotApplicable(
            f"{subject.name} is not a hand-built network, so its readout is not exact after every layer."
        )
    prompts = task.sample(n, seed=seed, stream="synthetic-panel")
    values, vectors = torch.linalg.eigh(prompts.xs.mT @ prompts.xs / prompts.examples)
    left = remaining(subject, prompts, vectors.mT)
    steps = torch.arange(len(left), dtype=torch.float64)
    itself = _itself(len(left) - 1, n, task.examples)
    measurements = []
    for i, value in enumerate(values.mean(0).tolist()):
        law, wrong = ((1 - gain * step_size * value) ** (2 * steps) for gain in (1.0, WRONG))
        off, far = ((left[..., i] - expected[:, None]).abs().amax(1) for expected in (law, wrong))
        middle = left[..., i].median(1).values
        for k in range(len(left)):
            where = {"eigenvalue": float(f"{value:.6g}"), "layer": k}
            measurements += [
                _measurement(LEFT, middle[k], n, where, {LAW: law[k]}, wrong[k]),
                _measurement(DISTANCE, off[k], n, where, {ITSELF: itself[k]}, far[k]),
            ]
    return tuple(measurements)


def remaining(
    subject: Subject, prompts: Prompts, directions: Float[Tensor, "batch query dim"]
) -> Float[Tensor, "step batch query"]:
    """(uᵀw_k − uᵀw)² over (uᵀw)² for each direction u, before the first layer and after every layer."""
    targets = (directions @ latent_weights(prompts)[..., None])[..., 0]
    asked = dataclasses.replace(prompts, queries=directions, targets=targets)
    _, activations = at_queries(subject, asked, subject.path)
    answers = [subject.readout(activations[site], site) for site in subject.path]
    return ((torch.stack([torch.zeros_like(targets), *answers]) - targets) / targets).square()


def _itself(steps: int, n: int, examples: int) -> Float[Tensor, " step"]:
    """The same distance for the algorithm gradient descent in one dimension, where the law needs no eigenvectors."""
    problem = LinearRegression(dim=1, examples=examples).sample(n, seed=0)
    weights = run(GradientDescent(step_size=0.5), problem, steps).weights
    assert weights is not None, "gradient descent has weights"
    left = (weights[..., 0] / latent_weights(problem)[:, 0] - 1).square()
    gain = 0.5 * problem.xs.square().mean(1)[:, 0]
    return (left - (1 - gain) ** (2 * torch.arange(steps + 1, dtype=torch.float64)[:, None])).abs().amax(1)


def _measurement(
    quantity: str, value: Tensor, n: int, where: dict[str, float], positive: dict[str, Tensor], negative: Tensor
) -> Measurement:
    return Measurement(
        instrument=NAME,
        quantity=quantity,
        value=float(value),
        interval=None,
        n=n,
        coordinates=where,
        controls=(
            *(Control(kind="positive", name=name, value=float(v)) for name, v in positive.items()),
            Control(kind="negative", name=WRONG_LAW, value=float(negative)),
        ),
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How much of the error along each eigenvector of XᵀX does each layer leave?",
    measure=contraction,
    needs="a hand-built network, and prompts whose XᵀX has the same eigenvalues in all of them",
    quantities=(LEFT, DISTANCE),
    coordinates=("eigenvalue", "layer"),
    sizes=sizes(n=(24, 64, 256)),
)

__all__ = ("DISTANCE", "INSTRUMENT", "ITSELF", "LAW", "LEFT", "NAME", "WRONG_LAW", "contraction", "remaining")

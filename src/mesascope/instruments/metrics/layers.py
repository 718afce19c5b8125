"""The answers after every layer of a subject and every step of an algorithm, as vectors between which a metric takes cosines."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, run
from mesascope.instruments.asking.collect import answers, at_queries
from mesascope.instruments.asking.tokens import along, layout
from mesascope.instruments.metrics.question import Queries, asking
from mesascope.instruments.reading.paths import SENSIBLE, Readout
from mesascope.instruments.reading.readout import fit_readouts
from mesascope.types import Prompts, Site, Subject, answering_everywhere

Activations = Mapping[Site, Float[Tensor, "batch position width"]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Vectors:
    """Errors over positions, or induced weights.

    Attributes:
        layers: those of each layer of the subject; at the last layer, those of its final answers.
        readout: the readout of the earlier layers: ``own`` if it errs at no layer much more than answering zero, otherwise
            ``fitted``.
        steps: those of each step of the algorithm, from step ``first`` on.
        rough: ``steps`` in single precision.
        first: 0 for errors, 1 for weights, which have no direction at step 0.
    """

    layers: Float[Tensor, "layer batch axis"]
    readout: Readout
    steps: Float[Tensor, "step batch axis"]
    rough: Float[Tensor, "step batch axis"]
    first: int


def induced_weights(subject: Subject, algorithm: Algorithm, fit: Prompts, score: Prompts, steps: int) -> Vectors:
    """The weights induced by answers to fresh queries: each answer vector's least-squares fit on the queries.

    Args:
        subject: what to examine.
        algorithm: the algorithm whose steps to compare it with.
        fit: the prompts to fit readouts on, if the subject's own is not used.
        score: the prompts to take answers of.
        steps: the number of steps.

    Raises:
        ValueError: there are not more queries than dimensions.
    """
    question, sites = Queries.of(score), subject.path[:-1]
    own, after = at_queries(subject, score, sites)
    said, readout = _read(subject, at_queries(subject, fit, sites)[1], fit.targets, after, fit.target_variance)
    said = [*said, own]

    def weights(dtype: torch.dtype) -> Tensor:
        said = run(algorithm, score, steps, dtype=dtype).predictions
        return torch.stack([question.induced(p.double()) for p in said[1:]])

    return Vectors(
        layers=torch.stack([question.induced(p) for p in said]),
        readout=readout,
        steps=weights(torch.float64),
        rough=weights(torch.float32),
        first=1,
    )


def prefix_errors(subject: Subject, algorithm: Algorithm, fit: Prompts, score: Prompts, steps: int) -> Vectors:
    """The errors at x₂ … x_n and the first query, each answered from the examples before it.

    The subject must answer at every position (``answers_everywhere``). For the arguments see `induced_weights`.
    """
    truth, inputs = _truth(score)[:, 1:], torch.cat([score.xs, score.queries[:, :1]], 1)
    able = answering_everywhere(subject)
    assert able is not None, "prefix_errors is called for subjects that answer everywhere"
    context = able.answer_everywhere(score)
    own = torch.cat([context.double().cpu(), answers(subject, score)[:, :1]], 1)
    before, after = (_at_inputs(subject, p) for p in (fit, score))
    middle, readout = _read(subject, before, _truth(fit), after, fit.target_variance)

    def errors(dtype: torch.dtype) -> Tensor:
        said: list[Tensor] = []
        for length in range(1, score.examples + 1):
            upcoming = inputs[:, length : length + 1]
            said.append(run(algorithm, asking(score, upcoming, length), steps, dtype=dtype).predictions.double())
        return torch.cat(said, -1) - truth

    return Vectors(
        layers=torch.stack([*middle, own])[..., 1:] - truth,
        readout=readout,
        steps=errors(torch.float64),
        rough=errors(torch.float32),
        first=0,
    )


def _truth(prompts: Prompts) -> Float[Tensor, "batch position"]:
    return torch.cat([prompts.ys, prompts.targets[:, :1]], 1).double()


def _read(
    subject: Subject,
    before: Activations,
    targets: Float[Tensor, "batch position"],
    after: Activations,
    variance: Float[Tensor, " batch"],
) -> tuple[list[Float[Tensor, "batch position"]], Readout]:
    """The answers read from ``after``, and the kind of readout, which is chosen (and fitted) on ``before``."""

    def own(activations: Activations) -> list[Tensor]:
        return [subject.readout(a, site).double().cpu() for site, a in activations.items()]

    def error(said: Tensor) -> float:
        return float(((said - targets).square().mean(-1) / variance).mean())

    if all(error(said) <= SENSIBLE * error(torch.zeros_like(targets)) for said in own(before)):
        return own(after), "own"
    fitted = fit_readouts(before, targets, scale=variance)
    return [fitted[site].predict(activation) for site, activation in after.items()], "fitted"


def _at_inputs(subject: Subject, prompts: Prompts) -> dict[Site, Float[Tensor, "batch position width"]]:
    """The residual stream after every layer but the last, at the inputs of the context and at the first query."""
    sites, places = subject.path[:-1], layout(subject, prompts)
    inputs, query = along(places.inputs[0, :, 0 if places.together else -1]), along(places.answers[:1])
    trace = subject.trace(prompts, capture=sites)
    kept: dict[Site, Tensor] = {}
    for site in sites:
        stream = trace[site].cpu()
        kept[site] = torch.cat([stream[:, inputs], stream[:, query]], 1)
    return kept

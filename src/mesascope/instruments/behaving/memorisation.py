"""Memorisation: does a subject look answers up, or does it know the linear function between the inputs of its training?

The examples stay as they are in training; only the queries change. A learner that has the weights answers all queries
equally well. One that has stored answers does well on inputs that were shown, worse on others, and fails outside the support
of its training distribution (between the corners of the hypercube, for instance).

Source: the two-to-eight-layer study, which trains on ±1 inputs (32 of them in five dimensions) and evaluates on normal ones.
Departs from source: the study changes examples and queries together, so its subject may fail because of the examples.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.algorithms import LeastSquares, Ridge, run
from mesascope.instruments.asking.applicability import NotApplicable, latent_weights, untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.behaving.stress import REFERENCE, RIDGE
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, partners, ratio
from mesascope.seeds import generator
from mesascope.types import (
    Figure,
    Measurement,
    Prompts,
    Scalar,
    Subject,
    Task,
    adjusted,
    bounds,
    is_prescribable,
)

NAME = "memorisation"
RELATIVE = Quantity(name="relative squared error", combine=ratio)
LOOK_UP = "lookup of the nearest shown input, up to sign"

Alteration = Callable[[Prompts, torch.Generator], Float[Tensor, "batch query dim"]]


def _as_trained(prompts: Prompts, rng: torch.Generator) -> Tensor:
    return prompts.queries


def _shown(prompts: Prompts, rng: torch.Generator) -> Tensor:
    return _picked(prompts, rng)


def _mirrored(prompts: Prompts, rng: torch.Generator) -> Tensor:
    return -_picked(prompts, rng)


def _scaled(prompts: Prompts, rng: torch.Generator) -> Tensor:
    return 1.1 * prompts.queries


def _one_halved(prompts: Prompts, rng: torch.Generator) -> Tensor:
    where = torch.randint(prompts.dim, prompts.queries.shape[:2], generator=rng)
    return prompts.queries * (1 - 0.5 * torch.nn.functional.one_hot(where, prompts.dim))


def _midway(prompts: Prompts, rng: torch.Generator) -> Tensor:
    pairs = torch.rand(*prompts.queries.shape[:2], prompts.examples, generator=rng).argsort(-1)[..., :2]
    return prompts.xs[torch.arange(len(prompts))[:, None, None], pairs].mean(2)


def _normal(prompts: Prompts, rng: torch.Generator) -> Tensor:
    return torch.randn(prompts.queries.shape, generator=rng, dtype=prompts.queries.dtype)


QUERIES: Mapping[str, Alteration] = MappingProxyType(
    {
        "as trained": _as_trained,
        "shown": _shown,
        "shown, sign flipped": _mirrored,
        "scaled by 1.1": _scaled,
        "one coordinate halved": _one_halved,
        "midway between two shown": _midway,
        "normal": _normal,
    }
)
"""The kinds of queries, by name. ``as trained`` is also split by whether the query, up to sign, is among the examples."""

NOVEL, KNOWN = "as trained, not shown", "as trained, shown up to sign"


def memorisation(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 256, queries: int = 8
) -> tuple[Measurement, ...]:
    """Σ (ŷ − y)² / Σ y² for each kind of query, after the examples of the training task.

    0 is exact, and answering zero scores 1. Kinds that do not occur are left out (with normal inputs, no query is among
    the examples). Intervals resample prompts.

    Controls. Positive, a learner that looks up by design: it finds the shown input nearest in angle, up to its sign, and
    answers with its label, not rescaled. Negative, learners that do not look up: least squares and ridge (λ = 0.01); and
    the untrained network and ridge's answers to another prompt, which use nothing of the prompt's examples.

    Args:
        subject: what to examine.
        task: its training task.
        seed: of the prompts, the changes, the untrained weights and the resampling.
        n: number of prompts.
        queries: queries of each kind per prompt.

    Raises:
        NotApplicable: the task has no latent weights, so the targets of changed queries are unknown, or it has a single
            example.
    """
    if task.examples < 2:
        raise NotApplicable("queries midway between two shown inputs: examples must be at least 2; got 1. Show more.")
    if is_prescribable(task):
        task = adjusted(task, query_inputs=None)
    several = adjusted(task, queries=queries)
    plain = several.sample(n, seed=seed, stream=NAME)
    weights = latent_weights(plain)
    draws = bootstrap.weights(n, seed=seed, strata=plain.strata)
    fresh = untrained(subject, seed)
    found: list[Measurement] = []
    for number, (kind, change) in enumerate(QUERIES.items()):
        asked = change(plain, generator(seed, f"{NAME}/change", number))
        prompts = dataclasses.replace(plain, queries=asked, targets=(asked @ weights[..., None])[..., 0])
        ridge = run(Ridge(ridge=RIDGE), prompts).predictions[1]
        own = answers(subject, prompts)
        strange = {"ridge's answers to another prompt": ridge[partners(prompts)]}
        if fresh is not None:
            strange["untrained network"] = answers(fresh, prompts[:REFERENCE])
        strange |= {"least squares": run(LeastSquares(), prompts).predictions[1], "ridge": ridge}
        known = {LOOK_UP: looked_up(prompts)}
        everywhere = torch.ones_like(asked[..., 0], dtype=torch.bool)
        parts = {kind: everywhere}
        if kind == "as trained":
            seen = shown(prompts)
            parts |= {KNOWN: seen, NOVEL: ~seen}
        for name, where in parts.items():
            if not bool(where.any()) or (name == NOVEL and bool(where.all())):
                continue
            found.append(
                measure(
                    NAME,
                    RELATIVE,
                    _sums(own, prompts, where),
                    draws,
                    coordinates={"queries": name, "share of queries": float(where.double().mean())},
                    positive={label: _sums(case, prompts, where) for label, case in known.items()},
                    negative={label: _sums(case, prompts, where) for label, case in strange.items()},
                )
            )
    return tuple(found)


def shown(prompts: Prompts) -> Bool[Tensor, "batch query"]:
    """Whether a query x or −x is exactly one of the prompt's inputs."""
    x, q = prompts.xs[:, None], prompts.queries[:, :, None]
    return ((x == q).all(-1) | (x == -q).all(-1)).any(-1)


def looked_up(prompts: Prompts) -> Float[Tensor, "batch query"]:
    """The label of the shown input that is nearest in angle, up to sign."""
    x, q = (torch.nn.functional.normalize(v, dim=-1) for v in (prompts.xs, prompts.queries))
    cosine = q @ x.mT
    nearest = cosine.abs().argmax(-1)
    return prompts.ys.gather(1, nearest) * cosine.gather(-1, nearest[..., None])[..., 0].sign()


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Relative error by kind of query, with the controls beside the subject."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument != NAME:
            continue
        cases = [("subject", m.value, m.interval), *((c.name, c.value, c.interval) for c in m.controls)]
        for name, value, interval in cases:
            if name in ("least squares", "ridge's answers to another prompt"):
                continue  # the one is 0 up to rounding, which a logarithmic axis cannot show; the other is above 1 everywhere
            rows.append({"queries": m.coordinates["queries"], "who": name, RELATIVE.name: value, **bounds(interval)})
    return Figure(
        name="memorisation",
        section="Memorisation",
        title="The error on other queries than in training, after the same examples",
        caption="Squared error over that of answering zero. Least squares has error 0 everywhere; ridge has λ = 0.01.",
        kind="bars",
        rows=tuple(rows),
        x="queries",
        y=RELATIVE.name,
        series="who",
        low="low",
        high="high",
        log=("y",),
    )


def _picked(prompts: Prompts, rng: torch.Generator) -> Tensor:
    index = torch.randint(prompts.examples, prompts.queries.shape[:2], generator=rng)
    return prompts.xs.gather(1, index[..., None].expand(-1, -1, prompts.dim))


def _sums(predictions: Tensor, prompts: Prompts, where: Tensor) -> Tensor:
    """Each prompt's squared error and squared target, summed over the chosen queries, over the number of all queries."""
    some, chosen = prompts[: len(predictions)], where[: len(predictions)]
    zero = torch.zeros_like(some.targets)
    wrong = torch.where(chosen, predictions.double() - some.targets, zero)
    return torch.stack([wrong.square().mean(-1), torch.where(chosen, some.targets, zero).square().mean(-1)], -1)


INSTRUMENT = Instrument(
    name=NAME,
    question="Does it look up the answer where the query was shown among the examples?",
    measure=memorisation,
    quantities=("relative squared error",),
    coordinates=(
        "queries",
        "share of queries",
    ),
    sizes=sizes(n=(32, 256, 1024)),
    figure=figure,
)

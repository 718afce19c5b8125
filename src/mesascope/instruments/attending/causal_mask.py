"""The effect of a causal mask on a hand-built network: which tokens solve the problem of the examples that they see."""

import dataclasses
from collections.abc import Callable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, run
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.models.constructions import Construction
from mesascope.types import Control, Measurement, Prompts, Site, Subject, Task

NAME = "causal mask"
DISTANCE = "distance from what the token's own prefix gives"
UNMASKED = "without the mask, from all examples"
ALONE = "without the mask, each query asked alone against together"
ZERO = "answering zero"
QUARTILES = (0.25, 0.5, 0.75)


def causal_mask(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 64,
    algorithm: Algorithm,
    steps: int = 1,
    limit: Callable[[Prompts], Float[Tensor, "batch position"]] | None = None,
) -> tuple[Measurement, ...]:
    """How far a network under a causal mask is from solving every prefix.

    Every token of a network under a causal mask has its own problem: the examples up to itself. The answer of an example's
    token for its own input is compared with that of an algorithm on this prefix alone; the answers at the queries, which
    see all examples, with that of the algorithm on all of them. Labels should be noisy, because without noise all
    interpolants agree at the shown inputs.

    One measurement per prefix length, and one at the queries: the distance over √(target variance), median over prompts,
    with the quartiles as interval.

    Controls. Positive: the same network without the mask against the answer from all examples; at the queries, also the
    change if each is asked alone (queries are never keys). Negative: answering zero.

    Args:
        subject: a hand-built network, built with or without a mask.
        task: where the prompts come from.
        seed: the seed of the prompts.
        n: number of prompts.
        algorithm: the algorithm whose answers the network's are compared with.
        steps: the number of the algorithm's steps.
        limit: computes other answers, at the examples' inputs and at the queries, to compare with under the mask.

    Raises:
        NotApplicable: the subject is not a hand-built network.
    """
    if not isinstance(subject, Construction):
        raise NotApplicable(f"{subject.name} is not a hand-built network, so it cannot be given a mask.")
    p = task.sample(n, seed=seed, stream="causal-mask")
    prefixes = _on_prefixes(algorithm, p, steps) if limit is None else limit(p)
    distances = _distances(p, _everywhere(subject, p), prefixes, _on_all(algorithm, p, steps))
    levels = torch.tensor(QUARTILES, dtype=torch.float64)
    quartiles = {name: torch.quantile(values, levels, 0).T.tolist() for name, values in distances.items()}
    return tuple(_measurement(place, n, p.examples, quartiles) for place in range(p.examples + 1))


def with_mask(construction: Construction, causal: bool) -> Construction:
    """The construction with the same weights, with or without a causal mask; queries are never keys in either case."""
    return dataclasses.replace(
        construction, build=lambda dim: dataclasses.replace(construction.build(dim), causal=causal)
    )


def triangular_interpolant(prompts: Prompts) -> Float[Tensor, "batch position"]:
    """The limit of gradient descent under a causal mask: the labels at examples, and (1/n) x·XᵀL⁻¹Dy at queries.

    L is the lower triangle of XXᵀ, and D counts the examples seen. An example's residual follows
    r_j ← r_j − (η/j) Σ_{i≤j} ⟨x_j, xᵢ⟩ rᵢ, so all residuals converge to 0, and η times their sum over the steps converges to
    (D⁻¹L)⁻¹y.

    Source: own.
    """
    seen = torch.arange(1, prompts.examples + 1).to(prompts.ys)
    lower = (prompts.xs @ prompts.xs.mT).tril()
    summed = torch.linalg.solve_triangular(lower, (seen * prompts.ys)[..., None], upper=False)
    return torch.cat([prompts.ys, (prompts.queries @ (prompts.xs.mT @ summed))[..., 0] / prompts.examples], 1)


def _on_prefixes(algorithm: Algorithm, p: Prompts, steps: int) -> Float[Tensor, "batch position"]:
    """The algorithm's answer at each example's input from the examples up to it, and at the queries from all."""
    parts = []
    for j in range(1, p.examples + 1):
        at = {"queries": p.xs[:, j - 1 : j], "targets": p.ys[:, j - 1 : j]}
        parts.append(dataclasses.replace(p, xs=p.xs[:, :j], ys=p.ys[:, :j], **at))
    return torch.cat([run(algorithm, part, steps).predictions[-1] for part in (*parts, p)], 1)


def _on_all(algorithm: Algorithm, p: Prompts, steps: int) -> Float[Tensor, "batch position"]:
    """The algorithm's answer at each token from all examples."""
    everywhere = {"queries": torch.cat([p.xs, p.queries], 1), "targets": torch.cat([p.ys, p.targets], 1)}
    return run(algorithm, dataclasses.replace(p, **everywhere), steps).predictions[-1]


def _answers(network: Construction, p: Prompts) -> Float[Tensor, "batch position"]:
    """Each token's answer: the change of the readout from the first to the last layer, since it may start at minus the label."""
    first, last = Site(layer=0, kind="resid_pre"), network.path[-1]
    trace = network.trace(p, capture=(first, last))
    return network.readout(trace[last], last) - network.readout(trace[first], first)


def _everywhere(network: Construction, p: Prompts) -> dict[str, Float[Tensor, "batch position"]]:
    """A network's answers under the mask, without it, and without it with each query asked alone."""
    plain, queries = with_mask(network, causal=False), range(p.queries.shape[1])
    ones = [dataclasses.replace(p, queries=p.queries[:, [i]], targets=p.targets[:, [i]]) for i in queries]
    together = _answers(plain, p)
    alone = torch.cat([together[:, : p.examples], *(plain.trace(one).predictions for one in ones)], 1)
    return {DISTANCE: _answers(with_mask(network, causal=True), p), UNMASKED: together, ALONE: alone}


def _distances(
    p: Prompts, answers: Mapping[str, Tensor], prefixes: Tensor, whole: Tensor
) -> dict[str, Float[Tensor, "batch place"]]:
    """For the network and its controls: one distance per example, then one for all queries, their root mean square."""
    right = {DISTANCE: prefixes, UNMASKED: whole, ALONE: answers[UNMASKED], ZERO: prefixes}
    found = {}
    for name, wanted in right.items():
        off = (answers.get(name, torch.zeros_like(wanted)) - wanted).abs() / p.target_variance.sqrt()[:, None]
        queries = off[:, p.examples :].square().mean(1, keepdim=True).sqrt()
        found[name] = torch.cat([off[:, : p.examples], queries], 1)
    return found


def _measurement(place: int, n: int, examples: int, quartiles: Mapping[str, list[list[float]]]) -> Measurement:
    low, middle, high = quartiles[DISTANCE][place]
    query = place == examples
    positive = (UNMASKED, ALONE) if query else (UNMASKED,)
    return Measurement(
        instrument=NAME,
        quantity=DISTANCE,
        value=middle,
        interval=(low, high),
        n=n,
        unit="√(target variance)",
        coordinates={"token": "query" if query else "example", "prefix": examples if query else place + 1},
        controls=(
            *(Control(kind="positive", name=name, value=quartiles[name][place][1]) for name in positive),
            Control(kind="negative", name=ZERO, value=quartiles[ZERO][place][1]),
        ),
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="Which tokens of a network under a causal mask solve the problem that they see?",
    measure=causal_mask,
    needs="a hand-built network, and an algorithm to compare it with",
    quantities=(DISTANCE,),
    coordinates=("token", "prefix"),
    values={"token": ("example", "query")},
    sizes=sizes(n=(24, 64, 256)),
)

__all__ = (
    "ALONE",
    "DISTANCE",
    "INSTRUMENT",
    "NAME",
    "UNMASKED",
    "ZERO",
    "causal_mask",
    "triangular_interpolant",
    "with_mask",
)

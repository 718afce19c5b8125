"""The effect of a causal mask on networks that were built without one, and on the network that was built for it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    Algorithm,
    ConjugateGradient,
    DataSpaceConjugateGradient,
    GradientDescent,
    LeastSquares,
    run,
)
from mesascope.models.constructions import (
    Construction,
    conjugate_gradient,
    data_space_conjugate_gradient,
    gradient_descent,
    primal_conjugate_gradient,
)
from mesascope.tasks import LinearRegression, Uniform
from mesascope.types import Control, Figure, Measurement, Prompts, Site

DIM, EXAMPLES, QUERIES, NOISE = 4, 12, 4, 0.5
STEP_SIZE = 0.15
"""Under a causal mask, gradient descent converges if ηx·x < 2 for every input; here x·x is at most 12."""
EARLY = 3
"""Number of steps after which iterates are compared."""
SMALLEST = 1e-17
"""Smaller values are drawn at this value, because a logarithmic axis has no zero."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """A network, and the right answer at each token from the examples that the token sees.

    Attributes:
        network: the network.
        after: how many steps it has taken, in words.
        against: what its answers are compared with, in words.
        prefixes: the answer at each example's input from the examples up to it; then at the queries from all examples.
        whole: the answers from all examples at all tokens.
    """

    network: Construction
    after: str
    against: str
    prefixes: Float[Tensor, "batch position"]
    whole: Float[Tensor, "batch position"]


def causal_mask(seed: int = 0, *, prompts: int = 64, layers: int = 1000) -> tuple[tuple[Measurement, ...], Figure]:
    """How far networks under a causal mask are from solving every prefix.

    Every token of a network under a causal mask has its own problem: the examples up to itself. The answer of an example's
    token for its own input is compared with that of the network's algorithm, run on this prefix alone, after the same number
    of steps, and at the end with least squares on the prefix. Gradient descent is also compared with its theoretical limit:
    L⁻¹Dy instead of α, where L is the lower triangle of XXᵀ and D counts the examples seen. Labels are noisy, because without
    noise all interpolants agree at the shown inputs. With noise, the kernel system of data-space conjugate gradient has no
    solution, so only its early iterates are compared.

    Args:
        seed: the seed of the prompts.
        prompts: number of prompts.
        layers: number of layers of gradient descent that approximate its limit.

    Returns:
        One measurement per network, prefix length and comparison, and one at the queries, which see all examples: the
        distance of the answers over √(target variance), median over prompts, with the quartiles as interval. Controls:
        the same network without the mask against the answer from all examples; at queries, the change if each is
        asked alone (they are never keys); and answering zero.
    """
    task = LinearRegression(dim=DIM, examples=EXAMPLES, queries=QUERIES, noise=NOISE, inputs=Uniform())
    p = task.sample(prompts, seed=seed, stream="causal-mask")
    cases = _cases(p, layers)
    answers = {network: _everywhere(network, p) for network in {case.network for case in cases}}
    measurements = tuple(m for case in cases for m in _measure(case, p, answers[case.network]))
    return measurements, _figure(measurements)


def with_mask(construction: Construction, causal: bool) -> Construction:
    """The construction with the same weights, with or without a causal mask; queries are never keys in either case."""
    return dataclasses.replace(
        construction, build=lambda dim: dataclasses.replace(construction.build(dim), causal=causal)
    )


def triangular_interpolant(prompts: Prompts) -> Float[Tensor, "batch position"]:
    """The limit of gradient descent under a causal mask: the labels at examples, and (1/n) x·XᵀL⁻¹Dy at queries.

    An example's residual follows r_j ← r_j − (η/j) Σ_{i≤j} ⟨x_j, xᵢ⟩ rᵢ, so all residuals converge to 0, and η times their
    sum over the steps converges to (D⁻¹L)⁻¹y.

    Source: own.
    """
    seen = torch.arange(1, prompts.examples + 1).to(prompts.ys)
    lower = (prompts.xs @ prompts.xs.mT).tril()
    summed = torch.linalg.solve_triangular(lower, (seen * prompts.ys)[..., None], upper=False)
    return torch.cat([prompts.ys, (prompts.queries @ (prompts.xs.mT @ summed))[..., 0] / prompts.examples], 1)


def _cases(p: Prompts, layers: int) -> list[_Case]:
    gradient, feature, data = GradientDescent(step_size=STEP_SIZE), ConjugateGradient(), DataSpaceConjugateGradient()
    early = (
        (gradient_descent(layers=EARLY, step_size=STEP_SIZE), gradient),
        (conjugate_gradient(iterations=EARLY), feature),
        (data_space_conjugate_gradient(iterations=EARLY), data),
        (primal_conjugate_gradient(iterations=EARLY), feature),
    )
    late = (
        gradient_descent(layers=layers, step_size=STEP_SIZE),
        conjugate_gradient(iterations=EXAMPLES),
        primal_conjugate_gradient(iterations=EXAMPLES),
    )
    solved, solved_whole = _on_prefixes(LeastSquares(), p, 1), _on_all(LeastSquares(), p, 1)
    iterate, end, limit = "its algorithm on the prefix", "least squares on the prefix", "the triangular interpolant"
    return [
        *(
            _Case(
                network=network,
                after=f"{EARLY} steps",
                against=iterate,
                prefixes=_on_prefixes(algorithm, p, EARLY),
                whole=_on_all(algorithm, p, EARLY),
            )
            for network, algorithm in early
        ),
        *(_Case(network=each, after="the end", against=end, prefixes=solved, whole=solved_whole) for each in late),
        _Case(network=late[0], after="the end", against=limit, prefixes=triangular_interpolant(p), whole=solved_whole),
    ]


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
    return {"masked": _answers(with_mask(network, causal=True), p), "plain": together, "alone": alone}


def _measure(case: _Case, p: Prompts, answers: Mapping[str, Float[Tensor, "batch position"]]) -> list[Measurement]:
    scale = p.target_variance.sqrt()[:, None]

    def distances(answers: Tensor, right: Tensor) -> Float[Tensor, "batch place"]:
        """One distance per example, then one for all queries: their root mean square."""
        off = (answers - right).abs() / scale
        return torch.cat([off[:, : p.examples], off[:, p.examples :].square().mean(1, keepdim=True).sqrt()], 1)

    found = {
        "masked": distances(answers["masked"], case.prefixes),
        "plain": distances(answers["plain"], case.whole),
        "alone": distances(answers["alone"], answers["plain"]),
        "zero": distances(torch.zeros_like(case.prefixes), case.prefixes),
    }
    levels = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)
    quartiles = {name: torch.quantile(values, levels, 0).T.tolist() for name, values in found.items()}
    measurements = []
    for place, (low, middle, high) in enumerate(quartiles["masked"]):
        query = place == p.examples
        positive = {"without the mask, from all examples": "plain"}
        if query:
            positive["without the mask, each query asked alone against together"] = "alone"
        controls = [Control(kind="positive", name=name, value=quartiles[of][place][1]) for name, of in positive.items()]
        controls.append(Control(kind="negative", name="answering zero", value=quartiles["zero"][place][1]))
        measurements.append(
            Measurement(
                instrument="causal-mask",
                quantity="distance from what the token's own prefix gives",
                value=middle,
                interval=(low, high),
                n=len(p),
                unit="√(target variance)",
                coordinates={
                    "network": case.network.name,
                    "after": case.after,
                    "against": case.against,
                    "token": "query" if query else "example",
                    "prefix": p.examples if query else place + 1,
                },
                controls=tuple(controls),
            )
        )
    return measurements


def _figure(measurements: tuple[Measurement, ...]) -> Figure:
    rows = tuple(
        {
            "prefix": m.coordinates["prefix"],
            "distance": max(m.value, SMALLEST),
            "low": max(m.interval[0], SMALLEST),
            "high": max(m.interval[1], SMALLEST),
            "network": m.coordinates["network"],
            "compared": f"{m.coordinates['after']}: {m.coordinates['against']}",
            "n": m.n,
        }
        for m in measurements
        if m.coordinates["token"] == "example" and m.interval
    )
    return Figure(
        name="causal-mask",
        section="Causal mask",
        title="What a token's answer differs by from what its own prefix gives, under a causal mask",
        caption="Median over prompts and quartiles, in standard deviations of the target; below 1e-17 drawn there. "
        "Without the mask every network is within 1e-14 of the answer from all examples.",
        kind="lines",
        rows=rows,
        x="prefix",
        y="distance",
        series="network",
        facet="compared",
        low="low",
        high="high",
        titles={"prefix": "examples seen", "distance": "distance", "network": "network"},
        log=("y",),
    )

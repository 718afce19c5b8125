"""Planted subjects: for every class of explanation one that is exactly in it, and one just above it, as controls.

Each is a function of the prompts. Scales are those of the task: penalties and bandwidths go with the size of the inputs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import RBF, ConjugateGradient, LeastSquares, NadarayaWatson, run
from mesascope.algorithms.gradient_flow import flow_response
from mesascope.instruments.explaining.asked import as_read
from mesascope.instruments.spectral.channels import SpectralChannels
from mesascope.models.scripted import Scripted
from mesascope.seeds import generator
from mesascope.types import Domain, Prompts, RelabelledTask, RungKind, Task, glm_family

Answering = Callable[[Prompts], Float[Tensor, "batch query"]]


def planted(name: str, answering: Answering, task: Task | None = None) -> Scripted:
    """A subject of one layer that answers so.

    On a ``task`` of binary labels or counts it reads these as explanations do; on one of digits it is asked as a subject that
    reads text is.
    """
    glm, written = glm_family(task), isinstance(task, RelabelledTask)

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        return answering(as_read(prompts, glm))[None]

    return Scripted(name=name, layers=1, script=script, domain=Domain(written=written))


def filtering(gains: Callable[[Float[Tensor, "batch dim"]], Float[Tensor, "batch dim"]]) -> Answering:
    """Answers by a filter: a function of all eigenvalues of a prompt, so that it may differ between prompts."""

    def answer(prompts: Prompts) -> Float[Tensor, "batch query"]:
        channels = SpectralChannels.of(prompts)
        return channels.predictions(gains(channels.eigenvalues))

    return answer


def gradient_flow(time: float) -> Answering:
    """Gradient flow stopped at a time."""
    return filtering(lambda at: flow_response(at, time))


def random_filter(seed: int, unit: float = 1.0) -> Answering:
    """A fixed filter without a name: a bump and a step in log λ, drawn at random."""
    rng = generator(seed, "explain/random filter")
    low, high, centre, width, size = torch.rand(5, generator=rng, dtype=torch.float64).tolist()

    def gains(at: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        x = (at.clamp(min=1e-12) / unit).log()
        rise = 0.3 + 0.3 * low + (0.3 + 0.3 * high) * torch.sigmoid(3 * (x + 1))
        return rise - (0.4 + 0.2 * size) * torch.exp(-(((x + 0.5 + centre) / (0.4 + 0.4 * width)) ** 2))

    return filtering(gains)


def random_polynomial(seed: int, degree: int, unit: float = 1.0) -> Answering:
    """x_qᵀ p(XᵀX/n) Xᵀy/n with the same random polynomial p for all prompts."""
    drawn = torch.randn(degree + 1, generator=generator(seed, "explain/polynomial"), dtype=torch.float64)
    drawn = drawn.sign() * (0.5 + drawn.abs())

    def gains(at: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        x = at / unit
        return sum((c * x * (x - 1.3) ** k for k, c in enumerate(drawn.tolist())), torch.zeros_like(x))

    return filtering(gains)


def by_condition(unit: float = 1.0) -> Answering:
    """Ridge regression whose penalty goes with the prompt's condition number: diagonal, and no fixed filter."""

    def gains(at: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        condition = at[:, -1:] / at[:, :1].clamp(min=1e-12)
        penalty = 3 * unit / condition.sqrt()
        return at / (at + penalty)

    return filtering(gains)


def conjugate_gradient(steps: int) -> Answering:
    """So many steps of conjugate gradient."""
    return lambda prompts: run(ConjugateGradient(), prompts, steps).predictions[-1]


def across(unit: float = 1.0) -> Answering:
    """Ridge regression with another penalty on every coordinate: linear in labels and query, and not diagonal."""

    def answer(prompts: Prompts) -> Float[Tensor, "batch query"]:
        p = prompts.to(dtype=torch.float64)
        penalty = unit * torch.logspace(-2, 1, p.dim, dtype=torch.float64)
        left = p.xs.mT @ p.xs / p.examples + torch.diag(penalty)
        weights = torch.linalg.solve(left, p.xs.mT @ p.ys[..., None] / p.examples)
        return (p.queries @ weights)[..., 0]

    return answer


def smoothing(bandwidth: float) -> Answering:
    """Nadaraya–Watson with a Gaussian kernel: linear in the labels, and not in the query."""
    return lambda prompts: run(NadarayaWatson(kernel=RBF(bandwidth=bandwidth)), prompts).predictions[-1]


def smoothing_in_turn(bandwidth: float) -> Answering:
    """Two smoothers in turn, by the sign of the query's first coordinate: linear in the labels, and no one smoother."""
    narrow, wide = smoothing(bandwidth), smoothing(20 * bandwidth)
    return lambda prompts: torch.where(prompts.queries[..., 0] > 0, narrow(prompts), -wide(prompts))


def bending() -> Answering:
    """Least squares on labels that are bent: not linear in the labels."""

    def answer(prompts: Prompts) -> Float[Tensor, "batch query"]:
        fitted = run(LeastSquares(), prompts).predictions[-1]
        scale = prompts.ys.square().mean(-1, keepdim=True).sqrt()
        return fitted * torch.tanh(fitted.abs() / scale.clamp(min=1e-12))

    return answer


def of_the_query(seed: int) -> Answering:
    """A linear function of the query, the same whatever the examples."""

    def answer(prompts: Prompts) -> Float[Tensor, "batch query"]:
        weights = torch.randn(prompts.dim, generator=generator(seed, "explain/query"), dtype=torch.float64)
        return prompts.queries.double() @ weights

    return answer


def least_squares() -> Answering:
    """Least squares."""
    return lambda prompts: run(LeastSquares(), prompts).predictions[-1]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """Two planted subjects: one that is exactly in a class, and one just above it."""

    within: Scripted
    above: Scripted


def pairs(unit: float, task: Task, seed: int = 0) -> Mapping[RungKind, Pair]:
    """The controls of every class.

    Args:
        unit: the mean square of an input's coordinate.
        task: where the prompts come from.
        seed: of what is drawn.
    """
    flow, some, squares = gradient_flow(3 / unit), random_filter(seed, unit), least_squares()
    smooth = smoothing(0.7 * unit**0.5)
    cases: dict[RungKind, tuple[Answering, Answering]] = {
        "function": (flow, some),
        "polynomial": (random_polynomial(seed, 2, unit), filtering(lambda at: (at > 0.5 * unit).to(at.dtype))),
        "filter": (some, by_condition(unit)),
        "own polynomial": (conjugate_gradient(max(1, min(2, task.dim - 1))), across(unit)),
        "diagonal": (by_condition(unit), across(unit)),
        "labels and query": (across(unit), smooth),
        "smoother": (smooth, smoothing_in_turn(0.7 * unit**0.5)),
        "labels": (smooth, bending()),
        "query alone": (of_the_query(seed), squares),
    }
    return {
        kind: Pair(within=planted(f"within: {kind}", a, task), above=planted(f"above: {kind}", b, task))
        for kind, (a, b) in cases.items()
    }


__all__ = (
    "Answering",
    "Pair",
    "across",
    "by_condition",
    "conjugate_gradient",
    "filtering",
    "gradient_flow",
    "of_the_query",
    "pairs",
    "planted",
    "random_filter",
    "random_polynomial",
    "smoothing",
)

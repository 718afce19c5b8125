"""Learners that answer from the examples themselves: kernel ridge, smoothers, and plain baselines."""

import abc
import math
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import INVARIANCES, Invariance
from mesascope.algorithms.closed_forms import ClosedForm, regularised_solve
from mesascope.algorithms.problem import Problem, check_ridge


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be finite and above 0; got {value}. Pass 1.0 for inputs of unit scale.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel(abc.ABC):
    """A kernel: a similarity between inputs."""

    @abc.abstractmethod
    def __call__(
        self, a: Float[Tensor, "batch left dim"], b: Float[Tensor, "batch right dim"]
    ) -> Float[Tensor, "batch left right"]:
        """k(a, b) for every pair."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Kernel):
    """k(x, x′) = ⟨x, x′⟩."""

    def __call__(
        self, a: Float[Tensor, "batch left dim"], b: Float[Tensor, "batch right dim"]
    ) -> Float[Tensor, "batch left right"]:
        return a @ b.mT


@dataclass(frozen=True, slots=True, kw_only=True)
class PositiveKernel(Kernel):
    """A kernel that is positive everywhere, given by its logarithm."""

    @abc.abstractmethod
    def log(
        self, a: Float[Tensor, "batch left dim"], b: Float[Tensor, "batch right dim"]
    ) -> Float[Tensor, "batch left right"]:
        """log k(a, b) for every pair; smoothers use it, because k itself may underflow."""

    def __call__(
        self, a: Float[Tensor, "batch left dim"], b: Float[Tensor, "batch right dim"]
    ) -> Float[Tensor, "batch left right"]:
        return self.log(a, b).exp()


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class RBF(PositiveKernel):
    """k(x, x′) = exp(−‖x − x′‖²/(2h²)).

    Attributes:
        bandwidth: h, in units of the inputs (scikit-learn's ``gamma`` is 1/(2h²)).
    """

    bandwidth: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("bandwidth", self.bandwidth)

    def log(
        self, a: Float[Tensor, "batch left dim"], b: Float[Tensor, "batch right dim"]
    ) -> Float[Tensor, "batch left right"]:
        return -_square_distance(a, b) / (2 * self.bandwidth**2)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Exponential(PositiveKernel):
    """k(x, x′) = exp(⟨x, x′⟩/τ), the kernel of softmax attention.

    Attributes:
        temperature: τ.
    """

    temperature: float = 1.0

    def __post_init__(self) -> None:
        _check_positive("temperature", self.temperature)

    def log(
        self, a: Float[Tensor, "batch left dim"], b: Float[Tensor, "batch right dim"]
    ) -> Float[Tensor, "batch left right"]:
        return a @ b.mT / self.temperature


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class KernelRidge(ClosedForm):
    """Kernel ridge regression, k(x_q, X)(K + λI)⁻¹y; at λ = 0 with the pseudo-inverse of K.

    Attributes:
        kernel: k.
        ridge: λ, added to the problem's own.

    Source: Saunders, Gammerman & Vovk 1998, eq. 6.
    """

    kernel: Kernel = RBF()
    ridge: float = 1.0
    parametric: ClassVar[bool] = False
    name: ClassVar[str] = "kernel-ridge"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        check_ridge(self.ridge)

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
        xs, ys = problem.data
        gram, ridge = self.kernel(xs, xs), self.ridge + problem.ridge
        if ridge:
            coefficients, status = regularised_solve(gram, ys, ridge)
        else:
            coefficients = (torch.linalg.pinv(gram, hermitian=True) @ ys[..., None])[..., 0]
            status = torch.zeros_like(ys[:, 0], dtype=torch.long)
        return (self.kernel(problem.queries, xs) @ coefficients[..., None])[..., 0], status


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NadarayaWatson(ClosedForm):
    """The mean of the labels, weighted by the kernel between query and example.

    Attributes:
        kernel: a positive kernel; with `Exponential` this is one softmax attention head.

    Source: Nadaraya 1964; Watson 1964.
    """

    kernel: PositiveKernel = Exponential()
    parametric: ClassVar[bool] = False
    name: ClassVar[str] = "nadaraya-watson"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
        xs, ys = problem.data
        return _answers((self.kernel.log(problem.queries, xs).softmax(-1) @ ys[..., None])[..., 0])


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class NearestExample(ClosedForm):
    """The label of the example nearest to the query (Euclidean distance); the smallest label of equally near examples.

    Source: Cover & Hart 1967, with one neighbour.
    """

    parametric: ClassVar[bool] = False
    name: ClassVar[str] = "nearest-example"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
        xs, ys = problem.data
        away = _square_distance(problem.queries, xs)
        norms = problem.queries.square().sum(-1)[..., None] + xs.square().sum(-1).amax(-1)[:, None, None]
        rounding = 8 * torch.finfo(away.dtype).eps * norms
        nearest = away <= away.amin(-1, keepdim=True) + rounding
        return _answers(torch.where(nearest, ys[:, None], torch.inf).amin(-1))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class MeanLabel(ClosedForm):
    """The mean label, whatever the query."""

    parametric: ClassVar[bool] = False
    name: ClassVar[str] = "mean-label"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
        return _answers(problem.data[1].mean(-1, keepdim=True).repeat(1, problem.queries.shape[1]))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class LastLabel(ClosedForm):
    """The last label shown, whatever the query."""

    parametric: ClassVar[bool] = False
    name: ClassVar[str] = "last-label"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES - {"permutation"}

    def answer(self, problem: Problem) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
        return _answers(problem.data[1][:, -1:].repeat(1, problem.queries.shape[1]))


def _answers(values: Float[Tensor, "batch query"]) -> tuple[Float[Tensor, "batch query"], Int[Tensor, " batch"]]:
    return values, torch.zeros(len(values), dtype=torch.long, device=values.device)


def _square_distance(
    a: Float[Tensor, "batch left dim"], b: Float[Tensor, "batch right dim"]
) -> Float[Tensor, "batch left right"]:
    """‖a − b‖² for every pair as ‖a‖² + ‖b‖² − 2⟨a, b⟩: exact up to rounding of the norms, and without storing differences."""
    return (a.square().sum(-1)[:, :, None] + b.square().sum(-1)[:, None] - 2 * (a @ b.mT)).clamp(min=0)

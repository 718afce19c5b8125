"""The spectral channels of a prompt: eigenvectors of XᵀX/n, and what each contributes to a prediction.

Every method of the form ŷ = x_qᵀ g(XᵀX/n) Xᵀy/n predicts Σᵢ f(λᵢ)·cᵢ with f(λ) = λg(λ) and the *channel shares*
cᵢ = ⟨x_q, uᵢ⟩⟨uᵢ, Xᵀy⟩/(nλᵢ), which sum to the least-squares prediction. The null space is left out.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    Algorithm,
    Damped,
    FirstOrder,
    GDPlusPlus,
    GradientDescent,
    GradientFlow,
    NewtonSchulz,
    Problem,
    run,
)
from mesascope.algorithms.algorithm import as_numbers
from mesascope.algorithms.first_order import Schedule, at_step
from mesascope.algorithms.gradient_flow import flow_response
from mesascope.types import Prompts

NULL = 1e-10
"""Eigenvalues below this share of the largest count as zero."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpectralChannels:
    """Eigenvalues λᵢ of XᵀX/n (ascending) and channel shares cᵢ at every query; both 0 in the null space."""

    eigenvalues: Float[Tensor, "batch dim"]
    shares: Float[Tensor, "batch query dim"]

    @classmethod
    def of(cls, prompts: Prompts) -> "SpectralChannels":
        """The channels of each prompt."""
        problem = Problem.of(prompts)
        values, vectors = torch.linalg.eigh(problem.gram)
        seen = values > NULL * values[:, -1:]
        inverse = torch.where(seen, 1 / values, torch.zeros_like(values))
        energy = (problem.moment[:, None] @ vectors)[:, 0] * inverse
        return cls(eigenvalues=values * seen, shares=(prompts.queries @ vectors) * energy[:, None])

    def predictions(self, response: Float[Tensor, "*step batch dim"]) -> Float[Tensor, "*step batch query"]:
        """Σᵢ f(λᵢ)·cᵢ for the values of f at every eigenvalue."""
        return torch.einsum("...bd,bqd->...bq", response, self.shares)


def response(algorithm: Algorithm, eigenvalues: Float[Tensor, "*any"], steps: int) -> Float[Tensor, "step *any"]:
    """f_k(λ) for k = 0 … steps: the algorithm's weights on one-dimensional problems λw = λ, one per eigenvalue.

    This is the algorithm's filter only if its coefficients do not depend on the prompt. Coefficients given per prompt are
    taken per eigenvalue. First-order methods, damped ones, gradient flow, Newton–Schulz and GD++ are computed here directly, with
    a tenth of the work of `run`, which keeps a status per prompt; all other algorithms go through `run`.
    """
    flat = eigenvalues.reshape(-1)
    problem = Problem.from_gram(flat[:, None, None], flat[:, None])
    if isinstance(algorithm, GradientDescent):
        rows = _gradient_descent(algorithm.schedule(problem), flat, steps)
    elif isinstance(algorithm, FirstOrder) and type(algorithm).precondition is FirstOrder.precondition:
        rows = _first_order(algorithm.schedule(problem), flat[:, None], steps)[..., 0]
    elif isinstance(algorithm, NewtonSchulz):
        left, rows = (1 - flat * algorithm.init(problem).inverse[:, 0, 0]).expand_as(flat), [torch.zeros_like(flat)]
        for _ in range(steps):
            left = left.square()
            rows.append(1 - left)
        rows = torch.stack(rows)
    elif isinstance(algorithm, GDPlusPlus):
        rows = _gd_plus_plus(algorithm, flat[:, None], steps)[..., 0]
    elif isinstance(algorithm, Damped):
        shifted = flat + as_numbers(algorithm.penalty).expand(len(flat), 1)[:, 0]
        share = torch.where(
            shifted > 0, flat / shifted, torch.zeros_like(flat)
        )  # the ridge solution's, which is the limit
        rows = share * response(algorithm.undamped, shifted, steps)
    elif isinstance(algorithm, GradientFlow):
        rows = flow_response(flat[:, None], torch.arange(steps + 1)[:, None, None] * as_numbers(algorithm.time))[..., 0]
    else:
        weights = run(algorithm, problem, steps).weights
        assert weights is not None, f"{algorithm.name} has no weights"
        rows = weights[..., 0]
    return rows.reshape(steps + 1, *eigenvalues.shape)


def _gradient_descent(schedule: Schedule, at: Float[Tensor, " any"], steps: int) -> Float[Tensor, "step any"]:
    """The iterates 1 − Π(1 − ηλ) of gradient descent on the problems λw = λ."""
    rows, left, size = at.new_zeros(steps + 1, len(at)), torch.ones_like(at), None
    for k in range(steps):
        if schedule(k).step_size is not size:
            size = schedule(k).step_size
            factor = 1 - (as_numbers(size).to(at) * at[:, None])[:, 0]
        left = left * factor
        torch.sub(1, left, out=rows[k + 1])
    return rows


def _first_order(schedule: Schedule, at: Float[Tensor, "any 1"], steps: int) -> Float[Tensor, "step any 1"]:
    """The iterates of a first-order method on the problems λw = λ."""
    w, v, rows = torch.zeros_like(at), torch.zeros_like(at), [torch.zeros_like(at)]
    for k in range(steps):
        alpha, beta, gamma = schedule(k)
        v = beta * v + alpha * at * (1 - w - gamma * v)
        w = w + v
        rows.append(w)
    return torch.stack(rows)


def _gd_plus_plus(algorithm: GDPlusPlus, at: Float[Tensor, "any 1"], steps: int) -> Float[Tensor, "step any 1"]:
    """The iterates of GD++ on the problems λw = λ."""
    w, transform, rows = torch.zeros_like(at), torch.ones_like(at), [torch.zeros_like(at)]
    for k in range(steps):
        w = w + at_step(algorithm.step_size, k) * transform.square() * at * (1 - w)
        transform = transform * (1 - at_step(algorithm.curvature, k) * at * transform.square())
        rows.append(w)
    return torch.stack(rows)


def knots(low: float, high: float, count: int) -> Float[Tensor, " knot"]:
    """``count`` knots from ``low`` to ``high``, evenly spaced in log λ."""
    return torch.logspace(
        torch.tensor(low).log10().item(), torch.tensor(high).log10().item(), count, dtype=torch.float64
    )


def hats(eigenvalues: Float[Tensor, "batch dim"], at: Float[Tensor, " knot"]) -> Float[Tensor, "batch dim knot"]:
    """Weights of linear interpolation in log λ between the knots ``at``: constant beyond the ends, 0 at λ = 0."""
    log_knots = at.log()
    position = eigenvalues.clamp(min=1e-300).log().clamp(log_knots[0], log_knots[-1])
    right = torch.searchsorted(log_knots, position).clamp(1, len(at) - 1)
    share = (position - log_knots[right - 1]) / (log_knots[right] - log_knots[right - 1])
    basis = torch.zeros(*eigenvalues.shape, len(at), dtype=torch.float64)
    basis.scatter_(-1, (right - 1)[..., None], (1 - share)[..., None])
    basis.scatter_(-1, right[..., None], share[..., None])
    return basis * (eigenvalues > 0)[..., None]


def features(channels: SpectralChannels, at: Float[Tensor, " knot"]) -> Float[Tensor, "batch query knot"]:
    """Channel shares summed by eigenvalue, Σᵢ h_k(λᵢ)·cᵢ with h of `hats`; a prediction is their product with f at the knots."""
    return torch.einsum("bdk,bqd->bqk", hats(channels.eigenvalues, at), channels.shares)

"""Kernel learners on a batch of prompts, from inner products that all of them share.

All are linear in the labels, so each answers several label vectors at once (axis ``part``). Kernels are exp(⟨x, x′⟩/τ); every
function works with differences of exponents, because the kernel itself overflows at small τ.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Labels = Float[Tensor, "batch example part"]
Answers = Float[Tensor, "batch query part"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Products:
    """Inner products.

    Attributes:
        examples: ⟨xᵢ, xⱼ⟩.
        queries: ⟨x_q, xⱼ⟩.
        lengths: ‖xⱼ‖².
        query_lengths: ‖x_q‖².
    """

    examples: Float[Tensor, "batch example example"]
    queries: Float[Tensor, "batch query example"]
    lengths: Float[Tensor, "batch example"]
    query_lengths: Float[Tensor, "batch query"]


def products(xs: Float[Tensor, "batch example dim"], queries: Float[Tensor, "batch query dim"]) -> Products:
    """The inner products of a batch of prompts."""
    examples = torch.bmm(xs, xs.mT)
    return Products(
        examples=examples,
        queries=torch.bmm(queries, xs.mT),
        lengths=examples.diagonal(dim1=1, dim2=2),
        query_lengths=queries.square().sum(-1),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regressed:
    """What kernel ridge regression answers.

    Attributes:
        answers: 0 where the matrix is not positive definite after its ridge.
        left_out: each label less its prediction from the other examples, in closed form.
        condition: condition number of K + λI, in the 1-norm.
        factorised: condition number, in the 1-norm, of the matrix that is factorised in its place.
        broken: whether the matrix is not positive definite up to rounding.
    """

    answers: Answers
    left_out: Labels
    condition: Float[Tensor, " batch"]
    factorised: Float[Tensor, " batch"]
    broken: Bool[Tensor, " batch"]


def softmax(p: Products, temperature: float, labels: Labels) -> tuple[Answers, Float[Tensor, "batch query"]]:
    """One head of softmax attention (Nadaraya–Watson), and its effective number of neighbours 1/Σ weight²."""
    weights = (p.queries / temperature).softmax(-1)
    return torch.bmm(weights, labels), 1 / weights.square().sum(-1)


def normalised_descent(p: Products, temperature: float, labels: Labels, steps: int) -> Answers:
    """Layers of softmax attention that smooth the residuals: f ← f + softmax(⟨x, xᵢ⟩/τ)(y − f); step 1 is `softmax`.

    Source: Cheng, Chen & Sra 2024, section 3.
    """
    inner, outer = (p.examples / temperature).softmax(-1), (p.queries / temperature).softmax(-1)
    return _descent(inner, outer, labels, steps)


def descent(p: Products, temperature: float, labels: Labels, steps: int) -> Answers:
    """Gradient descent in the kernel's function space, not row-normalised: f ← f + η k(x, X)(y − f).

    The step size η is one over the largest row sum of K, a bound on its largest eigenvalue.

    Source: Cheng, Chen & Sra 2024, section 3.
    """
    largest = (p.examples / temperature).logsumexp(-1).amax(-1)[:, None, None]
    inner, outer = (p.examples / temperature - largest).exp(), (p.queries / temperature - largest).exp()
    return _descent(inner, outer, labels, steps)


def _descent(inner: Tensor, outer: Tensor, labels: Labels, steps: int) -> Answers:
    residual, total = labels, labels
    for _ in range(steps - 1):
        residual = residual - torch.bmm(inner, residual)
        total = total + residual
    return torch.bmm(outer, total)  # the answers are linear in the sum of the residuals


def richardson(p: Products, temperature: float, ridge: float, labels: Labels, steps: int) -> Answers:
    """Richardson's iteration α ← α + D⁻¹(y − (K + λI)α) from 0, with the row sums of K in D; its limit is kernel ridge.

    Source: arXiv 2605.08475: one softmax head per step, and the row sums token by token.
    """
    sums, query_sums = (p.examples / temperature).logsumexp(-1), (p.queries / temperature).logsumexp(-1)
    unit = sums.mean(-1, keepdim=True)  # α is held in this unit, so that nothing overflows
    inner = (p.examples / temperature - sums[..., None]).exp()
    pulled, shrunk = (unit - sums).exp()[..., None] * labels, 1 - ridge * (-sums).exp()[..., None]
    alpha = pulled
    for _ in range(steps - 1):
        alpha = pulled + shrunk * alpha - torch.bmm(inner, alpha)
    outer = (p.queries / temperature - query_sums[..., None]).exp()
    return (query_sums - unit).exp()[..., None] * torch.bmm(outer, alpha)


def kernel_ridge(p: Products, temperature: float, ridge: float, labels: Labels) -> Regressed:
    """Kernel ridge regression, (K + λI)⁻¹.

    With K = D C D, where D = exp(‖x‖²/2τ) and C is a Gaussian kernel, C + λD⁻² is factorised: K + λI overflows, and has a
    condition number that comes from D alone.
    """
    halves = (p.lengths / (2 * temperature), p.query_lengths / (2 * temperature))
    unit = halves[0].mean(-1, keepdim=True)
    scale, query_scale = ((half - unit).exp() for half in halves)
    inner = (p.examples / temperature - halves[0][:, :, None] - halves[0][:, None]).exp()
    outer = (p.queries / temperature - halves[1][:, :, None] - halves[0][:, None]).exp()
    inner.diagonal(dim1=1, dim2=2).add_(ridge * (-2 * halves[0]).exp())
    return _solved(inner, outer * query_scale[..., None], scale, labels)


def linear_ridge(p: Products, ridge: float, labels: Labels) -> Regressed:
    """Ridge regression without a kernel, in its dual form (XXᵀ + λI)⁻¹."""
    inner = p.examples + ridge * torch.eye(p.examples.shape[-1], dtype=p.examples.dtype)
    return _solved(inner, p.queries, torch.ones_like(p.lengths), labels)


def _solved(inner: Tensor, outer: Tensor, scale: Tensor, labels: Labels) -> Regressed:
    """Answers outer·inner⁻¹(labels/scale); a factor that breaks down is replaced by that of the identity."""
    factor, info = torch.linalg.cholesky_ex(inner)
    broken = info > 0
    if bool(broken.any()):
        factor = torch.where(broken[:, None, None], torch.eye(inner.shape[-1], dtype=inner.dtype), factor)
    inverse = torch.cholesky_inverse(factor)
    solution = torch.cholesky_solve(labels / scale[..., None], factor)
    answers = torch.bmm(outer, solution).masked_fill(broken[:, None, None], 0.0)
    left_out = scale[..., None] * solution / inverse.diagonal(dim1=1, dim2=2)[..., None]
    both = scale[:, :, None] * scale[:, None]
    return Regressed(
        answers=answers,
        left_out=left_out,
        condition=_norm(inner * both) * _norm(inverse / both),
        factorised=_norm(inner) * _norm(inverse),
        broken=broken,
    )


def _norm(matrix: Float[Tensor, "batch example example"]) -> Float[Tensor, " batch"]:
    return matrix.abs().sum(-1).amax(-1)

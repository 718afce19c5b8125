"""The linear systems of a batch of prompts, as the algorithms see them."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.rounding import rank
from mesascope.types import Prompts


# No slots: the derived quantities below are cached in the instance's dictionary at first use.
@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """A batch of ridge regression problems: minimise ½ wᵀ S w − bᵀ w, with one S and one b per prompt.

    Convention: S = XᵀX/n + (λ/n) I and b = Xᵀy/n are *means* over the n examples, so that a step size has the same meaning
    for every n. The ridge λ follows the *sum* convention of XᵀX + λI, as in scikit-learn.

    Attributes:
        xs, ys: the examples; ``None`` if only the system is known.
        queries: inputs to answer.
        gram: S, symmetric, including the ridge.
        moment: b.
        examples: n.
        ridge: λ.
    """

    xs: Float[Tensor, "batch example dim"] | None
    ys: Float[Tensor, "batch example"] | None
    queries: Float[Tensor, "batch query dim"]
    gram: Float[Tensor, "batch dim dim"]
    moment: Float[Tensor, "batch dim"]
    examples: int
    ridge: float

    @classmethod
    def of(cls, prompts: Prompts, ridge: float = 0.0) -> "Problem":
        """The problem that these prompts pose to a learner, without the targets.

        Raises:
            ValueError: the ridge is negative or not finite, or there are no examples.
        """
        check_ridge(ridge)
        xs, ys, n = prompts.xs, prompts.ys, prompts.examples
        if n == 0:
            raise ValueError("prompts must show at least 1 example; got 0. Sample with examples=1 or more.")
        gram = xs.mT @ xs / n
        if ridge:
            gram.diagonal(dim1=-2, dim2=-1).add_(ridge / n)
        moment = (ys[:, None] @ xs)[:, 0] / n
        return cls(xs=xs, ys=ys, queries=prompts.queries, gram=gram, moment=moment, examples=n, ridge=ridge)

    @classmethod
    def from_gram(
        cls,
        gram: Float[Tensor, "batch dim dim"],
        moment: Float[Tensor, "batch dim"],
        queries: Float[Tensor, "batch query dim"] | None = None,
        examples: int = 1,
    ) -> "Problem":
        """The problem with a given system; algorithms that use single examples cannot run on it.

        Args:
            gram: S.
            moment: b.
            queries: inputs to answer; none by default.
            examples: n in λ/n, used if an algorithm adds its own ridge.

        Raises:
            ValueError: a matrix is not symmetric and finite.
        """
        if not torch.allclose(gram, gram.mT):
            raise ValueError(
                f"gram must be symmetric and finite; its largest asymmetry is {float((gram - gram.mT).abs().max())}. "
                "Pass XᵀX/n, or (A + Aᵀ)/2."
            )
        queries = gram.new_zeros(len(gram), 0, gram.shape[-1]) if queries is None else queries
        return cls(xs=None, ys=None, queries=queries, gram=gram, moment=moment, examples=examples, ridge=0.0)

    def __len__(self) -> int:
        return self.gram.shape[0]

    def __getitem__(self, index: slice) -> "Problem":
        """The chosen prompts, as a problem."""
        return Problem(
            xs=None if self.xs is None else self.xs[index],
            ys=None if self.ys is None else self.ys[index],
            queries=self.queries[index],
            gram=self.gram[index],
            moment=self.moment[index],
            examples=self.examples,
            ridge=self.ridge,
        )

    def in_units(self, unit: Float[Tensor, "batch 1"]) -> "Problem":
        """The same problem with each prompt's labels divided by its unit."""
        ys = None if self.ys is None else self.ys / unit
        return replace(self, ys=ys, moment=self.moment / unit)

    def apply(self, vectors: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """S v, computed as vᵀS, which is equal and twice as fast as a batched product."""
        return torch.bmm(vectors[:, None], self.gram)[:, 0]

    @cached_property
    def data(self) -> tuple[Float[Tensor, "batch example dim"], Float[Tensor, "batch example"]]:
        """The examples, for algorithms that need them.

        Raises:
            ValueError: the problem was made from a system without examples.
        """
        if self.xs is None or self.ys is None:
            raise ValueError(
                "problem must hold its examples (xs, ys) for this algorithm; got a system without them. "
                "Use Problem.of(prompts) instead of Problem.from_gram."
            )
        return self.xs, self.ys

    @cached_property
    def trace(self) -> Float[Tensor, " batch"]:
        """The sum of the eigenvalues of S."""
        return self.gram.diagonal(dim1=-2, dim2=-1).sum(-1)

    @cached_property
    def spectrum(self) -> Float[Tensor, "batch dim"]:
        """The eigenvalues of S, ascending."""
        return eigenvalues(self.gram)

    @cached_property
    def bounds(self) -> tuple[Float[Tensor, "batch 1"], Float[Tensor, "batch 1"]]:
        """Smallest and largest eigenvalue of S over the directions that the prompt's examples span.

        The number of these directions is the rank of XᵀX by `rounding.rank`: less than min(n, dim) if examples repeat or lie
        in a subspace. The other directions never enter an iteration that starts from zero.
        """
        return self.reached(self.spectrum, self.spectrum - self.ridge / self.examples)

    def reached(
        self, values: Float[Tensor, "batch dim"], unridged: Float[Tensor, "batch dim"]
    ) -> tuple[Float[Tensor, "batch 1"], Float[Tensor, "batch 1"]]:
        """Smallest and largest of ascending eigenvalues over the spanned directions, whose number ``unridged`` determines."""
        lowest = values.shape[-1] - rank(unridged, self.examples).clamp(min=1)
        return values.gather(-1, lowest[:, None]).clamp(min=0), values[:, -1:]

    @cached_property
    def kernel(self) -> Float[Tensor, "batch example example"]:
        """XXᵀ, without a ridge.

        Raises:
            ValueError: the problem was made from a system without examples.
        """
        xs, _ = self.data
        return xs @ xs.mT


def eigenvalues(matrix: Float[Tensor, "batch dim dim"]) -> Float[Tensor, "batch dim"]:
    """Eigenvalues in ascending order; NaN for a matrix with infinity or NaN, which no eigensolver accepts."""
    finite = matrix.isfinite().flatten(1).all(-1, keepdim=True)
    values = torch.linalg.eigvalsh(torch.where(finite[..., None], matrix, torch.zeros_like(matrix)))
    return values.masked_fill(~finite, float("nan"))


def check_ridge(ridge: float) -> None:
    """Check that a ridge is finite and not negative.

    Raises:
        ValueError: it is negative or not finite.
    """
    if not (math.isfinite(ridge) and ridge >= 0):
        raise ValueError(f"ridge must be finite and at least 0; got {ridge}. Pass 0.0 for plain least squares.")

"""Regression problems, and an algorithm's iterates on them."""

import dataclasses
import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor


@runtime_checkable
class Sizes(Protocol):
    """Anything with problem sizes: prompts and tasks."""

    @property
    def dim(self) -> int:
        """Dimension of the inputs."""
        ...

    @property
    def examples(self) -> int:
        """Number of examples in a prompt."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prompts:
    """A batch of in-context regression problems.

    Every prompt shows ``example`` pairs (x, y); each of its queries is answered from that context alone, never
    from the other queries.

    Attributes:
        xs: inputs shown.
        ys: labels shown, noise included.
        queries: inputs to answer.
        targets: noiseless answers.
        target_variance: V_p, the variance of one prompt's target over the query distribution (wᵀ Σ_q w for a
            linear target). Errors are divided by it, so that prompts of different scales have equal weight.
        weights: the latent regression weights, if the task has them.
        strata: an integer label per prompt (for example, the condition number it was drawn with). Resampling keeps the
            proportions of the strata.
        stratum_names: what the labels mean.

    Raises:
        ValueError: shapes or number types disagree, a value is not finite, a variance is not positive, or a stratum
            has no name.
    """

    xs: Float[Tensor, "batch example dim"]
    ys: Float[Tensor, "batch example"]
    queries: Float[Tensor, "batch query dim"]
    targets: Float[Tensor, "batch query"]
    target_variance: Float[Tensor, " batch"]
    weights: Float[Tensor, "batch dim"] | None = None
    strata: Int[Tensor, " batch"] | None = None
    stratum_names: tuple[str, ...] = ("all",)

    def __post_init__(self) -> None:
        if self.xs.ndim != 3:
            raise ValueError(
                f"xs must have the axes (batch, example, dim); got shape {tuple(self.xs.shape)}. "
                "Pick one prompt as prompts[i : i + 1]."
            )
        batch, examples, dim = self.xs.shape
        if self.queries.ndim != 3 or self.queries.shape[0] != batch or self.queries.shape[2] != dim:
            raise ValueError(
                f"queries must have shape ({batch}, any, {dim}) to go with xs; got {tuple(self.queries.shape)}."
            )
        expected = {
            "ys": (batch, examples),
            "targets": (batch, self.queries.shape[1]),
            "target_variance": (batch,),
            "weights": (batch, dim),
            "strata": (batch,),
        }
        for name, shape in expected.items():
            if (given := getattr(self, name)) is not None and tuple(given.shape) != shape:
                raise ValueError(f"{name} must have shape {shape} to go with xs and queries; got {tuple(given.shape)}.")
        for name in ("xs", "ys", "queries", "targets", "target_variance", "weights"):
            values: Tensor | None = getattr(self, name)
            if values is None:
                continue
            if not values.is_floating_point() or values.dtype != self.xs.dtype:
                raise ValueError(
                    f"{name} must hold floating-point numbers of the same precision as xs; got "
                    f"{values.dtype}, and xs is {self.xs.dtype}. Convert it with .to(torch.float32)."
                )
            if not bool(torch.isfinite(values).all()):
                bad = int((~torch.isfinite(values)).reshape(batch, -1).any(-1).nonzero()[0, 0])
                raise ValueError(
                    f"{name} must be finite; prompt {bad} holds NaN or infinity. Drop such prompts before passing them."
                )
        if batch and float(self.target_variance.min()) <= 0:
            raise ValueError(
                f"target_variance must be positive; got {float(self.target_variance.min())}. It is the variance of "
                "the target over the query distribution: a prompt whose target is constant cannot be scored."
            )
        if self.strata is not None and batch:
            low, high = int(self.strata.min()), int(self.strata.max())
            if low < 0 or high >= len(self.stratum_names):
                raise ValueError(
                    f"strata must be labels from 0 to {len(self.stratum_names) - 1}, indices into stratum_names; got "
                    f"{low if low < 0 else high}. Name every stratum in stratum_names."
                )

    def __len__(self) -> int:
        return self.xs.shape[0]

    @property
    def dim(self) -> int:
        """Dimension of the inputs."""
        return self.xs.shape[2]

    @property
    def examples(self) -> int:
        """Number of examples in a prompt."""
        return self.xs.shape[1]

    def __getitem__(self, index: slice | Tensor) -> "Prompts":
        """The chosen prompts, as a batch."""
        return self._map(lambda values: values[index])

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> "Prompts":
        """The same prompts on another device or in another precision (labels of strata stay integers)."""
        return self._map(lambda v: v.to(device=device, dtype=dtype if v.is_floating_point() else None))

    def _map(self, change: Callable[[Tensor], Tensor]) -> "Prompts":
        tensors = {
            f.name: change(value)
            for f in dataclasses.fields(self)
            if isinstance(value := getattr(self, f.name), Tensor)
        }
        return dataclasses.replace(self, **tensors)


class Status(enum.IntEnum):
    """How the iteration ended for one prompt. It is reported, never repaired."""

    OK = 0
    SOLVED = (
        1  # the residual is zero, or only rounding, which more steps would amplify: later iterates repeat the solution
    )
    BREAKDOWN = 2  # a division by zero, or a direction whose curvature is only rounding: later iterates repeat the last
    DIVERGED = 3  # a value left the finite range: later iterates are NaN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Iterates:
    """An algorithm's state after every step; index k on the ``step`` axis is the state after k steps.

    Attributes:
        predictions: answers at the queries; row 0 is the starting point (the zero predictor).
        weights: the weight vector behind the predictions, if the algorithm has one.
        status: a `Status` per prompt.
        stopped_at: the first step whose status was not OK, or -1.
    """

    predictions: Float[Tensor, "step batch query"]
    weights: Float[Tensor, "step batch dim"] | None
    status: Int[Tensor, " batch"]
    stopped_at: Int[Tensor, " batch"]

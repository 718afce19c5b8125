"""Ridge regression on activations: in closed form, for many targets at once, with the penalty chosen on held-out prompts.

All targets share one Gram matrix and one eigendecomposition, so the cost is per site, not per target. Where there are more
features than rows, the Gram matrix of the rows is decomposed instead, which gives the same fit.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

PENALTIES = torch.logspace(-12, 2, 15, dtype=torch.float64)
"""The penalties tried, relative to the mean eigenvalue of the features' correlation matrix (which is 1)."""

VALIDATION = 0.25  # the share of the fitting prompts on which the penalty is chosen
_CONSTANT = 1e-10  # a feature whose standard deviation is below this share of its size counts as constant


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearFit:
    """An affine map from features to outputs.

    Attributes:
        weights, offset: the map.
        mean: the mean target of the fitting prompts, the best answer without features.
        penalty: the penalty that was chosen, one of `PENALTIES`.
    """

    weights: Float[Tensor, "feature output"]
    offset: Float[Tensor, " output"]
    mean: Float[Tensor, " output"]
    penalty: float

    def predict(self, features: Float[Tensor, "batch query feature"]) -> Float[Tensor, "batch query output"]:
        """The outputs, in float64 on the CPU; NaN where a feature is not finite."""
        return features.double().cpu() @ self.weights + self.offset

    def guess(self, features: Float[Tensor, "batch query feature"]) -> Float[Tensor, "batch query output"]:
        """As `predict`, but the mean target where a feature is not finite, since nothing can be read from it."""
        predictions = self.predict(features)
        return torch.where(predictions.isfinite(), predictions, self.mean)


PLAIN = 1e-3
"""The penalty of `plain_weights` in source A's probes."""


def plain_weights(
    features: Float[Tensor, "row feature"], targets: Float[Tensor, "row output"]
) -> Float[Tensor, "feature output"]:
    """W = (FᵀF + 0.001 I)⁻¹FᵀT: ridge regression as source A has it, of features as they are and without an intercept."""
    penalty = PLAIN * torch.eye(features.shape[1], dtype=features.dtype)
    return torch.linalg.solve(features.T @ features + penalty, features.T @ targets)


def ridge_fits(
    features: Float[Tensor, "batch query feature"],
    targets: Mapping[str, Float[Tensor, "batch query _"]],
    weights: Float[Tensor, " batch"] | None = None,
) -> dict[str, LinearFit]:
    """One ridge regression for each target, all from the same features.

    Features are standardised; the intercept is not penalised. Each target (not each of its outputs) is fitted with every
    penalty on the first three quarters of the prompts; the penalty with the least error on the rest is used to fit all
    prompts. Rows whose features are not finite are left out.

    Args:
        features: one vector per query of every prompt.
        targets: what to predict, by name.
        weights: the weight of each prompt's squared error; equal by default.

    Raises:
        ValueError: there are fewer than four prompts, so none would be left to choose the penalty on.
    """
    batch, queries, _ = features.shape
    if batch < 4:
        raise ValueError(f"features must hold at least 4 prompts to fit and validate on; got {batch}. Sample more.")
    rows = features.double().cpu().flatten(0, 1)
    weight = torch.ones(batch, dtype=torch.float64) if weights is None else weights.double().cpu()
    finite = rows.isfinite().all(-1)
    weight = weight.repeat_interleave(queries) * finite
    total = weight.sum().clamp(min=torch.finfo(torch.float64).tiny)
    rows = rows.masked_fill(~finite[:, None], 0.0)
    largest = rows.abs().amax(0)
    largest = torch.where(largest > 0, largest, torch.ones_like(largest))
    rows = rows / largest
    mean = weight @ rows / total
    spread = (weight @ (rows - mean).square() / total).sqrt()
    varies = spread > _CONSTANT
    rows = torch.where(varies, (rows - mean) / spread, torch.zeros_like(rows))

    outputs = torch.cat([t.double().cpu().flatten(0, 1) for t in targets.values()], 1)
    centre = weight @ outputs / total
    outputs = outputs - centre

    held = torch.arange(batch).repeat_interleave(queries) >= batch - max(1, round(batch * VALIDATION))
    shown = _Solver(rows[~held], outputs[~held], weight[~held])
    losses = torch.stack(
        [weight[held] @ (rows[held] @ shown(penalty) - outputs[held]).square() for penalty in PENALTIES]
    )  # (penalty, output)
    final = _Solver(rows, outputs, weight)
    fits: dict[str, LinearFit] = {}
    start = 0
    for name, target in targets.items():
        columns = slice(start, start := start + target.shape[-1])
        # Of penalties with equal error the larger one: where nothing can be predicted, the fit should be constant.
        best = len(PENALTIES) - 1 - int(losses[:, columns].sum(-1).flip(0).argmin())
        scaled = final(PENALTIES[best], columns)
        solution = torch.where(varies, 1 / (spread * largest), torch.zeros_like(spread))[:, None] * scaled
        offset = centre[columns] - (mean * largest) @ solution
        fits[name] = LinearFit(weights=solution, offset=offset, mean=centre[columns], penalty=float(PENALTIES[best]))
    return fits


class _Solver:
    """Ridge solutions of one weighted problem for any penalty, from one eigendecomposition.

    With A the weighted rows, the solutions are (AᵀA + λI)⁻¹AᵀB = Aᵀ(AAᵀ + λI)⁻¹B; the smaller of the two matrices is
    decomposed.
    """

    def __init__(self, rows: Tensor, outputs: Tensor, weight: Tensor) -> None:
        share = weight / weight.sum().clamp(min=torch.finfo(torch.float64).tiny)
        if rows.shape[1] > rows.shape[0]:
            root = share.sqrt()[:, None]
            scaled = rows * root
            values, basis = torch.linalg.eigh(scaled @ scaled.T)
            self.vectors, self.moments = scaled.T @ basis, basis.T @ (root * outputs)
        else:
            weighted = rows * share[:, None]
            values, self.vectors = torch.linalg.eigh(weighted.T @ rows)
            self.moments = self.vectors.T @ (weighted.T @ outputs)
        self.values = values.clamp(min=0)

    def __call__(self, penalty: Tensor, columns: slice = slice(None)) -> Tensor:
        return self.vectors @ (self.moments[:, columns] / (self.values + penalty)[:, None])

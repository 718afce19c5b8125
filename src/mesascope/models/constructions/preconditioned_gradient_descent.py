"""Preconditioned gradient descent: one linear-attention layer per step, with the preconditioner between query and key."""

import functools

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import PreconditionedGradientDescent
from mesascope.models.constructions.heads import product
from mesascope.models.constructions.holding import Holding, label
from mesascope.models.constructions.network import Channels, Construction, Layer, Weights, check_depth
from mesascope.models.constructions.options import check_condition, check_step_size


def preconditioned_gradient_descent(
    *, layers: int = 8, step_size: float = 0.25, condition: float = 10.0
) -> Construction:
    """k layers of linear attention that take k steps of gradient descent along P times the gradient, from w = 0.

    Channels: ``x``; ``label``, which holds an example's residual y − wᵀx and, at a query, minus its answer. The network is that
    of gradient descent, except that W_QᵀW_K = P, the matrix `diagonal`: it is fixed in the weights and the same for all
    prompts. P whitens inputs of covariance ``Diagonal(condition=condition)``.

    Args:
        layers: number of layers, one per step.
        step_size: η, for P times the mean gradient Xᵀ(Xw − y)/n.
        condition: the condition number of P; 1 makes it gradient descent.

    Raises:
        ValueError: layers outside 1 to 1000, a step size that is not a finite number above 0, or a condition number
            below 1 or not finite.

    Source: Ahn et al. 2023, section 3 (what trained linear attention learns); von Oswald et al. 2023, Proposition 1.
    """
    check_depth("layers", layers)
    check_step_size(step_size)
    check_condition(condition)
    return Construction(
        name="preconditioned-gradient-descent",
        algorithm="preconditioned-gradient-descent",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="von Oswald et al. 2023, Proposition 1, with the preconditioner of Ahn et al. 2023, section 3",
        build=functools.partial(_build, layers=layers, step_size=step_size, condition=condition),
        options={"layers": layers, "step_size": step_size, "condition": condition},
        holds=Holding(
            algorithm=lambda dim: PreconditionedGradientDescent(
                step_size=step_size, preconditioner=diagonal(dim, condition)
            ),
            variables=("position",),
            values=label,
        ),
    )


def diagonal(dim: int, condition: float) -> Float[Tensor, "dim dim"]:
    """P: diagonal, log-spaced from 1/κ up to 1; the inverse of ``Diagonal(condition=κ, scale="smallest")``."""
    if dim == 1:
        return torch.ones(1, 1, dtype=torch.float64)
    return torch.diag(condition ** torch.linspace(-1, 0, dim, dtype=torch.float64))


def _build(dim: int, *, layers: int, step_size: float, condition: float) -> Weights:
    channels = Channels(sizes={"x": dim, "label": 1})
    label = channels.read("label")
    step = Layer(heads=(product(channels, label, {"label": -step_size}, diagonal(dim, condition)),))
    embed = {"x": "x", "label": "label"}
    return Weights(channels=channels, embed=embed, layers=(step,) * layers, readout=-label[0])

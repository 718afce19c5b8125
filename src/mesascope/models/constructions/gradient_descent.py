"""Gradient descent: one linear-attention layer per step."""

import functools
import math

from mesascope.algorithms import GradientDescent
from mesascope.models.constructions.holding import Holding, label
from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Weights, check_depth


def gradient_descent(*, layers: int = 8, step_size: float = 0.25) -> Construction:
    """k layers of linear attention that take k steps of gradient descent on ½‖y − Xw‖²/n from w = 0.

    Channels: ``x``; ``label``, which holds an example's residual y − wᵀx and, at a query, minus its answer. Query and
    key are x, the value is the residual, and the output, scaled by −η, is added to the label: after each layer, every
    token holds its value after one more step, although w is never stored.

    Args:
        layers: number of layers, one per step.
        step_size: η, for the mean gradient Xᵀ(Xw − y)/n.

    Raises:
        ValueError: layers outside 1 to 1000, or a step size that is not a finite number above 0.

    Source: von Oswald et al. 2023, Proposition 1 (one step); repeated here with the same weights in every layer.
    """
    check_depth("layers", layers)
    if not 0 < step_size < math.inf:
        raise ValueError(
            f"step_size must be a finite number above 0; got {step_size}. Gradient descent converges with a step size "
            "below 2 over the largest eigenvalue of XᵀX/n."
        )
    return Construction(
        name="gradient-descent",
        algorithm="gradient-descent",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="von Oswald et al. 2023, Proposition 1",
        build=functools.partial(_build, layers=layers, step_size=step_size),
        options={"layers": layers, "step_size": step_size},
        holds=Holding(algorithm=lambda _: GradientDescent(step_size=step_size), variables=("position",), values=label),
    )


def _build(dim: int, *, layers: int, step_size: float) -> Weights:
    channels = Channels(sizes={"x": dim, "label": 1})
    x, label = channels.read("x"), channels.read("label")
    step = Layer(heads=(Head(query=x, key=x, value=label, out=channels.read("label", -step_size).T),))
    embed = {"x": "x", "label": "label"}
    return Weights(channels=channels, embed=embed, layers=(step,) * layers, readout=-label[0])

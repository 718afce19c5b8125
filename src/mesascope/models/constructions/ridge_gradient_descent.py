"""Gradient descent on the ridge objective, which damps the answer: one linear-attention layer per step."""

import functools

from mesascope.algorithms import GradientDescent
from mesascope.algorithms.problem import check_ridge
from mesascope.models.constructions.heads import own, product
from mesascope.models.constructions.holding import Holding, answer
from mesascope.models.constructions.network import Channels, Construction, Layer, Weights, check_depth
from mesascope.models.constructions.options import check_step_size


def ridge_gradient_descent(*, layers: int = 8, step_size: float = 0.25, ridge: float = 1.0) -> Construction:
    """k layers of linear attention that take k steps of gradient descent on ½(‖y − Xw‖² + λ‖w‖²)/n from w = 0.

    Channels: ``x``; ``label`` y (0 at a query), which never changes; ``answer`` f = wᵀx; ``one`` and ``1/n``,
    constants. One step is f_j ← (1 − ηλ/n) f_j + η(1/n) Σᵢ ⟨x_j, xᵢ⟩ (yᵢ − fᵢ): gradient descent's head, with the
    residual as the difference of two channels, and a head that subtracts a share of the token's own answer. The network
    runs ``GradientDescent(step_size=η)`` with ``ridge=λ``.

    Args:
        layers: number of layers, one per step.
        step_size: η, for the mean gradient Xᵀ(Xw − y)/n + (λ/n)w.
        ridge: λ, in the sum convention XᵀX + λI.

    Raises:
        ValueError: layers outside 1 to 1000, a step size that is not a finite number above 0, or a ridge that is
            negative or not finite.

    Source: own, after von Oswald et al. 2023, Proposition 1.
    """
    check_depth("layers", layers)
    check_step_size(step_size)
    check_ridge(ridge)
    return Construction(
        name="ridge-gradient-descent",
        algorithm="gradient-descent",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="own, after von Oswald et al. 2023, Proposition 1",
        build=functools.partial(_build, layers=layers, step_size=step_size, ridge=ridge),
        options={"layers": layers, "step_size": step_size, "ridge": ridge},
        holds=Holding(
            algorithm=lambda _: GradientDescent(step_size=step_size),
            variables=("position",),
            values=answer,
            ridge=ridge,
        ),
    )


def _build(dim: int, *, layers: int, step_size: float, ridge: float) -> Weights:
    channels = Channels(sizes={"x": dim, "label": 1, "answer": 1, "one": 1, "1/n": 1})
    residual = channels.read("label") - channels.read("answer")
    descend = product(channels, residual, {"answer": step_size})
    damp = own(channels, "answer", {"answer": -step_size * ridge}, factor="1/n")
    embed = {"x": "x", "label": "label", "one": "one", "1/n": "1/n"}
    layer = Layer(heads=(descend, *damp))
    return Weights(channels=channels, embed=embed, layers=(layer,) * layers, readout=channels.read("answer")[0])

"""Gradient descent in the primal form: every token holds the weights themselves; one layer per step."""

import functools

from mesascope.algorithms import GradientDescent
from mesascope.models.constructions.holding import Holding, position
from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Named, Weights, check_depth
from mesascope.models.constructions.options import check_step_size


def primal_gradient_descent(*, layers: int = 4, step_size: float = 0.25) -> Construction:
    """k layers of linear attention that take k steps of gradient descent on ½‖y − Xw‖²/n from w = 0, with w stored.

    Channels: ``x``; ``label``; ``one``; ``weights`` w, as large as x; ``answer`` w·x, also at examples. One head adds
    ηb = η(1/n) Σᵢ yᵢxᵢ, another subtracts ηSw (query w, key and value xᵢ). The dual form (`gradient_descent`) never
    stores w; here a linear probe finds it.

    Args:
        layers: number of layers, one per step.
        step_size: η, for the mean gradient Xᵀ(Xw − y)/n.

    Raises:
        ValueError: layers outside 1 to 1000, or a step size that is not a finite number above 0.

    Source: own.
    """
    check_depth("layers", layers)
    check_step_size(step_size)
    return Construction(
        name="primal-gradient-descent",
        algorithm="gradient-descent",
        layers=layers,
        layers_per_step=1,
        not_attention="the inner product of a token's weights with its input",
        source="own",
        build=functools.partial(_build, layers=layers, step_size=step_size),
        options={"layers": layers, "step_size": step_size},
        holds=Holding(
            algorithm=lambda _: GradientDescent(step_size=step_size), variables=("position",), values=position
        ),
    )


def _build(dim: int, *, layers: int, step_size: float) -> Weights:
    channels = Channels(sizes={"x": dim, "label": 1, "one": 1, "weights": dim, "answer": 1})
    x, weights = channels.read("x"), channels.read("weights")
    moment = Head(
        query=channels.read("one"), key=channels.read("label"), value=x, out=channels.read("weights", step_size).T
    )
    apply = Head(query=weights, key=x, value=x, out=channels.read("weights", -step_size).T)
    layer = Layer(heads=(moment, apply), gate=_answer)
    embed = {"x": "x", "label": "label", "one": "one"}
    return Weights(channels=channels, embed=embed, layers=(layer,) * layers, readout=channels.read("answer")[0])


def _answer(c: Named) -> Named:
    return {"answer": (c["weights"] * c["x"]).sum(-1, keepdim=True)}

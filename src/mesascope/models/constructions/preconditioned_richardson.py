"""Preconditioned Richardson iteration for kernel ridge regression: one softmax head per layer, one layer per step."""

import functools
import math

import torch

from mesascope.algorithms import RBF, PreconditionedRichardson
from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Named, Weights, check_depth
from mesascope.models.constructions.options import check_positive

EMBEDDED = {"x": "x", "label": "label", "example": "example", "one": "one"}
SCALARS = ("square", "start", "dual", "attended", "share", "answer")


def preconditioned_richardson(
    *, steps: int = 8, bandwidth: float = 2.0, ridge: float = 0.1, step_size: float = 1.0
) -> Construction:
    """k steps of α ← α + η (D + λ)⁻¹ (y − (K + λ) α) from α = 0, with the Gaussian kernel K and its row sums D.

    Channels: ``x``; ``label`` y (0 at a query); ``example`` (flag); ``one``; ``square`` ‖x‖²; ``dual`` α (0 at a query);
    ``answer``; ``start``, which only the start token has; and two that the head writes and the gate clears: ``attended`` and
    ``share``.

    The logit of example i at token j is −‖x_j − xᵢ‖²/(2h²), made of the inputs' product and of both squares, and that of the
    start token is log λ. So the softmax divides by D_j + λ, the number that preconditions: the ridge is an attention sink. The
    head's value at an example is α, and at the start token 1. What arrives is ``attended`` = (Kα)_j/(D_j + λ) and ``share`` =
    λ/(D_j + λ), from which the gate has all that a step needs:

        α_j ← α_j + η (share · (y_j/λ − α_j) − attended),    answer_j = λ · attended/share.

    The first layer has no head; its gate computes the squares. The second takes the first step at the examples. From the third
    on, a layer answers with the step before it, and takes the next: k steps take k + 2 layers.

    Args:
        steps: k.
        bandwidth: h, in units of the inputs.
        ridge: λ, above 0.
        step_size: η; any below 2 converges.

    Raises:
        ValueError: more than 1000 layers, no step, or a bandwidth, ridge or step size that is not a finite number above 0.

    Source: Yan, Li, Kulick & Tang 2026 (arXiv 2605.08475): a softmax head per block, and arithmetic within a token.
    Departs from source: the arithmetic is exact, where theirs is approximated by a ReLU network; and a start token shows the
    row sums.
    """
    check_depth("steps", steps)
    check_depth("steps plus 2", steps + 2)
    check_positive("bandwidth", bandwidth)
    check_positive("ridge", ridge)
    algorithm = PreconditionedRichardson(kernel=RBF(bandwidth=bandwidth), ridge=ridge, step_size=step_size)
    return Construction(
        name="preconditioned-richardson",
        algorithm=algorithm.name,
        layers=steps + 2,
        layers_per_step=1,
        layers_to_start=2,
        not_attention="the square of the input's length; a division; and products of a token's own channels",
        source="Yan, Li, Kulick & Tang 2026 (arXiv 2605.08475), with a start token and exact arithmetic",
        build=functools.partial(_build, layers=steps + 2, bandwidth=bandwidth, ridge=ridge, step_size=step_size),
        options={"steps": steps, "bandwidth": bandwidth, "ridge": ridge, "step_size": step_size},
        holds=None,  # its state is α, and what is overwritten in a network are vectors of the size of w
    )


def _build(dim: int, *, layers: int, bandwidth: float, ridge: float, step_size: float) -> Weights:
    channels = Channels(sizes={"x": dim, **dict.fromkeys(("label", "example", "one", *SCALARS), 1)})
    read = channels.read
    less = -1 / (2 * bandwidth**2)  # of a square, in a logit
    head = Head(
        query=torch.cat([read("x"), read("one"), read("square")]),
        key=torch.cat(
            [read("x", bandwidth**-2), read("square", less) + read("start", math.log(ridge)), read("example", less)]
        ),
        value=torch.cat([read("dual"), read("start")]),
        out=torch.cat([read("attended"), read("share")]).T,
    )
    step = Layer(heads=(head,), gate=functools.partial(_step, ridge=ridge, step_size=step_size))
    return Weights(
        channels=channels,
        embed=EMBEDDED,
        layers=(Layer(heads=(), gate=_square), *(step,) * (layers - 1)),
        readout=read("answer")[0],
        scores="softmax",
        start=read("start")[0],
    )


def _square(c: Named) -> Named:
    return {"square": c["x"].square().sum(-1, keepdim=True)}


def _step(c: Named, *, ridge: float, step_size: float) -> Named:
    step = c["share"] * (c["label"] / ridge - c["dual"]) - c["attended"]
    cleared = dict.fromkeys(("attended", "share"), torch.zeros_like(step))
    return {
        "dual": c["dual"] + step_size * step * c["example"],
        "answer": ridge * c["attended"] / c["share"],
        **cleared,
    }

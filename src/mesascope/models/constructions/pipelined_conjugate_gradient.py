"""Pipelined conjugate gradient: one linear-attention layer per iteration, and one to start."""

import functools

import torch
from torch import Tensor

from mesascope.algorithms import ConjugateGradient
from mesascope.models.constructions.heads import broadcast, product
from mesascope.models.constructions.holding import Holding, answer
from mesascope.models.constructions.network import Channels, Construction, Layer, Named, Weights, check_depth

ROUNDING = 1e-10
"""A u below this share of the first is only rounding error of its recurrence, and no further step is taken."""


def pipelined_conjugate_gradient(*, iterations: int = 6) -> Construction:
    """Conjugate gradient on the normal equations XᵀXw = Xᵀy, in Ghysels and Vanroose's recurrences and the dual form.

    Channels: ``x``; ``example`` (flag); ``residual`` s with r = Xᵀs/n; ``pushed`` u = Ks, so u_j = ⟨x_j, r⟩, with
    K = XXᵀ/n; ``twice`` t = Ku; ``direction`` v_j = ⟨x_j, p⟩; ``image`` m = Kv; ``one``; ``answer``; the broadcast
    scalars ``su`` = r·r and ``uu`` = r·Sr; from the previous iteration, ``su_last`` and ``step``
    a; and ``first``, the first r·Sr.

    Textbook conjugate gradient needs r·r of the new residual before it can continue, so the inner products must follow the
    kernel product. Here u is not recomputed but updated, u ← u − am, and the kernel is applied to u in the same layer in
    which r·r and r·Sr are summed. The price is rounding: u and Ks drift apart.

    Args:
        iterations: number of iterations, one layer each.

    Raises:
        ValueError: iterations outside 1 to 1000.

    Source: Ghysels & Vanroose 2014, algorithm 3 without preconditioner; the dual form is `conjugate_gradient`'s.
    Departs from source: the iteration ends when u is 1e-10 of the first (r·r cannot show this, because it is computed from s,
    which contains the label noise). Beyond that, p·Sp is a difference of rounding errors, and one step can move far from
    the solution. With label noise 0.3 at condition number 1000, this can happen before the end: an error of 7e-4 was observed.
    """
    check_depth("iterations", iterations)
    return Construction(
        name="pipelined-conjugate-gradient",
        algorithm="conjugate-gradient",
        layers=iterations + 1,
        layers_per_step=1,
        layers_to_start=1,
        not_attention="two divisions, products of a broadcast scalar with a token's own channels, and an end",
        source="Ghysels & Vanroose 2014, algorithm 3, in the dual form",
        build=functools.partial(_build, iterations=iterations),
        options={"iterations": iterations},
        # Its recurrences derive p·Sp from conjugacy, which does not hold for a residual or direction patched in from elsewhere.
        holds=Holding(algorithm=lambda _: ConjugateGradient(), variables=("solution",), values=answer),
    )


def _build(dim: int, *, iterations: int) -> Weights:
    tokens = ("residual", "pushed", "twice", "direction", "image", "answer")
    scalars = ("su", "uu", "su_last", "step", "first")
    channels = Channels(sizes={"x": dim, **dict.fromkeys(("example", "one", *tokens, *scalars), 1)})
    start = Layer(heads=(product(channels, channels.read("residual"), {"pushed": 1.0}),))
    heads = (
        product(channels, channels.read("pushed"), {"twice": 1.0}),
        broadcast(channels, "residual", "pushed", "su"),
        broadcast(channels, "pushed", "pushed", "uu"),
    )
    layers = (start, *(Layer(heads=heads, gate=_step),) * iterations)
    embed = {"x": "x", "example": "example", "one": "one", "residual": "label"}
    return Weights(channels=channels, embed=embed, layers=layers, readout=channels.read("answer")[0])


def _step(c: Named) -> Named:
    beta = _quotient(c["su"], c["su_last"])
    # p·Sp = r·Sr − β(r·r)/a, with a of the last step; in the first iteration β is 0.
    curvature = c["uu"] - beta * _quotient(c["su"], c["step"])
    first = torch.where(c["first"] > 0, c["first"], c["uu"])
    going = (c["uu"] > ROUNDING**2 * first) & (c["su"] > 0) & (curvature > 0)  # without a step, it ends
    step = torch.where(going, c["su"] / curvature, torch.zeros_like(curvature))
    direction, image = c["pushed"] + beta * c["direction"], c["twice"] + beta * c["image"]
    return {
        "direction": direction,
        "image": image,
        "answer": c["answer"] + step * direction,
        "residual": (c["residual"] - step * direction * c["example"]) * going,
        "pushed": (c["pushed"] - step * image) * going,
        "su_last": c["su"],
        "step": step,
        "first": first,
        **dict.fromkeys(("twice", "su", "uu"), torch.zeros_like(step)),
    }


def _quotient(over: Tensor, under: Tensor) -> Tensor:
    """over/under; 0 if the denominator is 0, as before the first step and after the last."""
    return torch.where(under > 0, over / under, torch.zeros_like(over))

"""Pipelined conjugate gradient: one linear-attention layer an iteration, and one to start."""

import functools

import torch
from torch import Tensor

from mesascope.algorithms import ConjugateGradient
from mesascope.models.constructions.heads import broadcast, product
from mesascope.models.constructions.holding import Holding, answer
from mesascope.models.constructions.network import Channels, Construction, Layer, Named, Network, check_depth

ROUNDING = 1e-10
"""Where u is this far below the first, what its recurrence holds is rounding, and no further step is taken."""


def pipelined_conjugate_gradient(*, iterations: int = 6) -> Construction:
    """Conjugate gradient on the normal equations XᵀXw = Xᵀy, in Ghysels and Vanroose's recurrences and the dual form.

    Channels: ``x``; ``example`` (flag); ``residual`` s with r = Xᵀs/n; ``pushed`` u = Ks, so u_j = ⟨x_j, r⟩, with
    K = XXᵀ/n; ``twice`` t = Ku; ``direction`` v_j = ⟨x_j, p⟩; ``image`` m = Kv; ``one``; ``answer``; the broadcast
    scalars ``su`` = r·r and ``uu`` = r·Sr; from the iteration before, ``su_last`` and ``step`` a;
    and ``first``, the first r·Sr.

    Textbook conjugate gradient needs r·r of the new residual before it can go on, so the kernel product and the inner
    products follow each other. Here u is not pushed anew but carried along, u ← u − am, and the kernel is applied to u
    while r·r and r·Sr are summed: one layer. The price is rounding: u and Ks drift apart.

    Args:
        iterations: one layer each.

    Raises:
        ValueError: iterations outside 1 to 1000.

    Source: Ghysels & Vanroose 2014, algorithm 3 without preconditioner; the dual form is `conjugate_gradient`'s.
    Departs from source: it ends where u is 1e-10 of the first (r·r, summed with the labels' noise in s, cannot
    tell). Beyond, p·Sp is a difference of rounding
    errors, and one step along it can leave the solution by far.
    With label noise 0.3 at condition 1000 that can happen before the end: 7e-4 was seen.
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
        # Its recurrences take p·Sp from conjugacy, which a residual or direction put in from elsewhere does not have.
        holds=Holding(algorithm=lambda _: ConjugateGradient(), variables=("solution",), values=answer),
    )


def _build(dim: int, *, iterations: int) -> Network:
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
    return Network(channels=channels, embed=embed, layers=layers, readout=channels.read("answer")[0])


def _step(c: Named) -> Named:
    beta = _quotient(c["su"], c["su_last"])
    # p·Sp = r·Sr − β(r·r)/a of the last step; in the first β is 0.
    curvature = c["uu"] - beta * _quotient(c["su"], c["step"])
    first = torch.where(c["first"] > 0, c["first"], c["uu"])
    going = (c["uu"] > ROUNDING**2 * first) & (c["su"] > 0) & (curvature > 0)  # no step: none from here on
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
    """over/under; 0 where there is nothing to divide by, as before the first step and after the last."""
    return torch.where(under > 0, over / under, torch.zeros_like(over))

"""Conjugate gradient in the primal form: every token solves its own problem; one layer per iteration, and one to start."""

import functools

import torch
from torch import Tensor

from mesascope.algorithms import ConjugateGradient
from mesascope.models.constructions.holding import VECTORS, Holding, primal
from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Named, Weights, check_depth

ROUNDING = 1e-13
"""A residual below this share of a token's first is only rounding error, and the token takes no further step."""


def primal_conjugate_gradient(*, iterations: int = 6) -> Construction:
    """Conjugate gradient on XᵀXw = Xᵀy under a causal mask: token j holds the solution for the examples up to j.

    Channels: ``x``; ``label``; ``one``; and, of the token's own problem with S_j = Σ xᵢxᵢᵀ/n_j over the n_j examples
    it sees, ``residual`` r, ``direction`` p, ``image`` S_j p and ``weights`` w, each as large as x; ``energy`` r·r and
    ``first``, its first value; ``answer`` w·x, also at examples.

    The first layer sums b_j = Σ xᵢyᵢ/n_j; every other layer applies S_j to p (query p_j, key and value xᵢ). No token reads
    another token's results, only x and y, which no layer changes. So a causal mask does no harm, and a query, which sees all
    examples, gets the same answer as without a mask. The dual form instead has vectors of one number per token and sums them
    over tokens: under a causal mask each token would mix the unfinished work of other problems into its own
    (`conjugate_gradient` fails there).

    Args:
        iterations: number of iterations, one layer each.

    Raises:
        ValueError: iterations outside 1 to 1000.

    Source: own; Hestenes & Stiefel 1952, eqs. 3:1, per token.
    Departs from source: a token stops when its residual is 1e-13 of its first. If it sees fewer examples than there are
    dimensions, its system is singular, and steps along rounding errors would leave the solution again.
    """
    check_depth("iterations", iterations)
    return Construction(
        name="primal-conjugate-gradient",
        algorithm="conjugate-gradient",
        layers=iterations + 1,
        layers_per_step=1,
        layers_to_start=1,
        not_attention="inner products of a token's own vectors, two divisions, products with the quotients, and an end",
        source="own; Hestenes & Stiefel 1952, eqs. 3:1, per token",
        build=functools.partial(_build, iterations=iterations),
        options={"iterations": iterations},
        holds=Holding(algorithm=lambda _: ConjugateGradient(), variables=VECTORS, values=primal),
    )


def _build(dim: int, *, iterations: int) -> Weights:
    vectors, scalars = ("residual", "direction", "image", "weights"), ("energy", "first", "answer")
    sizes = {"x": dim, "label": 1, "one": 1, **dict.fromkeys(vectors, dim), **dict.fromkeys(scalars, 1)}
    channels = Channels(sizes=sizes)
    x = channels.read("x")
    moment = Head(query=channels.read("one"), key=channels.read("label"), value=x, out=channels.read("residual").T)
    apply = Head(query=channels.read("direction"), key=x, value=x, out=channels.read("image").T)
    layers = (Layer(heads=(moment,), gate=_start), *(Layer(heads=(apply,), gate=_step),) * iterations)
    embed = {"x": "x", "label": "label", "one": "one"}
    readout = channels.read("answer")[0]
    return Weights(channels=channels, embed=embed, layers=layers, readout=readout, causal=True)


def _start(c: Named) -> Named:
    energy = _dot(c["residual"], c["residual"])
    return {"direction": c["residual"], "energy": energy, "first": energy}


def _step(c: Named) -> Named:
    curvature = _dot(c["direction"], c["image"])
    going = (c["energy"] > ROUNDING**2 * c["first"]) & (curvature > 0)
    step = torch.where(going, c["energy"] / curvature, torch.zeros_like(curvature))
    residual = c["residual"] - step * c["image"]
    energy = torch.where(going, _dot(residual, residual), torch.zeros_like(curvature))
    beta = torch.where(going, energy / c["energy"], torch.zeros_like(curvature))
    weights = c["weights"] + step * c["direction"]
    return {
        "weights": weights,
        "answer": _dot(weights, c["x"]),
        "residual": residual,
        "direction": residual + beta * c["direction"],
        "energy": energy,
        "image": torch.zeros_like(residual),
    }


def _dot(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum(-1, keepdim=True)

"""Conjugate gradient in the dual form: two linear-attention layers per iteration.

No vector of the size of w is stored: every vector v of feature space is held as Xᵀ(one number per token). The first layer
of an iteration applies the kernel K = XXᵀ/n to a channel; the second broadcasts inner products of channels to all
tokens (constant query; key one channel, value the other); the gates divide and update.

One layer per iteration is not enough: linear attention adds to a token a sum of separate functions of the tokens, and p·Kp is
not such a sum.
"""

import dataclasses
import functools
from collections.abc import Mapping

import torch
from torch import Tensor

from mesascope.algorithms import Algorithm, ConjugateGradient, DataSpaceConjugateGradient
from mesascope.algorithms.problem import check_ridge
from mesascope.models.constructions.holding import VECTORS, Holding, Reader, data_space, dual
from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Named, Weights, check_depth

GATES = "two divisions, and products of a broadcast scalar with a token's own channels"
ROUNDING = 1e-13
"""A residual below this share of the first is only rounding error: in data space no further step is taken along it."""


def conjugate_gradient(*, iterations: int = 6) -> Construction:
    """Conjugate gradient on the normal equations XᵀXw = Xᵀy (feature space), in its dual form.

    Channels: ``x``; ``example`` (flag); ``one``; ``residual`` s with r = Xᵀs/n; ``pushed`` u = Ks; ``direction`` v = Kπ
    (so v_j = ⟨x_j, p⟩, also at queries); ``answer``; the broadcast scalars ``su`` = r·r, ``uu``, ``uv``, ``vv``; and
    ``su_last``. Since v = u + βv, one kernel product per iteration is enough, and p·Ap = v·v follows from uu, uv, vv
    without a third layer.

    Args:
        iterations: number of iterations, two layers each.

    Raises:
        ValueError: iterations outside 1 to 1000.

    Source: own; conjugate gradient for least squares (Hestenes & Stiefel 1952, §10) with inner products rearranged.
    """
    check_depth("iterations", iterations)
    build = functools.partial(_build_feature, iterations=iterations)
    values = dual(lambda _, vector: vector)
    return _construction("conjugate-gradient", iterations, build, {}, ConjugateGradient(), values)


def data_space_conjugate_gradient(*, iterations: int = 6, ridge: float = 0.0) -> Construction:
    """Conjugate gradient on the kernel system (XXᵀ + λI)α = y (data space).

    Channels: ``x``; ``example`` (flag); ``one``; ``1/n``; ``residual`` r; ``pushed`` u = (K + λ/n)r; ``direction`` p;
    ``image`` q = (K + λ/n)p; ``answer``; the broadcast scalars ``rr``, ``ru``, ``rq``, ``pq``; ``rr_last``, and
    ``first``, the first rr. Since q = u + βq, one kernel product per iteration is enough, and p·q follows from ru, rq, pq
    without a third layer. Query rows keep p = r = 0.

    Args:
        iterations: number of iterations, two layers each.
        ridge: λ, in the sum convention XXᵀ + λI.

    Raises:
        ValueError: iterations outside 1 to 1000, or a ridge that is negative or not finite.

    Source: the construction of source A's first post, with the layers per iteration made explicit.
    Departs from source: β is the quotient of two residuals' squared lengths, each summed over the tokens. Computing the
    new one as rr − 2a·rq + a²·qq would suffer from cancellation once the iteration has converged, and the errors would grow.
    Also, the iteration ends when the residual is 1e-13 of the first: with more examples than dimensions and no ridge, the
    kernel is singular, and a step along rounding errors in directions without curvature has no bound.
    """
    check_depth("iterations", iterations)
    check_ridge(ridge)
    build = functools.partial(_build_data, iterations=iterations, ridge=ridge)
    algorithm = DataSpaceConjugateGradient(ridge=ridge)
    made = _construction(
        "data-space-conjugate-gradient", iterations, build, {"ridge": ridge}, algorithm, data_space(ridge)
    )
    return dataclasses.replace(made, not_attention=f"{GATES}, and an end")


def _construction(
    name: str,
    iterations: int,
    build: "functools.partial[Weights]",
    options: Mapping[str, float],
    algorithm: Algorithm,
    values: Reader,
) -> Construction:
    return Construction(
        name=name,
        algorithm=name,
        layers=2 * iterations,
        layers_per_step=2,
        not_attention=GATES,
        source="dual-form conjugate gradient; see the construction's docstring",
        build=build,
        options={"iterations": iterations, **options},
        holds=Holding(algorithm=lambda _: algorithm, variables=VECTORS, values=values),
    )


def _inner_product(channels: Channels, left: str, right: str, target: str) -> Head:
    """Broadcast (1/n) Σᵢ leftᵢ·rightᵢ over the examples to every token's ``target``; the query is the constant ``one``."""
    return Head(
        query=channels.read("one"), key=channels.read(left), value=channels.read(right), out=channels.read(target).T
    )


def _kernel_product(channels: Channels, source: str, target: str) -> Head:
    """Add (1/n) Σᵢ ⟨x_j, xᵢ⟩ sourceᵢ to every token's ``target``."""
    x = channels.read("x")
    return Head(query=x, key=x, value=channels.read(source), out=channels.read(target).T)


def _momentum(energy: Tensor, last: Tensor) -> Tensor:
    """β = energy/last; 0 in the first iteration, and after the iteration has ended."""
    return torch.where(last > 0, energy / last, torch.zeros_like(energy))


def _length(energy: Tensor, curvature: Tensor) -> Tensor:
    """The step length a = energy/curvature; 0 (no step) along a direction without positive curvature."""
    return torch.where(curvature > 0, energy / curvature, torch.zeros_like(energy))


def _build_feature(dim: int, *, iterations: int) -> Weights:
    sizes = {"x": dim, "example": 1, "one": 1, "residual": 1, "pushed": 1, "direction": 1, "answer": 1}
    channels = Channels(sizes={**sizes, "su": 1, "uu": 1, "uv": 1, "vv": 1, "su_last": 1})
    inner = (
        _inner_product(channels, "residual", "pushed", "su"),
        _inner_product(channels, "pushed", "pushed", "uu"),
        _inner_product(channels, "pushed", "direction", "uv"),
        _inner_product(channels, "direction", "direction", "vv"),
    )
    layers = (Layer(heads=(_kernel_product(channels, "residual", "pushed"),)), Layer(heads=inner, gate=_feature_step))
    embed = {"x": "x", "example": "example", "one": "one", "residual": "label"}
    return Weights(channels=channels, embed=embed, layers=layers * iterations, readout=channels.read("answer")[0])


def _feature_step(c: Named) -> Named:
    beta = _momentum(c["su"], c["su_last"])
    direction = c["pushed"] + beta * c["direction"]
    curvature = c["uu"] + 2 * beta * c["uv"] + beta.square() * c["vv"]
    step = _length(c["su"], curvature)
    return {
        "direction": direction,
        "answer": c["answer"] + step * direction,
        "residual": (c["residual"] - step * direction * c["example"])
        * (step > 0),  # without a step, the iteration ends
        "su_last": c["su"],
        **dict.fromkeys(("pushed", "su", "uu", "uv", "vv"), torch.zeros_like(step)),
    }


def _build_data(dim: int, *, iterations: int, ridge: float) -> Weights:
    sizes = {"x": dim, "example": 1, "one": 1, "1/n": 1, "residual": 1, "pushed": 1, "direction": 1, "image": 1}
    channels = Channels(sizes={**sizes, "answer": 1, "rr": 1, "ru": 1, "rq": 1, "pq": 1, "rr_last": 1, "first": 1})

    def damp(c: Named) -> Named:  # the local part of (K + λ/n)r
        return {"pushed": c["pushed"] + ridge * c["1/n"] * c["residual"]}

    inner = (
        _inner_product(channels, "residual", "residual", "rr"),
        _inner_product(channels, "residual", "pushed", "ru"),
        _inner_product(channels, "residual", "image", "rq"),
        _inner_product(channels, "direction", "image", "pq"),
    )
    product = Layer(heads=(_kernel_product(channels, "residual", "pushed"),), gate=damp if ridge else None)
    layers = (product, Layer(heads=inner, gate=_data_step))
    embed = {"x": "x", "example": "example", "one": "one", "1/n": "1/n", "residual": "label"}
    return Weights(channels=channels, embed=embed, layers=layers * iterations, readout=channels.read("answer")[0])


def _data_step(c: Named) -> Named:
    beta = _momentum(c["rr"], c["rr_last"])
    direction, image = c["residual"] + beta * c["direction"], c["pushed"] + beta * c["image"]
    curvature = c["ru"] + 2 * beta * c["rq"] + beta.square() * c["pq"]
    first = torch.where(c["first"] > 0, c["first"], c["rr"])
    step = _length(c["rr"], curvature) * (c["rr"] > ROUNDING**2 * first)
    return {
        "direction": direction,
        "image": image,
        "answer": c["answer"] + step * image,
        "residual": (c["residual"] - step * image * c["example"]) * (step > 0),  # without a step, the iteration ends
        "rr_last": c["rr"],
        "first": first,
        **dict.fromkeys(("pushed", "rr", "ru", "rq", "pq"), torch.zeros_like(step)),
    }

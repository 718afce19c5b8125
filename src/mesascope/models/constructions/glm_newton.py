"""Logistic and Poisson regression: Newton's method around conjugate gradient in the dual form."""

import functools

import torch

from mesascope.algorithms.glm import GlmFamily, GLMNewton, mean, variance
from mesascope.models.constructions.heads import broadcast, product
from mesascope.models.constructions.network import Channels, Construction, Layer, Named, Weights, check_depth
from mesascope.tasks import GeneralisedLinearRegression

TOKENS = (
    "answer", "coefficient", "curvature", "residual", "pushed", "weighted_pushed", "direction", "weighted_direction",
    "mixture",
)  # fmt: skip
SCALARS = ("ru", "udu", "udv", "vdv", "mv", "ru_last")


def glm_newton(*, steps: int = 3, inner: int = 5, ridge: float = 1.0, family: GlmFamily = "logistic") -> Construction:
    """Newton steps for a generalised linear model, each with ``inner`` iterations of conjugate gradient.

    No vector of the size of w is stored. A vector of feature space is held by its inner products with the tokens' inputs,
    and, if it is summed, as Xᵀ(one number per example)/n. Channels: ``x``; ``label`` y (0 at a query); ``example`` (flag);
    ``one``; ``1/n``; ``answer`` η_j = ⟨x_j, w⟩; ``coefficient`` α with w = Xᵀα/n; ``curvature`` D = μ′(η) at the start
    of the step; ``residual`` ρ with r = Xᵀρ/n; ``pushed`` u_j = ⟨x_j, r⟩; ``weighted_pushed`` Du; ``direction`` v_j = ⟨x_j, p⟩;
    ``weighted_direction`` Dv; ``mixture`` π with p = Xᵀπ/n; the broadcast scalars ``ru`` = r·r, ``udu``, ``udv``,
    ``vdv`` (means of uDu, uDv, vDv) and ``mv`` = p·p of the last direction; and ``ru_last``.

    A step begins with a layer without heads, whose gate sets ρ = y − μ(η) − (λ/n)α and D. Two layers per iteration follow:
    the first applies the kernel to ρ, and in the second five heads broadcast the means that determine r·r, the momentum β and
    p·Ap of the new direction u + βv. So a step takes 1 + 2·inner layers. Within a step, the answer follows the iterates of
    conjugate gradient.

    Args:
        steps: number of steps of Newton's method.
        inner: number of iterations of conjugate gradient per step.
        ridge: λ, in the sum convention XᵀDX + λI.
        family: ``logistic`` or ``poisson``.

    Raises:
        ValueError: more than 1000 layers, fewer than one step or iteration, an unknown family, or a ridge that is negative
            or not finite.

    Source: own; `conjugate_gradient` with examples weighted by μ′, inside Newton's method (`GLMNewton`).
    """
    check_depth("steps", steps)
    check_depth("inner", inner)
    check_depth("steps times (1 + 2 inner)", steps * (1 + 2 * inner))
    GLMNewton(family=family, inner=inner, ridge=ridge)  # checks the rest
    return Construction(
        name="glm-newton",
        algorithm="glm-newton",
        layers=steps * (1 + 2 * inner),
        layers_per_step=1 + 2 * inner,
        not_attention="the mean label and its derivative as functions of a token's answer, two divisions, and products "
        "of a token's own channels with each other and with broadcast scalars",
        source="own; conjugate gradient in the dual form inside Newton's method",
        build=functools.partial(_build, steps=steps, inner=inner, ridge=ridge, family=family),
        options={"steps": steps, "inner": inner, "ridge": ridge, "family": family},
        task=GeneralisedLinearRegression(family=family),
    )


def _build(dim: int, *, steps: int, inner: int, ridge: float, family: GlmFamily) -> Weights:
    features = ("label", "example", "one", "1/n")
    channels = Channels(sizes={"x": dim, **dict.fromkeys((*features, *TOKENS, *SCALARS), 1)})

    def begin(c: Named) -> Named:
        """Linearise at the current answers, and restart conjugate gradient."""
        nothing = torch.zeros_like(c["answer"])
        surprise = (c["label"] - mean(family, c["answer"])) * c["example"]
        return {
            "residual": surprise - ridge * c["1/n"] * c["coefficient"],
            "curvature": variance(family, c["answer"]),
            **dict.fromkeys(("direction", "mixture", "ru_last"), nothing),
        }

    push = Layer(heads=(product(channels, channels.read("residual"), {"pushed": 1.0}),), gate=_weigh)
    means = {
        "ru": ("residual", "pushed"),
        "udu": ("weighted_pushed", "pushed"),
        "udv": ("weighted_pushed", "direction"),
        "vdv": ("weighted_direction", "direction"),
        "mv": ("mixture", "direction"),
    }
    heads = tuple(broadcast(channels, left, right, target) for target, (left, right) in means.items())
    advance = Layer(heads=heads, gate=functools.partial(_advance, ridge=ridge))
    layers = (Layer(heads=(), gate=begin), *(push, advance) * inner) * steps
    embed = {"x": "x", **{name: name for name in features}}
    return Weights(channels=channels, embed=embed, layers=layers, readout=channels.read("answer")[0])


def _weigh(c: Named) -> Named:
    return {"weighted_pushed": c["curvature"] * c["pushed"], "weighted_direction": c["curvature"] * c["direction"]}


def _advance(c: Named, *, ridge: float) -> Named:
    """One iteration on (XᵀDX + λI)/n; p·p and p·XᵀDXp of p = r + β·(last p) follow from products of r and the last p."""
    nothing, damping = torch.zeros_like(c["ru"]), ridge * c["1/n"]
    beta = torch.where(c["ru_last"] > 0, c["ru"] / c["ru_last"], nothing)
    curved = c["udu"] + 2 * beta * c["udv"] + beta.square() * c["vdv"]
    squared = c["ru"] + beta.square() * c["mv"]  # a residual is orthogonal to the last direction
    curvature = curved + damping * squared
    length = torch.where(curvature > 0, c["ru"] / curvature, nothing)
    direction, mixture = c["pushed"] + beta * c["direction"], c["residual"] + beta * c["mixture"]
    image = c["curvature"] * direction * c["example"] + damping * mixture
    return {
        "direction": direction,
        "mixture": mixture,
        "answer": c["answer"] + length * direction,
        "coefficient": c["coefficient"] + length * mixture,
        "residual": (c["residual"] - length * image) * (length > 0),  # without a step, the iteration ends
        "ru_last": c["ru"],
        **dict.fromkeys(("pushed", "weighted_pushed", "weighted_direction", "ru", "udu", "udv", "vdv", "mv"), nothing),
    }

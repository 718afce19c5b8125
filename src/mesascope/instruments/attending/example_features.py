"""Features of an example (x, y) and of the query that attention to the example could depend on, centred over the examples.

Softmax depends on differences between examples only, so whatever is the same for all of them is subtracted.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.types import Prompts

FORMS = "any linear or bilinear form"


def example_features(prompts: Prompts) -> dict[str, Float[Tensor, "batch query example feature"]]:
    """Named features of every example for every query. Each is one number, except the position: one indicator per place.

    The residual r is y minus the prediction after one step of steepest descent from 0, with the step size that is best for
    the prompt (least squares would leave r = 0 where labels have no noise). The leverage is xᵀ(XᵀX)⁺x.
    """
    p = prompts.to(dtype=torch.float64)
    batch, examples, queries = len(p), p.examples, p.queries.shape[1]
    gram, moment = p.xs.mT @ p.xs, p.xs.mT @ p.ys[..., None]
    curved = (moment * (gram @ moment)).sum((-1, -2))
    step = torch.where(curved > 0, moment.square().sum((-1, -2)) / curved, torch.zeros_like(curved))
    residual = p.ys - (p.xs @ (step[:, None, None] * moment))[..., 0]
    leverage = (p.xs @ torch.linalg.pinv(gram, hermitian=True) * p.xs).sum(-1)
    square = p.xs.square().sum(-1)
    product = p.queries @ p.xs.mT  # (batch, query, example)
    size = p.queries.square().sum(-1, keepdim=True)

    def each(values: Tensor) -> Tensor:
        return values[:, None].expand(-1, queries, -1)

    features = {
        "‖x‖": each(square.sqrt()),
        "‖x‖²": each(square),
        "⟨x,x_q⟩": product,
        "⟨x,x_q⟩²": product.square(),
        "y": each(p.ys),
        "|y|": each(p.ys.abs()),
        "y²": each(p.ys.square()),
        "y⟨x,x_q⟩": each(p.ys) * product,
        "‖x_q‖²‖x‖²": size * each(square),
        "‖x_q‖²y²": size * each(p.ys.square()),
        "residual r": each(residual),
        "r²": each(residual.square()),
        "r⟨x,x_q⟩": each(residual) * product,
        "leverage": each(leverage),
    }
    places = torch.eye(examples, dtype=torch.float64).to(p.xs).expand(batch, queries, -1, -1)
    return {name: centred(values[..., None]) for name, values in features.items()} | {"position": centred(places)}


def general_forms(prompts: Prompts) -> Float[Tensor, "batch query example feature"]:
    """The entries of x, yx, xxᵀ, x⊗x_q and yx⊗x_q, whose linear combinations need not be invariant under rotations."""
    p = prompts.to(dtype=torch.float64)
    x = p.xs[:, None].expand(-1, p.queries.shape[1], -1, -1)
    labelled = x * p.ys[:, None, :, None]
    row, column = torch.triu_indices(p.dim, p.dim)
    crossed = [(v[..., None] * p.queries[:, :, None, None]).flatten(-2) for v in (x, labelled)]
    return centred(torch.cat([x, labelled, x[..., row] * x[..., column], *crossed], -1))


def centred(values: Float[Tensor, "batch query example feature"]) -> Float[Tensor, "batch query example feature"]:
    """The values minus their mean over the examples."""
    return values - values.mean(-2, keepdim=True)

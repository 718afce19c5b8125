"""The answers that a readout fitted to the labels would read from a candidate's state."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

SMALL = 0.1
"""An iterate whose size is below this share of the target's variance may be lost in the stream's noise and need not be shown."""
SHOWN = 0.25
"""A mix must show at least this share of the part of the targets that a readout of the iterate alone would show."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Products:
    """Weighted inner products for each layer between the iterate (now), the one before (then), the subject and the targets."""

    now_now: Tensor
    then_then: Tensor
    now_then: Tensor
    now_subject: Tensor
    then_subject: Tensor
    now_target: Tensor
    then_target: Tensor
    target_target: Tensor


def coefficients(p: Products) -> tuple[Float[Tensor, "*option layer"], Float[Tensor, "*option layer"]]:
    """The coefficients of the best mix of an iterate and the one before it at each layer; see `mixture`.

    The second coefficient is 0 where the two iterates are parallel.
    """
    now, then, both = torch.broadcast_tensors(p.now_now, p.then_then, p.now_then)
    determinant = now * then - both.square()
    apart = determinant > 1e-9 * now * then
    safe = torch.where(apart, determinant, torch.ones_like(determinant))
    positive = now.clamp(min=1e-300)
    alone = torch.where(now > 0, p.now_subject / positive, torch.zeros_like(now))
    first = torch.where(apart, (then * p.now_subject - both * p.then_subject) / safe, alone)
    second = torch.where(apart, (now * p.then_subject - both * p.now_subject) / safe, torch.zeros_like(safe))
    shown = first * p.now_target + second * p.then_target
    hidden = (now > SMALL * p.target_target) & (shown < SHOWN * p.now_target.square() / positive)
    first = torch.where(hidden, p.now_target / positive, first)
    second = torch.where(hidden, torch.zeros_like(second), second)
    first[..., -1], second[..., -1] = 1.0, 0.0
    return first, second


def mixture(
    subject: Float[Tensor, "layer batch query"],
    path: Float[Tensor, "*option layer batch query"],
    before: Float[Tensor, "*option layer batch query"],
    targets: Float[Tensor, "batch query"],
    units: Float[Tensor, "layer batch"],
) -> Callable[[Tensor, Tensor], Tensor]:
    """The best mix of an iterate and the one before it at each layer, as a function of both.

    A readout that was fitted to the labels reads whatever part of the state predicts them best: it scales up a layer that has
    taken one small step, and where the state also holds the last step, it extrapolates along that step. At the last layer
    the subject gives its own answer, which is compared with the iterate itself.

    The mix is chosen to come close to the subject, but not freely, since a fitted readout would read an iterate that predicts
    the targets. If the best mix shows hardly any of what the iterate predicts (`SHOWN`), the layer does not hold the iterate;
    it is then compared with what a readout of the iterate alone would read. Otherwise every candidate would match a layer
    that holds nothing, with gain 0.

    Args:
        subject: the subject's answers.
        path, before: the candidate's iterates, and those one step earlier.
        targets: the targets that readouts are fitted to.
        units: the divisors of squared errors.
    """
    weight = 1 / units[..., None]

    def total(left: Tensor, right: Tensor) -> Tensor:
        return torch.nan_to_num(left * right * weight, posinf=0, neginf=0).sum((-1, -2))

    now, then = coefficients(
        Products(
            now_now=total(path, path),
            then_then=total(before, before),
            now_then=total(path, before),
            now_subject=total(path, subject),
            then_subject=total(before, subject),
            now_target=total(path, targets),
            then_target=total(before, targets),
            target_target=total(targets, targets),
        )
    )
    return lambda path, before: now[..., None, None] * path + then[..., None, None] * before

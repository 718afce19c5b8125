"""What a readout that was fitted to the labels makes of a candidate's state."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

SMALL = 0.1
"""An iterate below this share of the target's variance may be lost in a stream's noise, and is not asked for."""
SHOWN = 0.25
"""The part of the targets that a readout shows must be at least this share of what a readout of the iterate alone would."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Products:
    """Weighted inner products, for each layer, of the iterate (now), the one before (then), the subject and the targets."""

    now_now: Tensor
    then_then: Tensor
    now_then: Tensor
    now_subject: Tensor
    then_subject: Tensor
    now_target: Tensor
    then_target: Tensor
    target_target: Tensor


def coefficients(p: Products) -> tuple[Float[Tensor, "*option layer"], Float[Tensor, "*option layer"]]:
    """The best mix of an iterate and the one before it at each layer; see `mixture`.

    The second is 0 where the two iterates are one.
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

    A readout that was fitted to the labels reads whatever of the state says most about them: it rescales a layer that has taken
    one small step, and where the state holds the last step too, it goes further along it. The last layer is what
    the subject answers; there the iterate stands alone.

    The mix is chosen to come near the subject, but not freely: an iterate that says something of the targets would be read.
    Where the mix would show hardly any of that (`SHOWN`), the layer does not hold the iterate, and it is compared with what a
    readout of the iterate alone would say. Otherwise a layer that holds nothing would be matched by any candidate, at gain 0.

    Args:
        subject: its answers.
        path, before: the candidate's iterates, and those a step earlier.
        targets: what readouts are fitted to.
        units: what squared errors are divided by.
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

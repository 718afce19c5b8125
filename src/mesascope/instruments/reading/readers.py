"""Linear readouts of one residual stream, for any number of targets, that are not misled by noise in the stream.

Least squares from a noisy stream prefers what is free of noise to what is right: it reads a mixture of other things that
resemble the target. So the covariance of the noise is measured, by asking the same prompts twice, and taken from the stream's own
(errors in variables). What is then read contains the target as often as the stream does, with the stream's noise.

Source: Fuller 1987, section 2.2 (regression with a known error covariance).
Departs from source: directions that are all but noise are bounded (`NOISIEST`).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

NEGLIGIBLE = 1e-6
"""Directions of a stream that vary by less than this, as a share of the direction that varies most, are rounding."""
MOST_DIRECTIONS = 256
"""Of a wider stream, the directions that vary most."""
QUIET, NOISIEST = 2e-3, 0.9
"""The share of noise in a direction's variance below which it counts as none (a prompt is asked again with queries that are
moved a little, which makes a little difference too), and above which it counts as this."""

Rows = Float[Tensor, "batch query width"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reader:
    """A stream on some prompts, decomposed once, so that a readout for a target costs two products.

    Attributes:
        root: the weight of each prompt's rows: errors are multiplied by it.
        basis: orthonormal directions of the weighted rows of the stream, and of a constant.
        turn: from the stream's coordinates, and the constant, to those directions.
        gains: 1/(1 − c), with c the share of noise in each direction.
    """

    root: Float[Tensor, "batch 1"]
    basis: Float[Tensor, "row direction"]
    turn: Float[Tensor, "feature direction"]
    gains: Float[Tensor, " direction"]

    @classmethod
    def of(cls, stream: Rows, root: Float[Tensor, "batch 1"], noise: Float[Tensor, "width width"]) -> "Reader":
        """The reader of a stream; ``noise`` is the covariance of the noise in its weighted rows (see `noise_of`)."""
        rows = (_features(stream) * root[..., None]).flatten(0, 1)
        left, spread, right = torch.linalg.svd(rows, full_matrices=False)
        kept = (spread > NEGLIGIBLE * spread[0]).nonzero()[:MOST_DIRECTIONS, 0]
        turn = right[kept].T / spread[kept]
        padded = torch.nn.functional.pad(noise, (0, 1, 0, 1))
        shares, axes = torch.linalg.eigh(len(rows) * turn.T @ padded @ turn)
        shares = torch.where(shares > QUIET, shares.clamp(max=NOISIEST), 0.0)
        return cls(root=root, basis=left[:, kept] @ axes, turn=turn @ axes, gains=1 / (1 - shares))

    def found(self, targets: Float[Tensor, "*any batch query"]) -> Float[Tensor, "*any direction"]:
        """How much of each target every direction holds, noise apart."""
        return (targets * self.root).flatten(-2) @ self.basis

    def read(self, found: Float[Tensor, "*any direction"], stream: Rows) -> Float[Tensor, "*any batch query"]:
        """What the readouts for some targets read from another stream; ``found`` is what this one holds of them."""
        readouts = self.turn @ (found * self.gains)[..., None]
        return (_features(stream) @ readouts[..., None, :, :])[..., 0]


def noise_of(first: Rows, second: Rows, root: Float[Tensor, "batch 1"]) -> Float[Tensor, "width width"]:
    """The covariance of the noise in a stream's weighted rows, from the same prompts asked twice."""
    change = ((second.double() - first.double()).nan_to_num(posinf=0.0, neginf=0.0) * root[..., None]).flatten(0, 1)
    return change.T @ change / (2 * len(change))


def _features(stream: Rows) -> Float[Tensor, "batch query feature"]:
    return torch.nn.functional.pad(stream.double().cpu(), (0, 1), value=1.0).nan_to_num(posinf=0.0, neginf=0.0)

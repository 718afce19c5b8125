"""What is no candidate and looks like one: a path of ridge solutions whose λ falls from layer to layer.

Early stopping resembles ridge, and gradient descent at doubling steps (Newton–Schulz) resembles a λ that falls geometrically:
a subject that solves a ridge problem at every layer, and iterates nothing, comes within the 2 % that a remainder may have.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.identification.fitting import Runner, mixture
from mesascope.instruments.identification.scoring import discrepancy

RIDGES = torch.logspace(-6, 4, 240, dtype=torch.float64)
"""λ/n to choose from: neighbours differ by a tenth, which is a thousandth of a prediction's variance at most."""


def ridge_path(
    fitting: Runner, scoring: Runner, subject: Float[Tensor, "layer batch query"], *, gains: bool
) -> Float[Tensor, "layer other query"]:
    """Ridge solutions on the scoring half, at the λ of each layer that describes the subject best on the fitting half.

    Args:
        fitting, scoring: the two halves.
        subject: its answers on the fitting half.
        gains: whether one factor a layer is fitted too, as it is for the candidates.
    """
    there, here = (
        half.channels.predictions(half.channels.eigenvalues / (half.channels.eigenvalues + RIDGES[:, None, None]))
        for half in (fitting, scoring)
    )
    variance = fitting.prompts.target_variance
    if gains:
        wide = there[:, None].expand(-1, len(subject), -1, -1)
        read = mixture(subject, wide, torch.zeros_like(wide), variance)
        there, here = (read(each[:, None], torch.zeros_like(each[:, None])) for each in (there, here))
    else:
        there, here = there[:, None].expand(-1, len(subject), -1, -1), here[:, None].expand(-1, len(subject), -1, -1)
    best = torch.stack([discrepancy(subject, path, variance).mean(-1) for path in there]).argmin(0)
    return here[best, torch.arange(len(subject))]

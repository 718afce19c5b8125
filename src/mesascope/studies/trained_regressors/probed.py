"""What several studies probe networks for: names of targets, of quantities, of controls, and of the last sub-layer."""

from collections.abc import Mapping

from mesascope.instruments.asking.applicability import latent_weights
from mesascope.instruments.reading import probes
from mesascope.types import Site

W, MOMENT, ANSWER = "w", "Xᵀy/n", "w·x_q"
TARGETS: Mapping[str, probes.Target] = {W: latent_weights, MOMENT: probes.moment, ANSWER: probes.answer}
COSINE, R2 = probes.COSINE.name, probes.R2.name
ALONE, UNTRAINED = "Xᵀy alone", "untrained network"
"""Controls: a probe that sees Xᵀy and no network, and the network without its training."""


def last(layers: int) -> str:
    """The site after the last sub-layer of a network."""
    return str(Site(layer=layers - 1, kind="resid_post"))

"""Which share of each eigen-direction the answers resolve: rules and the picture, for studies that compare networks by it."""

from collections.abc import Sequence

from mesascope.instruments.spectral import spectrum
from mesascope.studies.networks import SEEN
from mesascope.studies.pictures import lines, only, rows
from mesascope.studies.rules import Where, where
from mesascope.types import Figure, Measurement

RESPONSE = "response"
KNOTS = [e for e in spectrum.grid().tolist() if SEEN[0] <= e <= SEEN[1]]
"""The eigenvalues of XᵀX/n that training prompts have."""


def resolved(network: str) -> Where:
    """The share that a two-layer network's answer resolves, at every eigenvalue that training prompts have."""
    return where(RESPONSE, network=network, layer=2, eigenvalue=KNOTS)


def responses(found: Sequence[Measurement], name: str, section: str) -> Figure:
    """The share that each network's answer resolves, by eigenvalue."""
    last = [m for m in only(found, quantity=RESPONSE) if m.coordinates["layer"] == m.coordinates["layers"]]
    return lines(
        name=name,
        section=section,
        title="Which share of each eigen-direction of XᵀX/n the answer has resolved",
        caption="Spectral response after the last layer, on prompts with prescribed spectra; 1 is least squares. Training "
        f"prompts have eigenvalues of about {SEEN[0]:g} to {SEEN[1]:g}, and the claims are about those. Beside each number "
        "stands the largest error of the same regression on planted gradient descent.",
        rows=rows(last, RESPONSE, "share resolved", network="network", eigenvalue="eigenvalue"),
        x="eigenvalue",
        y="share resolved",
        series="network",
        titles={"eigenvalue": "eigenvalue of XᵀX/n"},
        log=("x",),
    )

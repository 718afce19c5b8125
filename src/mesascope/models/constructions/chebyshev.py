"""Chebyshev iteration: one linear-attention layer per step, with different coefficients in every layer."""

import functools
import math

from mesascope.algorithms import ChebyshevIteration
from mesascope.models.constructions.holding import Holding, label_and_velocity
from mesascope.models.constructions.momentum import momentum_network
from mesascope.models.constructions.network import Construction, check_depth


def chebyshev_iteration(*, layers: int = 8, smallest: float = 0.2, largest: float = 3.0) -> Construction:
    """k layers of linear attention that take k steps of Chebyshev iteration for one interval of eigenvalues.

    Channels: ``x``; ``label``, which holds an example's residual y − wᵀx and, at a query, minus its answer;
    ``velocity``, the number ⟨x, v⟩ by which the last step moved the answer; ``one``, a constant. Every layer has
    heavy ball's two heads (see `momentum`), scaled by α_k and β_k, which depend on the layer and not on the prompt.

    Args:
        layers: number of layers, one per step.
        smallest, largest: the interval (μ, L) of eigenvalues of XᵀX/n for which the coefficients are computed.

    Raises:
        ValueError: layers outside 1 to 1000, or bounds that are not an interval of eigenvalues.

    Source: own, after von Oswald et al. 2023, Proposition 1; the coefficients are Saad 2003, algorithm 12.1.
    """
    check_depth("layers", layers)
    if not (0 <= smallest <= largest and 0 < largest < math.inf):
        raise ValueError(
            f"smallest and largest must satisfy 0 <= smallest <= largest and 0 < largest; got {smallest} and {largest}. "
            "They bound the eigenvalues of XᵀX/n."
        )
    build = functools.partial(momentum_network, coefficients=_coefficients(layers, smallest, largest))
    return Construction(
        name="chebyshev-iteration",
        algorithm="chebyshev-iteration",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="own, after von Oswald et al. 2023, Proposition 1; Saad 2003, algorithm 12.1",
        build=build,
        options={"layers": layers, "smallest": smallest, "largest": largest},
        holds=Holding(
            algorithm=lambda _: ChebyshevIteration(bounds=(smallest, largest)),
            variables=("position", "velocity"),
            values=label_and_velocity,
        ),
    )


def _coefficients(layers: int, smallest: float, largest: float) -> tuple[tuple[float, float, float], ...]:
    """α_k = ω_k/θ and β_k = ω_k − 1 with ω_k = (1+ρ²)(1+ρ²ᵏ)/(1+ρ²ᵏ⁺²), which solves Saad's recurrence; ω_0 = 1.

    The recurrence itself, ω_k = 1/(1 − σ²ω_{k−1}/4), loses digits if μ/L is small.
    """
    centre = (largest + smallest) / 2
    rho = (math.sqrt(largest) - math.sqrt(smallest)) / (math.sqrt(largest) + math.sqrt(smallest))
    later = [(1 + rho**2) * (1 + rho ** (2 * k)) / (1 + rho ** (2 * k + 2)) for k in range(1, layers)]
    return tuple((omega / centre, omega - 1, 0.0) for omega in (1.0, *later))

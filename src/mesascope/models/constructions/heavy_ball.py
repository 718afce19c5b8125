"""Polyak's heavy ball: one linear-attention layer per step."""

import functools

from mesascope.algorithms import HeavyBall
from mesascope.models.constructions.holding import Holding, label_and_velocity
from mesascope.models.constructions.momentum import momentum_network
from mesascope.models.constructions.network import Construction, check_depth
from mesascope.models.constructions.options import check_momentum, check_step_size


def heavy_ball(*, layers: int = 8, step_size: float = 0.25, momentum: float = 0.4) -> Construction:
    """k layers of linear attention that take k heavy-ball steps from w = v = 0.

    Channels: ``x``; ``label``, which holds an example's residual y − wᵀx and, at a query, minus its answer;
    ``velocity``, the number ⟨x, v⟩ by which the last step moved the answer; ``one``, the constant that a head needs
    to multiply a token's own velocity by β. Every layer has the same two heads (see `momentum`).

    Args:
        layers: number of layers, one per step.
        step_size: α, for the mean gradient Xᵀ(Xw − y)/n.
        momentum: β.

    Raises:
        ValueError: layers outside 1 to 1000, a step size that is not a finite number above 0, or a momentum outside
            0 to below 1.

    Source: own, after von Oswald et al. 2023, Proposition 1; the method is Polyak 1964, section 3.
    """
    check_depth("layers", layers)
    check_step_size(step_size)
    check_momentum(momentum)
    return Construction(
        name="heavy-ball",
        algorithm="heavy-ball",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="own, after von Oswald et al. 2023, Proposition 1; Polyak 1964, section 3",
        build=functools.partial(momentum_network, coefficients=((step_size, momentum, 0.0),) * layers),
        options={"layers": layers, "step_size": step_size, "momentum": momentum},
        holds=Holding(
            algorithm=lambda _: HeavyBall(step_size=step_size, momentum=momentum),
            variables=("position", "velocity"),
            values=label_and_velocity,
        ),
    )

"""Nesterov's accelerated gradient: one linear-attention layer per step."""

import functools

from mesascope.algorithms import Nesterov
from mesascope.models.constructions.holding import Holding, label_and_velocity
from mesascope.models.constructions.momentum import momentum_network
from mesascope.models.constructions.network import Construction, check_depth
from mesascope.models.constructions.options import check_momentum, check_step_size


def nesterov(*, layers: int = 8, step_size: float = 0.25, momentum: float = 0.4) -> Construction:
    """k layers of linear attention that take k accelerated steps from w = v = 0.

    Channels: ``x``; ``label``, which holds an example's residual y − wᵀx and, at a query, minus its answer;
    ``velocity``, the number ⟨x, v⟩ by which the last step moved the answer; ``one``, a constant. The value that is
    summed is label − β·velocity, the residual at the point where the gradient is taken: this is the only difference from heavy
    ball (see `momentum`).

    Args:
        layers: number of layers, one per step.
        step_size: α, for the mean gradient Xᵀ(Xw − y)/n.
        momentum: β, which is also the extrapolation γ.

    Raises:
        ValueError: layers outside 1 to 1000, a step size that is not a finite number above 0, or a momentum outside
            0 to below 1.

    Source: own, after von Oswald et al. 2023, Proposition 1; the method is Nesterov 2004, scheme 2.2.11.
    """
    check_depth("layers", layers)
    check_step_size(step_size)
    check_momentum(momentum)
    return Construction(
        name="nesterov",
        algorithm="nesterov",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="own, after von Oswald et al. 2023, Proposition 1; Nesterov 2004, scheme 2.2.11",
        build=functools.partial(momentum_network, coefficients=((step_size, momentum, momentum),) * layers),
        options={"layers": layers, "step_size": step_size, "momentum": momentum},
        holds=Holding(
            algorithm=lambda _: Nesterov(step_size=step_size, momentum=momentum),
            variables=("position", "velocity"),
            values=label_and_velocity,
        ),
    )

"""One training step of a layer's gain, with the layer's gradient from automatic differentiation."""

from collections.abc import Iterator

import torch
from torch import Tensor

from mesascope.models.constructions import gradient_descent
from mesascope.models.constructions.network import embedded, forward
from mesascope.theory.running.reading import Reading, Rebuilding, draw
from mesascope.theory.statements.gains import trained_step

PROMPTS, EXAMPLES, RATE = 32, 4, 0.125
GAINS = (0.25, 1.0, 2.0)
WRITTEN = "layers.0.heads.0.out"


def gain(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """Half the squared error of one layer with target weight 1, differentiated with respect to its step size."""
    assert not exact, "automatic differentiation works on floats"
    xs = draw((PROMPTS, EXAMPLES, 1), seed, "gain/x", exact)
    one = torch.ones(PROMPTS, 1, 1, dtype=torch.float64)
    curvature = (xs[..., 0] ** 2).sum(1)
    for size in GAINS:
        network = change(gradient_descent(layers=1, step_size=size)).build(1)
        state, stream = network.state_dict(), embedded(network, xs, xs[..., :1], one)

        def loss(learnt: Tensor, network=network, state=state, stream=stream, size=size) -> Tensor:
            weights = {**state, WRITTEN: state[WRITTEN] * (learnt / size)}
            after = forward(network.with_weights(weights), stream, EXAMPLES)
            return (-after[:, EXAMPLES, network.channels.slices["label"]] - 1)[:, 0] ** 2 / 2

        start = torch.tensor(size, dtype=torch.float64)
        slope = EXAMPLES * torch.autograd.functional.jacobian(loss, start)  # `size` is EXAMPLES · η
        eta = torch.full_like(curvature, size / EXAMPLES)
        values = {"a": curvature, "eta": eta, "tau": torch.full_like(curvature, RATE)}
        for key in ("gain_descent", "gain_grows", "gain_falls"):
            yield Reading(key=key, values=values, measured={trained_step: eta - RATE * slope})

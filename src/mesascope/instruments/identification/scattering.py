"""Starts for a search over coefficients of every layer, where readouts are fitted and nothing can be found layer by layer.

A middle layer is read at any scale, and may hold the step before beside the iterate. So the coefficients of one layer cannot be
found without those of all others, and the error has many local minima: equal coefficients, at which smaller families end, are
often at the wrong one. A search from one start is short, though, and many starts run at once.
"""

from collections.abc import Sequence

import torch

from mesascope.seeds import generator

LARGEST = 2.5
"""Coefficients of the starts are those of a smaller family times a factor between 1/LARGEST and LARGEST in each layer."""
RANDOM = 4
"""How many starts have factors in random order, and as many falling ones; half as many have rising ones."""


def scattered(values: Sequence[float], layers: int, turn: int) -> list[tuple[float, ...]]:
    """Coefficients around those of one member: falling and rising over the layers, strongly and weakly, and in random order.

    Args:
        values: the member's coefficients, those of one kind for all layers after those of another.
        layers: the number of layers that take a step.
        turn: how often coefficients were scattered before; each time the random ones are others.
    """
    even = torch.linspace(1, -1, layers, dtype=torch.float64)
    rng = generator(0, "identify/scattered", turn)
    drawn = 2 * torch.rand((2 * RANDOM + RANDOM // 2, layers), generator=rng, dtype=torch.float64) - 1
    falling, rising = drawn[RANDOM : 2 * RANDOM].sort(descending=True).values, drawn[2 * RANDOM :].sort().values
    powers = torch.cat([torch.stack([even, -even, even / 2, -even / 2]), drawn[:RANDOM], falling, rising])
    factors = (LARGEST**powers).repeat(1, -(-len(values) // layers))[:, : len(values)]
    return [tuple(row) for row in (torch.tensor(values, dtype=torch.float64) * factors).tolist()]

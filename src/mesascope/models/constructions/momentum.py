"""Gradient descent with momentum, one layer per step: the common network of heavy ball, Nesterov and Chebyshev.

The weights w are never stored: a token holds y − wᵀx (its ``label``) and, instead of the velocity v, the number
⟨x, v⟩ (its ``velocity``). One step, v' = βv − α∇(w + γv), w' = w + v', is then::

    velocity_j' = β velocity_j + α (1/n) Σᵢ ⟨x_j, xᵢ⟩ (label_i − γ velocity_i)
    label_j'    = label_j − velocity_j'

One head computes the sum. A second head computes the multiples of the token's own velocity: its query is that velocity, and
its keys and values are constant. No gate is needed.
"""

from mesascope.models.constructions.heads import own, product
from mesascope.models.constructions.network import Channels, Layer, Weights


def momentum_network(dim: int, *, coefficients: tuple[tuple[float, float, float], ...]) -> Weights:
    """A network with one layer for each (α, β, γ): step size, momentum, extrapolation."""
    channels = Channels(sizes={"x": dim, "label": 1, "velocity": 1, "one": 1})
    label, velocity = channels.read("label"), channels.read("velocity")
    built = {
        (step, keep, ahead): Layer(
            heads=(
                product(channels, label - ahead * velocity, {"velocity": step, "label": -step}),
                *own(channels, "velocity", {"velocity": keep - 1, "label": -keep}),
            )
        )
        for step, keep, ahead in set(coefficients)
    }
    layers = tuple(built[each] for each in coefficients)
    embed = {"x": "x", "label": "label", "one": "one"}
    return Weights(channels=channels, embed=embed, layers=layers, readout=-label[0])

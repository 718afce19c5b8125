"""GD++: gradient descent on inputs that a second head transforms; one linear-attention layer per step."""

import functools

from mesascope.algorithms import GDPlusPlus
from mesascope.models.constructions.heads import product
from mesascope.models.constructions.holding import Holding, transformed
from mesascope.models.constructions.network import Channels, Construction, Layer, Weights, check_depth
from mesascope.models.constructions.options import check_positive, check_step_size


def gd_plus_plus(*, layers: int = 8, step_size: float = 0.25, curvature: float = 0.1) -> Construction:
    """k layers of linear attention that take k steps of GD++ from w = 0.

    Channels: ``x``, a token's input as transformed by the previous layers, T_k x; ``label``, which holds an
    example's residual y − f and, at a query, minus its answer. The first head is gradient descent on the current inputs;
    the second moves them, x_j ← x_j − γ(1/n) Σᵢ ⟨x_j, xᵢ⟩ xᵢ, which shrinks directions with large eigenvalues. In the
    original coordinates, this is gradient descent with a new preconditioner in every layer::

        w ← w − η TᵀT (Sw − b)        T ← (I − γ T S Tᵀ) T        T₀ = I

    Args:
        layers: number of layers, one per step.
        step_size: η.
        curvature: γ. Below 1 over the largest eigenvalue of XᵀX/n, no direction changes its sign.

    Raises:
        ValueError: layers outside 1 to 1000, or a step size or curvature that is not a finite number above 0.

    Source: von Oswald et al. 2023, section 4 and appendix A.10.
    """
    check_depth("layers", layers)
    check_step_size(step_size)
    check_positive("curvature", curvature)
    return Construction(
        name="gd-plus-plus",
        algorithm="gd-plus-plus",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="von Oswald et al. 2023, section 4 and appendix A.10",
        build=functools.partial(_build, layers=layers, step_size=step_size, curvature=curvature),
        options={"layers": layers, "step_size": step_size, "curvature": curvature},
        holds=Holding(
            algorithm=lambda _: GDPlusPlus(step_size=step_size, curvature=curvature),
            variables=("weights", "transform"),
            values=transformed,
        ),
    )


def _build(dim: int, *, layers: int, step_size: float, curvature: float) -> Weights:
    channels = Channels(sizes={"x": dim, "label": 1})
    x, label = channels.read("x"), channels.read("label")
    descend = product(channels, label, {"label": -step_size})
    transform = product(channels, x, {"x": -curvature})
    step = Layer(heads=(descend, transform))
    return Weights(channels=channels, embed={"x": "x", "label": "label"}, layers=(step,) * layers, readout=-label[0])

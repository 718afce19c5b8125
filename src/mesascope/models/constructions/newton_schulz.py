"""Newton–Schulz iteration: one linear-attention layer per step, and one more for the answer."""

import functools

from mesascope.algorithms import NewtonSchulz
from mesascope.models.constructions.heads import own
from mesascope.models.constructions.holding import Holding, inverse
from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Weights, check_depth
from mesascope.models.constructions.options import check_positive


def newton_schulz(*, iterations: int = 4, scale: float = 0.25) -> Construction:
    """The iteration M ← M(2I − SM) from M₀ = cI, without storing M: a token holds z with cz = Mx.

    Channels: ``x``; ``label`` (0 at a query); ``one``, a constant; ``z``, which starts as x; ``answer``, wᵀx with
    w = Mb. One step is z_j ← 2z_j − c(1/n) Σᵢ ⟨z_j, xᵢ⟩ zᵢ: a head whose values are z, and one head per dimension that
    adds the token's own z. The network runs ``NewtonSchulz(start="identity", scale=c)``.

    The answer is c(1/n) Σᵢ yᵢ ⟨xᵢ, z_j⟩ (M is symmetric), which needs attention and therefore a layer of its own: each layer
    adds the answer for the z at its input and subtracts the previous answer, so the own readout after k + 1 layers is M_k b.
    M₀b is skipped, as in the algorithm: after the first layer the answer is 0.

    Args:
        iterations: number of updates of M, one per layer; one more layer computes the last answer.
        scale: c. It converges if all eigenvalues of cS lie between 0 and 2.

    Raises:
        ValueError: iterations outside 1 to 1000, or a scale that is not a finite number above 0.

    Source: Fu, Chen, Jia & Sharan 2023, section 5 (a transformer can run the iteration), written in z = Mx; Schulz 1933.
    """
    check_depth("iterations", iterations)
    check_positive("scale", scale)
    return Construction(
        name="newton-schulz",
        algorithm="newton-schulz",
        layers=iterations + 1,
        layers_per_step=1,
        layers_to_start=1,
        not_attention="",
        source="after Fu, Chen, Jia & Sharan 2023, section 5; Schulz 1933",
        build=functools.partial(_build, iterations=iterations, scale=scale),
        options={"iterations": iterations, "scale": scale},
        holds=Holding(
            algorithm=lambda _: NewtonSchulz(start="identity", scale=scale),
            variables=("inverse",),
            values=inverse(scale),
        ),
    )


def _build(dim: int, *, iterations: int, scale: float) -> Weights:
    channels = Channels(sizes={"x": dim, "label": 1, "one": 1, "z": dim, "answer": 1})
    x, z = channels.read("x"), channels.read("z")
    update = (Head(query=z, key=x, value=z, out=channels.read("z", -scale).T), *own(channels, "z", {"z": 1.0}))
    answer = (
        Head(query=z, key=x, value=channels.read("label"), out=channels.read("answer", scale).T),
        *own(channels, "answer", {"answer": -1.0}),
    )
    layers = (Layer(heads=update), *[Layer(heads=update + answer)] * (iterations - 1), Layer(heads=answer))
    embed = {"x": "x", "label": "label", "one": "one", "z": "x"}
    return Weights(channels=channels, embed=embed, layers=layers, readout=channels.read("answer")[0])

"""Gradient descent in a kernel's function space: softmax attention, one layer per step."""

import functools

from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Weights, check_depth
from mesascope.models.constructions.options import check_positive, check_step_size


def kernel_gradient_descent(
    *, layers: int = 8, step_size: float = 0.5, temperature: float = 2.0, normalised: int = 1
) -> Construction:
    """k layers of softmax attention that take k steps f ← f + η Σᵢ a(x, xᵢ) (yᵢ − f(xᵢ)) from f = 0.

    Channels: ``x``; ``label``, which holds an example's residual y − f(x) and, at a query, minus its answer. Only the scores
    differ from gradient descent's network.

    If ``normalised`` is 1, a is the softmax of ⟨x, xᵢ⟩/τ over the examples: one step with η = 1 is the Nadaraya–Watson
    smoother, and later steps smooth the residuals (L₂ boosting). Otherwise a = exp(⟨x, xᵢ⟩/τ)/n, and the steps are
    gradient descent on the mean squared error in the function space of that kernel; the limit is kernel ridge at λ = 0.

    Args:
        layers: number of layers, one per step.
        step_size: η. With ``normalised=1``, 1 is safe; otherwise it must be below 2 over the largest eigenvalue of exp(XXᵀ/τ)/n.
        temperature: τ.
        normalised: 1 for softmax rows, 0 for plain exponentials.

    Raises:
        ValueError: layers outside 1 to 1000, a step size or temperature that is not a finite number above 0, or
            normalised neither 0 nor 1.

    Source: Cheng, Chen & Sra 2024, section 3 (functional gradient descent); von Oswald et al. 2023, appendix A.9.
    """
    check_depth("layers", layers)
    check_step_size(step_size)
    check_positive("temperature", temperature)
    if normalised not in (0, 1):
        raise ValueError(f"normalised must be 0 or 1; got {normalised}. Pass 1 for softmax, 0 for plain exponentials.")
    options = {"layers": layers, "step_size": step_size, "temperature": temperature, "normalised": int(normalised)}
    return Construction(
        name="kernel-gradient-descent",
        algorithm="kernel-gradient-descent",
        layers=layers,
        layers_per_step=1,
        not_attention="",
        source="Cheng, Chen & Sra 2024, section 3",
        build=functools.partial(_build, **options),
        options=options,
        holds=None,  # its state is the values of a function, which no reference algorithm has as its state
    )


def _build(dim: int, *, layers: int, step_size: float, temperature: float, normalised: int) -> Weights:
    channels = Channels(sizes={"x": dim, "label": 1})
    x, label = channels.read("x"), channels.read("label")
    head = Head(query=x / temperature, key=x, value=label, out=-step_size * label.T)
    step = Layer(heads=(head,))
    return Weights(
        channels=channels,
        embed={"x": "x", "label": "label"},
        layers=(step,) * layers,
        readout=-label[0],
        scores="softmax" if normalised else "exponential",
    )

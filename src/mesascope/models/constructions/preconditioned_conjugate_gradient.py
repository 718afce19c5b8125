"""Preconditioned conjugate gradient: two linear-attention layers per iteration, a preconditioner between query and key."""

import dataclasses
import functools

from mesascope.algorithms import PreconditionedConjugateGradient
from mesascope.models.constructions.conjugate_gradient import GATES, conjugate_gradient
from mesascope.models.constructions.holding import VECTORS, Holding, dual
from mesascope.models.constructions.network import Construction, Layer, Weights
from mesascope.models.constructions.options import check_condition
from mesascope.models.constructions.preconditioned_gradient_descent import diagonal


def preconditioned_conjugate_gradient(*, iterations: int = 6, condition: float = 10.0) -> Construction:
    """Conjugate gradient on XᵀXw = Xᵀy with a fixed diagonal preconditioner P, in its dual form.

    Channels: those of `conjugate_gradient`, three of them with another meaning: ``pushed`` is u_j = ⟨x_j, Pr⟩, so that ``su``
    is r·Pr; ``direction`` is v_j = ⟨x_j, p⟩ as before, now with p = Pr + βp. The weights differ in one matrix: W_QᵀW_K = P
    in the layer that applies the kernel to the residual. P is `diagonal` of preconditioned gradient descent.

    Args:
        iterations: number of iterations, two layers each.
        condition: the condition number of P; 1 makes it conjugate gradient.

    Raises:
        ValueError: iterations outside 1 to 1000, or a condition number below 1 or not finite.

    Source: own; Nocedal & Wright 2006, algorithm 5.3, in the dual form.
    """
    check_condition(condition)
    plain = conjugate_gradient(iterations=iterations)
    return Construction(
        name="preconditioned-conjugate-gradient",
        algorithm="preconditioned-conjugate-gradient",
        layers=plain.layers,
        layers_per_step=plain.layers_per_step,
        not_attention=GATES,
        source="own; Nocedal & Wright 2006, algorithm 5.3, in the dual form",
        build=functools.partial(_build, iterations=iterations, condition=condition),
        options={"iterations": iterations, "condition": condition},
        holds=Holding(
            algorithm=lambda dim: PreconditionedConjugateGradient(preconditioner=diagonal(dim, condition)),
            variables=VECTORS,
            values=dual(lambda problem, vector: vector @ diagonal(problem.moment.shape[-1], condition)),
        ),
    )


def _build(dim: int, *, iterations: int, condition: float) -> Weights:
    network = conjugate_gradient(iterations=iterations).build(dim)
    push, step = network.layers[:2]
    (head,) = push.heads
    push = Layer(heads=(dataclasses.replace(head, query=diagonal(dim, condition) @ head.query),), gate=push.gate)
    return dataclasses.replace(network, layers=(push, step) * iterations)

"""The declaration of an algorithm's state in a network: which channel holds which variable.

An algorithm has a state: weights, a velocity, a residual, a direction. A construction declares how its residual stream
holds these after each step, so that the state can be overwritten in the network as in the algorithm.

In the dual form, a vector v of feature space is held as the number ⟨x_j, v⟩ at every token j, including queries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm, State
from mesascope.algorithms.conjugate_gradient import KrylovState
from mesascope.algorithms.first_order import FirstOrderState
from mesascope.algorithms.gd_plus_plus import TransformedState
from mesascope.algorithms.newton import NewtonState
from mesascope.algorithms.problem import Problem

Stream = Mapping[str, Float[Tensor, "batch position _"]]
Reader = Callable[[Problem, State, Stream], Stream]
VECTORS = ("solution", "residual", "direction")
"""The state variables of a conjugate gradient method."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Holding:
    """The state that the residual stream holds after each step of the algorithm, and how.

    Attributes:
        algorithm: the algorithm with the network's coefficients, for an input dimension.
        variables: the fields of the algorithm's state that are held; each of them can be overwritten alone.
        values: the channels' values for a state, given the stream's current channels (some channels hold a vector up to a
            factor that is in another channel). Only the difference between the values of two states has a meaning:
            terms that both share, such as the label in y − wᵀx, may be left out.
        ridge: λ of the problem that the algorithm is run on.
    """

    algorithm: Callable[[int], Algorithm]
    variables: tuple[str, ...]
    values: Reader
    ridge: float = 0.0


def label(problem: Problem, state: State, stream: Stream) -> Stream:
    """First-order methods: y − wᵀx in ``label`` (−wᵀx at a query)."""
    assert isinstance(state, FirstOrderState)
    return {"label": -at_tokens(problem, state.position)}


def label_and_velocity(problem: Problem, state: State, stream: Stream) -> Stream:
    """Methods with momentum: as in `label`, and ⟨x, v⟩ in ``velocity``."""
    assert isinstance(state, FirstOrderState)
    return {**label(problem, state, stream), "velocity": at_tokens(problem, state.velocity)}


def transformed(problem: Problem, state: State, stream: Stream) -> Stream:
    """GD++: y − wᵀx in ``label``, and the transformed inputs Tx in ``x``."""
    assert isinstance(state, TransformedState) and state.weights is not None
    return {"label": -at_tokens(problem, state.weights), "x": tokens(problem) @ state.transform.mT}


def answer(problem: Problem, state: State, stream: Stream) -> Stream:
    """wᵀx in ``answer``, if the rest of the stream does not depend on it or is computed from it."""
    assert state.weights is not None
    return {"answer": at_tokens(problem, state.weights)}


def dual(precondition: Callable[[Problem, Tensor], Tensor]) -> Reader:
    """Conjugate gradient in the dual form: wᵀx in ``answer``, s with Xᵀs/n = r in ``residual``, and in ``direction`` the last
    direction p₋. The field ``direction`` of the algorithm's state is the next direction, Mr + (rᵀMr/su_last) p₋.

    Several s give the same r; the shortest is used. The change of s in the image of X is unique, and any other part of s has
    no effect.
    """

    def values(problem: Problem, state: State, stream: Stream) -> Stream:
        assert isinstance(state, KrylovState)
        xs, _ = problem.data
        s = problem.examples * (torch.linalg.pinv(xs.mT) @ state.residual[..., None])
        last = state.direction - precondition(problem, state.residual)
        return {
            "answer": at_tokens(problem, state.solution),
            "residual": at_examples(problem, s),
            "direction": at_tokens(problem, last) * _quotient(stream["su_last"], state.energy),
        }

    return values


def data_space(ridge: float) -> Reader:
    """Conjugate gradient in data space: wᵀx in ``answer``, r and the last direction p₋ at the examples, and the image
    (K + λ/n)p₋ at every token.
    """

    def values(problem: Problem, state: State, stream: Stream) -> Stream:
        assert isinstance(state, KrylovState)
        xs, _ = problem.data
        last = (state.direction - state.residual)[..., None]
        direction = at_examples(problem, last) * _quotient(stream["rr_last"], state.energy / problem.examples)
        # The image at all tokens of the direction at the examples.
        image = at_tokens(problem, (xs.mT @ direction[:, : problem.examples])[..., 0]) / problem.examples
        return {
            "answer": at_tokens(problem, (state.solution[:, None] @ xs)[:, 0]),
            "residual": at_examples(problem, state.residual[..., None]),
            "direction": direction,
            "image": image + ridge / problem.examples * direction,
        }

    return values


def position(problem: Problem, state: State, stream: Stream) -> Stream:
    """Gradient descent in the primal form: a query holds w, in ``weights``, and its answer."""
    assert isinstance(state, FirstOrderState)
    return at_queries(problem, {"weights": state.position})


def primal(problem: Problem, state: State, stream: Stream) -> Stream:
    """Conjugate gradient in the primal form: a query holds the vectors themselves. Each example solves its own problem."""
    assert isinstance(state, KrylovState)
    vectors = {"weights": state.solution, "residual": state.residual, "direction": state.direction}
    return at_queries(problem, {**vectors, "energy": state.energy[:, None]})


def inverse(scale: float) -> Reader:
    """Newton–Schulz: z with cz = Mx in ``z``, one step ahead of the answer bᵀMx in ``answer``."""

    def values(problem: Problem, state: State, stream: Stream) -> Stream:
        assert isinstance(state, NewtonState)
        ahead = 2 * state.inverse - state.inverse @ problem.gram @ state.inverse
        return {"z": tokens(problem) @ ahead.mT / scale, **answer(problem, state, stream)}

    return values


def tokens(problem: Problem) -> Float[Tensor, "batch position dim"]:
    """The inputs of all tokens."""
    return torch.cat([problem.data[0], problem.queries], 1)


def at_tokens(problem: Problem, vector: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch position 1"]:
    """⟨x_j, v⟩ at every token."""
    return tokens(problem) @ vector[..., None]


def at_examples(problem: Problem, values: Float[Tensor, "batch example 1"]) -> Float[Tensor, "batch position 1"]:
    """Values at the examples, and 0 at the queries."""
    return torch.nn.functional.pad(values, (0, 0, 0, problem.queries.shape[1]))


def at_queries(problem: Problem, held: Mapping[str, Float[Tensor, "batch _"]]) -> Stream:
    """The same vectors at every query, and the query's answer from ``weights``; 0 at the examples."""
    shown, asked = problem.examples, problem.queries.shape[1]
    values = {name: vector[:, None].expand(-1, asked, -1) for name, vector in held.items()}
    values["answer"] = problem.queries @ held["weights"][..., None]
    return {name: torch.nn.functional.pad(value, (0, 0, shown, 0)) for name, value in values.items()}


def _quotient(
    over: Float[Tensor, "batch position 1"], under: Float[Tensor, " batch"]
) -> Float[Tensor, "batch position 1"]:
    """The quotient over/under; 0 if the iteration has ended, so that there is no next direction."""
    under = under[:, None, None].expand_as(over)
    return torch.where(under > 0, over / under, torch.zeros_like(over))

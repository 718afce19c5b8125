"""What an algorithm predicts when a part of its state is overwritten: let it continue, and take the change of its answers."""

import dataclasses

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, DataSpaceConjugateGradient, PreconditionedConjugateGradient, Problem, State
from mesascope.algorithms.algorithm import status_where
from mesascope.algorithms.conjugate_gradient import KrylovState
from mesascope.algorithms.first_order import FirstOrderState
from mesascope.algorithms.gd_plus_plus import TransformedState
from mesascope.algorithms.newton import NewtonState
from mesascope.algorithms.preconditioner import precondition
from mesascope.types import Status


def variables(state: State) -> tuple[str, ...]:
    """The fields of a state from which all its other fields follow; the first is the iterate, if there is one."""
    match state:
        case FirstOrderState():
            return ("position", "velocity")
        case KrylovState():
            return ("solution", "residual", "direction")
        case NewtonState():
            return ("inverse",)
        case TransformedState():
            return ("weights", "transform")
        case _:
            return ("weights",) if state.predictions is None else ("predictions",)


def states(algorithm: Algorithm, problem: Problem, steps: int) -> list[State]:
    """The states after 0, …, ``steps`` steps. Prompts that are solved or have broken down keep their state."""
    found = [algorithm.init(problem)]
    for _ in range(steps):
        found.append(_step(algorithm, problem, found[-1]))
    return found


def overwritten(algorithm: Algorithm, problem: Problem, state: State, **values: Tensor) -> State:
    """The state with some variables replaced, and with the fields that the algorithm computes from them computed anew.

    The gradient is computed from position and velocity, rᵀMr from the residual, and the weights from the iterate. Variables
    that the algorithm updates by a recurrence stay as they are: conjugate gradient never reads its solution again, so a new
    solution leaves residual and direction unchanged.

    Args:
        algorithm: the algorithm that the state belongs to.
        problem: the prompts.
        state: the state to change.
        values: new values, by the names that `variables` returns.

    Raises:
        ValueError: a name is not one of the state's variables.
    """
    known = variables(state)
    if unknown := sorted(values.keys() - set(known)):
        raise ValueError(
            f"a variable of {algorithm.name} must be one of {', '.join(known)}; got {unknown[0]!r}. Overwrite one "
            "of these: the rest of the state follows from them."
        )
    changed = dataclasses.replace(state, **values)
    going = torch.zeros_like(state.status)
    match changed:
        case FirstOrderState(position=position, velocity=velocity):
            ahead = changed.schedule(changed.iteration).extrapolation
            gradient = problem.apply(position + ahead * velocity) - problem.moment
            return dataclasses.replace(changed, status=going, weights=position, gradient=gradient)
        case KrylovState(solution=solution, residual=residual):
            image = residual
            if isinstance(algorithm, PreconditionedConjugateGradient):
                image = precondition(algorithm.preconditioner, problem, residual)
            weights = solution
            if isinstance(algorithm, DataSpaceConjugateGradient):
                weights = (solution[:, None] @ problem.data[0])[:, 0]
            solved = status_where((residual == 0).all(-1), Status.SOLVED)
            return dataclasses.replace(changed, status=solved, weights=weights, energy=(residual * image).sum(-1))
        case NewtonState(inverse=inverse):
            return dataclasses.replace(changed, status=going, weights=(inverse @ problem.moment[..., None])[..., 0])
        case TransformedState():
            return dataclasses.replace(changed, status=going)
        case _:
            return changed


def predicted_change(
    algorithm: Algorithm, problem: Problem, before: State, after: State, steps: int
) -> Float[Tensor, "batch query"]:
    """The change of the answers, ``steps`` steps later, if the algorithm continues from ``after`` in place of ``before``."""
    for _ in range(steps):
        before, after = _step(algorithm, problem, before), _step(algorithm, problem, after)
    return answers(problem, after) - answers(problem, before)


def answers(problem: Problem, state: State) -> Float[Tensor, "batch query"]:
    """The answers of a state at the queries."""
    if state.predictions is not None:
        return state.predictions
    assert state.weights is not None, "a state holds weights or predictions"
    return (problem.queries @ state.weights[..., None])[..., 0]


def _step(algorithm: Algorithm, problem: Problem, state: State) -> State:
    """One step, in which prompts that have ended keep their state.

    `run` settles such prompts at the end; here the states of later steps must be right too.
    """
    after = algorithm.step(problem, state)
    ended = state.status != Status.OK
    held = ended | (after.status == Status.BREAKDOWN)
    if not bool(held.any()):
        return after
    fields = {f.name: (getattr(state, f.name), getattr(after, f.name)) for f in dataclasses.fields(state)}
    kept = {
        name: torch.where(held.view(-1, *[1] * (old.ndim - 1)), old, new)
        for name, (old, new) in fields.items()
        if isinstance(old, Tensor)
    }
    kept["status"] = torch.where(ended, state.status, after.status)
    return dataclasses.replace(after, **kept)

"""What an algorithm predicts: overwrite a part of its state, let it go on, and take the change of its answers."""

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
    """The fields of a state from which everything else in it follows; the first is the iterate where there is one."""
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
    """The states after 0, …, ``steps`` steps. A prompt that is solved or broken down stays where it is."""
    found = [algorithm.init(problem)]
    for _ in range(steps):
        found.append(_step(algorithm, problem, found[-1]))
    return found


def overwritten(algorithm: Algorithm, problem: Problem, state: State, **values: Tensor) -> State:
    """The state with some of its variables replaced, and with what its algorithm computes from them when it needs it.

    So the gradient follows the position and the velocity, rᵀMr the residual, and the weights the iterate. A variable that
    the algorithm carries along by a recurrence follows nothing: conjugate gradient never looks at its solution again, so
    one put in from elsewhere leaves residual and direction as they were.

    Args:
        algorithm: whose state it is.
        problem: the prompts.
        state: where to start from.
        values: new values, by the names that `variables` gives.

    Raises:
        ValueError: a name that is none of the state's variables.
    """
    known = variables(state)
    if unknown := sorted(values.keys() - set(known)):
        raise ValueError(
            f"a variable of {algorithm.name} must be one of {', '.join(known)}; got {unknown[0]!r}. The rest of its "
            "state follows from these."
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
    """How the answers at the queries differ if so many steps on it goes on from ``after`` in place of ``before``."""
    for _ in range(steps):
        before, after = _step(algorithm, problem, before), _step(algorithm, problem, after)
    return answers(problem, after) - answers(problem, before)


def answers(problem: Problem, state: State) -> Float[Tensor, "batch query"]:
    """What a state answers at the queries."""
    if state.predictions is not None:
        return state.predictions
    assert state.weights is not None, "a state holds weights or predictions"
    return (problem.queries @ state.weights[..., None])[..., 0]


def _step(algorithm: Algorithm, problem: Problem, state: State) -> State:
    """A step for the prompts that go on: `run` settles them at the end, and here the steps after must stay sound too."""
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

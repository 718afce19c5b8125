"""Every algorithm keeps its promises, and one that breaks a promise is told which."""

import dataclasses

import pytest
import torch

from mesascope.algorithms import (
    ALL,
    Algorithm,
    ConjugateGradient,
    GradientDescent,
    HeavyBall,
    KernelRidge,
    NewtonSchulz,
    PreconditionedGradientDescent,
    State,
)
from mesascope.tasks import LinearRegression
from mesascope.testing import check_algorithm
from mesascope.types import Status

MATRIX = torch.diag(torch.tensor([0.2, 1.0, 0.5, 0.3], dtype=torch.float64))


@pytest.mark.parametrize("member", ALL, ids=lambda m: m.name)
def test_every_algorithm_keeps_its_promises(member):
    check_algorithm(member)


@pytest.mark.parametrize(
    "member",
    [
        GradientDescent(step_size=0.1),
        HeavyBall(step_size=0.1, momentum=0.3),
        NewtonSchulz(start="identity"),
        KernelRidge(ridge=0.0),
        PreconditionedGradientDescent(step_size=0.1, preconditioner=MATRIX),
    ],
    ids=lambda m: m.name,
)
def test_configured_algorithms_keep_their_promises(member):
    check_algorithm(member)


@pytest.mark.parametrize(("dim", "examples"), [(1, 5), (6, 30)])
def test_algorithms_are_checked_on_a_task_of_ones_own(dim, examples):
    check_algorithm(ConjugateGradient, LinearRegression(dim=dim, examples=examples, noise=0.1), seed=5)


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Counting(State):
    steps: int = 0


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Descent(Algorithm):
    """Gradient descent. Every broken algorithm changes one thing in it."""

    name = "descent"
    implies = frozenset({"additive", "homogeneous", "rotation", "permutation"})

    def init(self, problem):
        return self.state(problem, torch.zeros_like(problem.moment), 0)

    def step(self, problem, state):
        gradient = problem.apply(state.weights) - problem.moment
        return self.state(problem, self.move(problem, state.weights, gradient, state.steps), state.steps + 1)

    def move(self, problem, weights, gradient, steps):
        return weights - 0.1 * gradient

    def state(self, problem, weights, steps):
        status = torch.zeros(len(problem), dtype=torch.long)
        return Counting(status=status, weights=weights, steps=steps)


def member(**changes):
    """A broken descent: a frozen dataclass with other methods."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(type("Broken", (Descent,), changes))


def own(move):
    return member(move=move)


class Plain(Descent):
    pass


def remembers():
    calls = []

    def move(self, problem, weights, gradient, steps):
        calls.append(0)
        return weights - 0.001 * len(calls) * gradient

    return own(move)


def writes(self, problem):
    problem.ys.add_(1)
    return Descent.init(self, problem)


def picky(self, problem, weights, gradient, steps):
    # Cholesky raises for the whole batch where one prompt is singular.
    return torch.cholesky_solve(problem.moment[..., None], torch.linalg.cholesky(problem.gram))[..., 0]


def restless(self, problem, weights, steps):
    stopped = torch.full((len(problem),), int(Status.DIVERGED if steps == 2 else Status.OK))
    return Counting(status=stopped, weights=weights, steps=steps)


def unheard_of(self, problem, weights, steps):
    return Counting(status=torch.full((len(problem),), 9), weights=weights, steps=steps)


def centred(self, problem, state):
    """The first step of descent, its answers less their mean over a prompt's queries."""
    found = (problem.queries @ problem.moment[..., None])[..., 0]
    return Counting(status=state.status, predictions=found - found.mean(-1, keepdim=True))


def nothing(self, problem):
    return Counting(status=torch.zeros(len(problem), dtype=torch.long), predictions=0 * problem.queries[..., 0])


def hidden_nan(self, problem, weights, steps):
    """A singular prompt has broken down at the start, it says, where its answers are not numbers."""
    singular = (problem.gram == 0).all(-1).all(-1)
    status = torch.where(singular, int(Status.BREAKDOWN), 0)
    return Counting(status=status, weights=weights / ~singular[:, None], steps=steps)


BROKEN_ALGORITHMS = {
    "no dataclass": (Plain, "it is a frozen dataclass"),
    "name in capitals": (member(name="My Descent"), "its name is in kebab-case"),
    "unknown invariance": (member(implies=frozenset({"scale"})), "implies is a frozenset of invariances"),
    "implies as a list": (member(implies=["rotation"]), "implies is a frozenset of invariances"),
    "not an algorithm": (int, "it is an Algorithm"),
    "cannot be made": (
        dataclasses.make_dataclass("Broken", [("rate", float)], bases=(Descent,), frozen=True, kw_only=True),
        "it can be made",
    ),
    "raises": (own(lambda *_: 1 / 0), "works on ordinary prompts"),
    "starts elsewhere": (
        member(init=lambda self, p: self.state(p, torch.ones_like(p.moment), 0)),
        "iterate 0 is the zero predictor",
    ),
    "one state for all": (own(lambda self, p, w, g, k: (w - 0.1 * g)[:1]), "a state holds weights"),
    "always double": (own(lambda self, p, w, g, k: (w - 0.1 * g).double()), "a state holds weights"),
    "no status": (member(state=lambda self, p, w, k: Counting(status=torch.zeros(()), weights=w)), "a state holds"),
    "always NaN": (own(lambda self, p, w, g, k: w * float("nan")), "well-conditioned prompts end well"),
    "unknown status": (member(state=unheard_of), "the status is correct"),
    "stops for nothing": (member(state=restless), "well-conditioned prompts end well"),
    "has a memory": (remembers(), "running again gives the same numbers"),
    "batch mean": (own(lambda self, p, w, g, k: w - 0.1 * g.mean(0)), "does not depend on the other prompts"),
    "queries centred": (member(init=nothing, step=centred), "never from another query"),
    "another answer in single precision": (
        own(lambda self, p, w, g, k: w - (0.1 if w.dtype == torch.float64 else 0.11) * g),
        "single precision agrees with double",
    ),
    "writes into prompts": (member(init=writes), "a run does not change the prompts"),
    "not additive": (own(lambda self, p, w, g, k: w - g * g.norm(dim=-1, keepdim=True)), "invariances that it implies"),
    "not homogeneous": (own(lambda self, p, w, g, k: w - g.sign()), "invariances that it implies"),
    "not rotation": (own(lambda self, p, w, g, k: w - g * torch.arange(4)), "invariances that it implies"),
    "not permutation": (own(lambda self, p, w, g, k: w + p.xs[:, 0] * p.ys[:, :1]), "invariances that it implies"),
    "singular raises": (own(picky), "degenerate prompts raise no exception"),
    "NaN under another status": (member(state=hidden_nan), "the status is correct"),
}


@pytest.mark.parametrize("case", BROKEN_ALGORITHMS)
def test_a_broken_algorithm_is_told_which_promise_it_breaks(case, unchecked, caught, promises):
    algorithm, promise = BROKEN_ALGORITHMS[case]
    assert promise in promises(caught(check_algorithm, algorithm))


def test_the_algorithm_that_the_broken_ones_change_passes(unchecked):
    check_algorithm(Descent)
    check_algorithm(member())


def test_the_invariance_that_is_broken_is_named(unchecked, caught):
    for name in ("additive", "homogeneous", "rotation", "permutation"):
        text = str(caught(check_algorithm, BROKEN_ALGORITHMS[f"not {name}"][0]))
        assert name in text

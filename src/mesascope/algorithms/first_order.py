"""First-order methods: each is a schedule of coefficients for one common stepper.

The stepper has velocity v and preconditioner P, and starts from w = v = 0::

    v' = β v − α P ∇(w + γ v)        ∇(w) = S w − b
    w' = w + v'
"""

import abc
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple, final

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.algorithms.algorithm import (
    INVARIANCES,
    Algorithm,
    Invariance,
    State,
    as_numbers,
    initial_status,
    status_where,
)
from mesascope.algorithms.preconditioner import (
    Preconditioner,
    check_preconditioner,
    precondition,
    preconditioned_bounds,
    singular,
)
from mesascope.algorithms.problem import Problem
from mesascope.types import Status

PerPrompt = float | Float[Tensor, "batch 1"] | Float[Tensor, "1 1"]
PerStep = PerPrompt | tuple[PerPrompt, ...]
"""A coefficient that is the same at every step, or a tuple with one per step. Steps after the last of the tuple repeat it."""


class Coefficients(NamedTuple):
    """The coefficients of one step: one number for all prompts, or one per prompt.

    Attributes:
        step_size: α.
        momentum: β.
        extrapolation: γ; the gradient is taken at w + γ v.
    """

    step_size: PerPrompt
    momentum: PerPrompt = 0.0
    extrapolation: PerPrompt = 0.0


Schedule = Callable[[int], Coefficients]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FirstOrderState(State):
    """The state of the stepper.

    Attributes:
        iteration: number of steps taken.
        position: w.
        velocity: v.
        gradient: ∇ at the point where the next step takes it.
        schedule: coefficients by iteration.
    """

    iteration: int
    position: Float[Tensor, "batch dim"]
    velocity: Float[Tensor, "batch dim"]
    gradient: Float[Tensor, "batch dim"]
    schedule: Schedule


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FirstOrder(Algorithm):
    """The stepper. Subclasses define their schedule, and a preconditioner if they have one."""

    @abc.abstractmethod
    def schedule(self, problem: Problem) -> Schedule:
        """The coefficients of every step, by the number of steps taken before it."""

    def precondition(self, problem: Problem, gradient: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        """P g; the gradient itself unless a subclass overrides this."""
        return gradient

    def broken(self, problem: Problem) -> Bool[Tensor, " batch"] | None:
        """Prompts on which the method divides by zero; none unless a subclass overrides this."""
        return None

    def init(self, problem: Problem) -> FirstOrderState:
        zero = torch.zeros_like(problem.moment)
        return FirstOrderState(
            status=initial_status(problem),
            weights=zero,
            iteration=0,
            position=zero,
            velocity=zero,
            gradient=-problem.moment,
            schedule=self.schedule(problem),
        )

    def step(self, problem: Problem, state: FirstOrderState) -> FirstOrderState:
        alpha, beta, _ = state.schedule(state.iteration)
        velocity = beta * state.velocity - alpha * self.precondition(problem, state.gradient)
        position = state.position + velocity
        ahead = state.schedule(state.iteration + 1)
        gradient = problem.apply(position + ahead.extrapolation * velocity) - problem.moment
        # A point is a solution only if the method stays there: with momentum it can pass through a zero of the gradient.
        status = status_where(((gradient == 0) & (ahead.momentum * velocity == 0)).all(-1), Status.SOLVED)
        broken = self.broken(problem)
        if broken is not None:
            status = torch.maximum(status, status_where(broken, Status.BREAKDOWN))
        return FirstOrderState(
            status=status,
            weights=position,
            iteration=state.iteration + 1,
            position=position,
            velocity=velocity,
            gradient=gradient,
            schedule=state.schedule,
        )


def constant(coefficients: Coefficients) -> Schedule:
    """The same coefficients at every step."""
    return lambda _: coefficients


def at_step(values: PerStep, iteration: int) -> PerPrompt:
    """The coefficient of one step, by the number of steps taken before it."""
    return values[min(iteration, len(values) - 1)] if isinstance(values, tuple) else values


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GradientDescent(FirstOrder):
    """Gradient descent: β = γ = 0, and the same α at every step unless it is given per step.

    Attributes:
        step_size: α for the mean objective, one number for all prompts or one per prompt; ``"optimal"`` is 2/(L+μ) from
            each prompt's own spectrum, which contracts every direction by (κ−1)/(κ+1) per step or better. A tuple has one
            for each step, which may be 0 or negative; steps after its last repeat that one.

    Source: Nesterov 2004, theorem 2.1.15.
    """

    step_size: PerStep | Literal["optimal"] = "optimal"
    name: ClassVar[str] = "gradient-descent"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        check_step_size(self.step_size)

    def schedule(self, problem: Problem) -> Schedule:
        if isinstance(self.step_size, tuple):
            sizes = self.step_size
            return lambda iteration: Coefficients(at_step(sizes, iteration))
        return constant(Coefficients(richardson(self.step_size, lambda: problem.bounds)))


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PreconditionedGradientDescent(FirstOrder):
    """Gradient descent along P times the gradient.

    Attributes:
        step_size: as for `GradientDescent`; ``"optimal"`` is 2/(L+μ) of the spectrum of P S.
        preconditioner: ``"jacobi"`` (P = diag(S)⁻¹), or one symmetric positive definite matrix for all prompts.

    Source: Saad 2003, section 4.2.
    """

    step_size: PerPrompt | Literal["optimal"] = "optimal"
    preconditioner: Preconditioner = "jacobi"
    name: ClassVar[str] = "preconditioned-gradient-descent"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES - {"rotation"}

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        check_preconditioner(self.preconditioner)

    def schedule(self, problem: Problem) -> Schedule:
        step_size = richardson(self.step_size, lambda: preconditioned_bounds(self.preconditioner, problem))
        return constant(Coefficients(step_size))

    def precondition(self, problem: Problem, gradient: Float[Tensor, "batch dim"]) -> Float[Tensor, "batch dim"]:
        return precondition(self.preconditioner, problem, gradient)

    def broken(self, problem: Problem) -> Bool[Tensor, " batch"]:
        return singular(self.preconditioner, problem)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeavyBall(FirstOrder):
    """Polyak's heavy ball: γ = 0, and the same α and β at every step unless they are given per step.

    Attributes:
        step_size: α; ``"optimal"`` is (2/(√L+√μ))² from each prompt's spectrum. A tuple has one for each step, which may be
            0 or negative; steps after its last repeat that one.
        momentum: β; ``"optimal"`` is ((√L−√μ)/(√L+√μ))². Together they give the rate (√κ−1)/(√κ+1), after a factor k:
            at first the iterates overshoot. A tuple has one for each step, any finite number; the first has no effect.
            With both per step, this is the general three-term recurrence.

    Source: Polyak 1964, section 3 (Polyak 1987, section 3.2.1).
    """

    step_size: PerStep | Literal["optimal"] = "optimal"
    momentum: PerStep | Literal["optimal"] = "optimal"
    name: ClassVar[str] = "heavy-ball"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        check_momentum(self.momentum)

    def schedule(self, problem: Problem) -> Schedule:
        step_size, momentum = self.step_size, self.momentum
        if isinstance(step_size, str):
            low, high = problem.bounds
            step_size = (2 / (high.sqrt() + low.sqrt())) ** 2
        if isinstance(momentum, str):
            momentum = contraction(*problem.bounds) ** 2
        return lambda iteration: Coefficients(at_step(step_size, iteration), at_step(momentum, iteration))


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nesterov(FirstOrder):
    """Nesterov's accelerated gradient with constant momentum: γ = β.

    Attributes:
        step_size: α; ``"optimal"`` is 1/L from each prompt's spectrum.
        momentum: β; ``"optimal"`` is (√κ−1)/(√κ+1).

    Source: Nesterov 2004, scheme 2.2.11.
    """

    step_size: PerPrompt | Literal["optimal"] = "optimal"
    momentum: PerPrompt | Literal["optimal"] = "optimal"
    name: ClassVar[str] = "nesterov"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        check_step_size(self.step_size)
        check_momentum(self.momentum)

    def schedule(self, problem: Problem) -> Schedule:
        step_size = 1 / problem.bounds[1] if isinstance(self.step_size, str) else self.step_size
        momentum = contraction(*problem.bounds) if isinstance(self.momentum, str) else self.momentum
        return constant(Coefficients(step_size, momentum, momentum))


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ChebyshevIteration(FirstOrder):
    """The polynomial method with the smallest worst-case error on an interval of eigenvalues.

    In k steps, the error in a direction of eigenvalue a is multiplied by exactly T_k((L+μ−2a)/(L−μ)) / T_k((L+μ)/(L−μ)).
    In heavy-ball form, with θ = (L+μ)/2 and σ = (L−μ)/(L+μ): α_k = ω_k/θ, β_k = ω_k − 1, where ω_0 = 1,
    ω_1 = 1/(1−σ²/2), ω_k = 1/(1−σ²ω_{k−1}/4). The code uses the closed form, which needs no division by σ.

    Attributes:
        bounds: (μ, L), one interval for all prompts or one per prompt; ``"optimal"`` is each prompt's own.

    Source: Golub & Varga 1961; Saad 2003, algorithm 12.1.
    """

    bounds: tuple[PerPrompt, PerPrompt] | Literal["optimal"] = "optimal"
    name: ClassVar[str] = "chebyshev-iteration"
    implies: ClassVar[frozenset[Invariance]] = INVARIANCES

    def __post_init__(self) -> None:
        if isinstance(self.bounds, str):
            valid = self.bounds == "optimal"
        else:
            low, high = (as_numbers(bound) for bound in self.bounds)
            valid = bool(((low >= 0) & (low <= high) & (high > 0) & high.isfinite()).all())
        if not valid:
            raise ValueError(
                f"bounds must be 'optimal' or (smallest, largest) eigenvalue with 0 <= smallest <= largest and "
                f"0 < largest; got {self.bounds!r}."
            )

    def schedule(self, problem: Problem) -> Schedule:
        if isinstance(self.bounds, str):
            low, high = problem.bounds
        else:
            low, high = (as_numbers(bound).to(problem.gram).reshape(-1, 1) for bound in self.bounds)
        rho = contraction(low, high)
        centre = (low + high) / 2

        def coefficients(iteration: int) -> Coefficients:
            if iteration == 0:
                return Coefficients(1 / centre)
            omega = (1 + rho**2) * (1 + rho ** (2 * iteration)) / (1 + rho ** (2 * iteration + 2))
            return Coefficients(omega / centre, omega - 1)

        return coefficients


def contraction(low: Float[Tensor, "*batch 1"], high: Float[Tensor, "*batch 1"]) -> Float[Tensor, "*batch 1"]:
    """(√κ−1)/(√κ+1), the best convergence rate of a first-order method at condition number κ."""
    return (high.sqrt() - low.sqrt()) / (high.sqrt() + low.sqrt())


def richardson(step_size: PerPrompt | Literal["optimal"], bounds: Callable[[], tuple[Tensor, Tensor]]) -> PerPrompt:
    """The given step size; for "optimal", the best constant step size for eigenvalues between the bounds."""
    if isinstance(step_size, str):
        low, high = bounds()
        return 2 / (low + high)
    return step_size


def check_steps(name: str, values: tuple[PerPrompt, ...]) -> None:
    """Check that a coefficient that is given per step has at least one step, and that all its numbers are finite.

    Raises:
        ValueError: it has none, or one is not finite.
    """
    if not values or not all(bool(as_numbers(value).isfinite().all()) for value in values):
        raise ValueError(
            f"{name} given per step must be a tuple of one finite number or more; got {values!r}. Steps after the last of the "
            "tuple repeat it."
        )


def check_step_size(step_size: PerStep | str) -> None:
    """Check that a step size is "optimal" or consists of positive numbers; given per step, of finite numbers.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(step_size, tuple):
        check_steps("step_size", step_size)
        return
    if isinstance(step_size, str):
        valid = step_size == "optimal"
    else:
        value = as_numbers(step_size)
        valid = bool(((value > 0) & value.isfinite()).all())
    if not valid:
        raise ValueError(
            f"step_size must be 'optimal' or a finite number above 0; got {step_size!r}. Gradient descent converges with a "
            "step size below 2 over the largest eigenvalue of XᵀX/n."
        )


def check_momentum(momentum: PerStep | str) -> None:
    """Check that momentum is "optimal" or consists of numbers from 0 to below 1; given per step, of finite numbers.

    Raises:
        ValueError: it is neither.
    """
    if isinstance(momentum, tuple):
        check_steps("momentum", momentum)
        return
    if isinstance(momentum, str):
        valid = momentum == "optimal"
    else:
        value = as_numbers(momentum)
        valid = bool(((value >= 0) & (value < 1)).all())
    if not valid:
        raise ValueError(
            f"momentum must be 'optimal' or at least 0 and below 1; got {momentum!r}. With momentum 1 or more, no "
            "step size converges."
        )

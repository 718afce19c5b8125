"""Subjects on data that cannot tell them from another candidate: there the right answer is that it cannot."""

from dataclasses import replace

from mesascope.algorithms import PreconditionedConjugateGradient
from mesascope.calibration.planted import Case, Draw
from mesascope.calibration.scripted import followed
from mesascope.instruments.identification.prompts import QUERIES, Distribution
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.types import Subject

NEARLY = 1.02


def _designs(task: LinearRegression, condition: float) -> Distribution:
    inputs = Gaussian(covariance=Diagonal(condition=condition, rotate=True), exact=True)
    return Distribution(
        name="given",
        words=f"κ of XᵀX = {condition:g}",
        task=replace(task, queries=QUERIES, inputs=inputs, query_inputs=Gaussian()),
    )


def _isotropic(task: LinearRegression) -> Distribution:
    """XᵀX/n is the identity: an iteration is one number a layer."""
    return _designs(task, 1.0)


def _nearly_isotropic(task: LinearRegression) -> Distribution:
    """Jacobi's preconditioner is within a hundredth of the identity."""
    return _designs(task, NEARLY)


def _conjugate(draw: Draw) -> Subject:
    return conjugate_gradient(iterations=draw.steps())


def _jacobi(draw: Draw) -> Subject:
    algorithm = PreconditionedConjugateGradient()
    return followed(algorithm.name, algorithm, range(1, draw.steps() + 1))


def _early_stopped(draw: Draw) -> Subject:
    """Where XᵀX/n is the identity, k steps are ridge regression at λ/n = (1 − η)ᵏ/(1 − (1 − η)ᵏ)."""
    return gradient_descent(layers=draw.steps(), step_size=draw.step_size())


CASES = (
    Case(name="conjugate gradient, κ = 1", truth=("conjugate-gradient",), make=_conjugate, share=4, on=_isotropic),
    Case(
        name="conjugate gradient, κ ≈ 1",
        truth=("conjugate-gradient",),
        make=_conjugate,
        share=4,
        on=_nearly_isotropic,
    ),
    Case(
        name="conjugate gradient, Jacobi, κ ≈ 1",
        truth=("preconditioned-conjugate-gradient",),
        make=_jacobi,
        share=4,
        on=_nearly_isotropic,
    ),
    Case(name="gradient descent, κ = 1", truth=("gradient-descent",), make=_early_stopped, share=4, on=_isotropic),
)

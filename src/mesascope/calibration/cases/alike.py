"""Subjects on data that cannot tell them from another candidate: there the right answer is that it cannot."""

from mesascope.algorithms import GradientDescent, PreconditionedConjugateGradient
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw, designs
from mesascope.calibration.planted import UNDESCRIBED, Case
from mesascope.calibration.scripted import followed
from mesascope.instruments.identification.prompts import Distribution
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.types import Domain, Subject

NEARLY = 1.02


def _isotropic(draw: Draw) -> Distribution:
    """XᵀX/n is a multiple of the identity: an iteration is one number a layer."""
    return designs(draw, 1.0, domain=Domain())


def _nearly_isotropic(draw: Draw) -> Distribution:
    """Jacobi's preconditioner is within a hundredth of a multiple of the identity."""
    return designs(draw, NEARLY, domain=Domain())


def _conjugate(draw: Draw) -> Subject:
    return conjugate_gradient(iterations=draw.steps(most=8))


def _jacobi(draw: Draw) -> Subject:
    algorithm = PreconditionedConjugateGradient()
    return followed(algorithm.name, algorithm, range(1, draw.steps() + 1))


def _early_stopped(draw: Draw) -> Subject:
    """Where XᵀX/n is the identity, k steps are ridge regression at λ/n = (1 − η)ᵏ/(1 − (1 − η)ᵏ)."""
    steps = draw.steps()
    return gradient_descent(layers=steps, **numbers(member(draw, GradientDescent(), steps)))


# Conjugate gradient is done after a step, or as good as done: what one layer does is no path, and none is right too.
CONJUGATE, PRECONDITIONED = ("conjugate-gradient", UNDESCRIBED), ("preconditioned-conjugate-gradient", UNDESCRIBED)
CASES = (
    Case(name="conjugate gradient, κ = 1", truth=CONJUGATE, make=_conjugate, share=2, on=_isotropic),
    Case(name="conjugate gradient, κ ≈ 1", truth=CONJUGATE, make=_conjugate, share=2, on=_nearly_isotropic),
    Case(name="conjugate gradient, Jacobi, κ ≈ 1", truth=PRECONDITIONED, make=_jacobi, share=2, on=_nearly_isotropic),
    Case(name="gradient descent, κ = 1", truth=("gradient-descent",), make=_early_stopped, share=2, on=_isotropic),
)

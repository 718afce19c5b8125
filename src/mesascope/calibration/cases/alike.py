"""Subjects on data that cannot distinguish them from other candidates: the right answer is "indistinguishable"."""

from mesascope.algorithms import GradientDescent, PreconditionedConjugateGradient
from mesascope.calibration.coefficients import member, numbers
from mesascope.calibration.drawing import Draw, designs
from mesascope.calibration.planted import UNDESCRIBED, Case
from mesascope.instruments.identification.prompts import Distribution
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.models.scripted import followed
from mesascope.types import Domain, Subject

NEARLY = 1.02


def _isotropic(draw: Draw) -> Distribution:
    """Prompts with XᵀX/n a multiple of the identity: an iteration is then one number per layer."""
    return designs(draw, 1.0, domain=Domain())


def _nearly_isotropic(draw: Draw) -> Distribution:
    """Prompts for which Jacobi's preconditioner is within 1 % of a multiple of the identity."""
    return designs(draw, NEARLY, domain=Domain())


def _conjugate(draw: Draw) -> Subject:
    return conjugate_gradient(iterations=draw.steps(most=8))


def _jacobi(draw: Draw) -> Subject:
    algorithm = PreconditionedConjugateGradient()
    return followed(algorithm.name, algorithm, range(1, draw.steps() + 1))


def _early_stopped(draw: Draw) -> Subject:
    """Gradient descent; if XᵀX/n is the identity, k steps equal ridge regression at λ/n = (1 − η)ᵏ/(1 − (1 − η)ᵏ)."""
    steps = draw.steps()
    return gradient_descent(layers=steps, **numbers(member(draw, GradientDescent(), steps)))


# Conjugate gradient is (almost) done after one step: a single layer is not a path, so "none" is also a right answer.
CONJUGATE, PRECONDITIONED = ("conjugate-gradient", UNDESCRIBED), ("preconditioned-conjugate-gradient", UNDESCRIBED)
CASES = (
    Case(name="conjugate gradient, κ = 1", truth=CONJUGATE, make=_conjugate, share=2, on=_isotropic),
    Case(name="conjugate gradient, κ ≈ 1", truth=CONJUGATE, make=_conjugate, share=2, on=_nearly_isotropic),
    Case(name="conjugate gradient, Jacobi, κ ≈ 1", truth=PRECONDITIONED, make=_jacobi, share=2, on=_nearly_isotropic),
    Case(name="gradient descent, κ = 1", truth=("gradient-descent",), make=_early_stopped, share=2, on=_isotropic),
)

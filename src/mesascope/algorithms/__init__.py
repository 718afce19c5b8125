"""Reference learners, with which a model's forward pass is compared.

Each learner is a frozen dataclass of its own configuration with ``init(problem)`` and ``step(problem, state)``; `run` runs
any of them and keeps every iterate.
"""

from mesascope.algorithms.algorithm import Algorithm, Invariance, State
from mesascope.algorithms.closed_forms import BayesOptimal, ClosedForm, LeastSquares, Ridge
from mesascope.algorithms.conjugate_gradient import (
    ConjugateGradient,
    DataSpaceConjugateGradient,
    PreconditionedConjugateGradient,
)
from mesascope.algorithms.conjugate_residual import ConjugateResidual
from mesascope.algorithms.damped import Damped, DampedConjugateGradient, DampedGradientDescent
from mesascope.algorithms.first_order import (
    ChebyshevIteration,
    Coefficients,
    FirstOrder,
    GradientDescent,
    HeavyBall,
    Nesterov,
    PreconditionedGradientDescent,
)
from mesascope.algorithms.gd_plus_plus import GDPlusPlus
from mesascope.algorithms.glm import GLMGradientDescent, GLMHeavyBall, GLMNewton, GLMNewtonCG
from mesascope.algorithms.glm_penalised import GLMPenalisedLikelihood
from mesascope.algorithms.glm_posterior import GLMPosteriorMean
from mesascope.algorithms.gradient_flow import GradientFlow
from mesascope.algorithms.kernels import (
    RBF,
    Exponential,
    Kernel,
    KernelRidge,
    LastLabel,
    Linear,
    MeanLabel,
    NadarayaWatson,
    NearestExample,
)
from mesascope.algorithms.neighbours import NearestNeighbours
from mesascope.algorithms.newton import NewtonSchulz
from mesascope.algorithms.pool import PoolPosterior
from mesascope.algorithms.preconditioned_richardson import PreconditionedRichardson
from mesascope.algorithms.problem import Problem
from mesascope.algorithms.running import run
from mesascope.algorithms.tuning import normalised_error, tuned

ALL: tuple[type[Algorithm], ...] = (
    GradientDescent,
    PreconditionedGradientDescent,
    HeavyBall,
    Nesterov,
    ChebyshevIteration,
    ConjugateGradient,
    PreconditionedConjugateGradient,
    DataSpaceConjugateGradient,
    ConjugateResidual,
    NewtonSchulz,
    GDPlusPlus,
    GradientFlow,
    DampedGradientDescent,
    DampedConjugateGradient,
    LeastSquares,
    Ridge,
    BayesOptimal,
    KernelRidge,
    PreconditionedRichardson,
    NadarayaWatson,
    NearestExample,
    NearestNeighbours,
    MeanLabel,
    LastLabel,
)
"""Every learner for regression with squared error; each can be constructed without arguments. `PoolPosterior` needs its pool."""

GENERALISED: tuple[type[Algorithm], ...] = (
    GLMGradientDescent,
    GLMHeavyBall,
    GLMNewton,
    GLMNewtonCG,
    GLMPenalisedLikelihood,
    GLMPosteriorMean,
)
"""Every learner for binary labels and counts; each can be constructed without arguments."""

__all__ = [
    "ALL",
    "GENERALISED",
    "RBF",
    "Algorithm",
    "BayesOptimal",
    "ChebyshevIteration",
    "ClosedForm",
    "Coefficients",
    "ConjugateGradient",
    "ConjugateResidual",
    "Damped",
    "DampedConjugateGradient",
    "DampedGradientDescent",
    "DataSpaceConjugateGradient",
    "Exponential",
    "FirstOrder",
    "GDPlusPlus",
    "GLMGradientDescent",
    "GLMHeavyBall",
    "GLMNewton",
    "GLMNewtonCG",
    "GLMPenalisedLikelihood",
    "GLMPosteriorMean",
    "GradientDescent",
    "GradientFlow",
    "HeavyBall",
    "Invariance",
    "Kernel",
    "KernelRidge",
    "LastLabel",
    "LeastSquares",
    "Linear",
    "MeanLabel",
    "NadarayaWatson",
    "NearestExample",
    "NearestNeighbours",
    "Nesterov",
    "NewtonSchulz",
    "PoolPosterior",
    "PreconditionedConjugateGradient",
    "PreconditionedGradientDescent",
    "PreconditionedRichardson",
    "Problem",
    "Ridge",
    "State",
    "normalised_error",
    "run",
    "tuned",
]

"""Networks whose algorithm is known, because their weights were written by hand to run it: the positive controls."""

from collections.abc import Callable

from mesascope.models.constructions.chebyshev import chebyshev_iteration
from mesascope.models.constructions.conjugate_gradient import conjugate_gradient, data_space_conjugate_gradient
from mesascope.models.constructions.gd_plus_plus import gd_plus_plus
from mesascope.models.constructions.glm_newton import glm_newton
from mesascope.models.constructions.gradient_descent import gradient_descent
from mesascope.models.constructions.heavy_ball import heavy_ball
from mesascope.models.constructions.kernel_gradient_descent import kernel_gradient_descent
from mesascope.models.constructions.nesterov import nesterov
from mesascope.models.constructions.network import Channels, Construction, Head, Layer, Weights
from mesascope.models.constructions.newton_schulz import newton_schulz
from mesascope.models.constructions.pipelined_conjugate_gradient import pipelined_conjugate_gradient
from mesascope.models.constructions.preconditioned_conjugate_gradient import preconditioned_conjugate_gradient
from mesascope.models.constructions.preconditioned_gradient_descent import preconditioned_gradient_descent
from mesascope.models.constructions.preconditioned_richardson import preconditioned_richardson
from mesascope.models.constructions.primal_conjugate_gradient import primal_conjugate_gradient
from mesascope.models.constructions.primal_gradient_descent import primal_gradient_descent
from mesascope.models.constructions.ridge_gradient_descent import ridge_gradient_descent
from mesascope.models.constructions.several_outputs import (
    answer_outputs,
    conjugate_gradient_several_outputs,
    gradient_descent_several_outputs,
    several_outputs,
)
from mesascope.models.constructions.spaced import spaced_gradient_descent

CONSTRUCTIONS: dict[str, Callable[..., Construction]] = {
    "gradient-descent": gradient_descent,
    "conjugate-gradient": conjugate_gradient,
    "data-space-conjugate-gradient": data_space_conjugate_gradient,
    "preconditioned-conjugate-gradient": preconditioned_conjugate_gradient,
    "preconditioned-gradient-descent": preconditioned_gradient_descent,
    "heavy-ball": heavy_ball,
    "nesterov": nesterov,
    "chebyshev-iteration": chebyshev_iteration,
    "newton-schulz": newton_schulz,
    "gd-plus-plus": gd_plus_plus,
    "ridge-gradient-descent": ridge_gradient_descent,
    "spaced-gradient-descent": spaced_gradient_descent,
    "kernel-gradient-descent": kernel_gradient_descent,
    "preconditioned-richardson": preconditioned_richardson,
    "pipelined-conjugate-gradient": pipelined_conjugate_gradient,
    "primal-conjugate-gradient": primal_conjugate_gradient,
    "primal-gradient-descent": primal_gradient_descent,
    "glm-newton": glm_newton,
    "gradient-descent-several-outputs": gradient_descent_several_outputs,
    "conjugate-gradient-several-outputs": conjugate_gradient_several_outputs,
}
"""All constructions by name; the model reference is ``construction:NAME``, with keyword arguments after ``?``."""

__all__ = (
    "CONSTRUCTIONS",
    "Channels",
    "Construction",
    "Head",
    "Layer",
    "Weights",
    "answer_outputs",
    "chebyshev_iteration",
    "conjugate_gradient",
    "conjugate_gradient_several_outputs",
    "data_space_conjugate_gradient",
    "gd_plus_plus",
    "glm_newton",
    "gradient_descent",
    "gradient_descent_several_outputs",
    "heavy_ball",
    "kernel_gradient_descent",
    "nesterov",
    "newton_schulz",
    "pipelined_conjugate_gradient",
    "preconditioned_conjugate_gradient",
    "preconditioned_gradient_descent",
    "preconditioned_richardson",
    "primal_conjugate_gradient",
    "primal_gradient_descent",
    "ridge_gradient_descent",
    "several_outputs",
    "spaced_gradient_descent",
)

"""Subjects for binary labels and counts: methods for the objective, linear regression that ignores the link, and no iteration.

They are not in the mixed panels, whose tasks are linear, but in panels of their own (`panel.generalised`).
"""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import (
    GLMGradientDescent,
    GLMHeavyBall,
    GLMNewton,
    GLMNewtonCG,
    GLMPenalisedLikelihood,
    GradientDescent,
    run,
)
from mesascope.calibration.drawing import Draw
from mesascope.calibration.planted import Case
from mesascope.instruments.explaining.asked import as_read
from mesascope.models.constructions import glm_newton
from mesascope.models.scripted import Scripted, followed
from mesascope.types import GeneralisedTask, Prompts, Subject


def _task(draw: Draw) -> GeneralisedTask:
    assert draw.generalised is not None, "panels of these cases have such tasks"
    return draw.generalised


def _ridge(draw: Draw) -> float:
    """A penalty λ that is noticeable and leaves something to fit."""
    return draw.number("ridge/c", 0.3, 3.0) * draw.scale


def _curvature(draw: Draw) -> float:
    """The mean of an eigenvalue of the Hessian at the weights that made the labels, for isotropic inputs."""
    task = _task(draw)
    square = task.strength**2
    return draw.scale * (0.25 if task.family == "logistic" else math.exp(square / 2) * (1 + square))


def _step(draw: Draw) -> float:
    return draw.number("step size times curvature", 0.2, 0.8) / _curvature(draw)


def _newton(draw: Draw) -> Subject:
    model = GLMNewton(family=_task(draw).family, ridge=_ridge(draw))
    return followed(model.name, model, range(1, draw.steps(most=4) + 1))


def _newton_cg(inner: int, stride: int = 1) -> Callable[[Draw], Subject]:
    def make(draw: Draw) -> Subject:
        model = GLMNewtonCG(family=_task(draw).family, inner=inner, ridge=_ridge(draw))
        return followed(model.name, model, range(stride, stride * draw.steps() + 1, stride))

    return make


def _built(inner: int) -> Callable[[Draw], Subject]:
    return lambda draw: glm_newton(steps=2, inner=inner, ridge=_ridge(draw), family=_task(draw).family)


def _descent(damped: bool) -> Callable[[Draw], Subject]:
    def make(draw: Draw) -> Subject:
        ridge = draw.number("damping", 0.1, 0.5) * _curvature(draw) * _task(draw).examples if damped else 0.0
        model = GLMGradientDescent(family=_task(draw).family, step_size=_step(draw), ridge=ridge)
        return followed(model.name, model, range(1, draw.steps() + 1))

    return make


def _linear(raw: bool) -> Callable[[Draw], Subject]:
    """Gradient descent on the squared error, with the labels as they are or as linear predictors."""

    def make(draw: Draw) -> Subject:
        size, steps = draw.number("step size", 0.1, 0.5) / draw.scale, draw.steps()
        glm = None if raw else _task(draw).family

        def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
            return run(GradientDescent(step_size=size), as_read(prompts, glm), steps).predictions[1:]

        return Scripted(name="gradient-descent", layers=steps, script=script)

    return make


def _solution(draw: Draw) -> Subject:
    """The penalised solution after every layer."""
    model = GLMPenalisedLikelihood(family=_task(draw).family, ridge=_ridge(draw))
    return followed(model.name, model, [1] * draw.steps())


def _penalties(draw: Draw) -> Subject:
    """Penalised solutions with a λ that decreases from layer to layer."""
    layers, family = draw.steps() + 1, _task(draw).family
    first, last = draw.number("first λ/c", 20.0, 200.0), draw.number("last λ/c", 0.3, 2.0)
    ridges = (draw.scale * torch.logspace(math.log10(first), math.log10(last), layers)).tolist()

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        models = (GLMPenalisedLikelihood(family=family, ridge=ridge) for ridge in ridges)
        return torch.stack([run(model, prompts).predictions[1] for model in models])

    return Scripted(name="penalties", layers=layers, script=script)


def _momentum(draw: Draw) -> Subject:
    steps, beta = max(4, draw.steps()), draw.number("momentum", 0.4, 0.8)
    model = GLMHeavyBall(family=_task(draw).family, step_size=0.5 * _step(draw), momentum=beta)
    return followed(model.name, model, range(1, steps + 1))


def _mixture(draw: Draw) -> Subject:
    """Newton's method on some prompts, gradient descent on the others, by the first label."""
    steps, family = draw.steps(most=4), _task(draw).family
    pair = (GLMNewton(family=family, ridge=_ridge(draw)), GLMGradientDescent(family=family, step_size=_step(draw)))

    def script(prompts: Prompts) -> Float[Tensor, "layer batch query"]:
        one, other = (run(model, prompts, steps).predictions[1:] for model in pair)
        return torch.where((prompts.ys[:, 0] > 0)[:, None], one, other)

    return Scripted(name="mixture", layers=steps, script=script)


CASES = (
    Case(name="IRLS", truth=("glm-newton",), make=_newton, share=3),
    *(
        Case(name=f"Newton–CG, {inner} inner", truth=(f"glm-newton-cg:{inner}-inner",), make=_newton_cg(inner), share=2)
        for inner in (1, 2, 3)
    ),
    Case(name="Newton–CG, a Newton step a layer", truth=("glm-newton-cg:2-inner",), make=_newton_cg(2, 2), share=2),
    *(
        Case(
            name=f"Newton–CG network, {i} inner",
            truth=(f"glm-newton-cg:{i}-inner",),
            make=_built(i),
            share=1,
            noisy=False,
        )
        for i in (2, 4)
    ),
    Case(name="gradient descent on the likelihood", truth=("glm-gradient-descent",), make=_descent(False), share=3),
    Case(name="the same, penalised", truth=("glm-gradient-descent:damped",), make=_descent(True), share=2),
    Case(name="gradient descent on linear predictors", truth=("gradient-descent",), make=_linear(False), share=2),
    Case(name="gradient descent on labels", truth=("gradient-descent:raw-labels",), make=_linear(True), share=2),
    Case(name="penalised solution", truth=(), make=_solution, share=2),
    Case(name="falling penalties", truth=(), make=_penalties, share=2),
    Case(name="momentum on the likelihood", truth=("glm-heavy-ball",), make=_momentum, share=2),
    Case(name="Newton on some prompts", truth=(), make=_mixture, share=1),
)

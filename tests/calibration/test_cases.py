"""Kinds whose truth is not a candidate's name alone: they are what their names say."""

import dataclasses

import pytest
import torch
from torch import Tensor

from mesascope.calibration.cases import CASES
from mesascope.calibration.panel import kinds, mixed, planted
from mesascope.calibration.planted import Planted
from mesascope.models.constructions import Construction, conjugate_gradient, gradient_descent, nesterov
from mesascope.types import Prompts


def first_of(name: str) -> Planted:
    return planted(mixed(8), [case.name for case in kinds()].index(name))


def path(made: Planted, prompts: Prompts) -> Tensor:
    trace = made.clean.trace(prompts, capture=made.clean.path)
    return torch.stack([made.clean.readout(trace[site][:, prompts.examples :], site) for site in made.clean.path])


def moving(answers: Tensor) -> list[bool]:
    """After which layers the answers are others than before."""
    return [
        not torch.equal(now, then) for now, then in zip(answers, [torch.zeros_like(answers[0]), *answers], strict=False)
    ]


def prompts_for(made: Planted) -> Prompts:
    return dataclasses.replace(made.task, queries=4).sample(10, seed=0)


def test_all_steps_in_the_first_layer_leave_the_others_nothing_to_do():
    made = first_of("all steps in the first layer")
    assert moving(path(made, prompts_for(made))) == [True] + [False] * (len(made.clean.path) - 1)
    assert made.case.truth == ()


def test_before_the_last_layer_nothing_of_the_examples_is_said():
    made = first_of("all steps in the last layer")
    prompts = prompts_for(made)
    other = dataclasses.replace(prompts, xs=prompts.xs.flip(0), ys=prompts.ys.flip(0))
    here, there = path(made, prompts), path(made, other)
    assert torch.equal(here[:-1], there[:-1])
    assert not torch.allclose(here[-1], there[-1], rtol=1e-2)
    assert made.case.truth == ()


@pytest.mark.parametrize("name", [case.name for case in CASES if case.name.endswith(("idle afterwards", "late"))])
def test_idle_layers_are_where_no_candidate_has_them(name):
    made = first_of(name)
    assert isinstance(made.clean, Construction)
    moves = moving(path(made, prompts_for(made)))
    steps = made.settings["steps"]
    assert sum(moves) == steps
    if name.endswith("late"):
        assert moves.index(True) - (made.clean.layers_per_step - 1) == made.settings["layers before"]
        assert moves[-1]
    else:
        assert moves[::-1].index(True) == made.settings["layers after"]
        assert int(made.settings["layers after"]) >= made.clean.layers_per_step
    assert made.case.truth == (name.split(",")[0],)


@pytest.mark.parametrize("name", [case.name for case in CASES if case.name.endswith("scaled")])
def test_scaled_answers_are_a_multiple_of_an_iterate_at_every_layer(name):
    made = first_of(name)
    prompts, factor, built = prompts_for(made), made.settings["answers times"], made.clean
    assert isinstance(built, Construction) and isinstance(factor, float)
    makes = {"gradient descent": gradient_descent, "Nesterov": nesterov, "conjugate gradient": conjugate_gradient}
    plain = makes[name.removesuffix(", scaled")](**built.options)
    unscaled = dataclasses.replace(made, clean=plain)
    torch.testing.assert_close(path(made, prompts), factor * path(unscaled, prompts))
    assert abs(factor - 1) >= 0.049
    assert made.settings.get("prediction noise") is None
    assert made.case.truth == ()

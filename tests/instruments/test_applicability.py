"""What instruments need is asked for in one place, in words that name what is missing."""

from dataclasses import dataclass

import pytest

import mesascope as ms
from mesascope.instruments.identification import identify_path
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import GeneralisedLinearRegression, LinearRegression


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A task of a user's own, as far as the README's words go."""

    dim: int = 5
    examples: int = 20
    queries: int = 1

    def sample(self, n, **options):
        return LinearRegression(dim=self.dim, examples=self.examples).sample(n, **options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finer(LinearRegression):
    """A linear regression with a field more is one."""

    temperature: float = 0.0


OTHERS = {
    "generalised": (
        GeneralisedLinearRegression(),
        "got a GeneralisedLinearRegression without noise, weights, query_inp",
    ),
    "own": (Own(), "got a Own without noise, weights, inputs, query_inputs, weight_variance"),
    "a class": (LinearRegression, "got the class LinearRegression itself"),
    "nothing": (None, "got a NoneType without dim"),
    "prompts": (LinearRegression().sample(4, seed=0), "got a Prompts without noise"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("verb", [ms.identify, ms.examine, identify_path], ids=lambda verb: verb.__name__)
def test_a_task_that_is_no_linear_regression_is_refused_in_one_line(verb, name, unchecked):
    task, words = OTHERS[name]
    with pytest.raises(
        ValueError, match=f"^task must be a LinearRegression, .*{words}.* Pass mesascope.tasks.Lin"
    ) as e:
        verb(gradient_descent(layers=2), task)
    assert "\n" not in str(e.value)


def test_a_finer_linear_regression_is_one():
    [answer] = identify_path(gradient_descent(layers=2), Finer(), prompts=20, algorithms=["gd", "cg"])
    assert answer.algorithms == ("gradient-descent",)

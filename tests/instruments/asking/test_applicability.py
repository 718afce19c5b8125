"""What instruments need is asked for in one place, in words that name what is missing."""

from dataclasses import dataclass

import pytest

import mesascope as ms
from mesascope.instruments.identification import identify_path
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import LinearRegression


@dataclass(frozen=True, slots=True, kw_only=True)
class Finer(LinearRegression):
    """A linear regression with a field more is one."""

    temperature: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Mute:
    """A task without prompts."""

    dim: int = 5
    examples: int = 20


class Plain:
    """Not a dataclass."""

    dim, examples, queries = 5, 20, 1

    def sample(self, n, **options):
        return LinearRegression().sample(n, **options)


@dataclass(kw_only=True)
class Thawed(Plain):
    """Not frozen."""

    dim: int = 5
    examples: int = 20
    queries: int = 1


OTHERS = {
    "not frozen": (Thawed(), "got a Thawed that has no hash, since it is not frozen or a field holds a list"),
    "a part of one": (Mute(), "got a Mute without queries, sample"),
    "no dataclass": (Plain(), "got a Plain that is not a dataclass"),
    "a class": (LinearRegression, "got the class LinearRegression instead of an instance of it"),
    "nothing": (None, "got a NoneType without dim, examples, queries, sample"),
    "prompts": (LinearRegression().sample(4, seed=0), "got a Prompts without sample"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("verb", [ms.identify, ms.examine, identify_path], ids=lambda verb: verb.__name__)
def test_what_keeps_no_protocol_is_refused_in_one_line(verb, name, unchecked):
    task, words = OTHERS[name]
    with pytest.raises(ValueError, match=f"^task must satisfy the protocol mesascope.types.Task; {words}") as e:
        verb(gradient_descent(layers=2), task)
    assert "\n" not in str(e.value)


def test_a_finer_linear_regression_is_one():
    [answer] = identify_path(gradient_descent(layers=2), Finer(), prompts=20, algorithms=["gd", "cg"])
    assert answer.algorithms == ("gradient-descent",)

"""Subjects of every kind keep their promises."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mesascope import tasks
from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.tasks import LinearRegression
from mesascope.testing import check_subject

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"


def built(name):
    """A construction with as few layers as tell something."""
    options = inspect.signature(CONSTRUCTIONS[name]).parameters
    return CONSTRUCTIONS[name](
        **{option: 2 for option in ("layers", "iterations", "steps", "inner") if option in options}
    )


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_constructions_are_subjects(name):
    check_subject(built(name))


def test_so_is_one_with_random_weights():
    check_subject(built("conjugate-gradient").reinitialised(7))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"answers": "everywhere"},
        {"tokens": "pairs", "mask": "full"},
        {"mask": "prefix", "positions": False, "attention": "linear", "norm": False},
        {"feedforward": 0, "final_norm": True},
        {"layers": 1, "dim": 1, "examples": 1},
    ],
    ids=str,
)
def test_transformers_are_subjects(changes, tiny):
    check_subject(tiny(**changes))


def test_a_task_of_ones_own_is_used(tiny):
    check_subject(tiny(), LinearRegression(dim=3, examples=10, inputs=tasks.Rademacher()), seed=4)


def test_a_task_outside_the_domain_is_the_callers_mistake(tiny):
    with pytest.raises(ValueError, match="dim must be 3"):
        check_subject(tiny(), LinearRegression(dim=4, examples=10))


def test_the_documented_model_keeps_the_promises(tmp_path, monkeypatch):
    """The very files that the page on a model of one's own shows, with a network that was not trained."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    monkeypatch.chdir(tmp_path)
    from my_model import MyNetwork, load

    torch.save(MyNetwork().state_dict(), "my_network.pt")
    check_subject(load())


def test_no_test_runner_is_needed():
    code = (
        "import sys, mesascope.testing; assert not {'pytest', '_pytest', 'beartype', 'hypothesis'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)

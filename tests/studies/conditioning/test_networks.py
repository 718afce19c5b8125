"""The networks that were trained on conditioning: what their recipes say, and their names."""

import pytest

from mesascope.models.transformer import count_parameters
from mesascope.records.codec import to_json
from mesascope.studies.conditioning.networks import (
    CONDITIONS,
    ISOTROPIC,
    MIXED,
    MIXED_100,
    NETWORKS,
    ROTATED,
    SCALED,
    at,
)
from mesascope.tasks import Gaussian
from mesascope.types import adjusted, spec_of
from mesascope.zoo import load, names


def test_the_published_recipe_is_source_as() -> None:
    spec = MIXED.published
    assert count_parameters(spec.model) == 9_486_337
    assert (spec.optimiser, spec.learning_rate, spec.weight_decay, spec.betas) == ("adamw", 3e-4, 0.01, (0.9, 0.98))
    assert (spec.steps, spec.batch, spec.clip, spec.schedule) == (50_000, 64, 1.0, "cosine")
    assert spec.warmup * spec.steps == 1000
    assert MIXED.task.queries == 1 and MIXED.task.noise == 0.1
    assert adjusted(MIXED.laptop.task, queries=1) == MIXED.task


def test_the_scaled_setting_is_twice_of_everything() -> None:
    spec, small = SCALED.published, MIXED.published
    assert (spec.model.layers, spec.model.dim, spec.model.examples, spec.model.width) == (24, 20, 40, small.model.width)
    assert (spec.steps, spec.batch, spec.warmup * spec.steps) == (30_000, 32, pytest.approx(1000))
    assert (SCALED.task.dim, SCALED.task.examples, SCALED.task.noise) == (20, 40, 0.1)
    assert (SCALED.laptop.model.layers, SCALED.laptop.model.width, SCALED.laptop.steps) == (24, 64, 8_000)


def test_the_names_by_which_they_are_found() -> None:
    assert [n.ships_as for n in NETWORKS] == [
        "conditioning-mixed-laptop",
        "conditioning-mixed-seed-100-laptop",
        "conditioning-isotropic-laptop",
        "conditioning-isotropic-seed-100-laptop",
        "conditioning-rotated-laptop",
    ]
    assert MIXED_100.name == "conditioning-mixed-seed-100"
    assert (SCALED.name, SCALED.ships_as) == ("conditioning-scaled", "conditioning-scaled-laptop")


@pytest.mark.parametrize("name", [n.ships_as for n in (*NETWORKS, SCALED) if n.ships_as in names()])
def test_what_ships_was_trained_by_these_recipes(name: str) -> None:
    [network] = [n for n in (*NETWORKS, SCALED) if n.ships_as == name]
    recipe = to_json(network.laptop)
    assert isinstance(recipe, dict)
    assert {key: (spec_of(load(name)) or {})[key] for key in recipe} == recipe


def test_the_designs() -> None:
    def covariance(task: object) -> tuple[object, object]:
        inputs = getattr(task, "inputs")  # noqa: B009
        assert isinstance(inputs, Gaussian)
        return getattr(inputs.covariance, "condition"), inputs.covariance.rotate  # noqa: B009

    assert covariance(MIXED.laptop.task) == (CONDITIONS, False)
    assert covariance(ROTATED.laptop.task) == (CONDITIONS, True)
    assert covariance(ISOTROPIC.laptop.task) == (1.0, False)
    xs = at(100.0).sample(4000, seed=0).xs
    assert xs[..., 0].var().item() == pytest.approx(100, rel=0.03)
    assert xs[..., -1].var().item() == pytest.approx(1, rel=0.03)


@pytest.mark.usefixtures("unchecked")
def test_a_condition_number_below_one_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"condition must be at least 1 and finite; got 0\.5\. .* pass 2 for this ratio"
    ):
        at(0.5).sample(1, seed=0)

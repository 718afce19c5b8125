"""Updates against residuals: known shares of hand-built networks, and what bias alone gives."""

import pytest
import torch

import mesascope as ms
from mesascope.instruments.reading.refinement import (
    FRESH,
    HALF,
    OTHERS,
    SHOWN,
    by_depth,
    contraction,
    figure,
    refinement,
)
from mesascope.models.constructions import gradient_descent
from mesascope.models.scripted import Scripted
from mesascope.tasks import Diagonal, Gaussian, LinearRegression

ONE = LinearRegression(dim=1, examples=16, queries=4, inputs=Gaussian(covariance=Diagonal(condition=1.0), exact=True))
"""One input, whose XᵀX/n is 1 in every prompt."""


def of(found, quantity, layer=None):
    (m,) = (m for m in found if quantity in m.quantity and m.coordinates.get("layer") == layer)
    return m


def test_gradient_descent_in_one_dimension_takes_the_same_share_in_every_layer():
    found = refinement(gradient_descent(layers=4, step_size=0.3), ONE, n=64)
    for layer in (1, 2, 3):
        assert of(found, "slope", layer).value == pytest.approx(0.3, abs=1e-5)
        assert of(found, "correlation of update", layer).value == pytest.approx(1, abs=1e-5)
        assert of(found, "sign", layer).value == 1
        assert of(found, "residual left", layer).value == pytest.approx(0.7, abs=1e-5)
    assert of(found, "contraction").value == pytest.approx(0.49, abs=1e-5)
    assert of(found, "error reduction").value == pytest.approx(1 - 0.7**6, abs=1e-5)
    assert of(found, "share of layers").value == 1
    assert of(found, "rank correlation").value == pytest.approx(1)


def test_all_updates_together_and_absolute_errors_are_those_of_the_source():
    found = refinement(gradient_descent(layers=4, step_size=0.3), ONE, n=64)
    assert of(found, "slope of all updates").value == pytest.approx(0.3, abs=1e-5)
    assert of(found, "R² of all updates").value == pytest.approx(1, abs=1e-5)
    assert of(found, "sign agreement of all updates").value == 1
    size = float(ms.types.adjusted(ONE, queries=8).sample(64, seed=0, stream="refinement").targets.abs().mean())
    first, last = (of(found, f"mean absolute error of the {which} answer") for which in ("first", "last"))
    assert first.value == pytest.approx(0.7 * size, rel=1e-5)  # after the first layer, for lack of an embedding
    assert last.value == pytest.approx(0.7**4 * size, rel=1e-5)
    assert of(found, "reduction of the mean absolute error").value == pytest.approx(1 - last.value / first.value)


def test_the_positive_control_is_known_and_others_targets_give_nothing():
    found = refinement(ms.load("two-layer"), LinearRegression(), n=128)
    known = {"slope": 0.5, "correlation of update": 1, "sign": 1, "residual left": 0.5}
    for layer in (1, 2):
        for quantity, value in known.items():
            controls = {c.name: c.value for c in of(found, quantity, layer).controls}
            assert controls[HALF] == pytest.approx(value, abs=1e-6)
            assert set(controls) == {HALF, OTHERS, SHOWN, FRESH}
    last = of(found, "correlation of update", 2)
    assert last.value > 0.9
    assert abs({c.name: c.value for c in last.controls}[OTHERS]) < 0.5
    rows = figure(found).rows
    assert {row["targets"] for row in rows} == {"its own", OTHERS, SHOWN, FRESH}


def test_a_move_towards_the_mean_target_is_told_from_knowledge():
    """Answers start far off and move half of the way to 3, the mean target: the slope is bias, as another's targets show."""

    class Shifted(LinearRegression):
        def sample(self, n, **options):
            p = super().sample(n, **options)
            return ms.Prompts(
                xs=p.xs,
                ys=p.ys + 3,
                queries=p.queries,
                targets=p.targets + 3,
                target_variance=p.target_variance,
                weights=None,
            )

    def script(prompts):
        start = prompts.queries[..., 0] * 4
        return torch.stack([start, (start + 3) / 2])

    found = refinement(Scripted(name="to the mean", layers=2, script=script), Shifted(), n=256)
    moved = of(found, "slope", 1)
    assert moved.value == pytest.approx({c.name: c.value for c in moved.controls}[OTHERS], abs=0.05)
    assert moved.value > 0.3


def test_what_is_fitted_over_layers():
    errors = torch.tensor([[8.0, 4.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], [1.0, 1.0, 4.0, 1.0]], dtype=torch.float64)
    assert contraction(errors)[0] == pytest.approx(0.5)
    assert by_depth(errors)[:2].tolist() == pytest.approx([1, -1])


def test_who_knows_the_labels_of_a_prompt_and_not_its_map_is_told_by_a_label_that_is_shown():
    """Answers that move to the mean label of the prompt: nearer to its own target than to another's, and to any label alike."""
    task = ms.tasks.DigitRegression()

    def script(prompts):
        mean = prompts.ys.mean(1, keepdim=True).expand_as(prompts.targets)
        return torch.stack([torch.full_like(mean, 9.0), (mean + 9) / 2, mean])

    found = refinement(Scripted(name="to the mean label", layers=3, script=script), task, n=512, queries=1)
    reduced = of(found, "reduction of the mean absolute error")
    controls = {c.name: c for c in reduced.controls}
    assert reduced.value > controls[OTHERS].interval[1]
    assert reduced.value < controls[SHOWN].interval[1]
    glm = ms.tasks.GeneralisedLinearRegression(dim=2, examples=12, family="logistic")
    scripted = Scripted(name="nothing", layers=2, script=lambda p: torch.stack([p.targets * 0, p.targets / 2]))
    assert all(SHOWN not in {c.name for c in m.controls} for m in refinement(scripted, glm, n=24))

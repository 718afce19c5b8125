"""Numbers of a subject: kept by name, inside their bounds; its task and prompts in the units that were drawn."""

import pytest
import torch

from mesascope.algorithms import Problem
from mesascope.calibration.drawing import Draw, Setting, designs
from mesascope.types import Domain


def test_draws_are_kept_by_name_and_lie_within_their_bounds():
    values: dict[str, list[float]] = {"size": [], "count": [], "of three": []}
    for index in range(200):
        draw = Draw(Setting(), 0, index)
        values["size"].append(draw.number("size", 0.01, 1.0))
        values["count"].append(draw.whole("count", 2, 4))
        values["of three"].append(draw.choice("of three", (0.1, 0.2, 0.3)))
        assert {name: draw.made[name] for name in values} == {name: made[-1] for name, made in values.items()}
    sizes = torch.tensor(values["size"])
    assert bool((sizes >= 0.01).all()) and bool((sizes <= 1.0).all())
    assert 0.3 < float((sizes < 0.1).double().mean()) < 0.7  # uniform in the logarithm
    assert set(values["count"]) == {2, 3, 4}
    assert set(values["of three"]) == {0.1, 0.2, 0.3}


def test_steps_are_the_settings_inside_the_bounds_that_are_asked_for():
    draw = Draw(Setting(steps=(2, 16)), 0, 0)
    assert {draw.steps(least=4, most=6) for _ in range(100)} == {4, 5, 6}
    assert {draw.steps() for _ in range(300)} == set(range(2, 17))


def test_tasks_have_every_size_and_inputs_of_every_scale():
    draws = [Draw(Setting(), 1, index) for index in range(200)]
    assert {(d.task.dim, d.task.examples) for d in draws} == set(Setting().sizes)
    assert {d.task.weights for d in draws} == {"unit", "standard"}
    plain = sum(d.scale == 1 for d in draws)
    assert 70 < plain < 130
    assert min(d.scale for d in draws) < 0.03
    assert max(d.scale for d in draws) > 30
    for d in draws:
        assert d.made["input scale"] == d.scale
        assert d.domain == Domain() or d.domain == Domain(dims=(d.task.dim,), examples=(d.task.examples,))
        assert (
            d.domain.dims is not None or d.task.examples >= d.task.dim
        )  # else prompts with more examples would be asked
    assert len({d.domain.dims is None for d in draws}) == 2


@pytest.mark.parametrize("index", range(6))
def test_inputs_and_label_noise_are_in_the_units_drawn(index):
    draw = Draw(Setting(label_noise=(0.3,)), 2, index)
    prompts = draw.task.sample(400, seed=0)
    assert float(prompts.xs.square().mean()) == pytest.approx(draw.scale, rel=0.1)
    assert prompts.weights is not None
    exact = (prompts.xs @ prompts.weights[..., None])[..., 0]
    assert float((prompts.ys - exact).std() / exact.std()) == pytest.approx(0.3, rel=0.1)


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("domain", [None, Domain()])
def test_designs_have_the_condition_and_the_size_of_the_task(index, domain):
    draw = Draw(Setting(sizes=((5, 20), (9, 30))), 3, index)
    task = designs(draw, 30.0, domain=domain).task
    fixed = (draw.domain if domain is None else domain).dims is not None
    assert (task.dim, task.examples) == (
        (draw.task.dim, draw.task.examples) if fixed else (max(8, draw.task.dim), max(24, draw.task.examples))
    )
    prompts = task.sample(5, seed=0)
    spectrum = Problem.of(prompts).spectrum
    torch.testing.assert_close(spectrum[:, -1] / spectrum[:, 0], torch.full((5,), 30.0).double())
    torch.testing.assert_close(spectrum.mean(1), torch.full((5,), draw.scale).double())
    assert float(task.sample(200, seed=1).queries.square().mean()) == pytest.approx(draw.scale, rel=0.1)

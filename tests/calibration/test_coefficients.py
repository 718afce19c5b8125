"""Coefficients of planted subjects: near the best for their task or anywhere that mostly helps, in the units of its inputs."""

import dataclasses

import pytest

from mesascope.algorithms import (
    Algorithm,
    ChebyshevIteration,
    GDPlusPlus,
    GradientDescent,
    HeavyBall,
    Nesterov,
    NewtonSchulz,
    PreconditionedGradientDescent,
    Problem,
    run,
    tuned,
)
from mesascope.calibration import coefficients
from mesascope.calibration.coefficients import CONDITION, JITTER, LARGEST, member, numbers
from mesascope.calibration.drawing import Draw, Setting, designs

ALGORITHMS = (
    GradientDescent(),
    PreconditionedGradientDescent(),
    HeavyBall(),
    Nesterov(),
    ChebyshevIteration(),
    GDPlusPlus(),
    NewtonSchulz(start="identity"),
)
each = pytest.mark.parametrize("algorithm", ALGORITHMS, ids=lambda a: a.name)
STEPS = 3


def drawn(algorithm: Algorithm, index: int, **options: bool) -> tuple[Draw, Algorithm]:
    draw = Draw(Setting(), 5, index)
    return draw, member(draw, algorithm, STEPS, **options)


@each
def test_most_training_prompts_are_better_off_and_no_answer_is_out_of_sight(algorithm):
    kinds = set()
    for index in range(3):
        draw, found = drawn(algorithm, index)
        kinds.add(draw.made["coefficients"])
        prompts = draw.task.sample(100, seed=9)
        error = (run(found, prompts, STEPS).predictions[-1] - prompts.targets).square().mean(
            -1
        ) / prompts.target_variance
        assert float((error < 1).double().mean()) > 0.4  # of other prompts than those that the draw has seen
        hard = designs(draw, CONDITION).task.sample(100, seed=9)
        size = run(found, hard, STEPS).predictions.square().mean(-1) / hard.target_variance
        assert float(size.max()) < 10 * LARGEST**2
    assert kinds == {"tuned", "drawn"}  # so these few are of both kinds


@pytest.mark.parametrize("algorithm", [GradientDescent(), ChebyshevIteration(), GDPlusPlus()], ids=lambda a: a.name)
def test_the_best_are_not_far(algorithm):
    draw, found = drawn(algorithm, 1, near=True)
    best = numbers(tuned(algorithm, draw.task.sample(64, seed=9), STEPS))
    values = numbers(found)
    assert values.keys() == best.keys()
    for name in values.keys() & {"step_size", "scale", "largest"}:
        assert values[name] == pytest.approx(best[name], rel=1.6 * JITTER - 1)  # tuned to other prompts
    assert values != best


def test_others_run_from_far_too_small_to_nearly_too_large_and_have_a_momentum_that_shows(monkeypatch):
    monkeypatch.setattr(
        coefficients, "tuned", lambda *_: HeavyBall(step_size=1e-9, momentum=0.5)
    )  # which takes no time
    sizes, momenta = [], []
    for index in range(120):
        draw, found = drawn(HeavyBall(), index)
        if draw.made["coefficients"] == "drawn":
            largest = Problem.of(draw.task.sample(64, seed=9)).bounds[1].median()
            values = numbers(found)
            sizes.append(values["step_size"] * float(largest))
            momenta.append(values["momentum"])
    assert len(sizes) > 20
    assert min(sizes) < 0.1
    assert 1.5 < max(sizes) < 2.1
    low, high = Setting().momentum
    assert low <= min(momenta) < 0.2
    assert 0.7 < max(momenta) <= high


@pytest.mark.parametrize(
    "algorithm",
    [HeavyBall(), PreconditionedGradientDescent(), ChebyshevIteration(), NewtonSchulz(start="identity")],
    ids=lambda a: a.name,
)
def test_steps_grow_as_inputs_shrink(algorithm):
    """The same draw in other units: what stands beside an eigenvalue goes with it."""
    setting = Setting(sizes=((5, 20),), weights=("unit",))
    index = next(i for i in range(50) if Draw(setting, 6, i).scale != 1)
    found = []
    for scale in (0.01, 100.0):
        draw = Draw(dataclasses.replace(setting, input_scale=(scale, scale * (1 + 1e-12))), 6, index)
        assert draw.scale == scale
        found.append(numbers(member(draw, algorithm, STEPS, near=True)))
    small, large = found
    jacobi = isinstance(algorithm, PreconditionedGradientDescent)
    for name, value in small.items():
        factor = {"momentum": 1.0, "smallest": 1e-4, "largest": 1e-4}.get(name, 1.0 if jacobi else 1e4)
        assert value / large[name] == pytest.approx(factor, rel=0.03), name

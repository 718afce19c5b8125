"""What was once said wrongly: coefficients near the best for a task, layers that hold nothing, other scales, functions."""

import pytest
import torch

import mesascope
from mesascope.algorithms import (
    ChebyshevIteration,
    ConjugateGradient,
    DataSpaceConjugateGradient,
    GradientDescent,
    HeavyBall,
    LeastSquares,
    Nesterov,
    run,
)
from mesascope.instruments.identification import identify, identify_path
from mesascope.instruments.identification.answering import answer
from mesascope.instruments.identification.evidence import Halves
from mesascope.instruments.identification.families import chosen
from mesascope.instruments.identification.prompts import discriminating
from mesascope.instruments.reading.paths import Splits, nudged, paths
from mesascope.tasks import Diagonal, Eigenvalues, Gaussian, LinearRegression
from mesascope.types import Domain

FAMILIES = ("gradient-descent", "heavy-ball", "nesterov", "chebyshev-iteration", "gd-plus-plus", "conjugate-gradient")
TASK = LinearRegression()


def path_of(subject, task=TASK, readout="auto", prompts=60):
    return identify_path(subject, task, algorithms=FAMILIES, prompts=prompts, readouts=(readout,))[0]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        ("heavy-ball?layers=10&step_size=0.88&momentum=0.35", "heavy-ball"),
        ("nesterov?layers=12&step_size=0.4&momentum=0.5", "nesterov"),
        ("chebyshev-iteration?layers=10&smallest=0.22&largest=2.8", "chebyshev-iteration"),
        ("chebyshev-iteration?layers=4&smallest=0.11&largest=2.81", "chebyshev-iteration"),
    ],
)
def test_coefficients_that_suit_training_are_found_though_they_diverge_on_some_prompts(reference, name):
    found = path_of(mesascope.load(f"construction:{reference}"))
    assert (found.label, found.algorithms) == ("identified", (name,))


@pytest.mark.parametrize(
    ("size", "algorithm", "name"),
    [
        (0.01, GradientDescent(step_size=30.0), "gradient-descent"),
        (25.0, ChebyshevIteration(bounds=(5.0, 60.0)), "chebyshev-iteration"),
    ],
)
def test_the_size_of_the_inputs_does_not_matter(size, algorithm, name, plant):
    task = LinearRegression(inputs=Gaussian(covariance=Eigenvalues(values=(size,) * 5)))
    assert path_of(plant(algorithm), task).algorithms == (name,)


def _last_only(p):
    """Functions of the query alone, then four steps of conjugate gradient at once."""
    query = p.queries[..., 0]
    return torch.stack([0.3 * query, 0.1 * query, -0.2 * query, run(ConjugateGradient(), p, 4).predictions[4]])


def _first_only(p):
    return run(GradientDescent(step_size=0.2), p, 8).predictions[8].expand(4, -1, -1)


@pytest.mark.parametrize("readout", ["own", "fitted"])
@pytest.mark.parametrize("script", [_first_only, _last_only], ids=["first layer", "last layer"])
def test_a_single_layer_is_no_path(script, readout, plant_path):
    if (script, readout) == (_last_only, "own"):
        pytest.skip(
            "by its own readout the layers before say something else, which is evidence against every candidate"
        )
    found = path_of(plant_path(path_of=script, layers=4), readout=readout, prompts=200)
    assert (found.label, found.evidence) == ("none", 1)
    if script is _first_only:  # where the layers before say nothing, they already speak against every candidate
        assert "a function, and no path" in found.reason


def _hardly_anything(p):
    """A thousandth of the variance that is a function of the query alone, then eight steps of gradient descent at once."""
    query = 0.03 * p.queries[..., 0] * p.target_variance.sqrt()[:, None] / p.queries.square().mean().sqrt()
    return torch.stack([query, -query, run(GradientDescent(step_size=0.2), p, 8).predictions[8]])


def test_layers_that_hardly_change_the_answer_are_no_evidence_for_a_path(plant_path):
    found = identify_path(plant_path(path_of=_hardly_anything, layers=3), TASK, prompts=100, readouts=("own",))[0]
    assert found.label == "none"
    assert "a function, and no path" in found.reason


@pytest.mark.parametrize("steps", [(0, 0, 1, 2, 3, 4), (1, 2, 3, 4, 4, 4), (1, 1, 1, 2, 2, 3)])
def test_idle_layers_are_passed_over(steps, plant):
    found = path_of(plant(HeavyBall(step_size=0.3, momentum=0.4), steps=steps))
    assert found.algorithms == ("heavy-ball",)
    assert found.evidence == len({*steps} - {0})
    assert next(row for row in found.scores if row.kept).steps == steps


@pytest.mark.parametrize("factor", [0.9, 1.05])
@pytest.mark.parametrize(
    ("algorithm", "name"),
    [(GradientDescent(step_size=0.2), "gradient-descent"), (ConjugateGradient(), "conjugate-gradient")],
    ids=["gradient descent", "conjugate gradient"],
)
def test_another_output_scale_is_no_candidate_and_is_said(algorithm, name, factor, plant_path):
    found = path_of(plant_path(path_of=lambda p: factor * run(algorithm, p, 5).predictions[1:], layers=5))
    assert found.label == "none"
    assert f"{factor:.3f} times those of {name}" in found.reason


def test_a_factor_is_found_though_another_timing_is_better_without_it(plant_path):
    """Without the factor two steps per layer without momentum are better, and heavy ball per layer nearly makes up for it."""
    nesterov, size = Nesterov(step_size=0.278, momentum=0.15), 0.782
    subject = plant_path(path_of=lambda p: 0.95 * run(nesterov, p, 11).predictions[1:], layers=11)
    inputs = Gaussian(covariance=Diagonal(condition=1.0, size=size))
    task = LinearRegression(dim=4, examples=9, weights="standard", noise=size**0.5, inputs=inputs)
    names = ["gd", "nesterov", "heavy-ball", "gradient-descent:per-layer", "heavy-ball:per-layer"]
    where = discriminating(task, Domain(dims=(4,), examples=(9,)))
    [found] = identify_path(subject, task, algorithms=names, prompts=100, readouts=("own",), distribution=where)
    assert found.label == "none"
    assert "0.950 times those of nesterov" in found.reason


def _lost(where):
    def script(p):
        path = run(GradientDescent(step_size=0.2), p, 4).predictions[1:].clone()
        path[where] = torch.nan
        return path

    return script


@pytest.mark.parametrize(("where", "count"), [((1,), "480 of 1,920"), ((-1, 0, 0), "1 of 1,920")])
def test_what_is_not_finite_is_counted_in_every_layer(where, count, plant_path):
    found = path_of(plant_path(path_of=_lost(where), layers=4), readout="own")
    assert found.label == "none"
    assert f"It answers {count} times with NaN or infinity" in found.reason


def test_closed_forms_have_no_path_and_the_label_rests_on_the_function(plant):
    verdict = identify(plant(LeastSquares(), steps=(1, 1)), TASK, algorithms=["ols", "ridge"], prompts=40)
    assert (verdict.label, verdict.algorithms) == ("identified", ("least-squares",))
    assert "closed form" in verdict.discriminating.path.reason
    assert not verdict.discriminating.path.scores


DECIDING = LinearRegression(
    queries=8, inputs=Gaussian(covariance=Diagonal(condition=(3.0, 30.0, 300.0), rotate=True), exact=True)
)


@pytest.mark.parametrize(
    ("algorithm", "steps"),
    [
        (GradientDescent(step_size=0.1), 3),
        (GradientDescent(step_size=0.1), 36),
        (GradientDescent(step_size=0.35), 8),
        (HeavyBall(step_size=0.3, momentum=0.4), 6),
        (DataSpaceConjugateGradient(), 3),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_a_function_is_named_whatever_its_number_of_steps(algorithm, steps, plant):
    subject, sample = plant(algorithm, steps=(steps,)), DECIDING.sample
    scoring = sample(60, seed=0, stream="score")
    fitting = sample(60, seed=0, stream="fit")
    splits = Splits(fitting=fitting, scoring=scoring, again=nudged(scoring, 0), reading=lambda: (fitting, fitting))
    found, fitted = answer("function", paths(subject, splits, seed=0), None, Halves.of("", splits, 0), chosen(None), ())
    assert fitted is not None
    assert found.algorithms == (algorithm.name,)
    assert next(row for row in found.scores if row.kept).steps == (steps,)

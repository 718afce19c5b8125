"""Overwriting a state: exact where it was built in, wrong for another algorithm or step, nothing where there is none."""

import dataclasses
import functools
import importlib

import pytest
import torch

from mesascope import algorithms as A
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.intervening import causal
from mesascope.instruments.intervening.causal import changes, declared, effects, probed
from mesascope.models.constructions import (
    CONSTRUCTIONS,
    conjugate_gradient,
    gradient_descent,
    heavy_ball,
    kernel_gradient_descent,
    primal_gradient_descent,
)
from mesascope.report.figures import draw
from mesascope.tasks import LinearRegression
from mesascope.testing import check_instrument

TASK = LinearRegression(dim=4, examples=16, queries=3, noise=0.1)
SIZE = {"n": 16, "fit": 24, "queries": 3}
SMALL = {"layers": 4, "iterations": 3, "steps": 2}


def built(name: str):
    construction = CONSTRUCTIONS[name]()
    return CONSTRUCTIONS[name](**{k: v for k, v in SMALL.items() if k in construction.options})


HELD = [name for name in CONSTRUCTIONS if CONSTRUCTIONS[name]().holds is not None]


def pair(task: LinearRegression = TASK, n: int = 16) -> changes.Pair:
    recipients = task.sample(n, seed=0, stream="recipient")
    donors = dataclasses.replace(task.sample(n, seed=0, stream="donor"), queries=recipients.queries)
    return changes.Pair(donors=donors, recipients=recipients)


def of(found, quantity="agreement", **coordinates):
    return [m for m in found if m.quantity == quantity and all(m.coordinates[k] == v for k, v in coordinates.items())]


# ------------------------------------------------------------------------------- networks that declare their state


@pytest.mark.parametrize("name", HELD)
@pytest.mark.parametrize("examples", [16, 3], ids=["more examples than dimensions", "fewer"])
def test_a_construction_changes_its_answer_exactly_as_its_algorithm_does(name, examples):
    subject, task = built(name), dataclasses.replace(TASK, examples=examples)
    claim = declared.declared_claim(subject, task.dim)
    variables = subject.holds.variables
    found = effects.effects_of(subject, declared.declared_changes(subject, variables, claim, (), seed=0), [pair(task)])
    moved = set()
    for (site, variable, overwrite, _), effect in found.items():
        predicted, measured = effect[changes.RIGHT], effect[effects.MEASURED]
        error = (measured - predicted).norm() / predicted.norm().clamp(min=1e-6)
        assert error < 1e-9, (site, variable, overwrite)
        if predicted.norm() > 1e-3:
            moved.add(variable)
            assert (effect[effects.RANDOM] - predicted).norm() > 0.1 * predicted.norm(), (site, variable, overwrite)
    assert moved == set(variables), "a variable that has no effect"


def test_every_construction_declares_or_has_no_reference_algorithm():
    known = {algorithm.name for algorithm in A.ALL}
    no_weights = {"preconditioned-richardson"}  # its state is one number for each example
    for name in set(CONSTRUCTIONS) - set(HELD) - no_weights:
        assert built(name).algorithm not in known, name
    for name in HELD:
        assert built(name).holds.algorithm(3).name == built(name).algorithm
        assert built(name).reinitialised(0).holds is None


@pytest.fixture(scope="module")
def on_conjugate_gradient():
    return causal.causal(conjugate_gradient(iterations=3), TASK, **SIZE)


def test_every_declared_variable_is_measured_with_its_controls(on_conjugate_gradient, look):
    _, control = look
    own = of(on_conjugate_gradient, algorithm="conjugate-gradient")
    assert {m.coordinates["variable"] for m in own} == {"solution", "residual", "direction"}
    assert {m.coordinates["with"] for m in own} == {"donor's", "scaled by 0.5", "scaled by 2"}
    for m in own:
        assert m.value == pytest.approx(1, abs=1e-12)
        assert control(m, causal.KNOWN_NETWORK) == pytest.approx(1, abs=1e-12)
        assert control(m, causal.RANDOM) < 0.9
    slopes = of(on_conjugate_gradient, "slope", algorithm="conjugate-gradient")
    assert all(m.value == pytest.approx(1, abs=1e-9) for m in slopes)


def test_the_wrong_algorithm_does_not_agree(on_conjugate_gradient):
    first = {"site": "blocks.1.hook_resid_post"}
    for m in of(on_conjugate_gradient, algorithm="gradient-descent", **first):
        assert m.value < 0.5, m.coordinates
    found = causal.causal(gradient_descent(layers=4), TASK, **SIZE)
    for m in of(found, algorithm="conjugate-gradient", site="blocks.0.hook_resid_post"):
        assert m.value < 0.7, m.coordinates
    assert all(m.value == pytest.approx(1, abs=1e-12) for m in of(found, algorithm="gradient-descent"))


def test_at_the_end_all_algorithms_agree_on_an_overwritten_iterate(on_conjugate_gradient):
    last = of(on_conjugate_gradient, site="blocks.5.hook_resid_post")
    assert {m.coordinates["variable"] for m in last} == {"solution"}, "what comes after the last step has no effect"
    assert {m.coordinates["algorithm"] for m in last} == {"conjugate-gradient", "gradient-descent"}
    assert all(m.value == pytest.approx(1, abs=1e-12) for m in last)


def test_the_wrong_step_does_not_agree(on_conjugate_gradient):
    wrong = (changes.EARLIER, changes.LATER)
    for found, variables in (
        (on_conjugate_gradient, ("residual", "direction")),
        (causal.causal(heavy_ball(layers=4), TASK, **SIZE), ("position", "velocity")),
    ):
        for variable in variables:
            controls = [
                c for m in of(found, variable=variable) for c in m.controls if c.name in wrong and m.value > 1 - 1e-9
            ]
            assert {c.name for c in controls} == set(wrong)
            assert all(c.value < 0.99 for c in controls)
    # A solution put in from elsewhere is carried to the end from any step: that is no control.
    for m in of(on_conjugate_gradient, variable="solution", algorithm="conjugate-gradient"):
        assert not {c.name for c in m.controls} & set(wrong)


# ------------------------------------------------------------------------------- any other subject, by probes


def undeclared(construction):
    return dataclasses.replace(construction, holds=None)


def test_probes_find_what_a_network_holds_and_overwrite_it():
    # The way back is exact but for chance correlations between channels, which fall as one over the prompts of the fit.
    size = {"n": 96, "fit": 1024, "queries": 3}
    primal = causal.causal(undeclared(primal_gradient_descent(layers=4)), TASK, **size)
    dual = causal.causal(undeclared(gradient_descent(layers=4)), TASK, **size)
    for found, variable in ((primal, probed.WEIGHTS), (dual, probed.ANSWER)):
        kept = of(found, "R² of the probe", variable=variable, algorithm="gradient-descent")
        assert kept
        assert all(m.value > 0.999 for m in kept)
        agreed = of(found, variable=variable, algorithm="gradient-descent")
        assert {m.coordinates["site"] for m in agreed} == {f"blocks.{i}.hook_resid_post" for i in range(3)}
        assert all(m.value > 0.8 for m in agreed if m.coordinates["with"] == "donor's")
    assert not of(dual, variable=probed.WEIGHTS), "the dual form never writes w down"


def test_what_is_there_and_not_used_does_not_agree(planted, task, look):
    """The memory of the planted subject holds w, and nothing reads it; its answer channel falls one tenth short."""
    value, control = look
    found = causal.causal(planted, task, n=32, fit=128, queries=3)
    where = {"site": "blocks.0.hook_resid_mid", "with": "donor's", "algorithm": changes.ANSWERED}
    assert value(found, "R² of the probe", **where | {"variable": probed.WEIGHTS, "with": None}).value > 0.999
    assert value(found, "agreement", variable=probed.WEIGHTS, **where).value == pytest.approx(0, abs=0.1)
    assert value(found, "slope", variable=probed.ANSWER, **where).value == pytest.approx(0.9, abs=0.02)
    for m in found:
        if m.quantity == "agreement":
            assert control(m, causal.KNOWN_NETWORK) == pytest.approx(1, abs=1e-12)
            assert control(m, causal.PROBED_NETWORK) > 0.7


def test_an_untrained_network_has_no_state_to_overwrite(tiny, task):
    found = causal.causal(tiny, task, n=24, fit=128, queries=3)
    assert {m.quantity for m in found} == {"R² of the probe"}
    assert all(m.value < 0.2 for m in found)
    assert not causal.figure(found).rows


def test_what_declares_nothing_is_probed(look):
    found = causal.causal(kernel_gradient_descent(layers=3), TASK, **SIZE)
    assert of(found, "R² of the probe")


# ------------------------------------------------------------------------------- what algorithms predict


@pytest.mark.parametrize("algorithm", A.ALL, ids=lambda a: a.name)
def test_any_algorithm_can_be_overwritten(algorithm):
    """The state itself changes nothing; after the last step an iterate that is moved moves the answer by as much."""
    problem, algorithm = A.Problem.of(pair().recipients), algorithm()
    path = causal.states(algorithm, problem, 3)
    for name in causal.variables(path[2]):
        same = causal.overwritten(algorithm, problem, path[2], **{name: getattr(path[2], name)})
        nothing = causal.predicted_change(algorithm, problem, path[2], same, 1)
        assert float(nothing.abs().max()) < 1e-12
    iterate = causal.variables(path[3])[0]
    twice = causal.overwritten(algorithm, problem, path[3], **{iterate: 2 * getattr(path[3], iterate)})
    answer = A.run(algorithm, problem, 3).predictions[-1]
    torch.testing.assert_close(causal.predicted_change(algorithm, problem, path[3], twice, 0), answer)


def test_predictions_have_their_closed_forms():
    """Gradient descent contracts a change of w by (I − ηS) a step; momentum and conjugate gradient as they should."""
    prompts = pair().recipients
    problem = A.Problem.of(prompts)
    change = torch.randn(problem.moment.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    descent = A.GradientDescent(step_size=0.3)
    state = causal.states(descent, problem, 2)[2]
    moved = causal.overwritten(descent, problem, state, position=state.position + change)
    left = change
    for _ in range(3):
        left = left - 0.3 * problem.apply(left)
    expected = (prompts.queries @ left[..., None])[..., 0]
    torch.testing.assert_close(causal.predicted_change(descent, problem, state, moved, 3), expected)
    ball = A.HeavyBall(step_size=0.3, momentum=0.5)
    state = causal.states(ball, problem, 2)[2]
    moved = causal.overwritten(ball, problem, state, velocity=state.velocity + change)
    expected = (prompts.queries @ (0.5 * change)[..., None])[..., 0]
    torch.testing.assert_close(causal.predicted_change(ball, problem, state, moved, 1), expected)
    cg = A.ConjugateGradient()
    state = causal.states(cg, problem, 1)[1]
    moved = causal.overwritten(cg, problem, state, solution=state.solution + change)
    expected = (prompts.queries @ change[..., None])[..., 0]
    torch.testing.assert_close(causal.predicted_change(cg, problem, state, moved, 2), expected)
    moved = causal.overwritten(cg, problem, state, residual=2 * state.residual)
    torch.testing.assert_close(moved.energy, 4 * state.energy)


def test_a_prompt_that_is_solved_stays_so():
    """In one dimension conjugate gradient is done after a step, and another one would divide by zero."""
    problem = A.Problem.from_gram(torch.ones(2, 1, 1).double(), torch.tensor([[2.0], [0.0]]).double())
    *_, last = causal.states(A.ConjugateGradient(), problem, 4)
    assert last.weights.tolist() == [[2.0], [0.0]]


def test_a_part_that_is_no_variable_is_refused(unchecked):
    problem = A.Problem.of(pair().recipients)
    state = A.GradientDescent().init(problem)
    with pytest.raises(ValueError, match="one of position, velocity; got 'gradient'"):
        causal.overwritten(A.GradientDescent(), problem, state, gradient=state.gradient)


# ------------------------------------------------------------------------------- as an instrument


@pytest.mark.parametrize(
    "subject", [gradient_descent(layers=2), conjugate_gradient(iterations=2)], ids=lambda s: s.name
)
def test_it_keeps_the_promises_of_an_instrument(subject):
    check_instrument(
        functools.partial(causal.causal, n=8, fit=8, queries=2), subject, LinearRegression(dim=3, examples=10)
    )


def test_it_keeps_them_on_a_transformer(tiny, task):
    check_instrument(functools.partial(causal.causal, n=8, fit=12, queries=2), tiny, task)


def test_rivals_are_fitted_to_other_prompts_than_the_readouts_that_show_the_path(plant_path, monkeypatch):
    module, given = importlib.import_module("mesascope.instruments.reading.paths"), []
    fit = module._readout
    monkeypatch.setattr(module, "_readout", lambda a, targets, w: given.append(targets) or fit(a, targets, w))
    monkeypatch.setattr(module, "_sensible", lambda *_: False)  # as of a trained network in the middle
    descent = A.GradientDescent(step_size=0.3)
    subject = plant_path(path_of=lambda p: A.run(descent, p, 3).predictions[1:], layers=3)
    prompts, reading = (TASK.sample(24, seed=0, stream=use) for use in ("fit", "read"))
    found = {claim.name: claim for claim in changes.fitted_claims(subject, prompts, reading, seed=0)}
    assert float(found["gradient-descent"].algorithm.step_size) == pytest.approx(0.3, rel=0.01)
    said = answers(subject, reading)
    assert given and all(any(torch.equal(targets, known) for known in (reading.targets, said)) for targets in given)


def test_the_size_of_a_batch_changes_nothing_but_the_random_directions(planted, task):
    whole, split = (causal.causal(planted, task, n=20, fit=32, queries=2, batch=b) for b in (64, 7))
    for a, b in zip(whole, split, strict=True):
        assert a.coordinates == b.coordinates
        assert a.value == pytest.approx(b.value, rel=1e-9, abs=1e-9)


def test_it_needs_something_that_comes_after(bare, task, plant):
    with pytest.raises(NotApplicable, match="residual-stream"):
        causal.causal(bare, task, **SIZE)
    with pytest.raises(NotApplicable, match="nothing|anything but the readout"):
        causal.causal(plant(A.GradientDescent(), steps=(1,)), task, **SIZE)


def test_the_figure_shows_the_controls_and_can_be_drawn(on_conjugate_gradient):
    drawn = causal.figure(on_conjugate_gradient)
    assert draw(drawn)["data"]["values"]
    assert {"conjugate-gradient", "random direction, conjugate-gradient"} <= {row["prediction"] for row in drawn.rows}
    assert min(row["agreement"] for row in drawn.rows) >= -1


@pytest.mark.parametrize(("dim", "examples"), [(2, 1), (5, 1), (2, 2), (4, 16)])
def test_a_known_network_is_no_control_of_what_divides_by_almost_nothing(dim, examples):
    """With one example there is nothing left to divide; in a square of two, a donor's residual may meet a flat direction."""
    task = LinearRegression(dim=dim, examples=examples)
    found = causal.causal(conjugate_gradient(iterations=3), task, n=64, fit=24, queries=2)
    controls = [c for m in of(found) for c in m.controls if c.name == causal.KNOWN_NETWORK]
    told = [c for c in controls if not c.degenerate]
    assert told
    assert all(c.value == pytest.approx(1, abs=causal.EXACT) for c in told)
    assert (len(told) == len(controls)) == ((dim, examples) != (2, 2))
    assert all("almost zero" in c.degenerate for c in controls if c not in told)

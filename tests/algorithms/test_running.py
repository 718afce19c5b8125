import dataclasses
import importlib
import re

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mesascope.algorithms import (
    ALL,
    RBF,
    BayesOptimal,
    ChebyshevIteration,
    ConjugateGradient,
    DampedConjugateGradient,
    DampedGradientDescent,
    DataSpaceConjugateGradient,
    GDPlusPlus,
    GradientDescent,
    GradientFlow,
    HeavyBall,
    KernelRidge,
    LeastSquares,
    MeanLabel,
    NadarayaWatson,
    Nesterov,
    NewtonSchulz,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
    PreconditionedRichardson,
    Problem,
    Ridge,
    run,
)
from mesascope.types import Status

OK, SOLVED, BREAKDOWN, DIVERGED = (int(s) for s in Status)
members = pytest.mark.parametrize("member", ALL, ids=lambda member: member.name)


@members
def test_every_member_starts_from_zero_and_keeps_every_iterate(make, member):
    prompts = make()
    path = run(member(), prompts, 3, ridge=0.1)
    assert path.predictions.shape == (4, 6, 5)
    assert (path.predictions[0] == 0).all() and (path.predictions[1] != 0).all()
    if path.weights is not None:
        assert path.weights.shape == (4, 6, 4)
        torch.testing.assert_close(path.predictions, torch.einsum("sbd,bqd->sbq", path.weights, prompts.queries))
    assert (path.status == OK).all() and (path.stopped_at == -1).all()


@members
def test_more_steps_only_add_rows(make, member):
    torch.testing.assert_close(
        run(member(), make(), 2).predictions, run(member(), make(), 4).predictions[:3], rtol=0, atol=0
    )


@members
@given(seed=st.integers(0, 2**31), examples=st.integers(2, 9), dim=st.integers(1, 6))
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_batching_equals_looping(make, member, seed, examples, dim):
    prompts = make(batch=3, examples=examples, dim=dim, seed=seed)
    together = run(member(), prompts, 3, ridge=1.0)
    for i in range(3):
        alone = run(member(), prompts[i : i + 1], 3, ridge=1.0)
        torch.testing.assert_close(together.predictions[:, i], alone.predictions[:, 0], rtol=1e-9, atol=1e-9)


def test_chunks_change_nothing(make, monkeypatch):
    prompts = make()
    prompts.ys[2] = 0
    for algorithm in (ConjugateGradient(), KernelRidge()):
        whole = run(algorithm, prompts, 3)
        monkeypatch.setattr(importlib.import_module("mesascope.algorithms.running"), "CHUNK_BYTES", 300)
        parts = run(algorithm, prompts, 3)
        monkeypatch.undo()
        for name in ("predictions", "weights", "status", "stopped_at"):
            torch.testing.assert_close(getattr(whole, name), getattr(parts, name), rtol=1e-12, atol=1e-12)
    assert whole.weights is None


@pytest.mark.parametrize(
    ("member", "fields"),
    [
        (GradientDescent, ["step_size"]),
        (PreconditionedGradientDescent, ["step_size"]),
        (HeavyBall, ["step_size", "momentum"]),
        (Nesterov, ["step_size", "momentum"]),
        (ChebyshevIteration, ["bounds"]),
        (NewtonSchulz, ["scale"]),
        (GDPlusPlus, ["step_size", "curvature"]),
    ],
)
def test_one_coefficient_a_prompt_is_as_good_as_one_run_a_prompt(make, monkeypatch, member, fields):
    prompts = make()
    monkeypatch.setattr(
        importlib.import_module("mesascope.algorithms.running"), "CHUNK_BYTES", 300
    )  # two prompts a chunk
    numbers = torch.linspace(0.05, 0.2, 6, dtype=torch.float64)[:, None]
    values = {name: (numbers, 10 * numbers) if name == "bounds" else numbers for name in fields}
    together = run(member(**values), prompts, 3)
    for i in range(6):
        number = float(numbers[i])
        alone = member(**{name: (number, 10 * number) if name == "bounds" else number for name in fields})
        expected = run(alone, prompts[i : i + 1], 3).predictions[:, 0]
        torch.testing.assert_close(together.predictions[:, i], expected, rtol=1e-12, atol=1e-12)


@members
def test_single_precision_stays_single_and_agrees_with_double(make, member):
    single, double = run(member(), make(dtype=torch.float32), 2, ridge=0.1), run(member(), make(), 2, ridge=0.1)
    assert single.predictions.dtype == torch.float32
    torch.testing.assert_close(single.predictions.double(), double.predictions, rtol=1e-3, atol=1e-3)
    assert run(member(), make(), 1, dtype=torch.float32).predictions.dtype == torch.float32


def test_no_prompts_and_no_steps_are_fine(make):
    assert run(ConjugateGradient(), make(), 0).predictions.shape == (1, 6, 5)
    assert run(ConjugateGradient(), make()[:0], 2).predictions.shape == (3, 0, 5)
    assert run(KernelRidge(), make()[:0], 2).status.shape == (0,)


@pytest.mark.parametrize("steps", [-1, 100_001, True, 2.5])
def test_steps_must_make_sense(make, unchecked, steps):
    with pytest.raises(ValueError, match=f"steps must be an integer from 0 to 100000; got {steps}"):
        run(ConjugateGradient(), make(), steps)


@pytest.mark.parametrize("given", [{"ridge": 1.0}, {"dtype": torch.float32}])
def test_a_problem_has_its_own_ridge_and_precision(make, given):
    with pytest.raises(ValueError, match="ridge and dtype must be left out with a Problem"):
        run(ConjugateGradient(), Problem.of(make()), 1, **given)


@pytest.mark.parametrize("algorithm", [DataSpaceConjugateGradient(), KernelRidge(), MeanLabel()])
def test_a_member_that_needs_examples_says_so(diagonal, algorithm):
    with pytest.raises(ValueError, match="problem must hold its examples"):
        run(algorithm, diagonal(torch.ones(1, 2), torch.ones(1, 2)), 1)


# ------------------------------------------------------------------------------------------------ statuses


@pytest.mark.parametrize(
    "algorithm",
    [ConjugateGradient(), PreconditionedConjugateGradient(), DataSpaceConjugateGradient(), GradientDescent(),
     GDPlusPlus(), HeavyBall(), NewtonSchulz(), PreconditionedGradientDescent()],
    ids=lambda a: a.name,
)  # fmt: skip
def test_labels_of_zero_are_solved_before_the_first_step(make, algorithm):
    prompts = make()
    prompts.ys[3] = 0
    path = run(algorithm, prompts, 3, ridge=0.5)
    assert path.status.tolist() == [OK, OK, OK, SOLVED, OK, OK]
    assert path.stopped_at.tolist() == [-1, -1, -1, 0, -1, -1]
    assert (path.predictions[:, 3] == 0).all() and path.predictions.isfinite().all()


def test_inputs_of_zero_are_solved_too_whatever_the_step_size_is(make):
    prompts = make(batch=1)
    prompts.xs[:] = 0
    for member in ALL[: ALL.index(LeastSquares)]:
        if member is not DataSpaceConjugateGradient:
            path = run(member(), prompts, 2)
            assert (path.status.tolist(), path.stopped_at.tolist()) == ([SOLVED], [0]), member.name
            assert (path.predictions == 0).all()


@pytest.mark.parametrize(
    "algorithm",
    [ConjugateGradient(), GradientDescent(step_size=1.0), GDPlusPlus(step_size=1.0), NewtonSchulz()],
    ids=lambda a: a.name,
)
def test_an_exact_solution_is_repeated(diagonal, algorithm):
    solution = torch.tensor([[1.0, 2.0], [0.1, 3.0]], dtype=torch.float64)
    path = run(algorithm, diagonal(torch.ones(2, 2, dtype=torch.float64), solution), 4)
    assert (path.status == SOLVED).all() and (path.stopped_at == 1).all()
    assert path.weights is not None and (path.weights[1:] == solution).all()


def test_momentum_carries_heavy_ball_through_the_solution(diagonal):
    solution = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    path = run(HeavyBall(step_size=1.0, momentum=0.5), diagonal(torch.ones(1, 2, dtype=torch.float64), solution), 2)
    assert path.weights is not None and path.status.tolist() == [OK]
    assert (path.weights[1] == solution).all() and (path.weights[2] == 1.5 * solution).all()


def test_a_direction_without_curvature_breaks_conjugate_gradients_down():
    gram = torch.diag_embed(torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, -1.0], [1.0, 1.0]], dtype=torch.float64))
    moment = torch.tensor([[0.0, 1.0], [1.0, 1.0], [0.0, 1.0], [1.0, 0.5]], dtype=torch.float64)
    path = run(ConjugateGradient(), Problem.from_gram(gram, moment), 4)
    assert path.status.tolist() == [BREAKDOWN, BREAKDOWN, BREAKDOWN, SOLVED]
    assert path.stopped_at.tolist() == [1, 2, 1, 1]
    assert path.weights is not None and (path.weights[:, 0] == 0).all() and (path.weights[:, 2] == 0).all()
    assert (path.weights[1:, 1] == 2).all()  # (1,1) by hand: step 2 along it, then the direction is (0,2)


def test_a_residual_too_small_to_square_is_no_solution_and_no_obstacle(diagonal):
    values = torch.tensor([[1.0, 2.0]], dtype=torch.float64)
    tiny = diagonal(values, torch.full((1, 2), 1e-200, dtype=torch.float64))
    start = ConjugateGradient().init(tiny)
    assert ConjugateGradient().step(tiny, start).status.tolist() == [BREAKDOWN]  # as it stands: no square, no step
    path = run(ConjugateGradient(), tiny, 3)  # in units in which it has one
    assert path.status.tolist() == [SOLVED] and path.weights is not None
    torch.testing.assert_close(path.weights[2:], torch.full_like(path.weights[2:], 1e-200), rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    "member", [ConjugateGradient(), DataSpaceConjugateGradient(), PreconditionedConjugateGradient()]
)
def test_labels_in_other_units_change_no_digit(make, member):
    for dtype, exponents in ((torch.float64, (-400, 300)), (torch.float32, (-60, 50))):
        prompts = make(noise=0.0).to(dtype=dtype)
        plain = run(member, prompts, 6)
        for exponent in exponents:
            unit = 2.0**exponent
            path = run(member, dataclasses.replace(prompts, ys=prompts.ys * unit), 6)
            assert torch.equal(path.predictions / unit, plain.predictions)
            assert torch.equal(path.weights / unit, plain.weights)
            assert torch.equal(path.status, plain.status)


def in_units(member, inputs: float, examples: int):
    """The member with coefficients for inputs measured in another unit: with ``inputs`` times the numbers."""
    changes = {
        GDPlusPlus: lambda: {"step_size": 0.25 / inputs**2, "curvature": 0.1 / inputs**2},
        GradientFlow: lambda: {"time": inputs**-2},
        DampedGradientDescent: lambda: {"penalty": 0.1 * inputs**2},
        DampedConjugateGradient: lambda: {"penalty": 0.1 * inputs**2},
        Ridge: lambda: {"ridge": inputs**2},
        BayesOptimal: lambda: {"noise": 0.5 * inputs},
        KernelRidge: lambda: {"kernel": RBF(bandwidth=inputs)},
        PreconditionedRichardson: lambda: {"kernel": RBF(bandwidth=inputs)},
        NadarayaWatson: lambda: {"kernel": RBF(bandwidth=inputs)},
    }
    return member(**changes.get(member, dict)())


@members
@pytest.mark.parametrize(("dtype", "ends"), [(torch.float32, (1e-15, 1e15)), (torch.float64, (1e-100, 1e100))])
def test_no_scale_of_inputs_or_labels_is_answered_wrongly_in_silence(make, member, dtype, ends):
    prompts = make(noise=0.0 if member is DataSpaceConjugateGradient else 0.1)
    expected = run(in_units(member, 1.0, 12), prompts, 4).predictions
    size = expected.abs().amax((0, 2))
    for inputs in (ends[0], ends[0] ** 0.5, 1.0, ends[1] ** 0.5, ends[1]):
        for labels in (ends[0], 1.0, ends[1] ** 0.5, ends[1]):
            scaled = dataclasses.replace(
                prompts, xs=prompts.xs * inputs, queries=prompts.queries * inputs, ys=prompts.ys * labels
            )
            path = run(in_units(member, inputs, 12), scaled.to(dtype=dtype), 4)
            error = ((path.predictions.double() / labels - expected).abs().amax((0, 2)) / size).nan_to_num(torch.inf)
            right = error < (1e-3 if dtype == torch.float32 else 1e-10)
            assert (right | (path.status > SOLVED)).all(), (inputs, labels, error, path.status)
            assert right.all() or member not in ALL[: ALL.index(LeastSquares)], (inputs, labels, error, path.status)


@pytest.mark.parametrize("member", ALL[: ALL.index(LeastSquares)], ids=lambda member: member.name)
@pytest.mark.parametrize(("dtype", "scale"), [(torch.float32, 1e25), (torch.float64, 1e200)])
def test_a_system_that_leaves_the_range_has_a_status(make, member, dtype, scale):
    prompts = make()
    path = run(member(), dataclasses.replace(prompts, xs=prompts.xs * scale).to(dtype=dtype), 4)
    assert (path.status > SOLVED).all()


def test_a_run_goes_on_for_those_who_have_not_ended_and_repeats_the_rest(make, monkeypatch):
    prompts = make(dim=6, examples=9)
    prompts.ys[1] = prompts.xs[1, :, 0]
    prompts.ys[2] = 0
    short, long = (run(ConjugateGradient(), prompts, steps) for steps in (4, 60))
    assert long.weights is not None and short.weights is not None
    assert (long.status == SOLVED).all() and len(long.weights) == len(long.predictions) == 61
    assert torch.equal(long.weights[:5], short.weights) and torch.equal(long.predictions[:5], short.predictions)
    for i, stop in enumerate(long.stopped_at.tolist()):
        assert (long.weights[stop:, i] == long.weights[stop, i]).all()
        assert (long.predictions[stop:, i] == long.predictions[stop, i]).all()
    monkeypatch.setattr(
        importlib.import_module("mesascope.algorithms.running"), "CHUNK_BYTES", 600
    )  # two prompts a chunk
    parts = run(ConjugateGradient(), prompts, 60)
    for name in ("predictions", "weights", "status", "stopped_at"):
        torch.testing.assert_close(getattr(long, name), getattr(parts, name), rtol=1e-12, atol=1e-12)


def test_conjugate_gradients_far_beyond_convergence_keep_their_answer(make):
    path = run(ConjugateGradient(), make(noise=1.0), 400)
    assert path.weights is not None and (path.status != DIVERGED).all()
    torch.testing.assert_close(path.weights[-1], path.weights[20], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("algorithm", [PreconditionedConjugateGradient(), PreconditionedGradientDescent()])
def test_jacobi_breaks_down_on_an_input_that_is_always_zero(make, algorithm):
    prompts = make()
    prompts.xs[4, :, 1] = 0
    path = run(algorithm, prompts, 3)
    assert path.status.tolist() == [OK] * 4 + [BREAKDOWN, OK]
    assert path.stopped_at[4] == 1 and (path.predictions[:, 4] == 0).all()


def test_a_singular_ridge_system_is_a_breakdown():
    problem = Problem.from_gram(torch.ones(1, 2, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64))
    path = run(Ridge(ridge=1e-300), problem, 2)
    assert (path.status.tolist(), path.stopped_at.tolist()) == ([BREAKDOWN], [1])
    assert path.weights is not None and (path.weights == 0).all()


def test_divergence_is_followed_by_nan_and_nothing_else(make):
    prompts = make()
    prompts = dataclasses.replace(prompts, xs=prompts.xs * torch.tensor([0.01, 1, 1, 1, 1, 1])[:, None, None])
    path = run(GradientDescent(step_size=1e3), prompts, 200)
    assert path.status.tolist() == [OK] + [DIVERGED] * 5 and path.stopped_at[0] == -1
    assert path.weights is not None and path.weights[:, 0].isfinite().all()
    for i in range(1, 6):
        stop = int(path.stopped_at[i])
        assert path.weights[:stop, i].isfinite().all() and path.weights[:stop, i].abs().max() > 1e290
        assert path.weights[stop:, i].isnan().all() and path.predictions[stop:, i].isnan().all()


def test_one_direction_is_enough_to_diverge(diagonal):
    values = torch.tensor([[1.0, 1e3]], dtype=torch.float64)
    path = run(GradientDescent(step_size=1.0), diagonal(values, torch.ones_like(values)), 200)
    assert path.status.tolist() == [DIVERGED] and path.weights is not None
    stop = int(path.stopped_at[0])
    assert path.weights[:stop].isfinite().all() and path.weights[stop:].isnan().all()


def test_finite_iterates_with_an_infinite_sum_have_not_diverged(diagonal):
    huge = torch.full((4, 2), 1.5e308, dtype=torch.float64)
    path = run(GradientDescent(step_size=1.0), diagonal(torch.ones(4, 2, dtype=torch.float64), huge), 1)
    assert (path.status == SOLVED).all() and path.weights is not None and (path.weights[1] == huge).all()


def test_names_are_kebab_case_and_unique():
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", member.name) for member in ALL)
    assert len({member.name for member in ALL}) == len(ALL)

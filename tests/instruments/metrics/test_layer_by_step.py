"""Layer ℓ against step ℓ: the published score by its formula, and both scores on subjects whose solver is known."""

import dataclasses

import numpy as np
import pytest
import torch

from mesascope.algorithms import (
    ChebyshevIteration,
    ConjugateGradient,
    PreconditionedConjugateGradient,
    Problem,
    run,
)
from mesascope.instruments import NotApplicable
from mesascope.instruments.metrics import layer_by_step, named_solvers
from mesascope.instruments.metrics.layer_by_step import AHEAD, HALF, ITSELF, OTHERS, PROGRESS, R2, R2_LAYER
from mesascope.instruments.metrics.named_solvers import (
    CG,
    CHEBYSHEV,
    HEAVY,
    PCG,
    PUBLISHED,
    SOLVED,
    SOLVERS,
    published_chebyshev,
)
from mesascope.instruments.metrics.reference import ReferenceSubject
from mesascope.models.scripted import followed
from mesascope.tasks import Diagonal, Gaussian, LinearRegression

CONDITIONS = (1.0, 10.0, 50.0, 100.0, 500.0)
TASK = LinearRegression(
    dim=6,
    examples=14,
    noise=0.1,
    weights="standard",
    inputs=Gaussian(covariance=Diagonal(condition=CONDITIONS, scale="smallest")),
)
LAYERS = 5
SIZES = {"fit": 160, "score": 150}


def planted(algorithm):
    return followed(f"planted {algorithm.name}", algorithm, range(1, LAYERS + 1))


@pytest.fixture(scope="module")
def found():
    return layer_by_step.layer_by_step(planted(PreconditionedConjugateGradient()), TASK, **SIZES)


def scores(found, quantity, condition="all"):
    return {
        m.coordinates["solver"]: m
        for m in found
        if m.quantity == quantity and m.coordinates.get("condition") == condition
    }


def test_every_solver_has_both_scores_for_each_condition_number_and_layer(found):
    names = ["all", *(f"κ={c:g}" for c in CONDITIONS)]
    for quantity in (R2, PROGRESS):
        assert {(m.coordinates["solver"], m.coordinates["condition"]) for m in found if m.quantity == quantity} == {
            (solver, name) for solver in SOLVERS for name in names
        }
    layers = [m.coordinates["layer"] for m in found if m.quantity == R2_LAYER and m.coordinates["solver"] == CG]
    assert layers == [1, 2, 3, 4, 5]
    assert set(scores(found, HALF)) == set(SOLVERS)
    assert all(
        {ITSELF, OTHERS, "untrained network"} == {c.name for c in m.controls} for m in found if m.quantity != AHEAD
    )
    assert {m.quantity for m in found} == set(layer_by_step.INSTRUMENT.quantities)


def test_a_planted_solver_is_the_one_that_scores_best_and_the_published_score_hardly_tells(found):
    progress, published = scores(found, PROGRESS), scores(found, R2)
    assert max(progress, key=lambda name: progress[name].value) == PCG
    assert progress[PCG].value == pytest.approx(1.0, abs=1e-2)
    assert 0.5 < progress[CG].value < 0.98
    assert published[PCG].value > 0.95
    assert published[SOLVED].value > 0.8  # a "solver" that takes no steps
    for m in (progress[PCG], published[PCG]):
        assert m.interval is not None and m.interval[0] <= m.value <= m.interval[1]
        known = {c.name: c.value for c in m.controls}
        assert known[ITSELF] > 0.99 and known[OTHERS] < 0.3


def test_the_paired_difference_decides_between_a_solver_and_conjugate_gradient(found):
    ahead, progress = scores(found, AHEAD), scores(found, PROGRESS)
    assert set(ahead) == set(SOLVERS) - {CG}
    for name, m in ahead.items():
        assert m.value == pytest.approx(progress[name].value - progress[CG].value, abs=1e-12)
    jacobi = ahead[PCG]
    assert jacobi.interval is not None and jacobi.interval[0] > 0.02
    known = {c.name: c.value for c in jacobi.controls}
    assert known["conjugate gradient itself"] < 0 < jacobi.value == pytest.approx(known["the solver itself"], abs=0.02)


def test_the_weights_are_the_logarithms_of_the_condition_numbers(found):
    shares = np.log10(np.maximum(CONDITIONS, 1.1))
    shares = shares / shares.sum()
    np.testing.assert_allclose(shares, [0.006, 0.134, 0.228, 0.269, 0.363], atol=6e-4)  # as the source prints them
    for solver in (CG, HEAVY):
        single = [scores(found, R2, f"κ={c:g}")[solver].value for c in CONDITIONS]
        assert scores(found, R2)[solver].value == pytest.approx(float(shares @ single), abs=1e-12)
        layers = [m.value for m in found if m.quantity == R2_LAYER and m.coordinates["solver"] == solver]
        assert scores(found, R2)[solver].value == pytest.approx(float(np.mean(layers)), abs=1e-12)


def test_the_published_score_by_its_formula():
    rng = np.random.default_rng(0)
    said, step = rng.normal(size=(2, 3, 20, 4))  # (layer, batch, query)
    step = said + 0.7 * step
    members = {"κ=1": torch.arange(20) % 2 == 0, "κ=10": torch.arange(20) % 2 == 1}
    draws = torch.from_numpy(rng.integers(1, 4, size=(30, 20)).astype(float))
    prompts = TASK.sample(20, seed=0)
    bench = layer_by_step._Bench(
        fitting=prompts, scoring=prompts, members=members, weights={"κ=1": 0.25, "κ=10": 0.75}, draws=draws
    )
    table = layer_by_step._r_squared((torch.from_numpy(said), torch.from_numpy(step)), bench)
    assert table.shape == (2, 31, 3)
    for c, inside in enumerate(members.values()):
        for row in range(31):
            times = (np.ones(20) if row == 0 else draws[row - 1].numpy())[inside.numpy()].astype(int)
            for layer in range(3):
                m, a = (np.repeat(x[layer, inside.numpy(), 0], times) for x in (said, step))
                expected = max(0.0, 1 - ((m - a) ** 2).sum() / ((m - m.mean()) ** 2).sum())
                assert float(table[c, row, layer]) == pytest.approx(expected, abs=1e-12)


def by_hand(x, y, ridge, steps):
    """The source's recurrences of its heavy ball and its Chebyshev iteration, for one prompt."""
    system, right = x.T @ x + ridge * np.eye(x.shape[1]), x.T @ y
    low, *_, high = np.linalg.eigvalsh(system)
    momentum = min(((high**0.5 - low**0.5) / (high**0.5 + low**0.5)) ** 2, 0.9)
    size = min(4 / (high**0.5 + low**0.5) ** 2, 1.9 * (1 + momentum) / high)
    heavy, chebyshev = [np.zeros_like(right)] * 2, [np.zeros_like(right)] * 2
    weight = 1.0
    for k in range(steps):
        heavy.append(heavy[-1] + size * (right - system @ heavy[-1]) + momentum * (heavy[-1] - heavy[-2]))
        if k:
            weight = 1 / (1 - ((high - low) / (high + low)) ** 2 / 4 * weight)
        now = chebyshev[-1]
        step = weight * 2 / (high + low) * (right - system @ now)
        chebyshev.append(now + step + (weight - 1) * (now - chebyshev[-2]))
    return np.array(heavy[2:]), np.array(chebyshev[2:])


def test_the_published_solvers_are_the_sources_recurrences():
    prompts = TASK.sample(10, seed=1)
    steps = 8
    found = named_solvers.solutions(prompts, TASK.sample(20, seed=2), steps, ridge=0.1)
    assert tuple(found) == SOLVERS and SOLVERS[:6] == PUBLISHED
    for i in range(10):
        x, y, q = (t[i].numpy() for t in (prompts.xs, prompts.ys, prompts.queries))
        for name, weights in zip((HEAVY, CHEBYSHEV), by_hand(x, y, 0.1, steps), strict=True):
            np.testing.assert_allclose(found[name][:, i].numpy(), weights @ q.T, rtol=1e-8, atol=1e-8)


def test_the_right_chebyshev_has_the_smaller_worst_case():
    eigenvalues = torch.linspace(1, 100, 60, dtype=torch.float64)
    problem = Problem.from_gram(torch.diag(eigenvalues)[None], eigenvalues[None])  # all weights are 1
    right, wrong = (
        run(algorithm, problem, 12).weights for algorithm in (ChebyshevIteration(), published_chebyshev(problem, 12))
    )
    assert right is not None and wrong is not None
    for step in (2, 6, 12):
        assert (1 - right[step]).abs().max() < 0.98 * (1 - wrong[step]).abs().max()
    torch.testing.assert_close(right[1], wrong[1])


def test_the_tuned_heavy_ball_ends_much_nearer_to_the_solution():
    prompts, tuning = TASK.sample(100, seed=3), TASK.sample(100, seed=4)
    found = named_solvers.solutions(prompts, tuning, 12, ridge=0.1)
    solved = found[SOLVED]
    assert torch.equal(solved[0], solved[-1])

    def left(name):
        error = (found[name][-1] - solved[-1]).square().mean(-1) / prompts.target_variance
        return float(error.mean())

    assert 5 * left("heavy ball, tuned") < left(HEAVY)
    torch.testing.assert_close(found[CG][-1], solved[-1], rtol=1e-6, atol=1e-6)


def test_it_needs_layers_and_condition_numbers():
    with pytest.raises(NotApplicable, match="shows no layers"):
        layer_by_step.layer_by_step(ReferenceSubject(algorithm=ConjugateGradient()), TASK, **SIZES)
    with pytest.raises(NotApplicable, match="a Diagonal covariance"):
        layer_by_step.layer_by_step(planted(ConjugateGradient()), dataclasses.replace(TASK, inputs=Gaussian()), **SIZES)


def test_the_figure_shows_both_scores(found):
    figure = layer_by_step.figure(found)
    assert {row["score"] for row in figure.rows} == {R2, PROGRESS} and len(figure.rows) == 2 * len(SOLVERS)

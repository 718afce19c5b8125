"""Data sets drawn afresh: they keep the task protocol, and are the functions that their names say."""

import numpy as np
import pytest
import torch
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3

from mesascope.records.codec import from_json
from mesascope.tasks.datasets import (
    DATASETS,
    FORMULAS,
    CharacterRegression,
    FormulaRegression,
    InformativeRegression,
    NetworkRegression,
    as_letters,
    duplicates,
)
from mesascope.tasks.datasets.formulas import formula_variance
from mesascope.tasks.datasets.network import rectified_covariance
from mesascope.testing import check_task

ORIGINAL = {
    "original-1": lambda x: x[0] + 10 * np.sin(5 * np.pi * x[0] / 100) + 10 * np.cos(6 * np.pi * x[0] / 100),
    "original-2": lambda x: (x[0] ** 4 + (x[1] * x[2] - 2 / np.sqrt(x[1] * x[3])) ** 2) ** 0.75,
    "original-3": lambda x: np.e ** x[0] + x[1] * x[2] / np.sqrt(x[3]) + (x[0] * x[3]) ** 1.5,
    "original-4": lambda x: (
        x[1] / 10 * np.sin(x[0]) + x[0] / 10 * np.cos(x[1]) + np.sqrt(x[0] / x[1]) * np.log(x[1]) / np.log(x[0])
    ),
    "original-5": lambda x: 100 * np.exp(x.max() / 10) / np.exp(x / 10).sum(),
}


@pytest.mark.parametrize("name", DATASETS)
def test_conformance(name):
    check_task(DATASETS[name])


@pytest.mark.parametrize(
    "task",
    [
        FormulaRegression(formula="original-2", examples=3, queries=2, noise=5.0, decimals=None),
        InformativeRegression(dim=6, informative=2, noise=1.0, decimals=0),
        NetworkRegression(dim=1, hidden=8, decimals=None),
        CharacterRegression(dim=2, letters=26, examples=4),
    ],
    ids=str,
)
def test_conformance_of_other_settings(task):
    check_task(task)


@pytest.mark.parametrize(
    ("name", "make"), [("friedman-1", make_friedman1), ("friedman-2", make_friedman2), ("friedman-3", make_friedman3)]
)
def test_friedmans_functions_are_scikit_learns(name, make):
    inputs, labels = make(n_samples=500, random_state=3)
    dim = len(FORMULAS[name].low)
    mine = FORMULAS[name].values(torch.from_numpy(inputs[:, :dim]))
    np.testing.assert_allclose(mine.numpy(), labels, rtol=1e-12)
    assert (inputs[:, :dim] >= FORMULAS[name].low).all()
    assert (inputs[:, :dim] <= FORMULAS[name].high).all()
    spread = np.array(FORMULAS[name].high) - np.array(FORMULAS[name].low)
    assert (np.ptp(inputs[:, :dim], axis=0) > 0.95 * spread).all()  # and the ranges are no wider than scikit-learn's


@pytest.mark.parametrize("name", ORIGINAL)
def test_the_original_functions_are_the_published_ones(name):
    prompts = FormulaRegression(formula=name, decimals=None).sample(5, seed=1)
    for xs, ys in zip(prompts.xs.numpy(), prompts.ys.numpy(), strict=True):
        np.testing.assert_allclose(ys, [ORIGINAL[name](x) for x in xs], rtol=1e-12)


def test_the_variance_of_the_linear_part_of_the_first_function_is_known():
    u = np.random.default_rng(0).random((2_000_000, 2))
    wave = 100 * np.sin(np.pi * u[:, 0] * u[:, 1]).var()
    assert formula_variance("friedman-1") == pytest.approx(wave + 400 / 180 + 125 / 12, rel=2e-3)


@pytest.mark.parametrize("name", FORMULAS)
def test_the_variances_do_not_depend_on_the_quadrature(name):
    formula = FORMULAS[name]
    low, high = np.array(formula.low), np.array(formula.high)
    inputs = torch.from_numpy(low + (high - low) * np.random.default_rng(1).random((400_000, len(low))))
    values = formula.values(inputs)
    squares = (values - values.mean()).square()
    error = float(squares.std()) / len(squares) ** 0.5
    assert abs(formula_variance(name) - float(squares.mean())) < 4 * error


@pytest.mark.parametrize("name", DATASETS)
def test_what_is_shown_has_two_decimals_and_the_targets_are_exact(name):
    task = DATASETS[name]
    prompts = task.sample(20, seed=4)
    for shown in (prompts.xs, prompts.ys, prompts.queries):
        torch.testing.assert_close(shown, shown.round(decimals=2), rtol=0, atol=0)
    assert not torch.equal(prompts.targets, prompts.targets.round(decimals=2))


def test_labels_are_the_functions_values_at_what_is_shown():
    prompts = FormulaRegression(formula="friedman-1").sample(10, seed=0)
    exact = FORMULAS["friedman-1"].values(prompts.xs)
    assert float((prompts.ys - exact).abs().max()) <= 0.005 + 1e-12


@pytest.mark.parametrize(("informative", "dim"), [(1, 1), (1, 3), (2, 3), (3, 3)])
def test_so_many_inputs_are_informative_and_any_can_be(informative, dim):
    weights = InformativeRegression(dim=dim, informative=informative).sample(600, seed=0).weights
    assert weights is not None
    assert ((weights != 0).sum(-1) == informative).all()
    share = (weights != 0).double().mean(0)
    assert float((share - informative / dim).abs().max()) < 0.08
    assert float(weights[weights != 0].mean()) == pytest.approx(50, abs=4)


def test_networks_are_drawn_as_torch_draws_them():
    functions = NetworkRegression(dim=5, hidden=7).functions(4000, torch.Generator().manual_seed(0))
    one = torch.eye(5, dtype=torch.float64)[None].expand(4000, -1, -1)
    layers = [(torch.nn.Linear(5, 7).double(), torch.nn.Linear(7, 1).double()) for _ in range(600)]
    with torch.no_grad():
        theirs = torch.stack([second(first(one[0]).relu())[:, 0] for first, second in layers])
    mine = functions.values(one)
    assert float(mine.mean()) == pytest.approx(float(theirs.mean()), abs=0.03)
    assert float(mine.std()) == pytest.approx(float(theirs.std()), rel=0.05)


@pytest.mark.parametrize("correlation", [-1.0, -0.9, 0.0, 0.4, 0.999, 1.0])
def test_covariances_of_rectified_numbers_are_those_of_a_fine_grid(correlation):
    mean, deviation = torch.tensor([[0.3, -0.5]], dtype=torch.float64), torch.tensor([[1.2, 0.7]], dtype=torch.float64)
    covariance = torch.tensor([[[1.44, correlation * 0.84], [correlation * 0.84, 0.49]]], dtype=torch.float64)
    u = torch.linspace(-8, 8, 1601, dtype=torch.float64)
    mass = (-u.square() / 2).exp()
    mass = (mass[:, None] * mass) / mass.sum() ** 2
    first = (mean[0, 0] + deviation[0, 0] * u[:, None]).relu()
    rest = (1 - correlation**2) ** 0.5
    second = (mean[0, 1] + deviation[0, 1] * (correlation * u[:, None] + rest * u)).relu()
    expected = (mass * first * second).sum() - (mass * first).sum() * (mass * second).sum()
    found = rectified_covariance(covariance, mean)[0]
    assert float(found[0, 1]) == pytest.approx(float(expected), abs=2e-5)
    assert float(found[0, 0]) == pytest.approx(float((mass * first**2).sum() - (mass * first).sum() ** 2), abs=2e-5)


def test_letters_stand_for_numbers_that_are_not_their_places():
    prompts = CharacterRegression(decimals=None).sample(100, seed=2)
    assert {len(set(xs.flatten().tolist())) for xs in prompts.xs} == {5}
    assert {int(x) for x in prompts.xs.unique()} == set(range(26))
    assert as_letters(torch.tensor([0.0, 25.0, 2.0])) == ["a", "z", "c"]
    # Indicators of the letters explain every label; places in the alphabet do not.
    places = prompts.xs
    indicators = torch.nn.functional.one_hot(places.long(), 26).double().flatten(2)
    for inputs, exact in ((indicators, True), (places, False)):
        design = torch.cat([inputs, torch.ones_like(places[..., :1])], -1)
        left = prompts.ys - (design @ (torch.linalg.pinv(design) @ prompts.ys[..., None]))[..., 0]
        assert (float(left.abs().max()) < 1e-8) == exact


def test_none_of_ours_is_another_under_another_name():
    assert duplicates({name: task.sample(3, seed=1) for name, task in DATASETS.items()}) == ()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FormulaRegression(examples=0), "examples must be a whole number of at least 1; got 0"),
        (
            lambda: from_json(FormulaRegression, {"formula": "friedman-4"}),
            "formula must be one of .*; got 'friedman-4'",
        ),
        (lambda: FormulaRegression(noise=-1.0), "noise must be a standard deviation"),
        (lambda: FormulaRegression(decimals=13), "decimals must be at most 12; got 13"),
        (lambda: FormulaRegression(decimals=-1), "decimals must be a whole number of at least 0; got -1"),
        (lambda: InformativeRegression(dim=2), "informative must be at most dim.*got informative=3 and dim=2"),
        (lambda: InformativeRegression(informative=0), "informative must be a whole number of at least 1"),
        (lambda: NetworkRegression(hidden=0), "hidden must be a whole number of at least 1"),
        (lambda: CharacterRegression(letters=1), "letters must be a whole number of at least 2"),
        (lambda: CharacterRegression(letters=27), "letters must be at most 26; got 27"),
        (lambda: FormulaRegression().sample(0, seed=0), "n must be a whole number of at least 1"),
        (lambda: FormulaRegression().sample(1, seed=0, start=-1), "start must be a whole number of at least 0"),
        (lambda: FormulaRegression().sample(1, seed=0, start=2**62), "start must leave room"),
        (lambda: FormulaRegression(examples=2**50).sample(1, seed=0), "needs about .* of memory"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()

"""The published samples, against the libraries that the published code calls."""

import random
import string

import numpy as np
import pytest
import torch
from sklearn.datasets import make_friedman1, make_friedman2, make_friedman3, make_regression
from sklearn.model_selection import train_test_split

from mesascope.tasks.datasets import DATASETS, PUBLISHED, duplicates, published

FRIEDMAN = {"friedman-1": make_friedman1, "friedman-2": make_friedman2, "friedman-3": make_friedman3}
LINEAR = {f"linear-{i}-of-{d}": (i, d) for i, d in ((1, 1), (1, 2), (1, 3), (2, 2), (2, 3))} | {"linear-3-of-3": (3, 2)}


def check(name: str, seed: int, inputs: np.ndarray, labels: np.ndarray) -> None:
    """Compare a published prompt with a sample, split and rounded as the published code does."""
    shown, asked, ys, target = train_test_split(inputs.round(2), labels.round(2), test_size=1, random_state=seed)
    prompts = published(name, [seed])
    np.testing.assert_array_equal(prompts.xs[0].numpy(), shown)
    np.testing.assert_array_equal(prompts.queries[0].numpy(), asked)
    np.testing.assert_allclose(prompts.ys[0].numpy(), ys, rtol=0, atol=1e-9)
    np.testing.assert_allclose(prompts.targets[0].numpy(), target, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", [1, 2, 57, 100])
@pytest.mark.parametrize("name", FRIEDMAN)
def test_friedmans(name, seed):
    options = {"n_features": 5} if name == "friedman-1" else {}
    check(name, seed, *FRIEDMAN[name](n_samples=51, noise=0, random_state=seed, **options))


@pytest.mark.parametrize("seed", [1, 2, 57, 100])
@pytest.mark.parametrize("name", LINEAR)
def test_linear_ones(name, seed):
    informative, dim = LINEAR[name]
    check(name, seed, *make_regression(51, dim, n_informative=informative, noise=0, random_state=seed))
    coefficients = make_regression(51, dim, n_informative=informative, random_state=seed, coef=True)[2]
    assert float(published(name, [seed]).target_variance) == pytest.approx(float((coefficients**2).sum()))


@pytest.mark.parametrize("seed", [1, 41])
def test_an_original_one(seed):
    x = np.random.RandomState(seed).uniform(size=(51, 4))
    x[:, 0] = x[:, 0] * 2 + 1
    x[:, 1] = x[:, 1] * 9 + 1
    x[:, 2] *= 10
    x[:, 3] = x[:, 3] * 19 + 1
    x = x.round(2)
    check("original-3", seed, x, np.e ** x[:, 0] + x[:, 1] * x[:, 2] / np.sqrt(x[:, 3]) + (x[:, 3] * x[:, 0]) ** 1.5)


@pytest.mark.parametrize("seed", [1, 41])
def test_the_network(seed):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = torch.nn.Sequential(torch.nn.Linear(5, 5), torch.nn.ReLU(), torch.nn.Linear(5, 1))
        x = torch.randn(51, 5).numpy().round(2)
        y = model(torch.tensor(x)).squeeze(1).detach().double().numpy()
    check("network-5", seed, np.round(x.tolist(), 2), y)


@pytest.mark.parametrize("seed", [1, 41])
def test_characters(seed):
    draw, rng = random.Random(seed), np.random.RandomState(seed)
    numbers = list(enumerate(draw.sample(list(string.ascii_lowercase), k=26)))
    letters = draw.sample(numbers, 5)
    rows = np.array(draw.choices(letters, k=5 * 51))[:, 1].reshape(-1, 5)
    weights, number = 10 * rng.uniform(size=5), {letter: i for i, letter in letters}
    y = np.array([weights @ np.array([number[c] for c in row]) for row in rows])
    check("characters", seed, np.array([[ord(c) - 97.0 for c in row] for row in rows]), y)


def test_one_published_data_set_is_another():
    """The released code asks for three informative inputs of two: scikit-learn then takes two."""
    found = duplicates({name: published(name) for name in PUBLISHED})
    assert [(each.name, each.of, each.prompts) for each in found] == [("linear-3-of-3", "linear-2-of-2", 100)]
    assert "linear-3-of-3 is linear-2-of-2 under another name" in str(found[0])


def test_a_name_that_repeats_twice_is_found_twice():
    one, other = published("linear-1-of-1", [1]), published("linear-1-of-1", [2])
    found = duplicates({"a": one, "b": other, "c": one, "d": other, "e": one})
    assert [(each.name, each.of) for each in found] == [("c", "a"), ("d", "b"), ("e", "a")]


def test_fewer_examples_are_the_first_and_every_data_set_is_published():
    assert set(PUBLISHED) == set(DATASETS)
    few, many = published("original-1", [3], examples=7), published("original-1", [3])
    assert few.examples == 7
    assert torch.equal(few.xs, many.xs[:, :7])
    assert torch.equal(few.targets, many.targets)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("friedman1",), {}, "name must be one of .*; got 'friedman1'. Did you mean 'friedman-1'"),
        (("friedman-1", []), {}, "seeds must hold at least one"),
        (("friedman-1", [-1]), {}, "seeds must be a whole number of at least 0; got -1"),
        (("friedman-1", [2**32]), {}, "seeds must be at most 4294967295"),
        (("friedman-1",), {"examples": 51}, "examples must be at most 50, as published; got 51"),
        (("friedman-1",), {"examples": 0}, "examples must be a whole number of at least 1"),
    ],
)
def test_what_is_refused(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        published(*arguments, **options)

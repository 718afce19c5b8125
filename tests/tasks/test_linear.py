"""In-context linear regression: priors, noise, streams, determinism, variances."""

import dataclasses
import itertools
import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mesascope.seeds import generator
from mesascope.tasks import Diagonal, Gaussian, Laplace, LinearRegression, LogUniform, Rademacher, Toeplitz, Uniform
from mesascope.tasks.linear import CHUNK
from mesascope.types import Prompts

MIXED = LinearRegression(
    dim=3,
    examples=4,
    queries=2,
    noise=0.5,
    inputs=Laplace(covariance=Diagonal(condition=(1.0, 10.0, 100.0), rotate=True)),
    query_inputs=Uniform(covariance=LogUniform()),
)
COLUMNS = ("xs", "ys", "queries", "targets", "target_variance", "weights", "strata")


def join(parts: Sequence[Prompts]) -> dict[str, torch.Tensor]:
    return {name: torch.cat([getattr(part, name) for part in parts]) for name in COLUMNS}


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in COLUMNS)


@settings(max_examples=25)
@given(
    cuts=st.lists(st.integers(1, 3 * CHUNK - 1), max_size=4, unique=True).map(sorted),
    start=st.integers(0, 2 * CHUNK),
    seed=st.integers(0, 2**63),
)
def test_any_split_gives_the_same_numbers(cuts: list[int], start: int, seed: int) -> None:
    total = 3 * CHUNK
    edges = [0, *cuts, total]
    whole = join([MIXED.sample(total, seed=seed, start=start)])
    parts = [MIXED.sample(b - a, seed=seed, start=start + a) for a, b in itertools.pairwise(edges)]
    assert equal(whole, join(parts))


def test_the_numbers_of_a_seed_are_pinned() -> None:
    # What a seed means is part of every published result: a change here is a change of all numbers.
    prompts = LinearRegression(dim=2, examples=2).sample(1, seed=0)
    found = torch.cat(
        [prompts.xs.flatten(), prompts.queries.flatten(), prompts.ys.flatten(), prompts.targets.flatten()]
    )
    expected = [
        -0.1482341231998563,
        -0.8085528435805506,
        0.04685699434614875,
        -1.1820498662891687,
        1.1711155204164003,
        1.1524375423587234,
        -0.02171386012816131,
        -0.07994974138697634,
        -0.14460303921517748,
    ]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = join([MIXED.sample(10, seed=0)])
    assert torch.equal(before, torch.get_rng_state())
    torch.manual_seed(2)
    assert equal(first, join([MIXED.sample(10, seed=0)]))


def test_seeds_and_streams_give_other_numbers() -> None:
    one = MIXED.sample(8, seed=0)
    for other in (MIXED.sample(8, seed=1), MIXED.sample(8, seed=0, stream="other"), MIXED.sample(8, seed=0, start=8)):
        assert not (one.xs == other.xs).any()
        assert not (one.weights == other.weights).any()  # type: ignore[union-attr]


def test_precision_is_rounding_only() -> None:
    single, double = (MIXED.sample(300, seed=0, dtype=d) for d in (torch.float32, torch.float64))
    assert single.xs.dtype == torch.float32
    for name in COLUMNS[:-1]:
        assert torch.equal(getattr(single, name), getattr(double, name).float())


@pytest.mark.parametrize(("prior", "variance"), [("unit", 1 / 5), ("standard", 1.0)])
def test_the_prior_of_the_weights(prior: str, variance: float) -> None:
    task = LinearRegression(weights=prior)  # type: ignore[arg-type]
    w = task.sample(8192, seed=0).weights
    assert w is not None
    assert task.weight_variance == variance
    n = w.numel()
    assert abs(float(w.mean())) < 4 * math.sqrt(variance / n)
    assert float(w.square().mean()) == pytest.approx(variance, abs=4 * variance * math.sqrt(2 / n))
    assert float((w**4).mean()) == pytest.approx(3 * variance**2, abs=4 * variance**2 * math.sqrt(96 / n))  # Gaussian


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_labels_are_linear_with_the_noise_asked_for_and_targets_noiseless(noise: float) -> None:
    prompts = LinearRegression(noise=noise, queries=3).sample(2048, seed=0)
    assert prompts.weights is not None
    residual = prompts.ys - (prompts.xs @ prompts.weights[..., None]).squeeze(-1)
    torch.testing.assert_close(prompts.targets, (prompts.queries @ prompts.weights[..., None]).squeeze(-1))
    if noise == 0:
        assert float(residual.abs().max()) < 1e-14
    else:
        n = residual.numel()
        assert float(residual.square().mean()) == pytest.approx(noise**2, abs=4 * noise**2 * math.sqrt(2 / n))
        assert abs(float(residual.mean())) < 4 * noise / math.sqrt(n)


def test_inputs_weights_noise_and_queries_are_independent() -> None:
    # Source A drew features and weights from one generator state: w was its first support point.
    prompts = LinearRegression(dim=5, examples=5, queries=5, noise=1.0, weights="standard").sample(4096, seed=0)
    assert prompts.weights is not None
    noise = prompts.ys - (prompts.xs @ prompts.weights[..., None]).squeeze(-1)
    rows = torch.cat([prompts.xs.flatten(1), prompts.queries.flatten(1), prompts.weights, noise], 1)
    correlations = torch.corrcoef(rows.T) - torch.eye(rows.shape[1])
    assert float(correlations.abs().max()) < 5 / math.sqrt(len(prompts))
    squares = torch.corrcoef(rows.square().T) - torch.eye(rows.shape[1])
    assert float(squares.abs().max()) < 6 / math.sqrt(len(prompts))


def test_changing_one_thing_leaves_the_others_numbers_alone() -> None:
    plain, noisy = (LinearRegression(noise=s).sample(4, seed=0) for s in (0.0, 1.0))
    assert torch.equal(plain.xs, noisy.xs)
    assert torch.equal(plain.targets, noisy.targets)
    more = LinearRegression(queries=4).sample(4, seed=0)
    assert torch.equal(plain.ys, more.ys)


@pytest.mark.parametrize(
    "task",
    [
        LinearRegression(),
        LinearRegression(inputs=Laplace(covariance=Toeplitz(rotate=True))),
        LinearRegression(inputs=Gaussian(covariance=Diagonal(condition=100.0), exact=True)),
        LinearRegression(query_inputs=Rademacher(covariance=Diagonal(condition=(1.0, 50.0)))),
        MIXED,
    ],
    ids=["plain", "correlated", "exact", "other queries", "mixed"],
)
def test_target_variance_is_that_of_the_target_over_the_queries(task: LinearRegression) -> None:
    prompts = dataclasses.replace(task, queries=4000).sample(32, seed=0)
    squares = prompts.targets.square()  # targets have mean zero
    z = (squares.mean(1) - prompts.target_variance) / (squares.std(1) / math.sqrt(4000))
    assert float(z.abs().max()) < 4.5
    assert abs(float(z.mean())) < 4 / math.sqrt(32)


def test_queries_share_the_prompts_covariance_unless_given_their_own() -> None:
    inputs = Gaussian(covariance=LogUniform(low=1e-4, high=1e4, rotate=True))
    prompts = LinearRegression(dim=2, examples=500, queries=500, inputs=inputs).sample(64, seed=0)
    context, queries = (x.transpose(-1, -2) @ x / 500 for x in (prompts.xs, prompts.queries))
    assert float((context - queries).norm() / context.norm()) < 0.3
    own = LinearRegression(dim=2, queries=500, inputs=inputs, query_inputs=Gaussian()).sample(64, seed=0)
    second = own.queries.transpose(-1, -2) @ own.queries / 500
    assert float((second - torch.eye(2)).abs().max()) < 0.4


BAD = {
    "dim 0": (lambda: LinearRegression(dim=0), r"dim must be a whole number of at least 1; got 0\. Pass 1 or more\."),
    "negative examples": (lambda: LinearRegression(examples=-2), r"examples must be .*got -2\. Pass"),
    "half a query": (lambda: LinearRegression(queries=0.5), r"queries must be a whole number .*got 0\.5\. Pass"),  # type: ignore[arg-type]
    "true": (lambda: LinearRegression(dim=True), r"dim must be a whole number .*got True"),
    "negative noise": (lambda: LinearRegression(noise=-0.1), r"noise must be .*got -0\.1\. Pass 0"),
    "NaN noise": (lambda: LinearRegression(noise=math.nan), r"noise must be .*got nan\. Pass 0"),
    "infinite noise": (lambda: LinearRegression(noise=math.inf), r"noise must be .*got inf\. Pass 0"),
    "weights": (lambda: LinearRegression(weights="standart"), r"weights must be one of .*Did you mean 'standard'\?"),  # type: ignore[arg-type]
    "no prompts": (lambda: MIXED.sample(0, seed=0), r"n must be a whole number of at least 1; got 0\. Pass"),
    "start": (lambda: MIXED.sample(1, seed=0, start=-1), r"start must be .* at least 0; got -1\. Pass"),
    "a far start": (
        lambda: MIXED.sample(1, seed=0, start=2**63),
        r"start must leave room .* got 9223372036854775808\.",
    ),
    "many prompts": (lambda: MIXED.sample(10**12, seed=0), r"drawing 1000000000000 prompts of dim=3, .* GiB of memory"),
    "a dimension": (lambda: LinearRegression(dim=10**17).sample(1, seed=0), r"drawing 256 prompts of dim=1{1}0{17}, "),
    "no end of examples": (
        lambda: LinearRegression(examples=10**40).sample(1, seed=0),
        r"needs about .* GiB of memory",
    ),
    "queries": (lambda: LinearRegression(queries=10**17).sample(1, seed=0), r"queries=10{17} needs about"),
    "seed": (lambda: MIXED.sample(1, seed=-1), r"seed and step must be 0 or more; got seed=-1"),
    "step": (lambda: generator(0, "test", -1), r"seed and step must be 0 or more; got seed=0, step=-1"),
}


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_argument_rule_value_and_remedy(case: str) -> None:
    make, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "task",
    [
        LinearRegression(dim=40, examples=100, queries=30),
        LinearRegression(dim=120, examples=5, inputs=Gaussian(covariance=Diagonal(rotate=True))),
        LinearRegression(dim=2, examples=3, queries=4000),
    ],
)
def test_what_is_said_to_be_needed_goes_by_what_is_drawn(
    task: LinearRegression, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least the prompts and one root of a covariance each, at most ten times that (measured: about twice the peak or half)."""
    said: list[int] = []
    monkeypatch.setattr("mesascope.tasks.linear.check_memory", lambda what, needed, remedy: said.append(needed))
    prompts = task.sample(CHUNK, seed=0)
    drawn = 8 * (prompts.xs.numel() + prompts.queries.numel() + CHUNK * task.dim**2)
    assert drawn < said[0] < 10 * drawn


def test_generators_depend_on_all_three_arguments() -> None:
    def first(*arguments: object) -> float:
        return float(torch.rand(1, generator=generator(*arguments), dtype=torch.float64))  # type: ignore[arg-type]

    keys = [(0, "a", 0), (1, "a", 0), (0, "b", 0), (0, "a", 1), (0, "a/1", 0), (10, "a", 0)]
    assert first(*keys[0]) == first(*keys[0])
    assert len({first(*key) for key in keys}) == len(keys)

"""The very numbers of the published comparison of language models with regressors: one prompt per seed, from 1 to 100."""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mesascope.records.checks import check_count, nearest
from mesascope.records.shown import shown
from mesascope.tasks.datasets.characters import ALPHABET, spelled
from mesascope.tasks.datasets.formulas import FORMULAS, FormulaName, formula_variance
from mesascope.tasks.datasets.informative import LARGEST_WEIGHT
from mesascope.tasks.datasets.network import network
from mesascope.types import Prompts

SEEDS = range(1, 101)
EXAMPLES = 50
DECIMALS = 2
LARGEST_SEED = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """One sample: 51 rows of rounded inputs and labels, and the variance of its function over the inputs."""

    xs: np.ndarray
    ys: np.ndarray
    variance: float


def published(name: str, seeds: Sequence[int] = SEEDS, *, examples: int = EXAMPLES) -> Prompts:
    """The prompts of a published data set: for each seed a sample of 51, of which one row is the query.

    Every prompt shows the first ``examples`` of the 50 rows left. Targets are the rounded labels of the queries, as published.

    Args:
        name: one of `PUBLISHED`.
        seeds: the published seeds, one for each prompt.
        examples: number of pairs shown, at most 50.

    Raises:
        ValueError: an unknown name, no seeds or one that is not 0 to 2³² − 1, or a number of examples that is not 1 to 50.

    Source: Vacareanu et al. 2024, the released code. Its ``regression_ni33`` (`linear-3-of-3` here) has two inputs and not three,
    so that its numbers are those of ``regression_ni22``; `duplicates` finds it.
    """
    if name not in PUBLISHED:
        raise ValueError(
            f"name must be one of {', '.join(PUBLISHED)}; got {shown(name)}.{nearest(name, list(PUBLISHED))}"
        )
    check_count("examples", examples)
    if examples > EXAMPLES:
        raise ValueError(
            f"examples must be at most {EXAMPLES}, as published; got {shown(examples)}. Draw a task's own."
        )
    if not seeds:
        raise ValueError("seeds must hold at least one; got none. The published ones are 1 to 100.")
    for seed in seeds:
        check_count("seeds", seed, least=0)
        if seed > LARGEST_SEED:
            raise ValueError(
                f"seeds must be at most {LARGEST_SEED}; got {shown(seed)}. The published ones are 1 to 100."
            )
    tables = [PUBLISHED[name](seed) for seed in seeds]
    orders = [np.random.RandomState(seed).permutation(EXAMPLES + 1) for seed in seeds]
    xs = _tensor([t.xs[order] for t, order in zip(tables, orders, strict=True)])
    ys = _tensor([t.ys[order] for t, order in zip(tables, orders, strict=True)])
    return Prompts(
        xs=xs[:, 1 : examples + 1],
        ys=ys[:, 1 : examples + 1],
        queries=xs[:, :1],
        targets=ys[:, :1],
        target_variance=_tensor([t.variance for t in tables]),
    )


def _tensor(rows: Sequence[np.ndarray | float]) -> Tensor:
    return torch.from_numpy(np.stack(rows).astype(np.float64))


def _formula(name: FormulaName, rounded_first: bool) -> Callable[[int], _Table]:
    """A sample of a formula; the original functions are of the rounded inputs, Friedman's of what they were before."""
    formula = FORMULAS[name]
    low, high = np.array(formula.low), np.array(formula.high)

    def draw(seed: int) -> _Table:
        exact = np.random.RandomState(seed).uniform(size=(EXAMPLES + 1, len(low))) * (high - low) + low
        xs = exact.round(DECIMALS)
        ys = formula.values(torch.from_numpy(xs if rounded_first else exact)).numpy()
        return _Table(xs=xs, ys=ys.round(DECIMALS), variance=formula_variance(name))

    return draw


def _linear(informative: int, dim: int) -> Callable[[int], _Table]:
    """A sample of scikit-learn's ``make_regression``, without needing it."""

    def draw(seed: int) -> _Table:
        rng = np.random.RandomState(seed)
        xs = rng.standard_normal(size=(EXAMPLES + 1, dim))
        weights = np.zeros(dim)
        weights[:informative] = LARGEST_WEIGHT * rng.uniform(size=min(informative, dim))
        rows, columns = np.arange(EXAMPLES + 1), np.arange(dim)
        rng.shuffle(rows)
        rng.shuffle(columns)
        ys = (xs @ weights)[rows]
        return _Table(xs=xs[rows][:, columns].round(DECIMALS), ys=ys.round(DECIMALS), variance=float(weights @ weights))

    return draw


def _network(seed: int) -> _Table:
    rng, layers = torch.Generator().manual_seed(seed), []
    for fan_out in (5, 1):  # as nn.Linear initialises itself
        weight, bias = torch.empty(fan_out, 5), torch.empty(fan_out)
        nn.init.kaiming_uniform_(weight, a=5**0.5, generator=rng)
        layers += [weight, bias.uniform_(-(5**-0.5), 5**-0.5, generator=rng)]
    xs = torch.randn(EXAMPLES + 1, 5, generator=rng).numpy().round(DECIMALS)
    inner, bias, outer, last = layers
    ys = nn.functional.linear(nn.functional.linear(torch.from_numpy(xs), inner, bias).relu(), outer, last)
    functions = network(*(part[None].double() for part in (inner, bias, outer[0], last)))
    return _Table(
        xs=xs.astype(np.float64).round(DECIMALS),
        ys=ys[:, 0].double().numpy().round(DECIMALS),
        variance=float(functions.variance),
    )


def _characters(seed: int) -> _Table:
    draw, rng, dim = random.Random(seed), np.random.RandomState(seed), 5
    alphabet = draw.sample(range(len(ALPHABET)), k=len(ALPHABET))  # at each number its letter
    used = draw.sample(list(enumerate(alphabet)), dim)
    chosen = draw.choices(used, k=dim * (EXAMPLES + 1))
    xs = torch.tensor([[letter for _, letter in chosen]], dtype=torch.float64).view(1, EXAMPLES + 1, dim)
    numbers = torch.empty(1, len(ALPHABET), dtype=torch.float64)
    numbers[0, torch.tensor(alphabet)] = torch.arange(len(ALPHABET), dtype=torch.float64)
    weights = torch.from_numpy(10 * rng.uniform(size=dim))[None]
    functions = spelled(torch.tensor([[letter for _, letter in used]]), numbers, weights)
    ys = functions.values(xs)[0].numpy().round(DECIMALS)
    return _Table(xs=xs[0].numpy(), ys=ys, variance=float(functions.variance))


PUBLISHED: Mapping[str, Callable[[int], _Table]] = {
    "linear-1-of-1": _linear(1, 1),
    "linear-1-of-2": _linear(1, 2),
    "linear-1-of-3": _linear(1, 3),
    "linear-2-of-2": _linear(2, 2),
    "linear-2-of-3": _linear(2, 3),
    "linear-3-of-3": _linear(3, 2),
    **{name: _formula(name, rounded_first=name.startswith("original")) for name in FORMULAS},
    "network-5": _network,
    "characters": _characters,
}
"""The published data sets, by the names of `DATASETS`: what draws the sample of a seed."""

__all__ = ("PUBLISHED", "SEEDS", "published")

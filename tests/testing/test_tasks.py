"""Every task keeps its promises, and one that breaks a promise is told which."""

import dataclasses

import pytest
import torch

from mesascope import tasks
from mesascope.tasks import LinearRegression
from mesascope.testing import check_task

COVARIANCES = (
    tasks.Diagonal(condition=(1.0, 10.0, 100.0), scale="largest"),
    tasks.Toeplitz(rotate=True),
    tasks.LogUniform(),
    tasks.Eigenvalues(values=(1.0, 2.0, 3.0, 4.0, 5.0)),
)


@pytest.mark.parametrize(
    "task",
    [
        LinearRegression(),
        LinearRegression(dim=1, examples=1),
        LinearRegression(noise=0.3, weights="standard", queries=4),
        *(LinearRegression(inputs=kind()) for kind in (tasks.Uniform, tasks.Laplace, tasks.Rademacher)),
        *(LinearRegression(inputs=tasks.Gaussian(covariance=covariance)) for covariance in COVARIANCES),
        LinearRegression(inputs=tasks.Gaussian(covariance=tasks.Diagonal(), exact=True), query_inputs=tasks.Uniform()),
        LinearRegression(dim=1, inputs=tasks.Rademacher()),
    ],
    ids=lambda t: f"{type(t.inputs).__name__}-{type(t.inputs.covariance).__name__}-{t.dim}-{t.queries}",
)
def test_every_task_keeps_its_promises(task):
    check_task(task)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A task of somebody else's. Every broken one changes how it draws."""

    dim: int = 3
    examples: int = 6
    queries: int = 1

    def sample(self, n, *, seed, stream="sample", start=0, dtype=torch.float64):
        base = LinearRegression(dim=self.dim, examples=self.examples, queries=self.queries)
        return base.sample(n, seed=seed, stream=stream, start=start, dtype=dtype)


def drawn(sample, base=Own):
    """A task with another way of drawing."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(type("Broken", (base,), {"sample": sample}))()


def test_a_task_of_somebody_elses_passes():
    check_task(drawn(Own.sample))


def redrawn(change):
    """A task whose samples pass through ``change(task, prompts, seed)``."""
    return drawn(lambda self, n, *, seed, **options: change(self, Own().sample(n, seed=seed, **options), seed))


def requeried(change):
    """The same with its own number of queries, for what comes from the variance."""
    return drawn(lambda self, n, **options: change(self, Own.sample(self, n, **options)))


def fixed(**fixed_options):
    """A task that ignores some of what a sample is made from."""
    return drawn(lambda self, n, **options: Own.sample(self, n, **(options | fixed_options)))


def noisy(generator=None):
    def change(task, p, seed):
        return dataclasses.replace(p, ys=p.ys + torch.randn(p.ys.shape, dtype=p.ys.dtype, generator=generator))

    return redrawn(change)


def globally(task, p, seed):
    torch.manual_seed(seed)
    return dataclasses.replace(p, ys=p.ys + torch.randn(p.ys.shape, dtype=torch.float64).to(p.ys))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Opaque(Own):
    rule: object = dataclasses.field(default_factory=lambda: torch.zeros(1))


@dataclasses.dataclass
class Thawed:
    dim: int = 3
    examples: int = 6
    queries: int = 1


@dataclasses.dataclass(frozen=True)
class Sizeless:
    dim: int = 3


@dataclasses.dataclass(frozen=True)
class Silent(Sizeless):
    examples: int = 6
    queries: int = 1


BROKEN_TASKS = {
    "not frozen": (lambda: Thawed(), "it is a frozen dataclass"),
    "no queries": (lambda: Sizeless(), "dim, examples and queries are whole numbers"),
    "no sample": (lambda: Silent(), "gives n Prompts"),
    "not prompts": (lambda: redrawn(lambda task, p, *_: p.xs), "gives n Prompts"),
    "too few": (lambda: redrawn(lambda task, p, *_: p[1:]), "gives n Prompts"),
    "single precision": (lambda: redrawn(lambda task, p, *_: p.to(dtype=torch.float32)), "gives n Prompts"),
    "NaN": (lambda: redrawn(lambda task, p, *_: dataclasses.replace(p, ys=p.ys / 0)), "gives n Prompts"),
    "no start": (lambda: drawn(lambda self, n, *, seed: Own().sample(n, seed=seed)), "how a sample is split"),
    "at random": (lambda: noisy(torch.Generator().manual_seed(0)), "the same seed gives the same numbers"),
    "global generator": (noisy, "sampling does not use the global random generator"),
    "global seed": (lambda: redrawn(globally), "sampling does not use the global random generator"),
    "seed ignored": (lambda: fixed(seed=0), "seeds, streams and prompts are independent"),
    "stream ignored": (lambda: fixed(stream="sample"), "seeds, streams and prompts are independent"),
    "start ignored": (lambda: fixed(start=0), "numbers do not depend on how a sample is split"),
    "batch statistics": (
        lambda: redrawn(lambda task, p, *_: dataclasses.replace(p, xs=p.xs - p.xs.mean(0))),
        "numbers do not depend on how a sample is split",
    ),
    "one prompt again and again": (
        lambda: redrawn(lambda task, p, *_: p[torch.zeros(len(p), dtype=torch.long)]),
        "seeds, streams and prompts are independent",
    ),
    "queries from the context": (
        lambda: redrawn(lambda task, p, *_: dataclasses.replace(p, queries=p.xs[:, :1].repeat(1, task.queries, 1))),
        "seeds, streams and prompts are independent",
    ),
    "dtype ignored": (lambda: fixed(dtype=torch.float64), "dtype= sets the precision"),
    "variance of another prior": (
        lambda: requeried(lambda task, p: dataclasses.replace(p, target_variance=1.2 * p.target_variance)),
        "target_variance is the variance",
    ),
    "not JSON": (lambda: Opaque(), "a task can be written as JSON"),
}


@pytest.mark.parametrize("case", BROKEN_TASKS)
def test_a_broken_task_is_told_which_promise_it_breaks(case, unchecked, caught, promises):
    make, promise = BROKEN_TASKS[case]
    with torch.random.fork_rng(devices=[]):
        assert promise in promises(caught(check_task, make()))

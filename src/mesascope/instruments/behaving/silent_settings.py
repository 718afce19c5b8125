"""The settings in which `silent failure` looks at a subject, and the failures that it plants in them as controls."""

import dataclasses
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.algorithms import NearestExample, run
from mesascope.instruments.behaving.stress import RIDGE, StressTest, distributions
from mesascope.tasks import Diagonal, Gaussian
from mesascope.types import Domain, LinearTask, PrescribableTask, Prompts, Task, adjusted, is_prescribable

TRAINING = "training"
SHARE = 0.1
"""The share of a query's variance that is its own, where all queries of a prompt lie near one of its examples."""
SMALL, EVERY = 0.1, 4
"""In ``labels of mixed sizes`` every fourth prompt has labels as in training; those of the others are a tenth as large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One distribution of prompts that are within the domain of a subject.

    Attributes:
        name: what it is called in reports.
        source: where its prompts come from: a task, or a row of the stress table.
        near: whether all queries of a prompt lie near one of its examples. Their targets then have a common part,
            which varies between prompts much more than the targets of one prompt do.
        mixed: whether labels have another size in some prompts than in others.
    """

    name: str
    source: Task | StressTest
    near: bool = False
    mixed: bool = False

    def sample(self, n: int, *, seed: int, stream: str) -> Prompts:
        """Prompts of this setting."""
        prompts = self.source.sample(n, seed=seed, stream=stream)
        return near_one_example(prompts) if self.near else mixed_sizes(prompts) if self.mixed else prompts

    def ridge(self, prompts: Prompts) -> float:
        """λ of the ridge regression that shows which order can be found: the Bayes-optimal one if labels have noise."""
        if isinstance(self.source, StressTest):
            return self.source.ridge
        if isinstance(self.source, LinearTask) and self.source.noise:
            return self.source.noise**2 / self.source.weight_variance
        return RIDGE * float(prompts.xs.double().square().mean())

    def failing(self, prompts: Prompts) -> Bool[Tensor, " batch"]:
        """The prompts in which failures are planted: those with small labels if sizes are mixed, else all."""
        number = torch.arange(len(prompts))
        return number % EVERY != 0 if self.mixed else torch.ones_like(number, dtype=torch.bool)


def settings(task: Task, domain: Domain, *, condition: float = 100.0) -> tuple[Setting, ...]:
    """The training distribution and variations of it that the domain allows, in the dimension of the task.

    Args:
        task: the training task, with the number of queries that are to be asked.
        domain: the sizes that the subject takes.
        condition: the condition number of the covariance in the ill-conditioned setting.

    Raises:
        ValueError: the condition number is below 1 or not finite.
    """
    sources: dict[str, Task | StressTest] = {TRAINING: task}
    fewer = task.examples // 2
    if fewer and (domain.examples is None or fewer in domain.examples):
        sources["half the examples"] = adjusted(task, examples=fewer)
    if is_prescribable(task):
        sources |= _other_inputs(task, condition)
    around = {f"{name}, near one example": source for name, source in sources.items()}
    linear = task.sample(1, seed=0, stream="silent failure/linear").weights is not None
    return (
        *(Setting(name=name, source=source) for name, source in sources.items()),
        *(Setting(name=name, source=source, near=True) for name, source in (around if linear else {}).items()),
        Setting(name="labels of mixed sizes", source=task, mixed=True),
    )


def _other_inputs(task: PrescribableTask, condition: float) -> dict[str, Task | StressTest]:
    unit = task.inputs.covariance.mean_eigenvalue(task.dim)
    hard = Gaussian(covariance=Diagonal(condition=condition))
    rows = {row.name: row for row in distributions(task)}
    found: dict[str, Task | StressTest] = {
        TRAINING: rows[TRAINING],
        **{name: rows[name] for name in ("x halved", "x doubled", "label noise 0.5")},
    }
    if task.examples > 1 and task.dim > 1:
        name = f"κ = {condition:g}"
        changed = adjusted(task, inputs=hard, query_inputs=None)
        found[name] = StressTest(name=name, task=changed, unit=unit, size=unit)
    return found


def near_one_example(prompts: Prompts) -> Prompts:
    """The prompts with each query x moved to √0.9·x₁ + √0.1·x, x₁ being the first example's input.

    For Gaussian inputs of mean 0 a single query is distributed as before; only the queries of one prompt resemble each other.

    Raises:
        ValueError: the prompts have no latent weights, so the targets of other queries are unknown.
    """
    if prompts.weights is None:
        raise ValueError("prompts must have latent weights, which give the targets of other queries; they have none.")
    queries = (1 - SHARE) ** 0.5 * prompts.xs[:, :1] + SHARE**0.5 * prompts.queries
    return dataclasses.replace(prompts, queries=queries, targets=(queries @ prompts.weights[..., None])[..., 0])


def mixed_sizes(prompts: Prompts) -> Prompts:
    """The prompts with labels and targets a tenth as large in three of four; each size is a stratum."""
    small = torch.arange(len(prompts)) % EVERY != 0
    factor = torch.where(small, SMALL, 1.0).to(prompts.ys)
    return dataclasses.replace(
        prompts,
        ys=prompts.ys * factor[:, None],
        targets=prompts.targets * factor[:, None],
        target_variance=prompts.target_variance * factor.square(),
        weights=None if prompts.weights is None else prompts.weights * factor[:, None],
        strata=small.long(),
        stratum_names=("labels as in training", "labels a tenth as large"),
    )


def planted_failures(prompts: Prompts) -> tuple[Float[Tensor, "batch query"], ...]:
    """Three kinds of answers that know a prompt's level and nothing of the order of its targets.

    The mean of the prompt's targets, with a tenth of the right spread in the wrong order; the right spread in the wrong
    order; and the label of the example nearest to the query.
    """
    targets = prompts.targets.double().cpu()
    mean = targets.mean(-1, keepdim=True)
    strangers = targets.roll(1, -1) - mean  # each query gets the deviation of its neighbour
    copied = run(NearestExample(), prompts).predictions[1].double().cpu()
    return mean + 0.1 * strangers, mean + strangers, copied

"""Tasks: where prompts come from. The protocol that all tasks satisfy, and optional protocols that some satisfy as well.

Any frozen dataclass that satisfies `Task` works for identification, examination and training. An instrument that needs more
states this as one of the protocols below. A task without it is not refused: the instrument is skipped, with the reason.

- `NoisyTask`: ``noise``, the standard deviation of the label noise (without it identification takes 0);
- `LinearTask`: y = wᵀx + noise with a known prior of w, ``weight_variance`` (the invariance ``additive`` needs it);
- `PrescribableTask`: ``inputs`` and ``query_inputs``, whose spectrum can be set (the discriminating prompts, the
  spectral response and the stress table need it; the metrics from the literature leave ridge out without it);
- `PooledTask`: ``vectors``, the pool that all weights w come from (a candidate answers with them), and ``unpooled``, the task
  with w drawn anew for each prompt (the discriminating prompts come from it);
- `GeneralisedTask`: labels that are binary or counts, with the mean μ(wᵀx); ``family`` says which. Its targets are wᵀx
  (identification then has candidates that minimise the likelihood's objective);
- `LimitedTask`: ``most_queries``, where a prompt cannot have any number of queries;
- `RelabelledTask`: ``other_labels``, labels of another function of the task on the same inputs, where sums of labels are none;
- `SizedTask`: ``check_memory(n)``, which refuses a batch that does not fit into this machine's memory.

Two more parts are in the prompts themselves (`mesascope.types.Prompts`): ``weights``, the latent weights w, if the answer to
any query x is wᵀx (patching, memorisation and the probe for w need them); and ``target_variance``, which every task must
supply, because errors are divided by it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeGuard, TypeVar, cast, get_args, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.types.problems import Prompts, Sizes

GlmFamily = Literal["logistic", "poisson"]
"""The distribution of the labels of a generalised linear model with its canonical link: ``logistic`` for 0 and 1, ``poisson`` for
counts."""
T = TypeVar("T")
SIZES = ("dim", "examples", "queries")


@runtime_checkable
class Task(Sizes, Protocol):
    """A distribution over prompts: a frozen dataclass whose fields are its configuration.

    ``dim``, ``examples`` and ``queries`` are fields: instruments use `dataclasses.replace` to get the number of queries that
    they need. Everything else that the task depends on must be a field too, because a record stores the fields.
    `mesascope.testing.check_task` checks all of this.
    """

    @property
    def queries(self) -> int:
        """Number of queries per prompt."""
        ...

    def sample(
        self, n: int, *, seed: int, stream: str = "sample", start: int = 0, dtype: torch.dtype = torch.float64
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``.

        The numbers depend on (seed, stream, prompt number) alone: one call for 512 gives the same as two for 256.
        ``stream`` separates uses (training, fitting, scoring), and ``dtype`` is the precision of the result.
        """
        ...


@runtime_checkable
class NoisyTask(Task, Protocol):
    """A task that knows the noise of its labels. Targets are noiseless."""

    @property
    def noise(self) -> float:
        """Standard deviation of the label noise; 0 for exact labels."""
        ...


@runtime_checkable
class LinearTask(NoisyTask, Protocol):
    """A task y = wᵀx + noise with a known prior of w. Its prompts hold w as ``weights``."""

    @property
    def weight_variance(self) -> float:
        """Prior variance of each coordinate of w."""
        ...


@runtime_checkable
class UnevenTask(LinearTask, Protocol):
    """A linear task whose prior of w differs from coordinate to coordinate. ``weight_variance`` is the mean over them."""

    @property
    def weight_variances(self) -> Float[Tensor, " dim"]:
        """Prior variance of each coordinate of w."""
        ...


@runtime_checkable
class PooledTask(LinearTask, Protocol):
    """A linear task in which every prompt's w is one vector of a finite pool, all equally likely."""

    @property
    def vectors(self) -> Float[Tensor, "member dim"]:
        """The pool. ``weight_variance`` may be that of the prior which the pool was drawn from."""
        ...

    @property
    def unpooled(self) -> LinearTask:
        """The same task with w drawn anew for each prompt, from the prior that the pool was drawn from."""
        ...


@runtime_checkable
class Spectrum(Protocol):
    """The spectrum of a covariance of inputs, or of a mixture of several; `mesascope.tasks.Covariance` is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each member of the mixture."""
        ...

    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        """Eigenvalues for ``count`` prompts of a member of the mixture."""
        ...

    def mean_eigenvalue(self, dim: int) -> float:
        """The mean eigenvalue over all members: the square of the inputs' unit."""
        ...


@runtime_checkable
class InputDistribution(Protocol):
    """A distribution of inputs; `mesascope.tasks.Inputs` is one."""

    @property
    def covariance(self) -> Spectrum:
        """The covariance of the inputs."""
        ...

    @property
    def exact(self) -> bool:
        """Whether XᵀX/n equals the covariance exactly, not only in expectation."""
        ...


@runtime_checkable
class ReplaceableInputs(Task, Protocol):
    """A task whose input distributions can be replaced: both are fields that take any `mesascope.tasks.Inputs`."""

    @property
    def inputs(self) -> InputDistribution:
        """Distribution of the context's inputs."""
        ...

    @property
    def query_inputs(self) -> InputDistribution | None:
        """Distribution of the queries; None for the same as the context's."""
        ...


@runtime_checkable
class PrescribableTask(LinearTask, ReplaceableInputs, Protocol):
    """A linear task whose input distributions can be replaced."""


@runtime_checkable
class GeneralisedTask(Task, Protocol):
    """A task whose labels have the mean μ(wᵀx) of a generalised linear model; the targets are the linear predictors wᵀx."""

    @property
    def family(self) -> GlmFamily:
        """The distribution of the labels."""
        ...

    @property
    def strength(self) -> float:
        """Standard deviation of wᵀx over the queries."""
        ...


@runtime_checkable
class SizedTask(Task, Protocol):
    """A task that knows how much memory its prompts need."""

    def check_memory(self, n: int) -> None:
        """Raise ValueError unless this machine has the memory to draw and hold ``n`` prompts."""
        ...


@runtime_checkable
class LimitedTask(Task, Protocol):
    """A task whose prompts have few different queries."""

    @property
    def most_queries(self) -> int:
        """The largest number of queries per prompt."""
        ...


@runtime_checkable
class RelabelledTask(Task, Protocol):
    """A task that knows other labels for the inputs of its prompts."""

    def other_labels(self, prompts: Prompts, *, seed: int, place: int) -> Float[Tensor, "batch example"]:
        """Labels that another function of the task gives the inputs shown; each ``place`` has its own."""
        ...


def with_queries(task: T, least: int) -> T:
    """The task with at least so many queries per prompt, or as many as it allows."""
    wanted = max(least, cast(Any, task).queries)
    return adjusted(task, queries=min(wanted, task.most_queries) if isinstance(task, LimitedTask) else wanted)


def is_prescribable(task: object) -> TypeGuard[PrescribableTask]:
    """Whether a task is linear and its inputs can be replaced; a field ``inputs`` of another kind is not enough."""
    return isinstance(task, PrescribableTask) and isinstance(task.inputs, InputDistribution)


def glm_family(task: object) -> GlmFamily | None:
    """The distribution of the labels, if the task is that of a generalised linear model; None for any other task.

    Raises:
        ValueError: the task has a family that is not one of ours.
    """
    if not isinstance(task, GeneralisedTask):
        return None
    known = get_args(GlmFamily)
    if task.family not in known:
        raise ValueError(
            f"the family of a task must be one of {', '.join(map(repr, known))}; got {str(task.family)[:80]!r}. "
            "Labels are then 0 and 1, or counts. Rename the field if it means something else."
        )
    return task.family


def can_vary_inputs(task: object) -> TypeGuard[ReplaceableInputs]:
    """Whether a task is linear or generalised linear, and its inputs can be replaced."""
    if glm_family(task) is None:
        return is_prescribable(task)
    return isinstance(task, ReplaceableInputs) and isinstance(task.inputs, InputDistribution)


def check_keeps_task(task: object) -> None:
    """Check that an object satisfies the protocol `Task`.

    Raises:
        ValueError: it does not; the message names what is missing, in one line.
    """
    what = f"the class {task.__name__}" if isinstance(task, type) else f"a {type(task).__name__}"
    missing = lacking(task, (*SIZES, "sample"))
    wrong = [n for n in SIZES if n not in missing and not _whole(getattr(task, n))]
    if isinstance(task, type):
        fault = "instead of an instance of it"
    elif missing:
        fault = f"without {', '.join(missing)}"
    elif wrong:
        fault = f"whose {wrong[0]} is not a whole number"
    elif not callable(cast(Any, task).sample):
        fault = "whose sample is not a method"
    elif not dataclasses.is_dataclass(task):
        fault = "that is not a dataclass"
    elif not _hashable(task):
        fault = "that has no hash, since it is not frozen or a field holds a list"
    else:
        return
    raise ValueError(
        f"task must satisfy the protocol mesascope.types.Task; got {what} {fault}. Pass a frozen dataclass with the fields dim, "
        "examples and queries and the method sample(n, *, seed, stream, start, dtype), or one of mesascope.tasks."
    )


def _hashable(task: object) -> bool:
    """Whether a task can be a key: what is found of known subjects on it is kept by the task."""
    try:
        hash(task)
    except TypeError:
        return False
    return True


def lacking(task: object, names: Sequence[str]) -> list[str]:
    """Those of the names that a task does not have as attributes."""
    return [name for name in names if not hasattr(task, name)]


def weight_deviation(task: LinearTask) -> float | Float[Tensor, " dim"]:
    """The prior standard deviation of w: one for all coordinates, or one for each."""
    return task.weight_variances.sqrt() if isinstance(task, UnevenTask) else task.weight_variance**0.5


def adjusted(task: T, **changes: object) -> T:
    """The task with some of its fields changed."""
    return dataclasses.replace(cast(Any, task), **changes)


def label_noise(task: Task) -> float:
    """The standard deviation of the label noise; 0 if the task does not state it."""
    return task.noise if isinstance(task, NoisyTask) else 0.0


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

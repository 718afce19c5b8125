"""Tasks: where prompts come from. The protocol that all of them keep, and the parts that some have besides.

Any frozen dataclass that keeps `Task` can be identified on, examined on and trained on. What an instrument needs beyond that
it asks for by one of the protocols below; a task without it is not refused: the instrument is left out, with the reason.

- `NoisyTask`: ``noise``, the standard deviation of the label noise (without it identification takes 0);
- `LinearTask`: y = wᵀx + noise with a known prior of w, ``weight_variance`` (the invariance ``additive`` needs it);
- `PrescribableTask`: ``inputs`` and ``query_inputs``, whose spectrum can be set (the prompts made to tell candidates apart, the
  spectral response and the stress table need it; the metrics from the literature leave ridge out without it);
- `SizedTask`: ``check_memory(n)``, which refuses what this machine cannot hold.

Two more parts stand in the prompts themselves (`mesascope.types.Prompts`): ``weights``, the latent weights, where the answer
to any query x is wᵀx (patching, memorisation and the probe for w need them); and ``target_variance``, which
every task has to give, as errors are divided by it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, TypeGuard, TypeVar, cast, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.types.problems import Prompts, Sizes

T = TypeVar("T")
SIZES = ("dim", "examples", "queries")


@runtime_checkable
class Task(Sizes, Protocol):
    """A distribution over prompts: a frozen dataclass whose fields are its configuration.

    ``dim``, ``examples`` and ``queries`` are fields (instruments ask for the number of queries that they need by
    `dataclasses.replace`), and so must be what it depends on otherwise: a record writes them down.
    `mesascope.testing.check_task` says whether the promises are kept.
    """

    @property
    def queries(self) -> int:
        """How many queries a prompt asks."""
        ...

    def sample(
        self, n: int, *, seed: int, stream: str = "sample", start: int = 0, dtype: torch.dtype = torch.float64
    ) -> Prompts:
        """Prompts number ``start`` to ``start + n``.

        The numbers depend on (seed, stream, prompt number) alone: one call for 512 gives the same as two for 256.
        ``stream`` keeps uses apart (training, fitting, scoring), and ``dtype`` is the precision of the result.
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
    """y = wᵀx + noise, where the prior of w is known. Its prompts hold w as ``weights``."""

    @property
    def weight_variance(self) -> float:
        """Prior variance of each coordinate of w."""
        ...


@runtime_checkable
class Spectrum(Protocol):
    """A covariance of inputs, or a mixture of several; `mesascope.tasks.Covariance` is one."""

    @property
    def names(self) -> tuple[str, ...]:
        """One name for each member of the mixture."""
        ...

    def eigenvalues(self, dim: int, member: int, count: int, rng: torch.Generator) -> Float[Tensor, "count dim"]:
        """Eigenvalues for ``count`` prompts of a member of the mixture."""
        ...

    def mean_eigenvalue(self, dim: int) -> float:
        """Over all members: the unit of the inputs, squared."""
        ...


@runtime_checkable
class InputDistribution(Protocol):
    """A distribution of inputs; `mesascope.tasks.Inputs` is one."""

    @property
    def covariance(self) -> Spectrum:
        """Its shape."""
        ...

    @property
    def exact(self) -> bool:
        """Whether XᵀX/n equals the covariance, not only in expectation."""
        ...


@runtime_checkable
class PrescribableTask(LinearTask, Protocol):
    """A linear task whose inputs may be exchanged: both are fields that take any `mesascope.tasks.Inputs`."""

    @property
    def inputs(self) -> InputDistribution:
        """Distribution of the context's inputs."""
        ...

    @property
    def query_inputs(self) -> InputDistribution | None:
        """Distribution of the queries; None for that of the context."""
        ...


@runtime_checkable
class SizedTask(Task, Protocol):
    """A task that knows what its prompts take."""

    def check_memory(self, n: int) -> None:
        """Raise ValueError unless this machine can hold ``n`` prompts, and what it takes to draw them."""
        ...


def is_prescribable(task: object) -> TypeGuard[PrescribableTask]:
    """Whether a task is linear and its inputs can be exchanged; a field ``inputs`` of something else is not enough."""
    return isinstance(task, PrescribableTask) and isinstance(task.inputs, InputDistribution)


def check_keeps_task(task: object) -> None:
    """Check that something keeps the protocol `Task`.

    Raises:
        ValueError: it does not; what it lacks is named, in one line.
    """
    what = f"the class {task.__name__}" if isinstance(task, type) else f"a {type(task).__name__}"
    missing = lacking(task, (*SIZES, "sample"))
    wrong = [n for n in SIZES if n not in missing and not _whole(getattr(task, n))]
    if isinstance(task, type):
        fault = "in place of an object of it"
    elif missing:
        fault = f"without {', '.join(missing)}"
    elif wrong:
        fault = f"whose {wrong[0]} is no whole number"
    elif not callable(cast(Any, task).sample):
        fault = "whose sample is no method"
    elif not dataclasses.is_dataclass(task):
        fault = "that is no dataclass"
    else:
        return
    raise ValueError(
        f"task must keep the protocol mesascope.types.Task; got {what} {fault}. Pass a frozen dataclass with the fields dim, "
        "examples and queries and the method sample(n, *, seed, stream, start, dtype), or one of mesascope.tasks."
    )


def lacking(task: object, names: Sequence[str]) -> list[str]:
    """Which of these names a task does not have."""
    return [name for name in names if not hasattr(task, name)]


def adjusted(task: T, **changes: object) -> T:
    """The task with some of its fields changed."""
    return dataclasses.replace(cast(Any, task), **changes)


def label_noise(task: Task) -> float:
    """The standard deviation of the label noise; 0 where the task does not say."""
    return task.noise if isinstance(task, NoisyTask) else 0.0


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

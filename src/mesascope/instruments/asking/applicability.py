"""What an instrument needs of a subject or a task, and the error it raises where that is missing."""

from jaxtyping import Float
from torch import Tensor

from mesascope.types import (
    PrescribableTask,
    Prompts,
    Site,
    Subject,
    Task,
    is_prescribable,
    lacking,
    untrained_twin,
)

PARTS = ("noise", "weight_variance", "inputs", "query_inputs")
"""The fields of a task whose inputs can be replaced by others."""


class NotApplicable(ValueError):
    """An instrument cannot be used on this subject or task; the message says why. An examination goes on without it."""


def prescribable(task: Task, needs: str) -> PrescribableTask:
    """The task, if it is a linear regression whose inputs can be given another spectrum.

    Args:
        task: any task.
        needs: the start of the error's sentence, such as ``"the spectral response needs"``.

    Raises:
        NotApplicable: the task lacks some of `PARTS`, or its inputs are not `mesascope.tasks.Inputs`.
    """
    if is_prescribable(task):
        return task
    raise NotApplicable(
        f"{needs} a linear task whose inputs can be given another spectrum (fields inputs and query_inputs of "
        f"mesascope.tasks.Inputs); {_without(task, PARTS)}."
    )


def _without(task: Task, names: tuple[str, ...]) -> str:
    missing = lacking(task, names)
    return f"{type(task).__name__} has {'no ' + ', no '.join(missing) if missing else 'other inputs'}"


def residual_sites(subject: Subject) -> tuple[Site, ...]:
    """The residual stream's sites, in order: before the first layer, then after every sub-layer.

    Where the subject has no site before the first layer, the embedding takes its place.

    Raises:
        NotApplicable: the subject has no residual-stream sites.
    """
    after = sorted(
        (site for site in subject.sites if site.kind in ("resid_mid", "resid_post")),
        key=lambda site: (site.layer, site.kind == "resid_post"),
    )
    if not after:
        raise NotApplicable(f"{subject.name} has no residual-stream sites (resid_mid, resid_post).")
    before = (Site(layer=after[0].layer, kind="resid_pre"), Site(kind="embed"))
    return (*[site for site in before if site in subject.sites][:1], *after)


def untrained(subject: Subject, seed: int) -> Subject | None:
    """The subject with fresh random weights, or ``None`` if it offers no untrained twin."""
    return untrained_twin(subject, seed)


def latent_weights(prompts: Prompts) -> Float[Tensor, "batch dim"]:
    """The prompts' latent weights.

    Raises:
        NotApplicable: the prompts have none.
    """
    if prompts.weights is None:
        raise NotApplicable("the prompts have no latent weights, so the targets of other queries are unknown.")
    return prompts.weights

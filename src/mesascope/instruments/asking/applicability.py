"""What an instrument needs of a subject, and how it says that it finds it wanting."""

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
"""What a task has whose inputs can be exchanged."""


class NotApplicable(ValueError):
    """An instrument that cannot be used on this subject, with the reason; an examination goes on without it."""


def prescribable(task: Task, needs: str) -> PrescribableTask:
    """The task, where it is a linear regression whose inputs can be given another spectrum.

    Args:
        task: any.
        needs: who needs it, as the subject of a sentence.

    Raises:
        NotApplicable: it does not say so of itself.
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
    """The residual stream as it enters the first layer and after every sub-layer, in order.

    Where there is no such site before the first layer, the embedding stands in for it.

    Raises:
        NotApplicable: the subject shows no residual stream.
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
    """The subject with fresh random weights, or ``None`` for one that cannot be had untrained."""
    return untrained_twin(subject, seed)


def latent_weights(prompts: Prompts) -> Float[Tensor, "batch dim"]:
    """The prompts' latent weights.

    Raises:
        NotApplicable: the task has none.
    """
    if prompts.weights is None:
        raise NotApplicable("the prompts have no latent weights, so the right answers to other queries are not known.")
    return prompts.weights

"""What an instrument needs of a subject, and how it says that it finds it wanting."""

import dataclasses
from typing import cast

from jaxtyping import Float
from torch import Tensor

from mesascope.tasks import LinearRegression
from mesascope.types import Prompts, Site, Subject


class NotApplicable(ValueError):
    """An instrument that cannot be used on this subject, with the reason; an examination goes on without it."""


def check_task(task: object) -> None:
    """Check that a task is a linear regression, which is what all candidates solve.

    Raises:
        ValueError: it is something else; what it lacks is named.
    """
    if isinstance(task, LinearRegression):
        return
    what = f"the class {task.__name__} itself" if isinstance(task, type) else f"a {type(task).__name__}"
    wanted = [*(field.name for field in dataclasses.fields(LinearRegression)), "weight_variance", "sample"]
    lacks = ", ".join(name for name in wanted if not hasattr(task, name))
    raise ValueError(
        f"task must be a LinearRegression, which all candidates solve; got {what}{lacks and f' without {lacks}'}. "
        "Pass mesascope.tasks.LinearRegression(dim=5, examples=20), say: other tasks cannot be examined yet."
    )


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
    fresh = getattr(subject, "reinitialised", None)
    return None if fresh is None else cast(Subject, fresh(seed))


def latent_weights(prompts: Prompts) -> Float[Tensor, "batch dim"]:
    """The prompts' latent weights.

    Raises:
        NotApplicable: the task has none.
    """
    if prompts.weights is None:
        raise NotApplicable("the task has no latent weights, so answers to other queries are not known.")
    return prompts.weights

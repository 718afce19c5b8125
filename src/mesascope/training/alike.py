"""Which specifications can be trained together as one batched program."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mesascope.records.codec import to_json
from mesascope.training.recipe import Recipe
from mesascope.training.spec import TrainingSpec, difference_of

OWN = ("name", "seed", "learning_rate", "weight_decay", "betas", "clip", "schedule", "warmup", "regularisers", "task")
"""Fields in which members may differ; of the task, all but its sizes. Masks of heads may differ, too, if all have one."""
SIZES = ("dim", "examples", "queries")


def grouped(runs: Mapping[Path, Recipe]) -> list[list[Path]]:
    """The run directories, in groups of specifications that are alike; one that can't be batched is a group of its own."""
    groups: dict[str, list[Path]] = {}
    for where, spec in runs.items():
        key = repr(where) if alone(spec) is not None else repr(_shared(spec))
        groups.setdefault(key, []).append(where)
    return list(groups.values())


def check_alike(specs: Sequence[Recipe]) -> None:
    """Check that specifications can be members of one batched program.

    Raises:
        ValueError: they can't be; the message names the first field in which they differ.
    """
    for spec in specs:
        if (why := alone(spec)) is not None:
            raise ValueError(f"training together needs {why}. Train one after the other: leave together out.")
        if (differs := difference_of(_shared(specs[0]), _shared(spec))) is not None:
            raise ValueError(
                f"members must be alike in everything but {', '.join(OWN)}; {spec.name!r} differs from {specs[0].name!r}, where "
                f"{differs}. Train them apart."
            )


def alone(spec: Recipe) -> str | None:
    """What a specification would need to be a member of a batched program; None if it has it."""
    if not isinstance(spec, TrainingSpec):
        return "a transformer on regression; got a language model"
    if spec.curriculum is not None:
        return "curriculum=None, because each network would have other dimensions; got one with a curriculum"
    return None


def _shared(spec: Recipe) -> dict[str, Any]:
    """What members must have in common."""
    assert isinstance(spec, TrainingSpec)
    alike = replace(spec, model=replace(spec.model, head_dims=None))
    rest = {name: value for name, value in to_json(alike).items() if name not in OWN}
    masked = spec.model.head_dims is not None
    return {**rest, "masked": masked, **{f"task.{name}": getattr(spec.task, name) for name in SIZES}}

"""Properties that the weights of Garg et al.'s models do not show: their sources, and reasons for doubt."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from mesascope.records.shown import shown
from mesascope.types import LinearTask
from mesascope.zoo.run_config import NAME, RunConfig, reached

POSITIONS = "_backbone.wpe.weight"
HEADS = {(3, 64): 2, (6, 128): 4, (12, 256): 8}
"""Garg et al.'s sizes: heads by (layers, width)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A number that the weights do not show.

    Attributes:
        value: the number; None if the user must supply it.
        source: where the number comes from, in words.
        doubt: reasons against the number; empty if there are none.
    """

    value: int | None
    source: str
    doubt: str = ""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Training:
    """What a checkpoint file shows about its training, apart from the weights.

    Attributes:
        step: the value of ``train_step``; None if the file has none.
        taken: the number of steps that the optimiser has counted.
        examples: how many examples training showed before a query, as far as the optimiser's state shows it.
    """

    step: int | None
    taken: int | None
    examples: int | None

    @classmethod
    def of(cls, beside: Mapping[str, Any], weights: Mapping[str, Any]) -> "Training":
        """Read this from the entries beside the weights.

        A position that no prompt reached never had a gradient, so Adam's second moments are 0 there. The same is true of the
        last label of the longest prompt, which no answer sees.
        """
        optimiser = beside.get("optimizer_state_dict")
        state = optimiser.get("state") if isinstance(optimiser, Mapping) else None
        entries = {k: v for k, v in state.items() if isinstance(v, Mapping)} if isinstance(state, Mapping) else {}
        counts = [_count(entry.get("step")) for entry in entries.values()]
        names = [name for name in weights if not re.search(r"\.attn\.(bias|masked_bias)$", name)]
        number = names.index(POSITIONS)  # parameters are numbered as the state dict lists them
        moments = entries.get(number, {}).get("exp_avg_sq")
        seen = isinstance(moments, Tensor) and moments.shape == weights[POSITIONS].shape
        return cls(
            step=_count(beside.get("train_step")),
            taken=max((count for count in counts if count is not None), default=None),
            examples=((int((moments != 0).any(1).sum()) - 1) // 2 or None) if seen else None,
        )


def heads(run: RunConfig | None, layers: int, width: int) -> Choice:
    """The number of heads: from the configuration, or else that of the paper's model of this size."""
    if run is not None:
        return Choice(value=run.sizes["heads"], source=run.path.name)
    known = HEADS.get((layers, width))
    if known is None:
        return Choice(value=None, source="nowhere")
    doubt = (
        f"heads are not in the weights: {known} are taken, as in the paper's model of {layers} layers and width {width}. If it "
        f'was trained with others, put its {NAME} beside it, or pass --like with a JSON file of {{"heads": {2 * known}}}, say.'
    )
    return Choice(value=known, source="the paper's model of this size", doubt=doubt)


def examples(run: RunConfig | None, training: Training, most: int) -> Choice:
    """The number of examples: from the optimiser's state, or the configuration's curriculum, or else from the positions."""
    planned = None if run is None else max(1, min(reached(run.points, training.step) - 1, most))
    if training.examples is not None:
        seen, doubt = min(training.examples, most), ""
        if planned not in (None, seen):
            doubt = (
                f"its optimiser has seen prompts of {seen} examples, and the curriculum in its {NAME} gives {planned}: {seen} "
                f'are taken. Pass --like with a JSON file of {{"examples": {planned}}} if that is right.'
            )
        return Choice(value=seen, source="its optimiser's state", doubt=doubt)
    if planned is not None:
        return Choice(value=planned, source=f"the curriculum in {NAME}")
    doubt = (
        f"it does not say how many examples it was trained on: the {most} that it has positions for are taken. If it saw "
        'fewer, convert it with --like and a JSON file of {"examples": 40}, say.'
    )
    return Choice(value=most, source="its positions", doubt=doubt)


def in_words(run: RunConfig | None, task: LinearTask | None) -> str:
    """The training task in words: one of mesascope's tasks, or what the run's configuration says."""
    if task is None:
        said = {} if run is None else run.training
        kind, data, options = (shown(said.get(name)) for name in ("task", "data", "task_kwargs"))
        return f"{kind} ({data} inputs, {options})"
    noise = f" and noise {task.noise:g}" if task.noise else ""
    return f"linear regression with w ~ N(0, {'I' if task.weight_variance == 1 else 'I/dim'}){noise}"


def doubts(run: RunConfig | None, training: Training, task: LinearTask | None) -> list[str]:
    """Contradictions in the file, and properties of the training that an examination cannot take into account."""
    found: list[str] = []
    step, taken = training.step, training.taken
    if step is not None and taken not in (
        None,
        step + 1,
    ):  # steps count from 0, and the file is saved after step number ``step``
        found.append(
            f"its optimiser has counted {taken} steps, and train_step {step} makes {step + 1} (one more each time that training "
            "was resumed). If it was not, its parts are from different times: take another checkpoint."
        )
    if task is None:
        found.append(
            f"it was trained on {in_words(run, task)}, which is no linear regression of ours. Say on which one to examine it, "
            "with --task."
        )
    if run is None:
        return found
    if (dims := reached(run.dims, step)) < run.sizes["dim"]:
        found.append(f"training reached {dims} of {run.sizes['dim']} dimensions, the others were 0; here all are used.")
    for name in ("num_tasks", "num_training_examples"):
        if run.training.get(name) is not None:
            found.append(f"it was trained with {name} = {shown(run.training[name])}; here every prompt is new.")
    return found


def _count(value: object) -> int | None:
    """A number of steps, stored as a tensor, float or int; None for anything else."""
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None

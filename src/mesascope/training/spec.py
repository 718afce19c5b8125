"""What a training run is: one frozen value, made by a function that returns it complete."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mesascope.models.transformer import TransformerConfig
from mesascope.records.codec import check_choices, check_count, to_json
from mesascope.records.shown import shown
from mesascope.tasks import LinearRegression
from mesascope.types import LinearTask, Task, check_keeps_task

MAX_STEPS = 100_000_000
MAX_LAYERS = 1000
LONGEST_NAME = 200
Supervision = Literal["query", "everywhere"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """Few dimensions first: another one whenever the error is low. Query-only training leaves its plateau that way.

    The inputs' other coordinates are zero, and the weights that are left are scaled by √(dim/active), so that isotropic
    prompts keep their variance at every stage.

    Attributes:
        start: active dimensions at the first step.
        below: the loss, as a share of what answering zero gives on the same prompts, below which the next dimension
            joins.
        window: steps over which both are averaged before they are compared; each stage takes at least so many.
        patience: steps after which, at the end of a window, the next dimension joins whatever the loss: a network that
            cannot get so low (one layer, say) still trains on the whole task in the end.

    Raises:
        ValueError: a value out of range.

    Source: Garg et al. 2022, appendix A (a curriculum over dimensions and examples).
    Departs from source: there the dimensions grow on a fixed timetable, and so do the examples; here, when the error
        allows it, and all examples are shown from the start.
    """

    start: int = 1
    below: float = 0.25
    window: int = 50
    patience: int = 1500

    def __post_init__(self) -> None:
        for name in ("start", "window", "patience"):
            check_count(name, getattr(self, name))
        if not 0 < self.below < 1:
            raise ValueError(
                f"below must be a share of the error of answering zero, between 0 and 1; got {shown(self.below)}. "
                "A value that works: 0.25."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSpec:
    """A training run, complete.

    Attributes:
        name: for reports and directories.
        task: where the prompts come from; ``queries`` is how many a prompt are trained on. In a file it is a linear regression.
        model: the architecture.
        supervision: ``query`` (mean squared error at the queries) or ``everywhere`` (mean over the context's
            inputs and the queries, each answered from the examples before it; needs ``answers='everywhere'``).
        steps, batch: optimiser steps; prompts a step, fresh each time.
        optimiser: ``adam``, ``adamw`` (decoupled decay), or ``muon``: for the matrices of the blocks a step along the
            orthogonal factor of the gradient's running mean, as long as Adam's would be; Adam for all else. (Jordan et
            al. 2024, with the scale of Liu et al. 2025.)
        learning_rate: its maximum.
        weight_decay, betas, clip: of the optimiser; ``clip`` bounds the gradient's norm, None leaves it alone.
        schedule: ``onecycle`` (torch's, cosine, with its cycling of the first beta) or ``constant``.
        warmup: share of the steps that the rate rises (OneCycle's ``pct_start``).
        curriculum: whether dimensions are added one at a time; None trains on the whole task from the start.
        checkpoint_every: regular grid of checkpoints; besides, one at every power of two.
        log_every: steps averaged into one line of metrics.
        seed: of the initial weights and the data.

    Raises:
        ValueError: a value out of range, or parts that do not fit together.
    """

    name: str
    task: LinearRegression | Task = field(default_factory=LinearRegression)
    model: TransformerConfig = field(default_factory=TransformerConfig)
    supervision: Supervision = "query"
    steps: int = 200_000
    batch: int = 256
    optimiser: Literal["adam", "adamw", "muon"] = "adam"
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    betas: tuple[float, ...] = (0.9, 0.999)
    clip: float | None = None
    schedule: Literal["onecycle", "constant"] = "onecycle"
    warmup: float = 0.1
    curriculum: Curriculum | None = None
    checkpoint_every: int = 1000
    log_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_choices(self)
        if len(self.name) > LONGEST_NAME or any("\ud800" <= c <= "\udfff" for c in self.name):
            raise ValueError(
                f"name must be a text of at most {LONGEST_NAME} characters that can be written; got {shown(self.name)}. "
                "Leave out halves of characters; a word or two will do."
            )
        for name in ("steps", "batch", "checkpoint_every", "log_every"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, least=0)
        if any("\ud800" <= character <= "\udfff" for character in self.name):  # half a character: JSON can spell it
            raise ValueError(f"name must be text that a file can hold; got {self.name!r}. A plain word will do.")
        if self.steps > MAX_STEPS:
            raise ValueError(
                f"steps must be at most {MAX_STEPS:,}; got {self.steps:,}. No run would end: source B takes 200,000."
            )
        if self.model.layers > MAX_LAYERS:
            raise ValueError(
                f"model.layers must be at most {MAX_LAYERS:,}; got {self.model.layers:,}. A single step would take minutes: "
                "source B's deepest network has 8."
            )
        for name, holds, rule, remedy in (
            ("learning_rate", 0 < self.learning_rate < 10, "lie between 0 and 10", "0.0003 is source B's"),
            ("warmup", 0 < self.warmup < 1, "be a share of the steps between 0 and 1", "0.1 is source B's"),
            ("weight_decay", 0 <= self.weight_decay * self.learning_rate < 1,
             "be 0 or more, and below 1/learning_rate, from where on a step would take all of a weight", "0 is none"),
            ("betas", len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "be two numbers from 0 to below 1",
             "(0.9, 0.999) is usual"),
            ("clip", self.clip is None or 0 < self.clip < math.inf, "be a positive norm, or None", "None, for no bound"),
        ):  # fmt: skip
            if not holds:
                raise ValueError(f"{name} must {rule}; got {shown(getattr(self, name))}. A value that works: {remedy}.")
        check_keeps_task(self.task)
        if self.curriculum is not None and not isinstance(self.task, LinearTask):
            raise ValueError(
                f"curriculum needs a linear task, as labels are made anew from fewer weights; got a {type(self.task).__name__}. "
                "Train on the whole task with curriculum=None."
            )
        if self.task.dim != self.model.dim:
            raise ValueError(
                f"task.dim must equal model.dim; got {self.task.dim} and {self.model.dim}. Give both the same."
            )
        if self.curriculum is not None and self.curriculum.start > self.task.dim:
            raise ValueError(
                f"curriculum.start must be at most task.dim; got {self.curriculum.start} and {self.task.dim}. "
                "Pass fewer dimensions to start with, or no curriculum."
            )
        if self.task.examples > self.model.examples:
            raise ValueError(
                f"task.examples must be at most model.examples, which fixes the positions; got {self.task.examples} "
                f"and {self.model.examples}. Give both the same."
            )
        if self.supervision == "everywhere" and self.model.answers != "everywhere":
            raise ValueError(
                "supervision='everywhere' needs a model with answers='everywhere'; got 'query'. Set both, or neither."
            )


def difference(spec: TrainingSpec, held: Mapping[str, Any]) -> str | None:
    """The first field in which a spec differs from one that was written to disk, in words; None if they are the same."""
    return _difference(to_json(spec), held, "")


def _difference(given: Any, held: Any, where: str) -> str | None:
    if isinstance(given, Mapping) and isinstance(held, Mapping):
        if alone := sorted(given.keys() ^ held.keys()):
            return f"{where or 'the spec'} {'lacks' if alone[0] in given else 'also has'} {shown(alone[0])}"
        found = (_difference(given[name], held[name], f"{where}.{name}".lstrip(".")) for name in given)
        return next(filter(None, found), None)
    return None if given == held else f"{where} is {shown(held)} and not {shown(given)}"


def query_only(layers: int, *, seed: int = 42) -> TrainingSpec:
    """Source B's recipe: Adam 3e-4, OneCycle (pct_start 0.1), batch 256, 200,000 steps, loss at the query."""
    return TrainingSpec(
        name=f"query-only-{layers}-layers", model=TransformerConfig(layers=layers), seed=seed, checkpoint_every=5000
    )


def query_only_laptop(layers: int, *, seed: int = 42) -> TrainingSpec:
    """The loss at the query, in ten minutes of one core's time for two layers: eight queries a prompt, and Muon.

    Queries of one prompt share its context and do not see one another, so what is learned is still the answer to one
    query; but for a third more work a step, the gradient has eight times the targets, and training leaves the plateau by
    itself. Of the networks that ship, Muon's is below the last training loss of Adam's (15,000 steps at 1e-3, with a
    curriculum) from step 3,850 on.

    Departs from source B: the queries, the optimiser, clipping, a shorter warm-up, and 6,000 steps of 64 prompts in place
        of 200,000 of 256.
    """
    return TrainingSpec(
        name=f"query-only-{layers}-layers-laptop",
        task=LinearRegression(queries=8),
        model=TransformerConfig(layers=layers),
        steps=6000,
        batch=64,
        optimiser="muon",
        learning_rate=3e-3,
        clip=1.0,
        warmup=0.05,
        seed=seed,
    )


def dense(
    name: str, *, layers: int, steps: int, learning_rate: float = 1e-3, clip: float | None = None, seed: int = 0
) -> TrainingSpec:
    """The quick recipe: loss at every input, AdamW, OneCycle, batch 64. It leaves the plateau within 600 steps."""
    return TrainingSpec(
        name=name,
        model=TransformerConfig(layers=layers, answers="everywhere"),
        supervision="everywhere",
        steps=steps,
        batch=64,
        optimiser="adamw",
        learning_rate=learning_rate,
        clip=clip,
        seed=seed,
    )


SPECS = {
    spec.name: spec
    for spec in (
        dense("two-layer", layers=2, steps=25_000),
        dense("four-layer", layers=4, steps=15_000, learning_rate=1.5e-3, clip=1.0),
        *(query_only(layers) for layers in (1, 2, 3, 4, 5, 6, 8)),
        *(query_only_laptop(layers) for layers in (1, 2, 3, 4, 6)),
    )
}
"""Specifications that have a name: those of the zoo, and source B's."""

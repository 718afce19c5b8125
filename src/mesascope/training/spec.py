"""The specification of a training run: one frozen value, made by a function that returns it complete."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mesascope.models.transformer import TransformerConfig
from mesascope.records.checks import check_count
from mesascope.records.codec import ADDED, to_json
from mesascope.records.shown import shown
from mesascope.tasks import GeneralisedLinearRegression, LinearRegression
from mesascope.training.recipe import Recipe
from mesascope.training.regularisers import Regularisers
from mesascope.types import LinearTask, Task, check_keeps_task

MAX_LAYERS = 1000
Supervision = Literal["query", "everywhere"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Curriculum:
    """A curriculum over dimensions: training starts with few, and adds one whenever the error is low.

    Query-only training leaves its plateau this way. The inputs' inactive coordinates are zero, and the remaining weights are
    scaled by √(dim/active), so that isotropic prompts keep their variance at every stage.

    Attributes:
        start: active dimensions at the first step.
        below: the loss, as a share of the loss of answering zero on the same prompts, below which the next dimension is
            added.
        window: steps over which both losses are averaged before the comparison; each stage takes at least this many.
        patience: steps after which, at the end of a window, the next dimension is added at any loss: a network that cannot
            reach such a low loss (with one layer, for example) still trains on the whole task in the end.

    Raises:
        ValueError: a value out of range.

    Source: Garg et al. 2022, appendix A (a curriculum over dimensions and examples).
    Departs from source: there both dimensions and examples grow on a fixed schedule; here the dimensions grow when the error
        is low enough, and all examples are shown from the start.
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
class TrainingSpec(Recipe):
    """The complete specification of a training run on regression.

    Attributes:
        task: where the prompts come from; its ``queries`` per prompt are trained on. In a JSON file it is a linear regression.
        model: the architecture.
        supervision: ``query`` (mean squared error at the queries) or ``everywhere`` (mean over the context's
            inputs and the queries, each answered from the examples before it; needs ``answers='everywhere'``).
        curriculum: whether dimensions are added one at a time; None trains on the whole task from the start.
        regularisers: terms of the loss that are functions of the heads' weights.
        name, steps, …: as in `Recipe`.

    Raises:
        ValueError: a value out of range, or parts that do not fit together.
    """

    task: LinearRegression | GeneralisedLinearRegression | Task = field(default_factory=LinearRegression)
    model: TransformerConfig = field(default_factory=TransformerConfig)
    supervision: Supervision = "query"
    curriculum: Curriculum | None = None
    regularisers: Regularisers = field(default_factory=Regularisers, metadata=ADDED)

    def __post_init__(self) -> None:
        Recipe.__post_init__(self)
        if self.model.layers > MAX_LAYERS:
            raise ValueError(
                f"model.layers must be at most {MAX_LAYERS:,}; got {self.model.layers:,}. A single step would take minutes: "
                "source B's deepest network has 8."
            )
        check_keeps_task(self.task)
        self.regularisers.check_heads(self.model.heads)
        if self.curriculum is not None and not isinstance(self.task, LinearTask):
            raise ValueError(
                f"curriculum needs a linear task, because labels are computed anew from fewer weights; got a "
                f"{type(self.task).__name__}. Train on the whole task with curriculum=None."
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
                f"task.examples must be at most model.examples, which fixes the number of positions; got {self.task.examples} "
                f"and {self.model.examples}. Give both the same."
            )
        if self.supervision == "everywhere" and self.model.answers != "everywhere":
            raise ValueError(
                "supervision='everywhere' needs a model with answers='everywhere'; got 'query'. Set both, or neither."
            )


def difference(spec: Recipe, held: Mapping[str, Any]) -> str | None:
    """The first field in which a spec differs from one that was written to disk, in words; None if they are the same."""
    return difference_of(to_json(spec), held)


def difference_of(given: Any, held: Any, where: str = "") -> str | None:
    """The same for parts of specifications, as JSON."""
    if isinstance(given, Mapping) and isinstance(held, Mapping):
        if alone := sorted(given.keys() ^ held.keys()):
            return f"{where or 'the spec'} {'lacks' if alone[0] in given else 'also has'} {shown(alone[0])}"
        found = (difference_of(given[name], held[name], f"{where}.{name}".lstrip(".")) for name in given)
        return next(filter(None, found), None)
    return None if given == held else f"{where} is {shown(held)} and not {shown(given)}"


def query_only(layers: int, *, seed: int = 42) -> TrainingSpec:
    """Source B's recipe: Adam 3e-4, OneCycle (pct_start 0.1), batch 256, 200,000 steps, loss at the query."""
    return TrainingSpec(
        name=f"query-only-{layers}-layers", model=TransformerConfig(layers=layers), seed=seed, checkpoint_every=5000
    )


def query_only_laptop(layers: int, *, seed: int = 42) -> TrainingSpec:
    """Training on the loss at the query, with eight queries per prompt and Muon: ten minutes on one core for two layers.

    Queries of one prompt share its context and do not see one another, so the network still learns to answer a single
    query. For a third more work per step, the gradient has eight times as many targets, and training leaves the plateau
    without a curriculum. Of the shipped networks, the one trained with Muon is below the last training loss of the one
    trained with Adam (15,000 steps at 1e-3, with a curriculum) from step 3,850 on.

    Departs from source B: the queries, the optimiser, clipping, a shorter warm-up, and 6,000 steps of 64 prompts instead
        of 200,000 steps of 256.
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
        *(query_only_laptop(layers) for layers in (1, 2, 3, 4, 5, 6, 8)),
    )
}
"""The named specifications: those of the zoo, and source B's."""

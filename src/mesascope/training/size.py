"""The memory that training a spec needs, estimated before any of it is allocated."""

from mesascope.machine.memory import check_memory
from mesascope.models.language.characters import BEGIN
from mesascope.models.transformer import count_parameters
from mesascope.training.batches import AHEAD
from mesascope.training.language import LanguageSpec
from mesascope.training.recipe import Recipe
from mesascope.training.spec import TrainingSpec
from mesascope.types import SizedTask

_BYTES = 4  # per number in float32
_STATE = 7  # copies of the weights: weights, gradient, two moments; when saving, all of these again except the gradient
EVALUATED = 512
"""Number of prompts evaluated at a time."""


def check_fits(spec: Recipe) -> None:
    """Check that this machine can hold the network, its optimiser, a batch's activations, and the prompts.

    Raises:
        ValueError: it cannot; the message says how much memory is needed.
    """
    if isinstance(spec, LanguageSpec):
        _check_language(spec)
        return
    assert isinstance(spec, TrainingSpec)
    model, remedy = spec.model, "Take fewer layers, a smaller width, a smaller batch or fewer examples."
    what = (
        f"training layers={model.layers} of width={model.width} and feedforward={model.feedforward} on batch={spec.batch} "
        f"with positions for examples={model.examples}"
    )
    check_memory(what, needed(spec), remedy)
    if isinstance(spec.task, SizedTask):
        spec.task.check_memory(max(spec.batch, AHEAD, EVALUATED))


def needed(spec: TrainingSpec) -> int:
    """Bytes for the network, its optimiser and a batch's activations, estimated."""
    return _BYTES * (_STATE * count_parameters(spec.model) + _kept_for_gradients(spec))


def _check_language(spec: LanguageSpec) -> None:
    """The same for a language model. Measured memory was 0.9 to 1.0 times this (0.1 and 0.8 million parameters)."""
    model, positions = spec.model, spec.corpus.length
    weights = 12 * model.layers * model.width**2 + 2 * (BEGIN + 1) * model.width
    kept = spec.batch * positions * model.layers * (25 * model.width + 4 * model.heads * positions)
    what = f"training layers={model.layers} of width={model.width} on batch={spec.batch} passages of {positions} tokens"
    check_memory(what, _BYTES * (_STATE * weights + kept), "Take fewer layers, a smaller width or a smaller batch.")


def _kept_for_gradients(spec: TrainingSpec) -> int:
    """Number of activations that one batch keeps for the gradient. Measured memory differed from this by less than half."""
    model, queries = spec.model, spec.task.queries
    prompts = spec.batch * (queries if model.mask == "full" else 1)
    positions = model.tokens_per_example * spec.task.examples + (1 if model.mask == "full" else queries)
    a_position = 10 * model.width + 2 * model.feedforward + 3 * model.heads * positions
    return prompts * positions * a_position * model.layers

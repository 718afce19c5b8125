"""What training a spec takes, before anything is made for it."""

from mesascope.machine.memory import check_memory
from mesascope.models.transformer import count_parameters
from mesascope.training.batches import AHEAD
from mesascope.training.spec import TrainingSpec
from mesascope.types import SizedTask

_BYTES = 4  # of a number in float32
_STATE = (
    7  # copies of the weights: themselves, the gradient, two moments; and these but the gradient when they are saved
)
EVALUATED = 1024
"""Prompts that are evaluated at a time."""


def check_fits(spec: TrainingSpec) -> None:
    """Raise unless this machine can hold the network, its optimiser, a batch on its way through, and the prompts.

    Raises:
        ValueError: saying how much would be needed.
    """
    model, remedy = spec.model, "Take fewer layers, a smaller width, a smaller batch or fewer examples."
    what = (
        f"training layers={model.layers} of width={model.width} and feedforward={model.feedforward} on batch={spec.batch} "
        f"with positions for examples={model.examples}"
    )
    check_memory(what, _BYTES * (_STATE * count_parameters(model) + _kept_for_gradients(spec)), remedy)
    if isinstance(spec.task, SizedTask):
        spec.task.check_memory(max(spec.batch, AHEAD, EVALUATED))


def _kept_for_gradients(spec: TrainingSpec) -> int:
    """Numbers that one batch leaves behind on its way through the layers. Checked against what training takes: within a half."""
    model, queries = spec.model, spec.task.queries
    prompts = spec.batch * (queries if model.mask == "full" else 1)
    positions = model.tokens_per_example * spec.task.examples + (1 if model.mask == "full" else queries)
    a_position = 10 * model.width + 2 * model.feedforward + 3 * model.heads * positions
    return prompts * positions * a_position * model.layers

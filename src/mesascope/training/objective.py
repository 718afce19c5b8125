"""What a training run optimises: the model, its batches, its loss, and how the result is judged."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor, nn


@runtime_checkable
class Objective(Protocol):
    """One training's model and loss. The loop owns the optimiser, the steps and everything on disk.

    Attributes:
        blocks: the beginning of the names of the blocks' parameters, whose matrices Muon takes.
    """

    blocks: str

    @property
    def model(self) -> nn.Module:
        """The network, on its device."""
        ...

    def batches(self, start: int) -> Iterator[Any]:
        """The batches of steps ``start``, ``start + 1``, … to the last; each is a function of the seed and its step alone."""
        ...

    def loss(self, batch: Any) -> Float[Tensor, ""]:
        """The loss of one step, a mean. It is called once per step, and may change the objective's state."""
        ...

    def penalty(self) -> Float[Tensor, ""] | None:
        """What is added to the loss before its gradient is taken, a function of the weights alone; None for nothing."""
        ...

    def told(self) -> dict[str, Any]:
        """What a line of metrics says besides loss and rate."""
        ...

    def state(self) -> dict[str, Any]:
        """Everything besides the weights that later steps depend on, as JSON."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a `state`."""
        ...

    def evaluate(self) -> dict[str, Any]:
        """How well the model does on data that training never saw, as JSON."""
        ...

"""The networks that the studies examine: source B's architecture and task, but for what a network says of itself."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from mesascope.models import TransformerConfig
from mesascope.tasks import Gaussian, Inputs, Laplace, LinearRegression, Rademacher, Uniform
from mesascope.training import TrainingSpec, query_only, query_only_laptop

INPUTS: dict[str, Inputs] = {
    "gaussian": Gaussian(),
    "uniform": Uniform(),
    "laplace": Laplace(),
    "rademacher": Rademacher(),
}
SEEN = (0.3, 2.0)
"""Where nine in ten eigenvalues of XᵀX/n lie for isotropic prompts of 20 examples in five dimensions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """A network trained with the loss at the query.

    Attributes:
        layers, width: of the transformer; the width of the MLP is twice that.
        seed: of weights and data; 42 is source B's first.
        inputs: distribution of the inputs it is trained on.
        examples: pairs shown in training.
    """

    layers: int = 2
    width: int = 128
    seed: int = 42
    inputs: Literal["gaussian", "uniform", "laplace", "rademacher"] = "gaussian"
    examples: int = 20

    @property
    def name(self) -> str:
        """What its published recipe is called, where that has a name."""
        parts = [f"query-only-{self.layers}-layers"]
        parts += [f"width-{self.width}"] if self.width != 128 else []
        parts += [self.inputs] if self.inputs != "gaussian" else []
        parts += [f"{self.examples}-examples"] if self.examples != 20 else []
        return "-".join([*parts, *([f"seed-{self.seed}"] if self.seed != 42 else [])])

    @property
    def ships_as(self) -> str:
        """Its name in the zoo, if it ships: trained by the laptop's recipe."""
        return f"{self.name}-laptop"

    @property
    def published(self) -> TrainingSpec:
        """Source B's recipe."""
        return self._of(query_only(self.layers, seed=self.seed), self.name)

    @property
    def laptop(self) -> TrainingSpec:
        """The recipe for a laptop."""
        return self._of(query_only_laptop(self.layers, seed=self.seed), self.ships_as)

    @property
    def task(self) -> LinearRegression:
        """What it is trained on, one query a prompt."""
        return self.published.task

    def _of(self, spec: TrainingSpec, name: str) -> TrainingSpec:
        task = dataclasses.replace(spec.task, examples=self.examples, inputs=INPUTS[self.inputs])
        model = TransformerConfig(
            layers=self.layers, width=self.width, feedforward=2 * self.width, examples=self.examples
        )
        return dataclasses.replace(spec, name=name, task=task, model=model)

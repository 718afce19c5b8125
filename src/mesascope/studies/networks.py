"""The networks that the studies examine: what every one says of itself, and those of source B."""

import abc
import dataclasses
from dataclasses import dataclass
from typing import Literal, final

from mesascope.models import TransformerConfig
from mesascope.tasks import Gaussian, Inputs, Laplace, LinearRegression, Rademacher, Uniform
from mesascope.training import TrainingSpec, query_only, query_only_laptop
from mesascope.types import adjusted

INPUTS: dict[str, Inputs] = {
    "gaussian": Gaussian(),
    "uniform": Uniform(),
    "laplace": Laplace(),
    "rademacher": Rademacher(),
}
STEPS = 6_000
"""Optimiser steps of the laptop's recipe, unless a network has its own number."""
SEEN = (0.3, 2.0)
"""Where nine in ten eigenvalues of XᵀX/n lie for isotropic prompts of 20 examples in five dimensions."""


class Trained(abc.ABC):
    """A network that a study examines: its two recipes, and the names under which they are found."""

    __slots__ = ()

    @property
    def name(self) -> str:
        """What its published recipe is called, where that has a name."""
        return self.published.name

    @property
    def ships_as(self) -> str:
        """Its name in the zoo, if it ships: trained by the laptop's recipe."""
        return self.laptop.name

    @property
    def record(self) -> str:
        """The name of the record with what was measured of it, if that ships in its place; see `mesascope.studies.recorded`."""
        return ""

    @property
    def task(self) -> LinearRegression:
        """What it is trained on, one query per prompt."""
        task = self.published.task
        assert isinstance(task, LinearRegression), "the published recipes train on it"
        return task

    @property
    @abc.abstractmethod
    def published(self) -> TrainingSpec:
        """The source's recipe."""

    @property
    @abc.abstractmethod
    def laptop(self) -> TrainingSpec:
        """The recipe for a laptop."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Network(Trained):
    """A network of source B: its architecture and task, trained with the loss at the query.

    Attributes:
        layers, width: of the transformer; the width of the MLP is twice that.
        seed: of weights and data; 42 is source B's first.
        inputs: distribution of the inputs it is trained on.
        examples: pairs shown in training.
        steps: of the laptop's recipe; the published one has its own number.
    """

    layers: int = 2
    width: int = 128
    seed: int = 42
    inputs: Literal["gaussian", "uniform", "laplace", "rademacher"] = "gaussian"
    examples: int = 20
    steps: int = STEPS

    @property
    def published(self) -> TrainingSpec:
        """Source B's recipe."""
        return self._of(query_only(self.layers, seed=self.seed), self._name("", ""))

    @property
    def laptop(self) -> TrainingSpec:
        """The recipe for a laptop."""
        spec = query_only_laptop(self.layers, seed=self.seed)
        name = self._name(f"{self.steps}-steps" if self.steps != STEPS else "", "laptop")
        return self._of(dataclasses.replace(spec, steps=self.steps), name)

    def _name(self, training: str, last: str) -> str:
        parts = (
            f"query-only-{self.layers}-layers",
            f"width-{self.width}" if self.width != 128 else "",
            self.inputs if self.inputs != "gaussian" else "",
            f"{self.examples}-examples" if self.examples != 20 else "",
            training,
            f"seed-{self.seed}" if self.seed != 42 else "",
            last,
        )
        return "-".join(filter(None, parts))

    def _of(self, spec: TrainingSpec, name: str) -> TrainingSpec:
        task = adjusted(spec.task, examples=self.examples, inputs=INPUTS[self.inputs])
        model = TransformerConfig(
            layers=self.layers, width=self.width, feedforward=2 * self.width, examples=self.examples
        )
        return dataclasses.replace(spec, name=name, task=task, model=model)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded(Trained):
    """A network that is made the same way at every profile, and whose record may ship in its place.

    Attributes:
        seed: of weights and data.
        spec: what makes it.
    """

    seed: int
    spec: TrainingSpec

    @property
    @abc.abstractmethod
    def record(self) -> str:
        """The name of the record with what was measured of it."""

    @property
    def published(self) -> TrainingSpec:
        """What makes it."""
        return self.spec

    @property
    def laptop(self) -> TrainingSpec:
        """The same."""
        return self.spec


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class OfDepth(Recorded):
    """One of several networks of a depth that differ in the seed alone, by the laptop's recipe.

    Attributes:
        layers: of the transformer.
    """

    layers: int

    @property
    def record(self) -> str:
        """A record of its own, so that networks can be added one by one."""
        return f"depth-over-networks/{self.ships_as}"


def of_depth(layers: int, seed: int) -> OfDepth:
    """One of the networks of a depth; see `OfDepth`."""
    return OfDepth(layers=layers, seed=seed, spec=Network(layers=layers, seed=seed).laptop)


TWO_LAYERS = tuple(Network(seed=seed, steps=20_000) for seed in (42, 100))
"""The two-layer networks that studies take apart: trained three times as long as others, nearer to the source's error."""

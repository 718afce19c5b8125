"""What a subject may be able to do besides: each ability is a small protocol, and none of them has to be there.

A subject has an ability if it has the names; nothing is registered. `mesascope.testing.check_subject` checks those that are
there. What is lost without one:

- `Reinitialisable`: the untrained network as a control;
- `Specified`: what it came from, in the record;
- `AnswersEverywhere`: the metrics that compare answers along the context;
- `StatesLayout`: nothing where an example takes one token or two and the queries come last, which is then found by asking;
  instruments that read positions, where numbers take several tokens;
- `DeclaresState`: the causal test looks for the algorithm's state with probes, where it would be told.
"""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from mesascope.types.layout import Layout
from mesascope.types.problems import Prompts
from mesascope.types.subjects import Subject


@runtime_checkable
class Reinitialisable(Protocol):
    """A subject that can be had untrained."""

    def reinitialised(self, seed: int) -> Subject:
        """The same architecture with fresh random weights, which the seed fixes."""
        ...


@runtime_checkable
class Specified(Protocol):
    """A subject that says what it came from."""

    @property
    def spec(self) -> Any:
        """As JSON; goes into every record."""
        ...


@runtime_checkable
class AnswersEverywhere(Protocol):
    """A subject that can answer each input of the context from the examples before it."""

    @property
    def answers_everywhere(self) -> bool:
        """Whether it does: a class may have the method for some of its configurations only."""
        ...

    def answer_everywhere(self, prompts: Prompts) -> Float[Tensor, "batch example"]:
        """The answers at the context's inputs."""
        ...


@runtime_checkable
class StatesLayout(Protocol):
    """A subject that states where its tokens stand."""

    def layout(self, examples: int, queries: int) -> Layout:
        """The positions of inputs, labels and queries for prompts of so many examples and queries."""
        ...


@runtime_checkable
class DeclaresState(Protocol):
    """A subject that declares which of its channels hold the state of which algorithm, as hand-built networks do."""

    @property
    def holds(self) -> Any:
        """A `mesascope.models.constructions.holding.Holding`, or None."""
        ...

    @property
    def layers(self) -> int:
        """Attention layers."""
        ...

    @property
    def layers_per_step(self) -> int:
        """Layers that a step takes."""
        ...

    @property
    def layers_to_start(self) -> int:
        """Layers before the first step."""
        ...

    def channels(self, dim: int) -> Any:
        """The named channels of the residual stream, as `mesascope.models.constructions.Channels`."""
        ...


def spec_of(subject: object) -> Any:
    """What a subject came from, or None where it does not say."""
    return subject.spec if isinstance(subject, Specified) else None


def spec_mapping(subject: object) -> Mapping[str, Any]:
    """The same as a mapping; empty where it does not say, or in another form."""
    spec = spec_of(subject)
    return spec if isinstance(spec, Mapping) else {}


def untrained_twin(subject: object, seed: int) -> Subject | None:
    """The subject with fresh random weights, or None for one that cannot be had untrained."""
    return subject.reinitialised(seed) if isinstance(subject, Reinitialisable) else None


def answering_everywhere(subject: object) -> AnswersEverywhere | None:
    """The subject, if it answers every input of the context."""
    return subject if isinstance(subject, AnswersEverywhere) and subject.answers_everywhere else None


def stated_layout(subject: object, examples: int, queries: int) -> Layout | None:
    """The layout that a subject states, or None."""
    return subject.layout(examples, queries) if isinstance(subject, StatesLayout) else None

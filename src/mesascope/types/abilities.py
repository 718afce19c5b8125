"""Optional abilities of a subject. Each ability is a small protocol, and a subject may lack all of them.

A subject has an ability if it has the attributes that the protocol names; nothing is registered.
`mesascope.testing.check_subject` checks the abilities that a subject has. What is lost without each of them:

- `Reinitialisable`: the untrained network as a control;
- `Specified`: the origin of the subject in the record;
- `HasHistory`: what it computes over its training;
- `AnswersEverywhere`: the metrics that compare answers along the context;
- `StatesLayout`: instruments that read positions, if a number takes several tokens. Nothing is lost if an example takes one or
  two tokens and the queries come last: that layout is found by testing the subject;
- `DeclaresState`: the causal test must search for the algorithm's state with probes, because the subject doesn't declare it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from mesascope.types.layout import Layout
from mesascope.types.problems import Prompts
from mesascope.types.subjects import Subject


@runtime_checkable
class Reinitialisable(Protocol):
    """A subject of which an untrained copy can be made."""

    def reinitialised(self, seed: int) -> Subject:
        """The same architecture with fresh random weights, determined by the seed."""
        ...


@runtime_checkable
class Specified(Protocol):
    """A subject that states its specification: how it was made."""

    @property
    def spec(self) -> Any:
        """The specification as JSON; it is stored in every record."""
        ...


@runtime_checkable
class HasHistory(Protocol):
    """A subject of whose training there are checkpoints."""

    @property
    def checkpoints(self) -> Mapping[int, Callable[[], Subject]]:
        """By training step, what loads the subject as it was there; the finished one may be left out."""
        ...


@runtime_checkable
class AnswersEverywhere(Protocol):
    """A subject that can answer each input of the context from the examples before it."""

    @property
    def answers_everywhere(self) -> bool:
        """Whether this subject can do so: a class may support it for some of its configurations only."""
        ...

    def answer_everywhere(self, prompts: Prompts) -> Float[Tensor, "batch example"]:
        """The answers at the context's inputs."""
        ...


@runtime_checkable
class StatesLayout(Protocol):
    """A subject that states where its tokens stand."""

    def layout(self, examples: int, queries: int) -> Layout:
        """The positions of inputs, labels and queries for prompts with these numbers of examples and queries."""
        ...


@runtime_checkable
class DeclaresState(Protocol):
    """A subject that declares which of its channels hold which algorithm's state, as hand-built networks do."""

    @property
    def holds(self) -> Any:
        """A `mesascope.models.constructions.holding.Holding`, or None."""
        ...

    @property
    def layers(self) -> int:
        """Number of attention layers."""
        ...

    @property
    def layers_per_step(self) -> int:
        """Number of layers per step of the algorithm."""
        ...

    @property
    def layers_to_start(self) -> int:
        """Number of layers before the first step."""
        ...

    def channels(self, dim: int) -> Any:
        """The named channels of the residual stream, as `mesascope.models.constructions.Channels`."""
        ...


def spec_of(subject: object) -> Any:
    """The subject's specification, or None if it states none."""
    return subject.spec if isinstance(subject, Specified) else None


def spec_mapping(subject: object) -> Mapping[str, Any]:
    """The subject's specification as a mapping; empty if it states none, or one that is not a mapping."""
    spec = spec_of(subject)
    return spec if isinstance(spec, Mapping) else {}


def history(subject: Subject) -> dict[int, Callable[[], Subject]]:
    """By training step, what loads the subject as it was there, itself last; empty if it does not say its own step."""
    early = dict(subject.checkpoints) if isinstance(subject, HasHistory) else {}
    end = spec_mapping(subject).get("step")
    if not isinstance(end, int):
        return {}
    return {step: load for step, load in sorted(early.items()) if step < end} | {end: lambda: subject}


def untrained_twin(subject: object, seed: int) -> Subject | None:
    """The subject with fresh random weights, or None if it is not `Reinitialisable`."""
    return subject.reinitialised(seed) if isinstance(subject, Reinitialisable) else None


def answering_everywhere(subject: object) -> AnswersEverywhere | None:
    """The subject, if it answers every input of the context."""
    return subject if isinstance(subject, AnswersEverywhere) and subject.answers_everywhere else None


def stated_layout(subject: object, examples: int, queries: int) -> Layout | None:
    """The layout that a subject states, or None if it states none."""
    return subject.layout(examples, queries) if isinstance(subject, StatesLayout) else None

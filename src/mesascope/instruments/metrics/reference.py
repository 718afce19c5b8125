"""A reference algorithm with the verbs of a subject."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Algorithm, ClosedForm, run
from mesascope.models.taps import Taps
from mesascope.types import Domain, Intervention, Prompts, Site, Subject, Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ReferenceSubject:
    """A reference algorithm after some steps, with the verbs of a subject.

    Attributes:
        algorithm, steps: what runs, and for how long; 0 steps answer zero.
        label: its name in reports, if not made of the two.
        dtype: the precision it computes in.
    """

    algorithm: Algorithm
    steps: int = 1
    label: str = ""
    dtype: torch.dtype = torch.float64

    @property
    def name(self) -> str:
        counted = "" if isinstance(self.algorithm, ClosedForm) else f", {self.steps} step{'s' * (self.steps != 1)}"
        return self.label or self.algorithm.name + counted

    @property
    def domain(self) -> Domain:
        return Domain()

    @property
    def sites(self) -> tuple[Site, ...]:
        return ()

    @property
    def path(self) -> tuple[Site, ...]:
        return ()

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the algorithm; it has no sites. See `mesascope.types.Subject`."""
        Taps(self.sites, capture, interventions)
        said = run(self.algorithm, prompts, self.steps, dtype=self.dtype).predictions
        return Trace(predictions=said[-1], activations={})

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """There is nothing to read.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"site must be one of the subject's, and an algorithm has none; got {site}. Ask by trace.")


def as_subject(reference: Algorithm | Subject) -> Subject:
    """An algorithm after one step, or the subject itself."""
    return ReferenceSubject(algorithm=reference) if isinstance(reference, Algorithm) else reference

"""A reference algorithm with a subject's interface, so that metrics treat both alike."""

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
    """A reference algorithm after some steps, with the interface of `mesascope.types.Subject`.

    Attributes:
        algorithm, steps: the algorithm, and after how many steps it answers; after 0 steps it answers zero.
        label: its name in reports; by default made from algorithm and steps.
        dtype: the precision it computes in.
    """

    algorithm: Algorithm
    steps: int = 1
    label: str = ""
    dtype: torch.dtype = torch.float64

    @property
    def name(self) -> str:
        """Its name in reports: the label, or the algorithm's name with the number of steps."""
        counted = "" if isinstance(self.algorithm, ClosedForm) else f", {self.steps} step{'s' * (self.steps != 1)}"
        return self.label or self.algorithm.name + counted

    @property
    def domain(self) -> Domain:
        """The prompts it accepts: all."""
        return Domain()

    @property
    def sites(self) -> tuple[Site, ...]:
        """No sites: an algorithm has no activations."""
        return ()

    @property
    def path(self) -> tuple[Site, ...]:
        """No path, for the same reason."""
        return ()

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """Run the algorithm; it has no sites. See `mesascope.types.Subject`."""
        Taps(self.sites, capture, interventions)
        said = run(self.algorithm, prompts, self.steps, dtype=self.dtype).predictions
        return Trace(predictions=said[-1], activations={})

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """Not available: an algorithm has no sites to read from.

        Raises:
            ValueError: always.
        """
        raise ValueError(f"site must be one of the subject's, and an algorithm has none; got {site}. Ask by trace.")


def as_subject(reference: Algorithm | Subject) -> Subject:
    """The algorithm after one step as a subject; a subject is returned as it is."""
    return ReferenceSubject(algorithm=reference) if isinstance(reference, Algorithm) else reference

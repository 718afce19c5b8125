"""A subject in disguise: its residual stream in a random basis, and noise in its layers' answers.

It uses only the public protocol. An instrument that reads named channels instead of the stream finds nothing here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.tokens import along, asked
from mesascope.seeds import generator
from mesascope.tasks.covariance import rotations
from mesascope.types import Domain, Intervention, Prompts, Site, Subject, Trace


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Disguised:
    """A subject whose stream is rotated, and whose answers have noise that the problem does not explain.

    The noise is Gaussian, independent between layers, prompts and queries, and a function of the query: the same prompts
    get the same answers, and a slightly moved query gets different noise. It is added to captured activations and to the
    answers, along the direction that the subject's own readout reads; the forward pass itself is unchanged.

    Attributes:
        subject: the subject behind the disguise; only its residual-stream sites are shown.
        seed: the seed of the rotation and the noise.
        noise: variance of the noise after each layer, as a share of the target's.
        restricted: the stated domain, in dimensions or examples that the subject's own domain does not limit.
    """

    subject: Subject
    seed: int
    noise: float = 0.0
    restricted: Domain = field(default_factory=Domain)

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def domain(self) -> Domain:
        own = self.subject.domain
        return Domain(
            dims=self.restricted.dims if own.dims is None else own.dims,
            examples=self.restricted.examples if own.examples is None else own.examples,
        )

    @property
    def sites(self) -> tuple[Site, ...]:
        return tuple(site for site in self.subject.sites if site.kind.startswith("resid"))

    @property
    def path(self) -> tuple[Site, ...]:
        return self.subject.path

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        """The subject's pass, with activations in another basis. See `mesascope.types.Subject`."""

        def behind(intervention: Intervention) -> Intervention:
            def edit(stream: Tensor) -> Tensor:
                turn = self._turn(stream)
                seen = stream @ turn
                # Only the change is rotated back: an edit without a change leaves every bit as it is, so that channels that
                # are exactly zero stay zero, and networks that divide by them are not disturbed.
                return stream + (intervention.edit(seen.clone()) - seen) @ turn.T

            return replace(intervention, edit=edit)

        trace = self.subject.trace(prompts, capture=capture, interventions=[behind(i) for i in interventions])
        seen = {}
        for site, stream in trace.activations.items():
            if self.noise and site in self.path:
                stream = stream.clone()
                stream[:, along(asked(self.subject, prompts)[:, -1])] += self._noise(prompts, site)[
                    ..., None
                ] * self._direction(stream, site)
            seen[site] = stream @ self._turn(stream)
        answers = trace.predictions
        if self.noise:
            answers = answers + self._noise(prompts, self.path[-1]).to(answers)
        return Trace(predictions=answers, activations=seen)

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        """The subject's own readout of the stream, after it is rotated back."""
        return self.subject.readout(activation @ self._turn(activation).T, site)

    def reinitialised(self, seed: int) -> Subject:
        """The untrained control of the disguised subject, in the same disguise.

        Raises:
            ValueError: the disguised subject has no untrained control.
        """
        control = untrained(self.subject, seed)
        if control is None:
            raise ValueError(f"subject must have an untrained control to be disguised; {self.name} has none.")
        return replace(self, subject=control)

    def _turn(self, stream: Tensor) -> Float[Tensor, "width width"]:
        width = stream.shape[-1]
        return rotations(1, width, generator(self.seed, "disguise/turn", width))[0].to(stream)

    def _direction(self, stream: Tensor, site: Site) -> Float[Tensor, " width"]:
        """The vector that, added to the stream, increases the own readout by 1."""
        read = self.subject.readout(torch.eye(stream.shape[-1]).to(stream)[:, None], site)[:, 0].to(stream)
        return read / read.square().sum()

    def _noise(self, prompts: Prompts, site: Site) -> Float[Tensor, "batch query"]:
        rng = generator(self.seed, "disguise/noise", site.layer)
        along = torch.randn(prompts.dim, generator=rng, dtype=torch.float64) * 1e7
        uniform = (prompts.queries.double() @ along.to(prompts.queries.device)).frac().abs().clamp(1e-12, 1 - 1e-12)
        normal = torch.special.ndtri(uniform)
        return (self.noise * prompts.target_variance.double()).sqrt()[:, None] * normal

"""Predictions of the candidates on one set of prompts, made as cheaply as each family allows."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms import Problem, run
from mesascope.instruments.identification.families import Coefficient, Family
from mesascope.instruments.spectral.channels import SpectralChannels, response
from mesascope.types import Prompts

FEW, LEAST, CHANNELS = 36, 12, 320
"""Prompts that a coarse look takes (a refinement takes all): fewer in many dimensions, where each brings more spectral channels,
but never fewer than the second number."""


class Runner:
    """Predictions of any family member on one set of prompts."""

    def __init__(self, prompts: Prompts) -> None:
        self.prompts = prompts
        self.problem = Problem.of(prompts)
        self.channels = SpectralChannels.of(prompts)
        self._grids: dict[tuple[str, int], Tensor] = {}

    @cached_property
    def few(self) -> "Runner":
        """The first of the prompts, for a coarse look."""
        return Runner(self.prompts[: max(LEAST, min(FEW, CHANNELS // self.prompts.dim))])

    @cached_property
    def size(self) -> float:
        """The mean eigenvalue of XᵀX/n over all prompts: the unit of what coefficients are searched for in."""
        return float(self.prompts.xs.square().mean())

    @cached_property
    def scaled_channels(self) -> SpectralChannels:
        """The channels of the inputs divided by their root mean squares; gradient descent there is Jacobi's."""
        prompts = self.prompts
        scale = prompts.xs.square().mean(1, keepdim=True).rsqrt()
        return SpectralChannels.of(replace(prompts, xs=prompts.xs * scale, queries=prompts.queries * scale))

    def coefficients(self, family: Family) -> tuple[Coefficient, ...]:
        """The family's coefficients, with bounds for inputs of this size."""
        return tuple(c.at(self.size) for c in family.coefficients)

    def predictions(self, family: Family, values: Sequence[float], steps: int) -> Float[Tensor, "step batch query"]:
        """Every iterate's answers, 0 … steps."""
        return self.many(family, [values], steps)[0]

    def path(self, family: Family, values: Sequence[float], steps: Sequence[int]) -> Float[Tensor, "layer batch query"]:
        """What a member answers after each of the given numbers of steps."""
        return self.at(family, [values], torch.tensor(steps)[None])[0]

    def many(
        self, family: Family, values: Sequence[Sequence[float]], steps: int
    ) -> Float[Tensor, "choice step batch query"]:
        """Every iterate for several choices of the coefficients."""
        return self.at(family, values, torch.arange(steps + 1).expand(len(values), -1))

    def at(
        self, family: Family, values: Sequence[Sequence[float]], steps: Int[Tensor, "choice layer"]
    ) -> Float[Tensor, "choice layer batch query"]:
        """The iterates with the given numbers, for several choices of the coefficients; in one run where the family allows it."""
        most = int(steps.max())
        if family.filter is None:
            paths = [run(family.algorithm(v), self.problem, most).predictions for v in values]
            return torch.stack([path[index] for path, index in zip(paths, steps, strict=True)])
        channels = self.scaled_channels if family.scaled else self.channels
        eigenvalues = channels.eigenvalues.expand(len(values), -1, -1)
        columns = torch.tensor(values, dtype=torch.float64).T[..., None].repeat_interleave(eigenvalues[0].numel(), 1)
        filters = response(family.filtering(list(columns)), eigenvalues, most)  # (step, choice, batch, dim)
        return channels.predictions(filters[steps, torch.arange(len(values))[:, None]])

    def grid(
        self, family: Family, points: Sequence[Sequence[float]], steps: int
    ) -> Float[Tensor, "point step batch query"]:
        """As `many`, kept: the same points are looked at for every readout of a subject."""
        key = (family.name, steps)
        if key not in self._grids:
            self._grids[key] = self.many(family, points, steps)
        return self._grids[key]

"""Predictions of the candidates on one set of prompts, computed by the cheapest method that each family allows."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms import Problem, run
from mesascope.algorithms.glm import check_labels, linearised
from mesascope.instruments.identification.families import Coefficient, Family
from mesascope.instruments.spectral.channels import SpectralChannels, response
from mesascope.types import GlmFamily, Prompts

FEW, LEAST, CHANNELS = 36, 12, 320
"""A coarse search uses at most `FEW` prompts, and at most about `CHANNELS` spectral channels in all, so fewer prompts in many
dimensions; but never fewer than `LEAST`. A refinement uses all prompts."""


class Runner:
    """Predictions of any family member on one set of prompts.

    Args:
        prompts: the prompts.
        glm: the distribution of their labels, if they are those of a generalised linear model. Methods for linear regression then
            read the labels as linear predictors to first order (`linearised`), as Newton's first step does; those that read the
            labels as they are have `Family.raw`.

    Raises:
        ValueError: a label is impossible for this distribution.
    """

    def __init__(self, prompts: Prompts, glm: GlmFamily | None = None) -> None:
        self.prompts = prompts
        self.glm: GlmFamily | None = glm
        self._linear = prompts
        if glm is not None:
            check_labels(glm, prompts.ys)
            self._linear = replace(prompts, ys=linearised(glm, prompts.ys))
        self.problem = Problem.of(self._linear)
        self.channels = SpectralChannels.of(self._linear)
        self._grids: dict[tuple[str, int], Tensor] = {}

    @cached_property
    def few(self) -> "Runner":
        """A runner of the first prompts only, for a coarse search."""
        return self.first(max(LEAST, min(FEW, CHANNELS // self.prompts.dim)))

    def first(self, count: int) -> "Runner":
        """A runner of the first prompts only."""
        return Runner(self.prompts[:count], self.glm)

    @cached_property
    def given(self) -> Problem:
        """The problem with the labels as they are."""
        return self.problem if self.glm is None else Problem.of(self.prompts)

    def problem_of(self, family: Family) -> Problem:
        """The problem as a family reads it."""
        return self.given if family.raw else self.problem

    @cached_property
    def fewer(self) -> "Runner":
        """The same for families that need the examples themselves, and solve a system with one unknown for each of them."""
        return self.first(max(LEAST, min(FEW, CHANNELS // self.prompts.examples)))

    @cached_property
    def size(self) -> float:
        """The mean eigenvalue of XᵀX/n over all prompts, in units of which coefficients are searched."""
        return float(self.prompts.xs.square().mean())

    @cached_property
    def scaled_channels(self) -> SpectralChannels:
        """The channels of inputs divided by their root mean squares: gradient descent on these is Jacobi-preconditioned."""
        prompts = self._linear
        scale = prompts.xs.square().mean(1, keepdim=True).rsqrt()
        return SpectralChannels.of(replace(prompts, xs=prompts.xs * scale, queries=prompts.queries * scale))

    def coefficients(self, family: Family, steps: Sequence[int] = ()) -> tuple[Coefficient, ...]:
        """The family's coefficients for a path with these steps after each layer, with bounds for inputs of this size."""
        return tuple(c.at(self.size) for c in family.numbers(steps, self.prompts.dim))

    def predictions(self, family: Family, values: Sequence[float], steps: int) -> Float[Tensor, "step batch query"]:
        """The answers of every iterate from 0 to ``steps``."""
        return self.many(family, [values], steps)[0]

    def path(self, family: Family, values: Sequence[float], steps: Sequence[int]) -> Float[Tensor, "layer batch query"]:
        """A member's answers after each of the given numbers of steps."""
        return self.at(family, [values], torch.tensor(steps)[None])[0]

    def many(
        self, family: Family, values: Sequence[Sequence[float]], steps: int
    ) -> Float[Tensor, "choice step batch query"]:
        """The answers of every iterate from 0 to ``steps``, for several choices of the coefficients."""
        return self.at(family, values, torch.arange(steps + 1).expand(len(values), -1))

    def at(
        self, family: Family, values: Sequence[Sequence[float]], steps: Int[Tensor, "choice layer"]
    ) -> Float[Tensor, "choice layer batch query"]:
        """The answers after the given numbers of steps, for several choices of the coefficients; in one run if possible."""
        most = int(steps.max())
        if family.batched:
            return self._batched(family, values, steps)
        if family.root is not None:
            found = self._transformed(family, values, most)
            return found[steps, torch.arange(len(values))[:, None]]
        if family.filter is None:
            problem = self.problem_of(family)
            paths = [run(family.algorithm(v), problem, most).predictions for v in values]
            return torch.stack([path[index] for path, index in zip(paths, steps, strict=True)])
        channels = self.scaled_channels if family.scaled else self.channels
        eigenvalues = channels.eigenvalues.expand(len(values), -1, -1)
        columns = torch.tensor(values, dtype=torch.float64).T[..., None].repeat_interleave(eigenvalues[0].numel(), 1)
        filters = response(family.filtering(list(columns)), eigenvalues, most)  # (step, choice, batch, dim)
        return channels.predictions(filters[steps, torch.arange(len(values))[:, None]])

    def _batched(
        self, family: Family, values: Sequence[Sequence[float]], steps: Int[Tensor, "choice layer"]
    ) -> Float[Tensor, "choice layer batch query"]:
        """As `at`, in one run: every choice of the coefficients has its own copy of the prompts."""
        choices, problem, given = len(values), self.problem_of(family), family.examples or family.raw
        batch = len(problem)
        named = {
            c.name: column[:, None].repeat_interleave(batch, 0)
            for c, column in zip(family.coefficients, torch.tensor(values, dtype=torch.float64).T, strict=True)
        }
        unit = named[family.unit] if family.unit else problem.moment.new_ones(1, 1)
        copies = replace(
            problem,
            xs=problem.data[0].repeat(choices, 1, 1) / unit[..., None] if given else None,
            ys=problem.data[1].repeat(choices, 1) if given else None,
            queries=problem.queries.repeat(choices, 1, 1) / unit[..., None],
            gram=problem.gram.repeat(choices, 1, 1) / unit[..., None].square(),
            moment=problem.moment.repeat(choices, 1) / unit,
        )
        algorithm = family.algorithm([1.0 if name == family.unit else column for name, column in named.items()])
        found = run(algorithm, copies, int(steps.max())).predictions
        return found.unflatten(1, (choices, batch))[steps, torch.arange(choices)[:, None]]

    def _transformed(
        self, family: Family, values: Sequence[Sequence[float]], most: int
    ) -> Float[Tensor, "step choice batch query"]:
        """The answers of a family with a preconditioner R Rᵀ, all choices in one run: the inputs are multiplied by R."""
        assert family.root is not None
        assert family.inside is not None
        roots = torch.stack([family.root(v) for v in values])[:, None]  # (choice, 1, dim, dim)
        problem = self.problem
        gram = roots.mT @ problem.gram @ roots
        inner = Problem.from_gram(
            gram=((gram + gram.mT) / 2).flatten(0, 1),
            moment=(problem.moment[:, None] @ roots)[..., 0, :].flatten(0, 1),
            queries=(problem.queries @ roots).flatten(0, 1),
        )
        return run(family.inside, inner, most).predictions.unflatten(1, (len(values), -1))

    def grid(
        self, family: Family, points: Sequence[Sequence[float]], steps: int
    ) -> Float[Tensor, "point step batch query"]:
        """As `many`, but cached, since the same points are needed for every readout of a subject."""
        key = (family.name, steps)
        if key not in self._grids:
            self._grids[key] = self.many(family, points, steps)
        return self._grids[key]

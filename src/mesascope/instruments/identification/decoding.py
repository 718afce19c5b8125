"""A candidate's iterates, read from a subject's residual stream by readouts that are fitted to them.

A readout that is fitted to the targets reads whatever of the state says most about them, which is often more than the iterate:
the last step too, along which it extrapolates, or the next gradient. A subject that follows a candidate holds the candidate's
iterate in its stream, whatever else it holds. So the readout is fitted to the iterate, and asked on other prompts how well it
finds it (`reading.readers`). What it reads is the subject's answer for this candidate:

- A readout has any scale, so the sizes of iterates after middle layers mean nothing. Each is scaled to the size of what a
  readout fitted to the targets reads there: a layer counts by what can be read after it, not by how large a step a candidate
  takes.
- Where a candidate has not begun, nothing should be readable; at the layer before its first step, no more than the first
  gradient, x_qᵀ P Xᵀy with P the identity or Jacobi's. What a readout fitted to the targets reads besides counts as error.
- The last layer is the subject's own answer, which is compared with the iterate itself.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.reading.paths import TINY, Stream, read_units
from mesascope.instruments.reading.readers import Reader
from mesascope.instruments.statistics.discrepancy import Compared
from mesascope.types import Prompts

LARGEST = 20.0
"""Iterates count as at most this many times their median over the prompts, or the root of the unit of squared errors if that is
larger, so that prompts on which a candidate diverges, and the subject does not, do not decide what the readout reads."""
SOME = 100
"""The number of prompts of a coarse search: more than `Runner.few` has, since readouts are fitted there."""

Iterates = Callable[[Runner], Float[Tensor, "candidate layer batch query"]]
"""The iterates of several candidates after every layer, on any prompts."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """Some prompts with what was seen of the subject there.

    Attributes:
        runner: the prompts.
        stream: the subject's residual stream on them.
        shown: what readouts fitted to the targets read after each layer; at the last, the subject's answers. Of prompts that
            only serve to fit readouts, the last layer is enough.
    """

    runner: Runner
    stream: Stream
    shown: Float[Tensor, "layer batch query"]

    @property
    def prompts(self) -> Prompts:
        """The prompts."""
        return self.runner.prompts

    @cached_property
    def roots(self) -> Float[Tensor, "layers batch 1"]:
        """The weight of each prompt's errors after each layer but the last."""
        return read_units(self.shown[-1], self.stream, self.prompts.target_variance)[:-1].rsqrt()[..., None]

    @property
    def middle(self) -> Float[Tensor, "layers batch query"]:
        """What is shown after each layer but the last, bounded."""
        return bounded(self.shown[:-1], self)


class Readers:
    """The readers of a subject's stream after every layer but the last, fitted on some prompts.

    Args:
        sample: the prompts that readouts are fitted on.
        home: the prompts on which scales are measured.
        noise: the covariance of the noise in the stream after each layer.
    """

    def __init__(self, sample: Sight, home: Sight, noise: Sequence[Float[Tensor, "width width"]]) -> None:
        self.sample, self.home = sample, home
        self.readers = [Reader.of(*each) for each in zip(sample.stream, sample.roots, noise, strict=True)]

    def decode(self, iterates: Iterates, steps: Int[Tensor, "candidate layer"], on: Sequence[Sight]) -> list[Compared]:
        """What readouts fitted to candidates' iterates read from the stream on other prompts, beside these iterates.

        Args:
            iterates: the candidates' iterates.
            steps: the number of steps that each candidate has taken after each layer.
            on: the prompts to read.
        """
        known, there = (bounded(iterates(sight.runner)[:, :-1], sight) for sight in (self.sample, self.home))
        scales = _scales(there, self.home)[..., None, None]  # (candidate, layer, 1, 1)
        going, about = (each[..., None, None] for each in _begun(steps))
        results: list[Compared] = []
        for sight in on:
            here = iterates(sight.runner)
            seen = [
                reader.read(reader.found(known[:, layer]), sight.stream[layer])
                for layer, reader in enumerate(self.readers)
            ]
            subject, candidate = here.clone(), here.clone()
            subject[:, -1] = sight.shown[-1]
            if seen:
                still = torch.where(about, _besides(self.home, sight), sight.middle)
                subject[:, :-1] = torch.where(going, torch.stack(seen, 1) * scales, still)
                candidate[:, :-1] = bounded(here[:, :-1], sight) * torch.where(going, scales, 0.0)
            results.append((subject, candidate))
        return results


def bounded(
    iterates: Float[Tensor, "*any layers batch query"], sight: Sight
) -> Float[Tensor, "*any layers batch query"]:
    """Iterates for each layer but the last, cut at `LARGEST`; 0 where one is not a number."""
    known = iterates.nan_to_num(nan=0.0)
    usual = (known * sight.roots).square().mean(-1, keepdim=True).median(-2, keepdim=True).values.sqrt().clamp(min=1)
    limit = LARGEST * usual / sight.roots
    return torch.minimum(torch.maximum(known, -limit), limit)


def _begun(steps: Int[Tensor, "*any layer"]) -> tuple[Bool[Tensor, "*any layers"], Bool[Tensor, "*any layers"]]:
    """At which layers but the last a candidate has begun, and at which its first step is the next layer's."""
    going = steps > 0
    return going[..., :-1], ~going[..., :-1] & going[..., 1:]


def _scales(iterates: Float[Tensor, "*any layer batch query"], sight: Sight) -> Float[Tensor, "*any layer"]:
    """The factors that give iterates the size of what readouts fitted to the targets read after each layer but the last."""
    shown, own = ((values * sight.roots).square().sum((-1, -2)) for values in (sight.middle, iterates))
    return (shown / own.clamp(min=TINY)).sqrt()


def _besides(home: Sight, sight: Sight) -> Float[Tensor, "layer batch query"]:
    """What readouts fitted to the targets read after each layer but the last, without what the first gradient explains of it."""

    def gradients(runner: Runner) -> Float[Tensor, "batch query 2"]:
        return torch.stack([c.predictions(c.eigenvalues) for c in (runner.channels, runner.scaled_channels)], -1)

    rows = (gradients(home.runner) * home.roots[..., None]).flatten(1, 2)  # (layer, row, gradient)
    gram = rows.mT @ rows
    gram.diagonal(dim1=-2, dim2=-1).mul_(1 + 1e-10)
    shares = torch.linalg.solve(gram, rows.mT @ (home.middle * home.roots).flatten(1)[..., None])[..., 0]
    return sight.middle - torch.einsum("bqg,lg->lbq", gradients(sight.runner), shares)


class Projection:
    """The same on the prompts that candidates are fitted on themselves: fast, not held out, enough to fit coefficients.

    What is linear in the stream of an iterate is its projection on the stream's directions. A direction's share of the
    iterate is divided by that of the stream which is no noise.

    Args:
        sight: the prompts, and what was seen of the subject there.
        noise: the covariance of the noise in the stream after each layer but the last.
    """

    def __init__(self, sight: Sight, noise: Sequence[Float[Tensor, "width width"]]) -> None:
        self.sight, self._noise = sight, noise
        self._readers = [Reader.of(*each) for each in zip(sight.stream, sight.roots, noise, strict=True)]
        self._rest, self._middle = _besides(sight, sight), sight.middle
        self._sizes = (sight.middle * sight.roots).square().sum((-1, -2))

    @cached_property
    def some(self) -> "Projection":
        """The same on the first prompts only, for a coarse search."""
        count = min(SOME, len(self.sight.prompts))
        few = Sight(
            runner=self.sight.runner.first(count),
            stream=tuple(layer[:count] for layer in self.sight.stream),
            shown=self.sight.shown[:, :count],
        )
        return Projection(few, self._noise)

    def residuals(
        self, path: Float[Tensor, "*any layer batch query"], steps: Int[Tensor, "*any layer"]
    ) -> tuple[Float[Tensor, "*any value"], Float[Tensor, " value"]]:
        """Numbers whose squares, each times its sign, sum to the prompts' errors at every layer but the last; and the signs.

        An error is what the iterate's projection leaves of it, less what noise in the stream hides of the iterate.
        """
        middle = bounded(path[..., :-1, :, :], self.sight)
        middle = middle * self.sight.roots * _scales(middle, self.sight)[..., None, None]
        going, about = (each[..., None] for each in _begun(steps))
        parts, signs = [], []
        for layer, reader in enumerate(self._readers):
            rows = middle[..., layer, :, :].flatten(-2)
            found = rows @ reader.basis
            silent = ((of[layer] * self.sight.roots[layer]).flatten() for of in (self._rest, self._middle))
            still = torch.where(about[..., layer, :], *silent)
            left = torch.where(going[..., layer, :], rows - found @ reader.basis.T, still)
            hidden = torch.where(going[..., layer, :], found * (reader.gains - 1).sqrt(), 0.0)
            parts += [left, hidden]
            signs += [left.new_ones(left.shape[-1]), -left.new_ones(hidden.shape[-1])]
        if not parts:
            return path.new_zeros((*path.shape[:-3], 0)), path.new_zeros(0)
        return torch.cat(parts, -1) / self.sight.shown.shape[-1] ** 0.5, torch.cat(signs)

    def losses(self, iterates: Float[Tensor, "point step batch query"]) -> Float[Tensor, "point step layer"]:
        """The mean error over prompts at every layer but the last, for each iterate as what that layer holds.

        The first of the iterates is the one before any step.
        """
        each = iterates[..., None, :, :].expand(*iterates.shape[:2], len(self._readers), *iterates.shape[2:])
        rows = bounded(each, self.sight)  # (point, step, layer, batch, query)
        size = (rows * self.sight.roots).square().sum((-1, -2)).clamp(min=TINY)
        held = [(reader.found(rows[:, :, i]).square() * reader.gains).sum(-1) for i, reader in enumerate(self._readers)]
        count = len(self.sight.prompts) * self.sight.shown.shape[-1]
        found = (1 - torch.stack(held, -1) / size) * self._sizes / count
        found[:, 0] = (self._rest * self.sight.roots).square().sum((-1, -2)) / count
        return found

"""A subject's path: what it would answer after each layer, by its own readout or by a fitted one."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.reading.readout import LinearReadout, fit_readouts
from mesascope.instruments.statistics.discrepancy import BLUR, PRECISION, SAME, discrepancy, units
from mesascope.seeds import generator
from mesascope.types import Prompts, Site, Subject

Readout = Literal["own", "fitted"]
SENSIBLE = 1.5
"""An own readout is believed in the middle of the network if it nowhere errs more than this many times as much as
answering zero would, or as the subject does in the end (where it diverges); one that was trained for the last layer only is
usually far above."""
NUDGE = 0.02
"""How far a query is moved to ask the same thing again, in units of its root mean square coordinate."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Prompts of one distribution.

    Attributes:
        fitting: to fit candidates on.
        scoring: to score them on.
        again: the latter asked again, with slightly moved queries.
        reading: two more samples, drawn only if they are needed, to fit readouts on: one for those asked again.
    """

    fitting: Prompts
    scoring: Prompts
    again: Prompts
    reading: Callable[[], tuple[Prompts, Prompts]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """Answers after every layer on each split.

    The last layer is always the subject's own answer. A fitted readout of an earlier layer rescales a layer that has taken
    one small step, so candidates are compared with it after one gain for each layer but the last (``gains``).

    ``idle`` names the layers, from 1, that leave the answer as it was: nothing can be seen of a step there.
    """

    fitting: Float[Tensor, "layer batch query"]
    scoring: Float[Tensor, "layer batch query"]
    again: Float[Tensor, "layer _ query"]  # as many prompts as were asked again
    readout: Readout
    idle: tuple[int, ...] = ()

    @property
    def gains(self) -> bool:
        return self.readout == "fitted"

    def last(self) -> "Paths":
        """Only the last layer, whose readout is the subject's own."""
        return Paths(fitting=self.fitting[-1:], scoring=self.scoring[-1:], again=self.again[-1:], readout="own")


def nudged(prompts: Prompts, seed: int) -> Prompts:
    """The same contexts, with every query moved a little, and its target with it where the latent weights say what it is.

    Without latent weights the targets stay those of the queries before: what is asked again is compared with the first
    answers, never with targets.
    """
    noise = torch.randn(prompts.queries.shape, generator=generator(seed, "identify/again"), dtype=torch.float64)
    size = prompts.queries.square().mean().sqrt()
    queries = prompts.queries + NUDGE * size * noise.to(prompts.queries)
    if prompts.weights is None:
        return replace(prompts, queries=queries)
    return replace(prompts, queries=queries, targets=(queries @ prompts.weights[..., None])[..., 0])


def paths(subject: Subject, splits: Splits, *, seed: int, readout: Literal["auto", "own", "fitted"] = "auto") -> Paths:
    """The subject's path on each split; a fitted readout is a ridge regression on targets of other prompts.

    What a fitted readout gets wrong, it gets wrong again when the same is asked again, which would pass for an answer of the
    subject. So those asked again are read by another readout, which was fitted on a sample of its own.

    Args:
        subject: what to examine.
        splits: the prompts. Those asked again go in another order, prompts and queries both, so that what depends on a place
            in the batch is not taken for an answer.
        seed: of that order.
        readout: ``auto`` takes the subject's own where it is sensible at every layer, else the fitted one.
    """
    answers, activations = at_queries(subject, splits.fitting, subject.path)
    first = second = None
    fitting = read(subject, answers, activations, None) if readout != "fitted" else answers[None]
    if readout == "fitted" or (readout == "auto" and not _sensible(fitting, splits.fitting)):
        first, second = (_readouts(subject, prompts) for prompts in splits.reading())
        fitting = read(subject, answers, activations, first)
    order = torch.randperm(len(splits.again), generator=generator(seed, "identify/order"))
    turn = torch.randperm(splits.again.queries.shape[1], generator=generator(seed, "identify/turn"))
    mixed = splits.again[order]
    mixed = replace(mixed, queries=mixed.queries[:, turn], targets=mixed.targets[:, turn])
    again = read(subject, *at_queries(subject, mixed, subject.path), second)
    return Paths(
        fitting=fitting,
        scoring=read(subject, *at_queries(subject, splits.scoring, subject.path), first),
        again=again[:, order.argsort()][..., turn.argsort()],
        readout="own" if first is None else "fitted",
        idle=_idle(fitting, splits.fitting, own=first is None),
    )


def _idle(path: Float[Tensor, "layer batch query"], prompts: Prompts, *, own: bool) -> tuple[int, ...]:
    """The layers, from 1, after which the answer is the one before, up to rounding.

    With fitted readouts, up to a factor and what those err by; a first layer of which hardly anything can be read is idle too.
    """
    unit = units(path, prompts.target_variance)
    before = torch.cat([torch.zeros_like(path[:1]), path[:-1]])
    if not own:
        weight = 1 / unit[..., None]
        across, size = ((before * other * weight).sum((-1, -2)) for other in (path, before))
        before = before * torch.where(size > 0, across / size.clamp(min=1e-300), 0.0)[:, None, None]
        targets = prompts.targets.expand_as(path)
        nothing = discrepancy(targets, torch.zeros_like(path), unit).mean(-1)
        shown = nothing - discrepancy(targets, path, unit).mean(-1)
        empty = shown <= SAME * nothing
        empty[-1] = False  # the subject's own answer, whatever it is
    else:
        empty = torch.zeros(len(path), dtype=torch.bool)
    still = discrepancy(path, before, unit).mean(-1) <= (PRECISION if own else BLUR)
    return tuple((still | empty).nonzero()[:, 0].add(1).tolist())


def _readouts(subject: Subject, prompts: Prompts) -> dict[Site, LinearReadout]:
    """Of every layer but the last."""
    _, activations = at_queries(subject, prompts, subject.path[:-1])
    return fit_readouts(activations, prompts.targets, scale=prompts.target_variance)


def read(
    subject: Subject,
    answers: Float[Tensor, "batch query"],
    activations: Mapping[Site, Tensor],
    readouts: Mapping[Site, LinearReadout] | None,
) -> Float[Tensor, "layer batch query"]:
    """What the readouts make of each layer (``None``: the subject's own); after the last, what the subject answered."""
    middle = [
        subject.readout(activations[site], site).double().cpu()
        if readouts is None
        else readouts[site].predict(activations[site])
        for site in subject.path[:-1]
    ]
    return torch.stack([*middle, answers])


def _sensible(own: Float[Tensor, "layer batch query"], prompts: Prompts) -> bool:
    error = discrepancy(own, prompts.targets.expand_as(own), prompts.target_variance).mean(-1)
    nothing = discrepancy(torch.zeros_like(prompts.targets), prompts.targets, prompts.target_variance).mean()
    return bool((error <= SENSIBLE * torch.maximum(nothing, error[-1])).all())

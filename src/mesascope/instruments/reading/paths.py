"""A subject's path: the answers that its own readout, or a fitted one, reads from the residual stream after each layer."""

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
"""The subject's own readout is used at the earlier layers if its error is at no layer more than this many times that of
answering zero (or that of the final answer, if it is larger because the subject diverges). A readout that was trained for the
last layer only usually errs far more."""
NUDGE = 0.02
"""How far queries are moved when a prompt is asked again, in units of the root mean square coordinate of all queries."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Prompts of one distribution, divided by use.

    Attributes:
        fitting: prompts to fit candidates on.
        scoring: prompts to score candidates on.
        again: prompts of ``scoring`` with slightly moved queries, to see how well a subject repeats its answers.
        reading: draws two more samples, only when needed, to fit readouts on: the second is for ``again``.
    """

    fitting: Prompts
    scoring: Prompts
    again: Prompts
    reading: Callable[[], tuple[Prompts, Prompts]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """Answers after every layer on each split.

    The last layer is always the subject's own answer. A fitted readout scales its answers up where an early layer has
    resolved only a part, so each candidate is first multiplied by one fitted gain per layer, except the last (``gains``).

    ``idle`` holds the layers, counted from 1, that leave the answer unchanged: no step of an algorithm shows there.
    """

    fitting: Float[Tensor, "layer batch query"]
    scoring: Float[Tensor, "layer batch query"]
    again: Float[Tensor, "layer _ query"]  # as many prompts as were asked again
    readout: Readout
    idle: tuple[int, ...] = ()

    @property
    def gains(self) -> bool:
        """Whether candidates get one gain per layer before they are compared."""
        return self.readout == "fitted"

    def last(self) -> "Paths":
        """Only the last layer, whose readout is the subject's own."""
        return Paths(fitting=self.fitting[-1:], scoring=self.scoring[-1:], again=self.again[-1:], readout="own")


def nudged(prompts: Prompts, seed: int, size: float = NUDGE) -> Prompts:
    """The same contexts with every query moved a little, and with the targets of the moved queries.

    Without latent weights these targets are unknown, and the old ones stay: answers to moved queries are compared with the
    first answers, never with targets.

    Args:
        prompts: the prompts.
        seed: of the directions.
        size: how far, in units of the root mean square coordinate of all queries.
    """
    noise = torch.randn(prompts.queries.shape, generator=generator(seed, "identify/again"), dtype=torch.float64)
    unit = prompts.queries.square().mean().sqrt()
    queries = prompts.queries + size * unit * noise.to(prompts.queries)
    if prompts.weights is None:
        return replace(prompts, queries=queries)
    return replace(prompts, queries=queries, targets=(queries @ prompts.weights[..., None])[..., 0])


def paths(subject: Subject, splits: Splits, *, seed: int, readout: Literal["auto", "own", "fitted"] = "auto") -> Paths:
    """The subject's path on each split.

    A fitted readout is a ridge regression on the targets of prompts that are used for nothing else. Its errors repeat when
    the same prompts are asked again, and would count as the subject's own answers. Therefore the prompts of ``again`` are read
    by a second readout, which is fitted on another sample.

    Args:
        subject: what to examine.
        splits: the prompts. Those of ``again`` are run with prompts and queries in another order, so that whatever depends on
            the place in a batch does not count as an answer.
        seed: of that order.
        readout: ``auto`` takes the subject's own readout if its error is acceptable at every layer (`SENSIBLE`), otherwise
            the fitted one.
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
    """The layers, counted from 1, after which the answer is the previous layer's, up to rounding.

    With fitted readouts, it may also differ by a factor and by the readout's error; and a layer from which hardly any of the
    target can be read is idle too.
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
        empty[-1] = False  # the last layer is the subject's own answer, however wrong
    else:
        empty = torch.zeros(len(path), dtype=torch.bool)
    still = discrepancy(path, before, unit).mean(-1) <= (PRECISION if own else BLUR)
    return tuple((still | empty).nonzero()[:, 0].add(1).tolist())


def _readouts(subject: Subject, prompts: Prompts) -> dict[Site, LinearReadout]:
    """A fitted readout for every layer but the last."""
    _, activations = at_queries(subject, prompts, subject.path[:-1])
    return fit_readouts(activations, prompts.targets, scale=prompts.target_variance)


def read(
    subject: Subject,
    answers: Float[Tensor, "batch query"],
    activations: Mapping[Site, Tensor],
    readouts: Mapping[Site, LinearReadout] | None,
) -> Float[Tensor, "layer batch query"]:
    """The answers read after each layer, by ``readouts`` or (``None``) by the subject's own; at the last, ``answers``."""
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

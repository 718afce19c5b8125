"""A subject's path: the answers that its own readout, or a fitted one, reads from the residual stream after each layer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.asking.lines import reordered
from mesascope.instruments.reading.readout import LinearReadout
from mesascope.instruments.statistics.discrepancy import BLUR, PRECISION, SAME, discrepancy, units
from mesascope.instruments.statistics.regression import ridge_fits
from mesascope.seeds import generator
from mesascope.types import Prompts, Subject

Readout = Literal["own", "fitted"]
SENSIBLE = 1.5
"""The subject's own readout is used at the earlier layers if its error is at no layer more than this many times that of
answering zero (or that of the final answer, if it is larger because the subject diverges). A readout that was trained for the
last layer only usually errs far more."""
FAR = 7.0
"""A number in the stream that is larger than this many times the median prompt's is far (see `read_units`)."""
TINY = 1e-300
"""What replaces a size of zero where something is divided by it."""
NUDGE = 0.02
"""How far queries are moved when a prompt is asked again, in units of the root mean square coordinate of all queries."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Splits:
    """Prompts of one distribution, divided by use.

    Attributes:
        fitting: prompts to fit candidates on.
        scoring: prompts to score candidates on.
        again: prompts of ``scoring`` as `asked_again` has them, to see how well a subject repeats its answers.
        reading: draws two more samples, only when needed, to fit readouts on: the second is for ``again``.
    """

    fitting: Prompts
    scoring: Prompts
    again: Prompts
    reading: Callable[[], tuple[Prompts, Prompts]]


Stream = tuple[Float[Tensor, "_ query width"], ...]
"""The residual stream at the queries, after every layer but the last, of as many prompts as were asked."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """Prompts to fit readouts on.

    Attributes:
        prompts: the prompts.
        answers: the subject's answers.
        stream: its residual stream.
    """

    prompts: Prompts
    answers: Float[Tensor, "batch query"]
    stream: Stream


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Streams:
    """The residual stream on each split, from which readouts are fitted to whatever is looked for in it.

    Attributes:
        fitting, scoring, again: the stream on these prompts.
        first, second: two further samples to fit readouts on; the second is for ``again``.
    """

    fitting: Stream
    scoring: Stream
    again: Stream
    first: Sample
    second: Sample


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Paths:
    """Answers after every layer on each split.

    The last layer is always the subject's own answer.

    Attributes:
        fitting, scoring, again: the answers to these prompts; with fitted readouts 0 where a layer says nothing.
        readout: what reads the answers after the other layers: the subject's own readout, or one fitted to the targets.
        idle: the layers, counted from 1, that leave the answer unchanged: no step of an algorithm shows there.
        streams: where readouts are fitted, what they are fitted to; None with the subject's own readout.
    """

    fitting: Float[Tensor, "layer batch query"]
    scoring: Float[Tensor, "layer batch query"]
    again: Float[Tensor, "layer _ query"]  # as many prompts as were asked again
    readout: Readout
    idle: tuple[int, ...] = ()
    streams: Streams | None = None

    def units(
        self, split: Literal["fitting", "scoring"], variance: Float[Tensor, " batch"]
    ) -> Float[Tensor, "layer batch"]:
        """The divisors of squared errors on a split: `discrepancy.units`; where readouts are fitted, `read_units`."""
        answers: Float[Tensor, "layer batch query"] = getattr(self, split)
        if self.streams is None:
            return units(answers, variance)
        return read_units(answers[-1], getattr(self.streams, split), variance)

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


def asked_again(subject: Subject, prompts: Prompts, seed: int, size: float = NUDGE) -> Prompts:
    """The prompts to ask a subject again: with slightly moved queries, or for one that reads text with reordered examples.

    Arguments are those of `nudged`.
    """
    return reordered(prompts, seed) if subject.domain.written else nudged(prompts, seed, size)


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
    answers, stream = _asked(subject, splits.fitting)
    order = torch.randperm(len(splits.again), generator=generator(seed, "identify/order"))
    turn = torch.randperm(splits.again.queries.shape[1], generator=generator(seed, "identify/turn"))
    mixed = splits.again[order]
    mixed = replace(mixed, queries=mixed.queries[:, turn], targets=mixed.targets[:, turn])

    def straight(values: Tensor) -> Tensor:
        return values[order.argsort()][:, turn.argsort()]

    scored, scored_stream = _asked(subject, splits.scoring)
    moved, moved_stream = _asked(subject, mixed)
    moved, moved_stream = straight(moved), tuple(straight(layer) for layer in moved_stream)
    own = _own(subject, stream, answers) if readout != "fitted" else None
    if own is not None and (readout == "own" or _sensible(own, splits.fitting)):
        return Paths(
            fitting=own,
            scoring=_own(subject, scored_stream, scored),
            again=_own(subject, moved_stream, moved),
            readout="own",
            idle=_idle(own, units(own, splits.fitting.target_variance)),
        )
    samples, readouts, told = [], [], False
    for prompts in splits.reading():
        said, read_stream = _asked(subject, prompts)
        *weights, last = read_units(said, read_stream, prompts.target_variance).reciprocal()
        samples.append(Sample(prompts=prompts, answers=said, stream=read_stream))
        readouts.append([_readout(layer, prompts.targets, w) for layer, w in zip(read_stream, weights, strict=True)])
        if stream and not told:
            told = _same(_readout(read_stream[-1], said, last).predict(stream[-1]), answers, splits.fitting)
    path = _fitted(readouts[0], stream, answers)
    unit = read_units(answers, stream, splits.fitting.target_variance)
    empty = _empty(path, splits.fitting, unit)
    idle = _idle(path, unit, empty)
    said = ~empty[:, None, None]
    return Paths(
        fitting=path * said,
        scoring=_fitted(readouts[0], scored_stream, scored) * said,
        again=_fitted(readouts[1], moved_stream, moved) * said,
        readout="fitted",
        idle=(*idle, len(path)) if told and len(path) not in idle else idle,
        streams=Streams(
            fitting=stream,
            scoring=scored_stream,
            again=moved_stream,
            first=samples[0],
            second=samples[1],
        ),
    )


def read_units(
    answers: Float[Tensor, "batch query"], stream: Stream, variance: Float[Tensor, " batch"]
) -> Float[Tensor, "layer batch"]:
    """The divisors of squared errors where readouts are fitted: `discrepancy.units` of the answers, and larger in the middle.

    A prompt on which a number in the stream is far larger than on others, because the subject diverges for a while, would
    decide alone what is read there. At that layer its errors are divided by more, as if that number were `FAR` times the median.

    Args:
        answers: the subject's answers.
        stream: its residual stream after every layer but the last.
        variance: that of each prompt's target.
    """
    unit = units(answers[None], variance)
    return torch.cat([*(unit * _excess(layer).square() for layer in stream), unit])


def _excess(layer: Float[Tensor, "batch query width"]) -> Float[Tensor, " batch"]:
    """How many times larger than `FAR` times the median prompt's the largest number of a prompt's stream is; at least 1."""
    sizes = layer.double().cpu().nan_to_num(posinf=0.0, neginf=0.0).square().mean(1).sqrt()
    usual = sizes.median(0).values
    return torch.where(usual > 0, sizes / usual.clamp(min=TINY), 0.0).amax(-1).div(FAR).clamp(min=1)


def _idle(
    path: Float[Tensor, "layer batch query"],
    unit: Float[Tensor, "layer batch"],
    empty: Bool[Tensor, " layer"] | None = None,
) -> tuple[int, ...]:
    """The layers, counted from 1, after which the answer is the previous layer's, up to rounding.

    With fitted readouts, where ``empty`` says which layers say nothing, it may also differ by a factor and by the readout's
    error; and a layer that says nothing is idle too.
    """
    before = torch.cat([torch.zeros_like(path[:1]), path[:-1]])
    if empty is None:
        still = discrepancy(path, before, unit).mean(-1) <= PRECISION
    else:
        weight = 1 / unit[..., None]
        across, size = ((before * other * weight).sum((-1, -2)) for other in (path, before))
        before = before * torch.where(size > 0, across / size.clamp(min=TINY), 0.0)[:, None, None]
        still = (discrepancy(path, before, unit).mean(-1) <= BLUR) | empty
    return tuple(still.nonzero()[:, 0].add(1).tolist())


def _empty(
    path: Float[Tensor, "layer batch query"], prompts: Prompts, unit: Float[Tensor, "layer batch"]
) -> Bool[Tensor, " layer"]:
    """The layers of which a fitted readout says hardly anything about the targets; never the last, which has the answer."""
    targets = prompts.targets.expand_as(path)
    nothing = discrepancy(targets, torch.zeros_like(path), unit).mean(-1)
    shown = nothing - discrepancy(targets, path, unit).mean(-1)
    found = shown <= SAME * nothing
    found[-1] = False
    return found


def _same(a: Float[Tensor, "batch query"], b: Float[Tensor, "batch query"], prompts: Prompts) -> bool:
    """Whether two answers are the same, up to a readout's error."""
    return bool(discrepancy(a, b, units(b[None], prompts.target_variance)[0]).mean() <= BLUR)


def read(subject: Subject, prompts: Prompts) -> Float[Tensor, "layer batch query"]:
    """The answers that the subject's own readout reads after each layer; after the last, the subject's answers."""
    answers, stream = _asked(subject, prompts)
    return _own(subject, stream, answers)


def _asked(subject: Subject, prompts: Prompts) -> tuple[Float[Tensor, "batch query"], Stream]:
    answers, activations = at_queries(subject, prompts, subject.path[:-1])
    return answers, tuple(activations[site] for site in subject.path[:-1])


def _own(subject: Subject, stream: Stream, answers: Float[Tensor, "batch query"]) -> Float[Tensor, "layer batch query"]:
    middle = [
        subject.readout(layer, site).double().cpu() for layer, site in zip(stream, subject.path[:-1], strict=True)
    ]
    return torch.stack([*middle, answers])


def _readout(
    layer: Float[Tensor, "batch query width"], targets: Float[Tensor, "batch query"], weights: Float[Tensor, " batch"]
) -> LinearReadout:
    return LinearReadout(fit=ridge_fits(layer, {"answer": targets[..., None]}, weights)["answer"])


def _fitted(
    readouts: Sequence[LinearReadout], stream: Stream, answers: Float[Tensor, "batch query"]
) -> Float[Tensor, "layer batch query"]:
    return torch.stack([*(r.predict(layer) for r, layer in zip(readouts, stream, strict=True)), answers])


def _sensible(own: Float[Tensor, "layer batch query"], prompts: Prompts) -> bool:
    error = discrepancy(own, prompts.targets.expand_as(own), prompts.target_variance).mean(-1)
    nothing = discrepancy(torch.zeros_like(prompts.targets), prompts.targets, prompts.target_variance).mean()
    return bool((error <= SENSIBLE * torch.maximum(nothing, error[-1])).all())

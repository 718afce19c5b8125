"""Descriptions: what a subject computes, in classes of explanation from the widest to the narrowest.

Results of `mesascope.instruments.explaining`; part of a `Verdict`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RungKind = Literal[
    "query alone",
    "labels",
    "labels and query",
    "smoother",
    "diagonal",
    "own polynomial",
    "filter",
    "polynomial",
    "function",
]
"""Classes of explanation.

``query alone``: the examples have no influence. ``labels``: linear in the labels. ``labels and query``: linear in both.
``smoother``: a weighted mean of the labels. ``diagonal``: each eigen-direction of XᵀX has a gain, each prompt its own gains.
``own polynomial``: each prompt's own polynomial in XᵀX, applied to Xᵀy. ``filter``: one gain for each eigenvalue, the same for
all prompts. ``polynomial``: a filter that is a polynomial. ``function``: a filter with a name and coefficients.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """How much of a subject's answers one class of explanation explains, on prompts that nothing was fitted to.

    Attributes:
        kind: the class.
        detail: the member of the class in a few words, such as ``degree 3``; empty if there is nothing to add.
        share: share of the answers that is explained; 1 is all of them.
        interval: its 95 % interval over prompts.
        left: share that is left and that noise does not account for.
        left_interval: its 95 % interval.
        holds: whether this is an explanation: hardly anything is left.
    """

    kind: RungKind
    detail: str
    share: float
    interval: tuple[float, float]
    left: float
    left_interval: tuple[float, float]
    holds: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterPoint:
    """The gain of a filter at one eigenvalue of XᵀX/n, with its 95 % interval. Least squares has gain 1 everywhere."""

    eigenvalue: float
    gain: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedFunction:
    """A filter with a name, fitted to a subject's answers.

    Attributes:
        name: what it is called, such as ``gradient flow``.
        coefficients: its coefficients as fitted.
        intervals: their 95 % intervals over prompts; for a count, the least and the largest that fit as well.
        share: share of the answers that it explains on other prompts.
        interval: its 95 % interval.
        distance: how much more it leaves than the best filter, as a share of the answers.
    """

    name: str
    coefficients: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]
    share: float
    interval: tuple[float, float]
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerFilter:
    """The filter after one layer.

    A fitted readout scales a layer's answer; there the time is that of gradient flow times a factor, which is fitted too. The
    last layer is the subject's own answer in any case.

    Attributes:
        layer: its number, from 1.
        share: share of the answers after this layer that one filter explains.
        interval: its 95 % interval.
        time: the time that gradient flow with the nearest filter has reached.
        time_interval: its 95 % interval.
        flow_share: share of the answers that this gradient flow explains.
    """

    layer: int
    share: float
    interval: tuple[float, float]
    time: float
    time_interval: tuple[float, float]
    flow_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What a subject computes on one distribution.

    Attributes:
        distribution: the distribution, in words.
        rung: the narrowest class that holds; None if none does.
        rungs: every class that could be measured, from the widest to the narrowest.
        ceiling: share that any explanation could reach: what comes back when the same is asked again.
        filter: the gains of the filter.
        functions: named functions, the nearest first.
        layers: the filter after every layer.
        readout: ``own`` or ``fitted``: how the layers before the last were read.
        missing: why classes could not be measured, by class.
        n: number of prompts scored.
    """

    distribution: str
    rung: RungKind | None
    rungs: tuple[Rung, ...]
    ceiling: float
    filter: tuple[FilterPoint, ...]
    functions: tuple[NamedFunction, ...]
    layers: tuple[LayerFilter, ...]
    readout: Literal["own", "fitted"]
    n: int
    missing: Mapping[str, str] = field(default_factory=dict)

    def of(self, kind: RungKind) -> Rung | None:
        """One class, or None if it was not measured."""
        return next((rung for rung in self.rungs if rung.kind == kind), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """What a subject computes: in one sentence, and with the figures behind it.

    Attributes:
        sentence: the description in words.
        basis: the distribution that the sentence rests on.
        training, discriminating: the explanations in full.
    """

    sentence: str
    basis: Literal["discriminating", "training"]
    training: Explanation
    discriminating: Explanation | None

    def __str__(self) -> str:
        return self.sentence


__all__ = ("Description", "Explanation", "FilterPoint", "LayerFilter", "NamedFunction", "Rung", "RungKind")

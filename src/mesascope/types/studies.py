"""A study's results: each published claim with its rule, the published figures, our figures, and the judgement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mesascope.types.results import Figure, Measurement

Judgement = Literal["reproduced", "not reproduced", "not decidable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One number that was used to judge a claim.

    Attributes:
        rule: the range it had to lie in, in words, as fixed before the run.
        measurement: what was measured.
        holds: whether its interval (its value, if it has no interval) lies inside; None if the interval straddles the bound.
    """

    rule: str
    measurement: Measurement
    holds: bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """One number that a source prints.

    Attributes:
        path: its place in the collection of published figures.
        value: as printed.
    """

    path: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The outcome of testing one claim.

    Attributes:
        claim: what is claimed, in our words.
        own: whether the claim is ours (nobody published it) and not the source's.
        published: the source's figures.
        evidence: the numbers that the claim was judged by.
        judgement: ``not decidable`` if the budget or the interval does not allow a judgement.
        reason: why, in words.
    """

    claim: str
    own: bool
    published: tuple[PublishedFigure, ...]
    evidence: tuple[Evidence, ...]
    judgement: Judgement
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """The results of one study, ready to be written to disk and drawn.

    Attributes:
        study: its name.
        title: its question.
        source: whose claims they are.
        profile: ``smoke``, ``laptop`` or ``full``.
        outcomes: one per claim.
        notes: departures from the source, and further results, in plain sentences.
        measurements: every number, each with its controls.
        figures: pictures and tables as data.
        provenance: seed, networks (with their specification, steps and error), commit, versions, hardware, time spent.
    """

    study: str
    title: str
    source: str
    profile: str
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    figures: tuple[Figure, ...]
    provenance: Mapping[str, object]
    schema_version: int = 1

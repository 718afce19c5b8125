"""What a study is: claims, each with rules that were fixed before the run, and the measures they are about."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar

from mesascope.studies.bench import Bench
from mesascope.studies.checking import check
from mesascope.studies.measure import Measure
from mesascope.studies.networks import Trained
from mesascope.studies.rules import Addressed, Derived, Rule
from mesascope.types import Evidence, Figure, Measurement, Outcome, PublishedFigure

N = TypeVar("N", bound=Trained)
FEW = 3
"""How much missing evidence a reason names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim, and what would show it.

    Attributes:
        text: the claim in our words.
        published: the source's figures for it, where it prints any: paths in ``published.json``.
        own: whether the claim is ours and not the source's.
        rules: which evidence must lie where; the claim is reproduced if all of it does.
        needs: the largest held-out error (mean squared, at the query) of a network at which a claim that does not hold
            counts against the claim; above it, the network may just not be trained for long enough.
    """

    text: str
    published: tuple[str, ...] = ()
    own: bool = False
    rules: tuple[Rule, ...] = ()
    needs: Mapping[Trained, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A result, published or our own, and how it is put to the test.

    Attributes:
        name: what it is called on the command line.
        title: its question.
        source: whose claims they are: a letter for a publication, or ``own``.
        claims: each with its rules.
        measures: what is measured; networks that are not available are left out.
        figures, notes: the pictures, the one worth publishing first, and what else came out, in sentences; each a function of all
            measurements, and of the bench, which has networks' errors and training curves.
        departures: where it departs from the source, and which of the source's gaps were closed how.
        of: the same about another model, by its reference; None where a study is about its own networks only.

    Raises:
        ValueError: a rule about evidence that no measure can produce.
    """

    name: str
    title: str
    claims: tuple[Claim, ...]
    measures: tuple[Measure, ...] = ()
    figures: Callable[[Sequence[Measurement], Bench], tuple[Figure, ...]] = lambda found, bench: ()
    notes: Callable[[Sequence[Measurement], Bench], tuple[str, ...]] = lambda found, bench: ()
    source: str = "B"
    departures: tuple[str, ...] = ()
    of: Callable[[str], "Study"] | None = None

    def __post_init__(self) -> None:
        for rule in (rule for claim in self.claims for rule in claim.rules):
            try:
                check(rule.evidence, self.measures)
            except ValueError as error:
                raise ValueError(f"study {self.name}: {error}") from error


def with_derived(claims: Sequence[Claim], measured: Sequence[Measurement]) -> tuple[Measurement, ...]:
    """The measurements, and after them those that rules derive from them: differences, for example."""
    found = list(measured)
    for rule in (rule for claim in claims for rule in claim.rules):
        if isinstance(rule.evidence, Derived):
            found += [m for m in rule.evidence.among(measured) if m not in found]
    return tuple(found)


def judge(claim: Claim, source: str, measured: Sequence[Measurement], bench: Bench) -> Outcome:
    """Judge a claim by its evidence among the measurements."""
    asked = [(rule, rule.evidence.among(measured)) for rule in claim.rules]
    evidence = tuple(
        Evidence(rule=str(rule.bound), measurement=m, holds=rule.bound.holds(m)) for rule, held in asked for m in held
    )
    missing = [_lacking(rule.evidence, measured) for rule, held in asked if not held]
    if missing:
        judgement, reason = "not decidable", f"not measured here: {_some(missing)}"
    elif bench.profile == "smoke":
        judgement, reason = "not decidable", "profile smoke shows that the study runs, and decides nothing"
    elif all(e.holds for e in evidence):
        judgement, reason = "reproduced", "every number lies where the rule says"
    elif any(e.holds is False for e in evidence) and (short := _short(claim, bench)):
        judgement, reason = "not decidable", f"not trained far enough: {'; '.join(short)}"
    elif any(e.holds is False for e in evidence):
        count = sum(e.holds is False for e in evidence)
        judgement, reason = "not reproduced", f"{count} of {len(evidence)} numbers lie elsewhere, interval and all"
    else:
        judgement, reason = "not decidable", "an interval straddles the bound: more prompts or seeds would decide"
    return Outcome(
        claim=claim.text,
        own=claim.own,
        published=tuple(PublishedFigure(path=path, value=published(source)[path]) for path in claim.published),
        evidence=evidence,
        judgement=judgement,
        reason=reason,
    )


def _lacking(evidence: Addressed, measured: Sequence[Measurement]) -> str:
    """Evidence that is missing, and what there was too little of."""
    few = evidence.lacks(measured) if isinstance(evidence, Derived) else ""
    return f"{evidence} ({few})" if few else str(evidence)


def _some(words: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = f"; and {len(words) - FEW} more" if len(words) > FEW else ""
    return "; ".join(words[:FEW]) + more


def _short(claim: Claim, bench: Bench) -> list[str]:
    """The networks that are not trained as far as the claim needs, in words; those that are not there say nothing of it."""
    errors = {network: bench.error(network) for network in bench.shipped(tuple(claim.needs))}
    return [
        f"{network.name} has error {error:.2g}, and the rule asks for {claim.needs[network]:g}"
        for network, error in errors.items()
        if error > claim.needs[network]
    ]


@cache
def published(source: str) -> dict[str, float]:
    """A source's figures by path, such as ``depth_probe_cos/4/w/0``."""
    held = json.loads((Path(__file__).parent / "published.json").read_text("utf-8"))[source]
    return dict(_leaves(held, ""))


def _leaves(value: object, path: str) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{path}/{key}".lstrip("/"))]
    if isinstance(value, list):
        return [leaf for i, inner in enumerate(value) for leaf in _leaves(inner, f"{path}/{i}")]
    assert isinstance(value, int | float), f"{path} is no number"
    return [(path, float(value))]


def sourced(text: str, *rules: Rule, published: tuple[str, ...] = (), needs: Mapping[N, float] | None = None) -> Claim:
    """A claim of the study's source. Arguments are `Claim`'s."""
    return Claim(
        text=text, rules=rules, published=published, needs=dict[Trained, float](needs.items() if needs else ())
    )


def own(text: str, *rules: Rule, needs: Mapping[N, float] | None = None) -> Claim:
    """A claim of our own. Arguments are `Claim`'s."""
    return Claim(text=text, rules=rules, own=True, needs=dict[Trained, float](needs.items() if needs else ()))

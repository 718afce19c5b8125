"""What a study is: published claims, each with a rule that was fixed before the run, and what to run."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from mesascope.studies.networks import Network
from mesascope.studies.session import Session
from mesascope.types import Evidence, Figure, Measurement, Outcome, PublishedFigure, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Between:
    """Where a number has to lie: from ``low`` to ``high``, both included."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if math.isinf(self.low):
            return f"at most {self.high:.4g}"
        return f"at least {self.low:.4g}" if math.isinf(self.high) else f"from {self.low:.4g} to {self.high:.4g}"

    def holds(self, measurement: Measurement) -> bool | None:
        """Whether the interval (or the value, where there is none) lies inside; None if it straddles a bound."""
        low, high = measurement.interval or (measurement.value, measurement.value)
        if not all(map(math.isfinite, (low, high))):  # an interval that could not be had says nothing
            low = high = measurement.value
        if math.isnan(low):
            return None
        if self.low <= low and high <= self.high:
            return True
        return False if high < self.low or low > self.high else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One claim, and what would show it.

    Attributes:
        text: the claim in our words.
        published: the source's figures for it, where it prints any: paths in ``published.json``.
        own: whether the claim is ours and not the source's.
        accept: where which evidence has to lie; the claim is reproduced if all of it does.
        needs: the largest held-out error (mean squared, at the query) of a network at which a claim that does not hold
            counts against the claim; above it, the network may just not be trained for long enough.
    """

    text: str
    published: tuple[str, ...] = ()
    own: bool = False
    accept: Mapping[str, Between]
    needs: Mapping[Network, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a study's run brings back.

    Attributes:
        evidence: the numbers that claims name; several under one name must all lie where the claim says.
        measurements: every number, each with its controls.
        figures: pictures and tables, the one worth publishing first.
        notes: what else came out, in sentences.
    """

    evidence: Mapping[str, Measurement | tuple[Measurement, ...]]
    measurements: tuple[Measurement, ...]
    figures: tuple[Figure, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """A published result, and how it is put to the test.

    Attributes:
        name: what it is called on the command line.
        title: its question.
        source: whose claims they are.
        claims: each with its rule.
        run: measures; the session has networks, sizes and seed.
        departures: where it departs from the source, and which of the source's gaps were closed how.
    """

    name: str
    title: str
    claims: tuple[Claim, ...]
    run: Callable[[Session], Found]
    source: str = "B"
    departures: tuple[str, ...] = ()


def judge(claim: Claim, source: str, found: Found, session: Session) -> Outcome:
    """What the evidence makes of a claim."""
    evidence = tuple(
        Evidence(rule=str(rule), measurement=m, holds=rule.holds(m))
        for name, rule in claim.accept.items()
        for m in several(found.evidence.get(name, ()))
    )
    missing = [name for name in claim.accept if not several(found.evidence.get(name, ()))]
    if missing:
        judgement, reason = "not decidable", f"not measured here: {', '.join(missing)}"
    elif session.profile == "smoke":
        judgement, reason = "not decidable", "profile smoke shows that the study runs, and decides nothing"
    elif all(e.holds for e in evidence):
        judgement, reason = "reproduced", "every number lies where the rule says"
    elif any(e.holds is False for e in evidence) and (short := _short(claim, session)):
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


def _short(claim: Claim, session: Session) -> list[str]:
    """The networks that are not trained as far as the claim needs, in words."""
    errors = {network: session.error(network) for network in claim.needs}
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


def pick(measurements: Sequence[Measurement], quantity: str, **coordinates: Scalar) -> Measurement:
    """The one measurement of a quantity at these coordinates.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = [
        m
        for m in measurements
        if m.quantity == quantity and all(m.coordinates.get(k) == v for k, v in coordinates.items())
    ]
    if len(found) != 1:
        raise LookupError(f"{len(found)} measurements of {quantity!r} at {coordinates}; one was wanted.")
    return found[0]


def labelled(measurements: Sequence[Measurement], **coordinates: Scalar) -> tuple[Measurement, ...]:
    """The measurements with more coordinates, before their own: which network they are of, say."""
    return tuple(replace(m, coordinates={**coordinates, **m.coordinates}) for m in measurements)


def known(measurement: Measurement, control: str) -> Measurement:
    """What a control came to, as a number in its own right, beside the other controls.

    Raises:
        LookupError: there is no control of that name.
    """
    for found in measurement.controls:
        if found.name == control:
            rest = tuple(c for c in measurement.controls if c is not found)
            quantity = f"{measurement.quantity} of {control}"
            return replace(measurement, quantity=quantity, value=found.value, interval=found.interval, controls=rest)
    raise LookupError(f"{measurement.quantity!r} has no control {control!r}.")


def several(evidence: Measurement | tuple[Measurement, ...]) -> tuple[Measurement, ...]:
    """Evidence as a tuple, also where it is one number."""
    return evidence if isinstance(evidence, tuple) else (evidence,)


def _leaves(value: object, path: str) -> list[tuple[str, float]]:
    if isinstance(value, Mapping):
        return [leaf for key, inner in value.items() for leaf in _leaves(inner, f"{path}/{key}".lstrip("/"))]
    if isinstance(value, list):
        return [leaf for i, inner in enumerate(value) for leaf in _leaves(inner, f"{path}/{i}")]
    assert isinstance(value, int | float), f"{path} is no number"
    return [(path, float(value))]

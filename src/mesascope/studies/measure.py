"""What a study consists of: measures, and rules that say where their numbers must lie."""

import abc
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

from mesascope.instruments.catalogue import BY_NAME
from mesascope.instruments.statistics.contrast import difference
from mesascope.plans import Work
from mesascope.plans.work import Say
from mesascope.records.checks import nearest
from mesascope.studies.bench import Bench
from mesascope.studies.networks import Network
from mesascope.tasks import LinearRegression
from mesascope.types import Measured, Measurement, Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """An option of a measure that becomes what the training of this network logged, see `Bench.curve`."""

    of: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One instrument on one network: nothing but data, so that it can be run anywhere.

    Attributes:
        instrument: its name, see `mesascope.instruments.catalogue`.
        network: what it measures: one of the studies' own networks, or a model reference.
        label: coordinates that its measurements get before their own, such as the name of the network.
        prompts: arguments of the instrument that are numbers of prompts, on a laptop; other profiles take their share.
        options: its other arguments. Networks in a mapping become subjects; those that cannot be had are left out.
        task: where its prompts come from; the one that the network was trained on by default.
        kept: what of its measurements is kept; everything by default.
        over_training: measure the network at each of its checkpoints, with a coordinate ``step``.
        at_smoke: whether profile ``smoke``, which decides nothing, runs it too.
        smoke_options: options that profile ``smoke`` takes in place of those of the same name.
    """

    instrument: str
    network: Network | str
    label: Mapping[str, Scalar]
    prompts: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    task: LinearRegression | None = None
    kept: tuple["Where", ...] = ()
    over_training: bool = False
    at_smoke: bool = True
    smoke_options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.instrument not in BY_NAME:
            raise ValueError(
                f"instrument must be one of {', '.join(BY_NAME)}; got "
                f"{self.instrument!r}.{nearest(self.instrument, list(BY_NAME))}"
            )

    def coordinates(self) -> tuple[str, ...]:
        """The coordinates of its measurements, apart from the label."""
        return (*BY_NAME[self.instrument].coordinates, *(("step",) if self.over_training else ()))


def each(
    networks: Sequence[Network],
    instrument: str,
    label: Callable[[Network], Mapping[str, Scalar]],
    *,
    smoke: Sequence[Network] | None = None,
    **alike: Any,
) -> tuple[Measure, ...]:
    """The same measure on several networks.

    Args:
        networks: what is measured.
        instrument: the instrument's name.
        label: the label of each network's measurements.
        smoke: the networks that profile ``smoke`` measures; all by default.
        alike: the other fields of every `Measure`.
    """
    return tuple(
        Measure(
            instrument=instrument,
            network=network,
            label=label(network),
            at_smoke=smoke is None or network in smoke,
            **alike,
        )
        for network in networks
    )


def works(measure: Measure, bench: Bench) -> tuple[Work[Measured], ...]:
    """The measure as work for an engine: one item, or one per checkpoint where it measures over training."""
    prompts = {name: bench.prompts(number) for name, number in measure.prompts.items()}
    network = measure.network if isinstance(measure.network, str) else measure.network.name
    name = ", ".join([measure.instrument, network, *(f"{k} {v}" for k, v in measure.label.items() if v != network)])
    if bench.profile == "smoke":
        measure = replace(measure, options={**measure.options, **measure.smoke_options})
    known = replace(measure, options=_named(measure.options), smoke_options={})
    key = {"measure": known, "prompts": prompts, "profile": bench.profile, "seed": bench.seed}
    if not measure.over_training:
        return (Work(name=name, key=key, result=Measured, run=functools.partial(_run, measure, prompts, bench, None)),)
    return tuple(
        Work(
            name=f"{name}, step {step}",
            key={**key, "step": step},
            result=Measured,
            run=functools.partial(_run, measure, prompts, bench, step),
        )
        for step in bench.trajectory(measure.network)
    )


def _named(option: Any) -> Any:
    """The option with functions replaced by their names, because the journal knows them by name."""
    if isinstance(option, Mapping):
        return {name: _named(value) for name, value in option.items()}
    return f"{option.__module__}.{option.__qualname__}" if inspect.isfunction(option) else option


def _run(measure: Measure, prompts: Mapping[str, int], bench: Bench, step: int | None, say: Say) -> Measured:
    task = measure.task or bench.task(measure.network)
    options = {name: _had(option, bench) for name, option in measure.options.items()}
    subject = bench.network(measure.network, step=step)
    found = BY_NAME[measure.instrument].measure(subject, task, seed=bench.seed, **prompts, **options)
    kept = tuple(m for m in found if not measure.kept or any(where.has(m) for where in measure.kept))
    return Measured(measurements=labelled(kept, **measure.label, **({} if step is None else {"step": step})))


def _had(option: Any, bench: Bench) -> Any:
    """An option with what the bench has in place of its name: subjects for networks, lines for a curve."""
    if isinstance(option, Curve):
        return bench.curve(option.of)
    if not isinstance(option, Mapping) or not any(isinstance(value, Network) for value in option.values()):
        return option
    able = bench.shipped(list(option.values()))
    return {name: bench.network(network) for name, network in option.items() if network in able}


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


class Addressed(abc.ABC):
    """Evidence that a rule can be made about."""

    __slots__ = ()

    @abc.abstractmethod
    def among(self, found: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """The evidence among all measurements."""

    @abc.abstractmethod
    def check(self, measures: Sequence[Measure]) -> None:
        """Raise `ValueError` where no measure can produce it."""

    def between(self, low: float = -math.inf, high: float = math.inf) -> "Rule":
        """All of it must lie there, the bounds included."""
        return Rule(self, Between(low=low, high=high))

    def near(self, value: float, factor: float) -> "Rule":
        """All of it must be the value, within a factor."""
        return Rule(self, Between(low=value / factor, high=value * factor))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Where(Addressed):
    """Evidence by address: all measurements of a quantity at some coordinates; see `where`."""

    quantity: str
    control: str
    coordinates: Mapping[str, tuple[Scalar, ...]]

    def __str__(self) -> str:
        control = [f"of {self.control}"] if self.control else []
        places = [f"{name} {' or '.join(map(str, values))}" for name, values in self.coordinates.items()]
        return ", ".join([self.quantity, *control, *places])

    def among(self, found: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """The evidence, in the order in which it was measured."""
        return tuple(known(m, self.control) if self.control else m for m in found if self.has(m))

    def has(self, measurement: Measurement) -> bool:
        """Whether a measurement is at this address."""
        there = measurement.coordinates
        return self.quantity in ("", measurement.quantity) and all(
            there.get(name) in values for name, values in self.coordinates.items()
        )

    def check(self, measures: Sequence[Measure]) -> None:
        """Raise where no measure can produce it.

        Raises:
            ValueError: with what is wrong, and the nearest that is right.
        """
        quantities = list(dict.fromkeys(q for m in measures for q in BY_NAME[m.instrument].quantities))
        if self.quantity not in quantities:
            raise ValueError(
                f"evidence must be something that a measure can produce; none measures {self.quantity!r}, but "
                f"{', '.join(quantities)}.{nearest(self.quantity, quantities)}"
            )
        able = [m for m in measures if self.quantity in BY_NAME[m.instrument].quantities]
        for name, values in self.coordinates.items():
            said = list(dict.fromkeys(str(m.label[name]) for m in able if name in m.label))
            if not said and not any(name in m.coordinates() for m in able):
                places = list(dict.fromkeys(p for m in able for p in (*m.label, *m.coordinates())))
                raise ValueError(
                    f"no measure of {self.quantity!r} says a coordinate {name!r}; they say "
                    f"{', '.join(places)}.{nearest(name, places)}"
                )
            for value in values:
                if said and str(value) not in said:
                    raise ValueError(
                        f"{name} must be one of {', '.join(said)} where {self.quantity!r} is measured; got "
                        f"{value!r}.{nearest(str(value), said)}"
                    )


def where(quantity: Any = "", *, control: str = "", **coordinates: Scalar | Sequence[Scalar]) -> Where:
    """All measurements of a quantity at some coordinates.

    Args:
        quantity: its name, or a quantity that has one; any, if none is named.
        control: take the value of this control in place of the measurement's own.
        coordinates: what each must be, or be one of; those that are not named may be anything.
    """
    return Where(
        quantity=getattr(quantity, "name", quantity),
        control=control,
        coordinates={
            name: tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else (value,)  # type: ignore[arg-type]
            for name, value in coordinates.items()
        },
    )


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Derived(Addressed):
    """Evidence that is computed from measurements, such as a difference.

    Attributes:
        words: what it is.
        of: computes it from all measurements; returns nothing where what it needs was not measured.
        uses: the evidence that it is computed from.
    """

    words: str
    of: Callable[[Sequence[Measurement]], Sequence[Measurement]]
    uses: tuple[Where, ...] = ()

    def __str__(self) -> str:
        return self.words

    def among(self, found: Sequence[Measurement]) -> tuple[Measurement, ...]:
        """The evidence."""
        return tuple(self.of(found))

    def check(self, measures: Sequence[Measure]) -> None:
        """As `Where.check`, of what it uses."""
        for evidence in self.uses:
            evidence.check(measures)


def apart(words: str, a: Where, b: Where, *shared: str) -> Derived:
    """How far networks are apart: each measurement of ``a`` less each of ``b`` at the same of the ``shared`` coordinates."""

    def of(found: Sequence[Measurement]) -> list[Measurement]:
        return [
            difference(
                m, less, of=str(m.coordinates["network"]), less=str(less.coordinates["network"]), **_at(m, shared)
            )
            for m in a.among(found)
            for less in b.among(found)
            if _at(m, shared) == _at(less, shared)
        ]

    return Derived(words=words, of=of, uses=(a, b))


def largest(of: Where, *by: str) -> Derived:
    """The largest of some evidence, and of each of its controls, for each value of the coordinates ``by``."""

    def among(found: Sequence[Measurement]) -> list[Measurement]:
        groups: dict[tuple[Scalar, ...], list[Measurement]] = {}
        for m in of.among(found):
            groups.setdefault(tuple(_at(m, by).values()), []).append(m)
        return [_largest(group, by) for group in groups.values()]

    return Derived(words=f"largest {of}, by {' and '.join(by)}", of=among, uses=(of,))


def _largest(group: Sequence[Measurement], by: Sequence[str]) -> Measurement:
    most = max(group, key=lambda m: m.value)
    controls = (max(same, key=lambda c: c.value) for same in zip(*(m.controls for m in group), strict=True))
    common = {k: v for k, v in most.coordinates.items() if k in by or all(m.coordinates[k] == v for m in group)}
    return replace(most, quantity=f"largest {most.quantity}", coordinates=common, controls=tuple(controls))


def _at(measurement: Measurement, names: Sequence[str]) -> dict[str, Scalar]:
    return {name: measurement.coordinates[name] for name in names}


@dataclass(frozen=True, slots=True)
class Rule:
    """Where all of some evidence must lie."""

    evidence: Addressed
    bound: Between


def pick(measurements: Sequence[Measurement], quantity: str, **coordinates: Scalar) -> Measurement:
    """The one measurement of a quantity at these coordinates.

    Raises:
        LookupError: there is none, or more than one.
    """
    found = Where(quantity=quantity, control="", coordinates={k: (v,) for k, v in coordinates.items()}).among(
        measurements
    )
    if len(found) != 1:
        raise LookupError(f"{len(found)} measurements of {quantity!r} at {coordinates}; one was wanted.")
    return found[0]


def labelled(measurements: Sequence[Measurement], **coordinates: Scalar) -> tuple[Measurement, ...]:
    """The measurements with more coordinates, before their own."""
    return tuple(replace(m, coordinates={**coordinates, **m.coordinates}) for m in measurements)


def known(measurement: Measurement, control: str) -> Measurement:
    """A control's value as a measurement of its own, beside the other controls.

    Raises:
        LookupError: there is no control of that name.
    """
    for found in measurement.controls:
        if found.name == control:
            rest = tuple(c for c in measurement.controls if c is not found)
            quantity = f"{measurement.quantity} of {control}"
            return replace(measurement, quantity=quantity, value=found.value, interval=found.interval, controls=rest)
    raise LookupError(f"{measurement.quantity!r} has no control {control!r}.")

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
from mesascope.types import Measured, Measurement, Scalar, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """As an option of a measure: what the training of this network logged, see `Bench.curve`."""

    of: Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One instrument on one network: frozen, and nothing but data, so that it can be run anywhere.

    Attributes:
        instrument: its name, see `mesascope.instruments.catalogue`.
        network: what it looks at; a model reference for what is none of the studies' own networks.
        label: coordinates that its measurements get before their own: which network they are of, say.
        prompts: arguments of the instrument that are numbers of prompts, on a laptop; other profiles take their share.
        options: its other arguments. Networks in a mapping become subjects; those that cannot be had are left out.
        task: where its prompts come from; the one that the network was trained on by default.
        kept: what of its measurements is kept; everything by default.
        over_training: measure the network at each of its checkpoints, with a coordinate ``step``.
        at_smoke: whether profile ``smoke``, which decides nothing, runs it too.
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

    def __post_init__(self) -> None:
        if self.instrument not in BY_NAME:
            raise ValueError(
                f"instrument must be one of {', '.join(BY_NAME)}; got {self.instrument!r}."
                f"{nearest(self.instrument, list(BY_NAME))}"
            )

    def coordinates(self) -> tuple[str, ...]:
        """What its measurements say of where they were taken, but for the label."""
        return (*BY_NAME[self.instrument].coordinates, *(("step",) if self.over_training else ()))


def each(
    networks: Sequence[Network],
    instrument: str,
    label: Callable[[Network], Mapping[str, Scalar]],
    *,
    prompts: Mapping[str, int],
    options: Mapping[str, Any] | None = None,
    task: LinearRegression | None = None,
    kept: tuple["Where", ...] = (),
    smoke: Sequence[Network] | None = None,
) -> tuple[Measure, ...]:
    """The same measure on several networks; at profile ``smoke`` on some of them, where that is said. As for `Measure`."""
    return tuple(
        Measure(
            instrument=instrument,
            network=network,
            label=label(network),
            prompts=prompts,
            options=options or {},
            task=task,
            kept=kept,
            at_smoke=smoke is None or network in smoke,
        )
        for network in networks
    )


def work(measure: Measure, bench: Bench) -> Work[Measured]:
    """The measure as work for an engine."""
    prompts = {name: bench.prompts(number) for name, number in measure.prompts.items()}
    network = measure.network if isinstance(measure.network, str) else measure.network.name
    name = ", ".join([measure.instrument, network, *(f"{k} {v}" for k, v in measure.label.items() if v != network)])
    name += ", over training" if measure.over_training else ""
    known = replace(measure, options=_named(measure.options))
    key = {"measure": known, "prompts": prompts, "profile": bench.profile, "seed": bench.seed}
    return Work(name=name, key=key, result=Measured, run=functools.partial(_run, measure, prompts, bench))


def _named(option: Any) -> Any:
    """Functions by their names, by which the journal knows them."""
    if isinstance(option, Mapping):
        return {name: _named(value) for name, value in option.items()}
    return f"{option.__module__}.{option.__qualname__}" if inspect.isfunction(option) else option


def _run(measure: Measure, prompts: Mapping[str, int], bench: Bench, say: Say) -> Measured:
    task = measure.task or bench.task(measure.network)
    options = {name: _had(option, bench) for name, option in measure.options.items()}

    def at(subject: Subject, **label: Scalar) -> tuple[Measurement, ...]:
        found = BY_NAME[measure.instrument].measure(subject, task, seed=bench.seed, **prompts, **options)
        found = tuple(m for m in found if not measure.kept or any(kept.has(m) for kept in measure.kept))
        return labelled(found, **measure.label, **label)

    if not measure.over_training:
        return Measured(measurements=at(bench.network(measure.network)))
    steps = bench.trajectory(measure.network)
    return Measured(measurements=tuple(m for step, subject in steps.items() for m in at(subject, step=step)))


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
        """Whether it stands there."""
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
                    f"no measure of {self.quantity!r} says a coordinate {name!r}; they say {', '.join(places)}."
                    f"{nearest(name, places)}"
                )
            for value in values:
                if said and str(value) not in said:
                    raise ValueError(
                        f"{name} must be one of {', '.join(said)} where {self.quantity!r} is measured; got {value!r}."
                        f"{nearest(str(value), said)}"
                    )


def where(quantity: Any = "", *, control: str = "", **coordinates: Scalar | Sequence[Scalar]) -> Where:
    """All measurements of a quantity at some coordinates.

    Args:
        quantity: its name, or a quantity that has one; any, if none is named.
        control: take what this control came to in place of the value.
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
    """Evidence that is computed from measurements: a difference, say, or those of the heads that rank first.

    Attributes:
        words: what it is.
        of: makes it; nothing where what it needs was not measured.
        uses: evidence that it is made from.
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

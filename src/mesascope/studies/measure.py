"""What a study measures: one instrument on one network, as data, and as work for an engine."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from mesascope.instruments import NotApplicable
from mesascope.instruments.catalogue import BY_NAME
from mesascope.plans import Work
from mesascope.plans.work import Say
from mesascope.records.checks import nearest
from mesascope.studies.bench import Bench
from mesascope.studies.networks import Trained
from mesascope.studies.recorded import recorded
from mesascope.studies.rules import Where, labelled
from mesascope.types import Measured, Scalar, Task

N = TypeVar("N", bound=Trained)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """An option of a measure that becomes what the training of this network logged, see `Bench.curve`."""

    of: Trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Referenced:
    """In an option of a measure that holds networks by name, the subject that a model reference names."""

    reference: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One instrument on one network: nothing but data, so that it can be run anywhere.

    Attributes:
        instrument: its name, see `mesascope.instruments.catalogue`.
        network: what it measures: one of the studies' own networks, or a model reference.
        label: coordinates that its measurements get before their own, such as the name of the network.
        prompts: arguments of the instrument that are numbers of prompts, on a laptop; other profiles take their share.
        options: its other arguments. Networks in a mapping become subjects; those that are not available are left out.
        task: where its prompts come from; the one that the network was trained on by default.
        kept: what of its measurements is kept; everything by default.
        over_training: measure the network at each of its checkpoints, with a coordinate ``step``.
        at_smoke: whether profile ``smoke``, which decides nothing, runs it too.
        smoke_options: options that profile ``smoke`` takes in place of those of the same name.
    """

    instrument: str
    network: Trained | str
    label: Mapping[str, Scalar]
    prompts: Mapping[str, int]
    options: Mapping[str, Any] = field(default_factory=dict)
    task: Task | None = None
    kept: tuple[Where, ...] = ()
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
    networks: Sequence[N],
    instrument: str,
    label: Callable[[N], Mapping[str, Scalar]],
    *,
    smoke: Sequence[N] | None = None,
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
    reads = measure.network.record if not isinstance(measure.network, str) and bench.reads(measure.network) else ""

    def work(name: str, key: Mapping[str, Any], step: int | None) -> Work[Measured]:
        run: Callable[[Say], Measured] = functools.partial(_run, measure, prompts, bench, step)
        return Work(name=name, key=key, result=Measured, run=functools.partial(recorded, reads, key) if reads else run)

    if not measure.over_training:
        return (work(name, key, None),)
    return tuple(
        work(f"{name}, step {step}", {**key, "step": step}, step) for step in bench.trajectory(measure.network)
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
    try:
        found = BY_NAME[measure.instrument].measure(subject, task, seed=bench.seed, **prompts, **options)
    except NotApplicable as reason:
        return Measured(skipped=str(reason))
    kept = tuple(m for m in found if not measure.kept or any(where.has(m) for where in measure.kept))
    return Measured(measurements=labelled(kept, **measure.label, **({} if step is None else {"step": step})))


def _had(option: Any, bench: Bench) -> Any:
    """An option with what the bench has in place of its name: subjects for networks, lines for a curve."""
    if isinstance(option, Curve):
        return bench.curve(option.of)
    if isinstance(option, Mapping) and any(isinstance(value, Referenced) for value in option.values()):
        return {name: bench.reference(value.reference) for name, value in option.items()}
    if not isinstance(option, Mapping) or not any(isinstance(value, Trained) for value in option.values()):
        return option
    networks = list(option.values())
    able = bench.shipped(networks) or (networks if bench.profile == "smoke" else ())  # stand-ins, where none ships
    return {name: bench.network(network) for name, network in option.items() if network in able}

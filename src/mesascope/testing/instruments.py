"""`check_instrument`: whether an instrument's measurements are sound and it does not change its subject."""

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.records.codec import to_json
from mesascope.testing.comparison import altered, fingerprint, moved, state
from mesascope.testing.faults import Inspection, describe
from mesascope.types import Control, Domain, Intervention, Measurement, Prompts, Scalar, Site, Subject, Task, Trace

RETURNS = "it returns a tuple of Measurements that is not empty"
NUMBERS = "every measurement is a finite number, inside its interval, on at least one prompt"
CONTROLS = "every measurement stands beside a control"
WORDS = "every measurement states instrument, quantity, unit and coordinates, and no two state the same"
SEED = "the same seed gives the same numbers, bit for bit"
UNCHANGED = "the instrument does not change the subject"
RAISES = "an error in a trace is passed on, and the subject stays unchanged"
MEND = "remove hooks in a finally block, work on copies, and change the subject only through interventions"

MeasureFunction = Callable[..., tuple[Measurement, ...]]


def check_instrument(instrument: MeasureFunction, subject: Subject, task: Task, *, seed: int = 0) -> None:
    """Check that an instrument's measurements are sound, and that it changes nothing.

    It is called as ``instrument(subject, task, seed=seed)``, several times. Fix other arguments, such as a small number of
    prompts, with `functools.partial`.

    Args:
        instrument: a function of a subject and a task.
        subject: a small subject to which the instrument applies.
        task: a task inside the subject's domain.
        seed: the seed that is passed to the instrument.

    Raises:
        Violation: it breaks promises. The message lists all of them: what was promised, what was observed, and how to
            fix it.
        mesascope.instruments.NotApplicable: the instrument does not apply to this subject, so nothing can be checked.
    """
    function = getattr(instrument, "func", instrument)  # for a partial
    report = Inspection(getattr(function, "__name__", type(function).__name__), "an instrument")
    sample = task.sample(3, seed=seed, stream="testing/unchanged")
    held, shown = state(subject), fingerprint(subject, sample)

    def unharmed(promise: str, when: str) -> None:
        names = altered(held, state(subject))
        with report.keeping(promise, MEND, f"a trace {when}"):
            names += moved(shown, fingerprint(subject, sample))
        if names:
            report.broken(promise, f"{when}, {', '.join(names[:3])} have changed", MEND)

    counting = _Counted(subject=subject)
    found = instrument(counting, task, seed=seed)
    unharmed(UNCHANGED, "after it")
    if not isinstance(found, tuple) or not found or not all(isinstance(m, Measurement) for m in found):
        report.broken(RETURNS, f"it returned {found!r:.80}", "return tuple(measurements)")
        report.close(early=True)
    _check_measurements(found, report)
    with report.keeping(SEED, "draw from mesascope.seeds.generator(seed, stream, step)", "a second call"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed + 1)  # this must not matter
            again = instrument(subject, task, seed=seed)
        if different := [a for a, b in zip(found, again, strict=True) if repr(a) != repr(b)]:
            remedy = "draw from mesascope.seeds.generator(seed, stream, step), and sum in a fixed order"
            report.broken(SEED, f"{len(different)} of {len(found)} differ, first {_label(different[0])}", remedy)
    calls = counting.calls[0]
    for call in sorted({1, (calls + 1) // 2, calls} - {0}):
        when = f"when trace number {call} of {calls} raised"
        try:
            instrument(_Counted(subject=subject, fail_at=call), task, seed=seed)
        except _PlannedError:
            pass
        except Exception as error:
            report.broken(RAISES, f"{when}, the result was {describe(error)}", "catch only errors that you can handle")
        else:
            report.broken(RAISES, f"{when}, no error was raised", "catch only errors that you can handle")
        unharmed(RAISES, when)
    report.close()


def _check_measurements(found: Sequence[Measurement], report: Inspection) -> None:
    said: set[str] = set()
    for m in found:
        label = _label(m)
        if not isinstance(m.value, int | float) or not math.isfinite(m.value):
            report.broken(
                NUMBERS,
                f"{label}: {m.value}",
                "give a float; leave out numbers that cannot be measured, or say why they can't",
            )
        if m.n < 1:
            report.broken(NUMBERS, f"{label}: n = {m.n}", "n is the number of independent prompts behind it")
        for who, value, interval in (
            (label, m.value, m.interval),
            *((f"{label}, {c.name}", c.value, c.interval) for c in m.controls),
        ):
            if interval is not None and not _inside(value, interval):
                report.broken(NUMBERS, f"{who}: {value:.6g} outside {interval}", "take both from the same numbers")
        if not m.controls:
            remedy = "measure a case with a known answer in the same call, and give it as a Control"
            report.broken(CONTROLS, f"{label} has no control", remedy)
        for control in m.controls:
            if not isinstance(control, Control) or control.kind not in ("positive", "negative") or not control.name:
                report.broken(CONTROLS, f"{label}: {control!r:.80}", "say positive or negative, and what was measured")
            elif math.isnan(control.value):
                report.broken(CONTROLS, f"{label}: {control.name} is NaN", "give a control with a meaningful value")
        for name in ("instrument", "quantity", "unit"):
            if not isinstance(getattr(m, name), str) or not getattr(m, name):
                report.broken(WORDS, f"{label}: {name} is {getattr(m, name)!r}", "give it as a text")
        if odd := [key for key, value in m.coordinates.items() if not isinstance(value, Scalar)]:
            report.broken(WORDS, f"{label}: coordinate {odd[0]} is not a text or number", "str(site), float(tensor)")
        elif (key := json.dumps(to_json(dataclasses.replace(m, value=0.0, interval=None, controls=())))) in said:
            report.broken(WORDS, f"{label} twice", "give them different coordinates")
        else:
            said.add(key)


def _inside(value: float, interval: tuple[float, float]) -> bool:
    low, high = interval
    slack = 1e-9 * max(abs(low), abs(high), abs(value))
    return low - slack <= value <= high + slack


def _label(m: Measurement) -> str:
    where = ", ".join(f"{key}={value}" for key, value in m.coordinates.items())
    return f"{m.quantity} ({where})" if where else m.quantity


class _PlannedError(Exception):
    """Raised deliberately by a trace, to see whether the instrument passes it on."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Counted:
    """A subject that counts its traces and fails at one of them. All other attributes are those of the wrapped subject."""

    subject: Subject
    fail_at: int = 0
    calls: list[int] = field(default_factory=lambda: [0])

    @property
    def name(self) -> str:
        return self.subject.name

    @property
    def domain(self) -> Domain:
        return self.subject.domain

    @property
    def sites(self) -> tuple[Site, ...]:
        return self.subject.sites

    @property
    def path(self) -> tuple[Site, ...]:
        return self.subject.path

    def trace(
        self, prompts: Prompts, *, capture: Sequence[Site] = (), interventions: Sequence[Intervention] = ()
    ) -> Trace:
        self.calls[0] += 1
        if self.calls[0] == self.fail_at:
            raise _PlannedError(f"trace number {self.fail_at} was made to fail")
        return self.subject.trace(prompts, capture=capture, interventions=interventions)

    def readout(self, activation: Float[Tensor, "batch query width"], site: Site) -> Float[Tensor, "batch query"]:
        return self.subject.readout(activation, site)

    def __getattr__(self, name: str) -> object:
        return getattr(self.subject, name)

"""The examination: measures one subject with all instruments and returns a record."""

import contextlib
import functools
import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from mesascope.instruments import NotApplicable
from mesascope.instruments.asking.lines import fewer, is_deep
from mesascope.instruments.asking.rehearsal import rehearse
from mesascope.instruments.catalogue import EXAMINED, INSTRUMENTS
from mesascope.instruments.explaining.verdict import identify_and_describe
from mesascope.instruments.identification import FAMILIES, IDENTIFIED, check_sizes, identify_path
from mesascope.instruments.instrument import Instrument, Profile
from mesascope.instruments.intervening.interventions import inert_sites
from mesascope.instruments.spectral import spectrum
from mesascope.instruments.spectral.channels import response
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.plans import Engine, Plan, Work, execute
from mesascope.plans.work import Say
from mesascope.records.codec import to_json
from mesascope.records.directories import claim
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.tasks import LinearRegression
from mesascope.types import (
    Answer,
    Measured,
    Measurement,
    Record,
    Scalar,
    Subject,
    Task,
    Verdict,
    check_keeps_task,
    spec_of,
)
from mesascope.zoo import load

EDITED = 8
"""Number of prompts on which it is tested whether edits have an effect."""
KNOWN = 60
"""Number of prompts on which the identifier judges the hand-built networks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """The verdict, and the seconds it took."""

    verdict: Verdict
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """Controls, each with whether it gave its known answer."""

    rows: tuple[Mapping[str, Scalar], ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelReference:
    """A subject by its model reference, which can be sent to other processes where the subject cannot.

    Attributes:
        reference: as `mesascope.load` takes it.
        device: where a trained model computes.
    """

    reference: str
    device: str = "cpu"


def examine(
    subject: Subject | ModelReference,
    task: Task,
    *,
    profile: Profile = "laptop",
    seed: int = 0,
    journal: Path | str | None = None,
    engine: Engine | None = None,
    progress: bool = False,
) -> Record:
    """Examine one subject: the verdict, and every instrument with its controls.

    An instrument that does not apply is skipped, with the reason in the record.

    Args:
        subject: any object that satisfies the subject protocol, or a model reference, by which other processes load it too.
        task: its training distribution.
        profile: ``smoke`` (seconds), ``laptop`` (under a minute for a small model) or ``full``. A subject that reads text gets
            a quarter of the prompts, and a sixteenth if it has more than eight layers.
        seed: the seed of all prompts, resampling and untrained controls.
        journal: a directory that keeps the result of each finished instrument, so that an interrupted examination resumes.
        engine: an engine of `mesascope.plans`, which runs the instruments; by default in this process.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: not a task, an unknown profile, a task outside the subject's domain, or a journal directory that
            mesascope did not make or that holds parts of another run.
    """
    check_keeps_task(task)
    if profile not in IDENTIFIED:
        raise ValueError(f"profile must be one of {', '.join(IDENTIFIED)}; got {profile!r}.")
    began = time.perf_counter()
    sent, subject = subject, _loaded(subject)
    check_sizes(subject, task, fewer(subject, IDENTIFIED[profile]))
    device = str(rehearse(subject, task, seed=seed).predictions.device)
    plan = examination(sent, task, profile, seed)
    with contextlib.nullcontext() if journal is None else claim(journal, "an examination"):
        found = execute(plan, Journal(journal), engine=engine, progress=progress)
    identified: Identified = found["identify"]
    known: Checked = found["known subjects"]
    measured: dict[str, Measured] = {name: each for name, each in found.items() if isinstance(each, Measured)}
    verdict = identified.verdict
    skipped = {name: each.skipped for name, each in measured.items() if each.skipped}
    measurements = [*verdict.invariances, *(m for each in measured.values() for m in each.measurements)]
    response_figure = spectrum.figure(measurements, _curves(verdict, len(subject.path)))
    seconds = {name: each.seconds for name, each in found.items()}
    return Record(
        subject=describe(subject),
        verdict=verdict,
        measurements=tuple(measurements),
        skipped=skipped,
        controls=(_edits(subject, task, seed), *_checks(measurements), *known.rows),
        figures=(
            *([response_figure] if response_figure.rows and "spectrum" not in skipped else []),
            *verdict.figures,
            *(figure for each in measured.values() for figure in each.figures),
        ),
        provenance=provenance(
            device,
            command="examine",
            task=to_json(task),
            profile=profile,
            seed=seed,
            seconds={k: round(v, 2) for k, v in seconds.items()} | {"total": round(time.perf_counter() - began, 2)},
        ),
    )


def examination(sent: Subject | ModelReference, task: Task, profile: Profile, seed: int) -> Plan:
    """The standard plan: the verdict, every instrument, and the identifier on networks whose algorithm is known."""
    subject = _loaded(sent)
    answers = subject.trace(task.sample(16, seed=seed, stream="fingerprint")).predictions
    what = {
        "subject": describe(subject),
        "answers": hashlib.sha256(answers.double().cpu().numpy().tobytes()).hexdigest(),
        "task": task,
        "profile": profile,
        "seed": seed,
    }
    identifying = functools.partial(_identify, sent, task, profile, seed)
    works: list[Work[Any]] = [
        Work(name="identify", key={**what, "instrument": "identification"}, result=Identified, run=identifying)
    ]
    for place, instrument in enumerate(EXAMINED):
        measuring = functools.partial(_measure, place, sent, task, profile, seed)
        key = {**what, "instrument": instrument.name}
        works.append(Work(name=instrument.name, key=key, result=Measured, run=measuring))
    checking = functools.partial(_known_subjects, seed)
    works.append(Work(name="known subjects", key={"seed": seed, "prompts": KNOWN}, result=Checked, run=checking))
    return Plan(words=f"examine {subject.name}, profile {profile}, seed {seed}", works=tuple(works))


def describe(subject: Subject) -> dict[str, object]:
    """A description of a subject, for the record."""
    return {
        "name": subject.name,
        "kind": type(subject).__name__,
        "domain": to_json(subject.domain),
        "sites": [str(site) for site in subject.sites],
        "path": [str(site) for site in subject.path],
        "spec": spec_of(subject),
    }


def _loaded(sent: Subject | ModelReference) -> Subject:
    return _load(sent.reference, sent.device) if isinstance(sent, ModelReference) else sent


@functools.lru_cache(maxsize=4)
def _load(reference: str, device: str) -> Subject:
    return load(reference, device=device)


def _identify(sent: Subject | ModelReference, task: Task, profile: Profile, seed: int, say: Say) -> Identified:
    began, subject = time.perf_counter(), _loaded(sent)
    prompts = fewer(subject, IDENTIFIED[profile])
    verdict = identify_and_describe(subject, task, seed=seed, prompts=prompts, progress=say)
    return Identified(verdict=verdict, seconds=time.perf_counter() - began)


def _measure(place: int, sent: Subject | ModelReference, task: Task, profile: Profile, seed: int, say: Say) -> Measured:
    """Run one instrument of `EXAMINED`, given by its index, because its functions cannot be sent to another process."""
    instrument, began, subject = EXAMINED[place], time.perf_counter(), _loaded(sent)
    if why := _left_out(instrument, subject):
        return Measured(skipped=why)
    numbers = {name: fewer(subject, number) for name, number in instrument.sizes[profile].items()}
    try:
        found = instrument.measure(subject, task, seed=seed, **numbers)
        figures = [] if instrument.figure is None else [instrument.figure(found)]
        if instrument.shown is not None:
            figures.append(instrument.shown(subject, task, seed=seed))
    except NotApplicable as reason:
        return Measured(skipped=str(reason))
    drawn = tuple(figure for figure in figures if figure.rows)
    return Measured(measurements=found, figures=drawn, seconds=time.perf_counter() - began)


def _left_out(instrument: Instrument, subject: Subject) -> str:
    """Why an instrument is left out of the examination of a subject that reads text; empty if it is not."""
    if not subject.domain.written:
        return ""
    if instrument.through_origin:
        return "it compares answers with regressions through the origin, and a line in digits has an intercept."
    if instrument.by_part and is_deep(subject):
        return (
            f"it runs the model once for each of the parts of {len(subject.path)} layers, which takes too long here; measure it "
            "by itself."
        )
    return ""


def _curves(verdict: Verdict, layers: int, most: int = 4) -> dict[str, torch.Tensor]:
    """Responses of the fixed-coefficient candidates, as fitted for the deciding answer, and of least squares."""
    answer: Answer = (verdict.discriminating or verdict.training).path
    families = {family.name: family for family in FAMILIES if family.spectral}
    curves: dict[str, torch.Tensor] = {}
    for row in answer.scores:
        family = families.get(row.candidate)
        if family is None or len(curves) == most or len(row.steps) != layers:
            continue
        steps = torch.tensor(row.steps)
        values = list(row.coefficients.values())
        curves[row.candidate] = response(family.algorithm(values), spectrum.grid(), int(steps.max()))[steps]
    return {**curves, "least squares": torch.ones(layers, spectrum.KNOTS, dtype=torch.float64)}


def _checks(measurements: list[Measurement]) -> list[dict[str, Scalar]]:
    """Check the controls that have an exact expectation. Degenerate cases are left out, and the row says why."""
    rows: list[dict[str, Scalar]] = []
    for instrument, expected in ((i, e) for i in INSTRUMENTS for e in i.expected):
        seen = [
            control
            for m in measurements
            if (m.instrument, m.quantity) == (instrument.name, expected.quantity)
            for control in m.controls
            if control.name == expected.control
        ]
        if seen:
            values = [control.value for control in seen if not control.degenerate]
            reasons = "; ".join(dict.fromkeys(control.degenerate for control in seen if control.degenerate))
            rows.append(
                {
                    "instrument": instrument.name,
                    "control": expected.control,
                    "kind": seen[0].kind,
                    "expected": expected.words,
                    "observed": f"{min(values):.3g} to {max(values):.3g}" if values else None,
                    "holds": all(map(expected.holds, values)) if values else None,
                    "left out": reasons and f"{len(seen) - len(values)} of {len(seen)}: {reasons}",
                }
            )
    return rows


def _edits(subject: Subject, task: Task, seed: int) -> dict[str, Scalar]:
    """Check that edits at the subject's sites change its answers: patching, ablation and the causal test rest on this."""
    inert = inert_sites(subject, task.sample(EDITED, seed=seed, stream="edits"), seed=seed)
    return {
        "instrument": "subject",
        "control": "a large edit at every site of the path",
        "kind": "positive",
        "expected": "moves the answers",
        "observed": f"does nothing at {', '.join(map(str, inert))}" if inert else f"at all {len(subject.path)} it does",
        "holds": not inert,
    }


def _known_subjects(seed: int, say: Say) -> Checked:
    """Run the identifier in this run on two hand-built networks whose algorithm is known, with few prompts."""
    began, rows = time.perf_counter(), []
    for built in (gradient_descent(layers=4), conjugate_gradient(iterations=3)):
        (verdict,) = identify_path(
            built, LinearRegression(), seed=seed, prompts=KNOWN, algorithms=["gd", "cg", "newton"]
        )
        rows.append(
            {
                "instrument": "identification",
                "control": f"construction:{built.name}",
                "kind": "positive",
                "expected": f"identified ({built.algorithm})",
                "observed": f"{verdict.label} ({', '.join(verdict.algorithms)})",
                "holds": verdict.algorithms == (built.algorithm,),
            }
        )
    return Checked(rows=tuple(rows), seconds=time.perf_counter() - began)


__all__ = ("ModelReference", "describe", "examination", "examine")

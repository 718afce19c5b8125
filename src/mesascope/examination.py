"""One subject through all the instruments, into a record."""

import contextlib
import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

import torch
from tqdm import tqdm

from mesascope.instruments import (
    NotApplicable,
    ablation,
    attention,
    causal,
    metrics,
    patching,
    probes,
    readout,
    spectrum,
    stress,
)
from mesascope.instruments.channels import response
from mesascope.instruments.identification import FAMILIES, check_sizes, identify, identify_path
from mesascope.instruments.interventions import inert_sites
from mesascope.instruments.rehearsal import rehearse
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.records.codec import to_json
from mesascope.records.directories import claim
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance
from mesascope.tasks import LinearRegression
from mesascope.types import (
    Answer,
    Figure,
    Measurement,
    Record,
    Scalar,
    Subject,
    Task,
    Verdict,
    check_keeps_task,
    spec_of,
)

Profile = Literal["smoke", "laptop", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many prompts each instrument gets."""

    identify: int
    readout: int
    probes: int
    patching: int
    ablation: int
    attention: int
    stress: int
    spectrum: int
    metrics: int
    causal: int


BUDGETS: Mapping[str, Budget] = {
    "smoke": Budget(
        identify=60,
        readout=64,
        probes=128,
        patching=24,
        ablation=24,
        attention=24,
        stress=32,
        spectrum=80,
        metrics=24,
        causal=24,
    ),
    "laptop": Budget(
        identify=300,
        readout=512,
        probes=512,
        patching=200,
        ablation=128,
        attention=128,
        stress=256,
        spectrum=400,
        metrics=128,
        causal=128,
    ),
    "full": Budget(
        identify=1200,
        readout=2048,
        probes=2048,
        patching=800,
        ablation=512,
        attention=512,
        stress=2048,
        spectrum=1600,
        metrics=512,
        causal=512,
    ),
}


EDITED = 8
"""Prompts on which it is tried whether edits act."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one instrument found, or why it did not apply."""

    measurements: tuple[Measurement, ...] = ()
    figures: tuple[Figure, ...] = ()
    controls: tuple[Mapping[str, Scalar], ...] = ()
    skipped: str = ""
    seconds: float = 0.0


T = TypeVar("T")
Instrument = Callable[[], tuple[tuple[Measurement, ...], tuple[Figure, ...]]]


def examine(
    subject: Subject,
    task: Task,
    *,
    profile: Profile = "laptop",
    seed: int = 0,
    journal: Path | str | None = None,
    progress: bool = False,
) -> Record:
    """Everything about one subject: the verdict, and every instrument with its controls.

    An instrument that does not apply is skipped, with the reason in the record.

    Args:
        subject: any object that satisfies the subject protocol.
        task: its training distribution.
        profile: ``smoke`` (seconds), ``laptop`` (under a minute for a small model) or ``full``.
        seed: of all prompts, resampling and untrained controls.
        journal: a directory that keeps each finished instrument, so that an examination that was cut off goes on there.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: something that is no task, an unknown profile, a task outside the subject's domain, or a
            journal directory that is not ours.
    """
    check_keeps_task(task)
    if profile not in BUDGETS:
        raise ValueError(f"profile must be one of {', '.join(BUDGETS)}; got {profile!r}.")
    budget, began = BUDGETS[profile], time.perf_counter()
    check_sizes(subject, task, budget.identify)
    rehearse(subject, task, seed=seed)
    key = _fingerprint(subject, task, profile, seed)
    parts: dict[str, Part] = {}
    instruments = _instruments(subject, task, budget, seed)
    with (
        contextlib.nullcontext() if journal is None else claim(journal, "an examination"),
        tqdm(total=len(instruments) + 2, disable=not progress, unit="instrument", dynamic_ncols=True) as bar,
    ):
        done = Journal(journal, key)

        def keep(name: str, expected: type[T], make: Callable[[], T]) -> T:
            bar.set_description(name)
            found = done.keep(name, expected, make)
            bar.update()
            return found

        before = time.perf_counter()
        verdict = keep(
            "identify",
            Verdict,
            lambda: identify(subject, task, seed=seed, prompts=budget.identify, progress=bar.set_description),
        )
        identifying = time.perf_counter() - before
        for name, instrument in instruments.items():
            parts[name] = keep(name, Part, lambda instrument=instrument: _part(instrument))
        known = keep("known subjects", Part, lambda: _known_subjects(seed))
        bar.set_description("done")
    skipped = {name: part.skipped for name, part in parts.items() if part.skipped}
    measurements = [*verdict.invariances, *(m for part in parts.values() for m in part.measurements)]
    figures = [figure for part in parts.values() for figure in part.figures]
    seconds = {
        "identify": identifying,
        **{name: part.seconds for name, part in parts.items()},
        "known subjects": known.seconds,
    }
    response_figure = spectrum.figure(measurements, _curves(verdict, len(subject.path)))
    ordered = ([response_figure] if response_figure.rows and "spectrum" not in skipped else []) + [
        *verdict.figures,
        *figures,
    ]
    return Record(
        subject=describe(subject),
        verdict=verdict,
        measurements=tuple(measurements),
        skipped=skipped,
        controls=(_edits(subject, task, seed), *_checks(measurements), *known.controls),
        figures=tuple(ordered),
        provenance=provenance(
            command="examine",
            task=to_json(task),
            profile=profile,
            seed=seed,
            seconds={k: round(v, 2) for k, v in seconds.items()} | {"total": round(time.perf_counter() - began, 2)},
        ),
    )


def describe(subject: Subject) -> dict[str, object]:
    """What a subject is, for the record."""
    return {
        "name": subject.name,
        "kind": type(subject).__name__,
        "domain": to_json(subject.domain),
        "sites": [str(site) for site in subject.sites],
        "path": [str(site) for site in subject.path],
        "spec": spec_of(subject),
    }


def _instruments(subject: Subject, task: Task, budget: Budget, seed: int) -> dict[str, Instrument]:
    def with_figure(
        found: tuple[Measurement, ...], *figures: Figure
    ) -> tuple[tuple[Measurement, ...], tuple[Figure, ...]]:
        return found, figures

    def run_spectrum():
        return with_figure(spectrum.spectral_response(subject, task, seed=seed, prompts=budget.spectrum))

    def run_readout():
        found = readout.readouts(subject, task, seed=seed, fit=budget.readout, score=budget.readout)
        return with_figure(found, readout.figure(found))

    def run_probes():
        found = probes.linear_probes(subject, task, seed=seed, fit=budget.probes, score=budget.probes)
        return with_figure(found, probes.figure(found))

    def run_patching():
        found = patching.patching(subject, task, seed=seed, n=budget.patching)
        return with_figure(found, patching.figure(found))

    def run_ablation():
        found = ablation.ablations(subject, task, seed=seed, n=budget.ablation)
        return with_figure(found, ablation.figure(found))

    def run_attention():
        found = attention.attention(subject, task, seed=seed, n=budget.attention)
        return with_figure(found, attention.figure(found), attention.maps(subject, task, seed=seed))

    def run_stress():
        found = stress.stress(subject, task, seed=seed, n=budget.stress)
        return with_figure(found, stress.figure(found))

    def run_metrics():
        found = metrics.literature(subject, task, seed=seed, n=budget.metrics)
        return with_figure(found, metrics.figure(found))

    def run_causal():
        found = causal.causal(subject, task, seed=seed, n=budget.causal, fit=2 * budget.causal)
        drawn = causal.figure(found)
        return with_figure(found, *([drawn] if drawn.rows else []))

    return {
        "spectrum": run_spectrum,
        "readout": run_readout,
        "probes": run_probes,
        "patching": run_patching,
        "causal": run_causal,
        "ablation": run_ablation,
        "attention": run_attention,
        "stress": run_stress,
        "metrics": run_metrics,
    }


def _curves(verdict: Verdict, layers: int, most: int = 4) -> dict[str, torch.Tensor]:
    """Responses of the fixed-coefficient candidates as fitted for the deciding answer, and least squares."""
    answer: Answer = (verdict.discriminating or verdict.training).path
    families = {family.name: family for family in FAMILIES if family.spectral}
    curves: dict[str, torch.Tensor] = {}
    for row in answer.scores:
        family = families.get(row.candidate)
        if family is None or len(curves) == most or len(row.steps) != layers:
            continue
        steps = torch.tensor(row.steps)
        values = [float(row.detail[c.name] or 0) for c in family.coefficients]
        curves[row.candidate] = response(family.algorithm(values), spectrum.grid(), int(steps.max()))[steps]
    return {**curves, "least squares": torch.ones(layers, spectrum.KNOTS, dtype=torch.float64)}


_R2, _FILTER = "R² of a spectral form", "response"
EXPECTED: Mapping[tuple[str, str, str], tuple[str, Callable[[float], bool]]] = {
    ("invariance", "violation", "gradient descent"): ("0 within 1e-9", lambda v: abs(v) < 1e-9),
    ("invariance", "violation", "a learner that breaks it"): ("above 0.05", lambda v: v > 0.05),
    ("spectrum", _R2, "planted gradient descent"): ("at least 0.99", lambda v: v >= 0.99),
    ("spectrum", _R2, "another prompt's channels"): ("at most 0.3", lambda v: v <= 0.3),
    ("spectrum", _FILTER, "largest error on planted gradient descent"): ("at most 0.1", lambda v: v <= 0.1),
    (patching.NAME, patching.TRANSFER.name, patching.SELF): ("0 exactly", lambda v: v == 0),
    (patching.NAME, patching.TRANSFER.name, patching.EVERYTHING): ("1 within 0.001", lambda v: abs(v - 1) < 1e-3),
    (causal.NAME, causal.AGREEMENT.name, causal.KNOWN_NETWORK): (
        f"1 within {causal.EXACT:g}",
        lambda v: abs(v - 1) <= causal.EXACT,
    ),
    (causal.NAME, causal.READ.name, causal.PROBED_NETWORK): ("at least 0.99", lambda v: v >= 0.99),
}
"""Controls whose value is known beforehand, by instrument, quantity and name: what it must be, in words and as a test."""


def _checks(measurements: list[Measurement]) -> list[dict[str, Scalar]]:
    """Did the controls with an exact expectation meet it? Degenerate cases are left out, and the row says why."""
    rows: list[dict[str, Scalar]] = []
    for (instrument, quantity, name), (words, holds) in EXPECTED.items():
        seen = [
            control
            for m in measurements
            if (m.instrument, m.quantity) == (instrument, quantity)
            for control in m.controls
            if control.name == name
        ]
        if seen:
            values = [control.value for control in seen if not control.degenerate]
            reasons = "; ".join(dict.fromkeys(control.degenerate for control in seen if control.degenerate))
            rows.append(
                {
                    "instrument": instrument,
                    "control": name,
                    "kind": seen[0].kind,
                    "expected": words,
                    "observed": f"{min(values):.3g} to {max(values):.3g}" if values else None,
                    "holds": all(map(holds, values)) if values else None,
                    "left out": reasons and f"{len(seen) - len(values)} of {len(seen)}: {reasons}",
                }
            )
    return rows


def _edits(subject: Subject, task: Task, seed: int) -> dict[str, Scalar]:
    """Does the subject act on what is put into it? Patching, ablation and the causal test rest on that."""
    inert = inert_sites(subject, task.sample(EDITED, seed=seed, stream="edits"), seed=seed)
    return {
        "instrument": "subject",
        "control": "a large edit at every site of the path",
        "kind": "positive",
        "expected": "moves the answers",
        "observed": f"does nothing at {', '.join(map(str, inert))}" if inert else f"at all {len(subject.path)} it does",
        "holds": not inert,
    }


def _known_subjects(seed: int) -> Part:
    """The identifier on two hand-built networks whose algorithm is known, in this very run, with few prompts."""
    before, rows = time.perf_counter(), []
    for built in (gradient_descent(layers=4), conjugate_gradient(iterations=3)):
        (verdict,) = identify_path(built, LinearRegression(), seed=seed, prompts=60, algorithms=["gd", "cg", "newton"])
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
    return Part(controls=tuple(rows), seconds=time.perf_counter() - before)


def _part(instrument: Instrument) -> Part:
    """Run an instrument; one that does not apply is skipped with its reason."""
    before = time.perf_counter()
    try:
        measurements, figures = instrument()
    except NotApplicable as reason:
        return Part(skipped=str(reason))
    return Part(measurements=measurements, figures=figures, seconds=time.perf_counter() - before)


def _fingerprint(subject: Subject, task: Task, profile: str, seed: int) -> dict[str, object]:
    """What makes two examinations the same: subject (also by what it answers), task, profile, seed and code."""
    answers = subject.trace(task.sample(16, seed=seed, stream="fingerprint")).predictions
    return {
        "subject": describe(subject),
        "answers": hashlib.sha256(answers.double().cpu().numpy().tobytes()).hexdigest(),
        "task": task,
        "profile": profile,
        "seed": seed,
        "code": provenance(),
    }


__all__ = ("BUDGETS", "Budget", "describe", "examine")

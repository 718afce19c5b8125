"""Trainings and measures over a grid, as one plan: what a sweep file says, and how it is run."""

import copy
import functools
import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mesascope.instruments import NotApplicable
from mesascope.instruments.asking.lines import fewer
from mesascope.instruments.catalogue import BY_NAME, INSTRUMENTS
from mesascope.instruments.identification import IDENTIFIED, identify
from mesascope.instruments.instrument import PROFILES, Profile
from mesascope.plans import Engine, Plan, Work, execute
from mesascope.plans.work import Say, Shared
from mesascope.records.checks import nearest
from mesascope.records.codec import from_json, to_json
from mesascope.records.directories import claim
from mesascope.records.journal import Journal, digest
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.records.store import read_json
from mesascope.training import SPECS, Diverged, TrainingSpec, train, train_together
from mesascope.training.alike import grouped
from mesascope.training.size import check_fits
from mesascope.types import Figure, Findings, Measured, Measurement, Scalar
from mesascope.zoo import load

IDENTIFICATION = "identification"
MOST_CELLS = 10_000
"""Cells that a sweep has without being asked whether it is meant."""
DIVERGED = "its training diverged"
FIELDS = ("spec", "grid", "seeds", "measure", "profile")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """A grid of trainings, and what is measured of each network.

    Attributes:
        spec: the training specification that all cells share, as JSON; what it leaves out has its default.
        grid: fields of the specification, as in ``model.layers``, and the values that each takes. Cells are all combinations.
        seeds: of weights and data; each cell is trained once for each.
        measure: names of instruments, or ``identification``.
        profile: how many prompts the instruments take.
    """

    spec: Mapping[str, Any]
    grid: Mapping[str, tuple[Any, ...]]
    seeds: tuple[int, ...] = (0,)
    measure: tuple[str, ...] = ("error",)
    profile: Profile = "laptop"

    @property
    def size(self) -> int:
        """How many cells there are, before they are made."""
        return len(self.seeds) * math.prod(map(len, self.grid.values()))


def read_sweep(path: Path) -> Sweep:
    """What a sweep file says.

    Raises:
        ValueError: no such file, not JSON, unknown fields, an empty grid, an unknown instrument.
    """
    data = read_json(path)
    if not isinstance(data, Mapping):
        raise ValueError(f"{shown(path)} must hold an object with {', '.join(FIELDS)}; it holds {shown(data)}.")
    for name in data:
        if name not in FIELDS:
            raise ValueError(f"{shown(path)} has an unknown field {shown(name)}.{nearest(name, FIELDS)}")
    spec = data.get("spec", {})
    spec = to_json(SPECS[spec]) if isinstance(spec, str) and spec in SPECS else spec
    if not isinstance(spec, Mapping):
        names = ", ".join(SPECS)
        raise ValueError(
            f"spec must be an object with fields of a training specification, or one of {names}; got {shown(spec)}."
        )
    return Sweep(
        spec={"name": path.stem, **spec},
        grid=_grid(data.get("grid")),
        seeds=_seeds(data.get("seeds", [0])),
        measure=_instruments(data.get("measure", ["error"])),
        profile=_profile(data.get("profile", "laptop")),
    )


def cells(sweep: Sweep) -> dict[str, tuple[TrainingSpec, dict[str, Scalar]]]:
    """Each cell's specification and coordinates, by its name; everything is checked before anything is trained.

    Raises:
        ValueError: a field that the specification does not have, or a value that it refuses; the cell is named.
    """
    whole = to_json(from_json(TrainingSpec, sweep.spec, "spec"))
    known = list(_paths(whole))
    for name in sweep.grid:
        if name not in known:
            raise ValueError(
                f"grid must name fields of the specification; it has no {shown(name)}.{nearest(name, known)}"
            )
    found: dict[str, tuple[TrainingSpec, dict[str, Scalar]]] = {}
    for values in itertools.product(*sweep.grid.values()):
        changed = copy.deepcopy(whole)
        for name, value in zip(sweep.grid, values, strict=True):
            _set(changed, name, value)
        where: dict[str, Scalar] = {n: _scalar(v) for n, v in zip(sweep.grid, values, strict=True)}
        for seed in sweep.seeds:
            words = ", ".join(f"{name} {value}" for name, value in {**where, "seed": seed}.items())
            try:
                spec = from_json(TrainingSpec, {**changed, "seed": seed}, "spec")
                check_fits(spec)
            except ValueError as error:
                raise ValueError(f"cell {words}: {error}") from error
            found[words] = spec, {**where, "seed": seed}
    return found


def sweep(
    what: Sweep,
    out: Path | str,
    *,
    seed: int = 0,
    device: str = "cpu",
    engine: Engine | None = None,
    progress: bool = False,
) -> Findings:
    """Train every cell, measure every network, and put the numbers into one table.

    What is done is kept in ``out``, each training in a directory of its own below ``runs/``: a sweep that was cut off goes on
    there, and one that was extended trains what is new.

    Args:
        what: the grid, as `read_sweep` reads it.
        out: a directory: new, empty, or one of an earlier sweep. On a cluster, one that all workers see.
        seed: of the prompts that are measured on.
        device: where to train and compute.
        engine: where cells are trained and measured, as `mesascope.plans` has them; in this process by default.
        progress: show a progress bar on stderr.

    Returns:
        Every measurement with its cell as coordinates, and a table with one row per cell. A training that diverges is a row that
        says so.

    Raises:
        ValueError: a cell that cannot be trained, or a directory that is not ours.
    """
    began, folder, made = time.perf_counter(), Path(out).absolute(), cells(what)
    shared = _together({run_directory(folder, spec): spec for spec, _ in made.values()}, device)
    works = tuple(
        Work(
            name=name,
            key={"spec": spec, "measure": what.measure, "profile": what.profile, "seed": seed},
            result=Measured,
            run=functools.partial(_cell, spec, where, replace(what, grid={}), seed, folder, device),
            shared=shared.get(run_directory(folder, spec)),
        )
        for name, (spec, where) in made.items()
    )
    with claim(out, "findings"):
        plan = Plan(words=f"sweep of {len(works)} cells, profile {what.profile}, seed {seed}", works=works)
        found: Mapping[str, Measured] = execute(plan, Journal(out), engine=engine, progress=progress)
    failed = [name for name, each in found.items() if each.skipped.startswith(DIVERGED)]
    grid = " × ".join(f"{len(values)} of {name}" for name, values in what.grid.items())
    return Findings(
        title=f"Sweep over {', '.join(what.grid)}",
        sentences=(
            f"{len(found)} trainings: {grid} × {len(what.seeds)} of seed.",
            *([f"{len(failed)} of them diverged: {'; '.join(failed[:5])}."] if failed else []),
        ),
        measurements=tuple(m for each in found.values() for m in each.measurements),
        figures=(_table(what, {name: where for name, (_, where) in made.items()}, found),),
        provenance=provenance(
            device,
            command="sweep",
            spec=what.spec,
            grid={name: list(values) for name, values in what.grid.items()},
            seeds=list(what.seeds),
            profile=what.profile,
            seed=seed,
            seconds={"total": round(time.perf_counter() - began, 1)},
        ),
    )


def run_directory(folder: Path, spec: TrainingSpec) -> Path:
    """Where a cell is trained: named by its specification, so that an extended grid finds it again."""
    return folder / "runs" / digest(spec)[:16]


def _together(runs: Mapping[Path, TrainingSpec], device: str) -> dict[Path, Shared]:
    """What each training shares with those that can be trained together with it."""
    prepare = functools.partial(_train, device)
    return {
        where: Shared(key=f"networks like {group[0].name}", item=(where, runs[where]), prepare=prepare)
        for group in grouped(runs)
        if len(group) > 1
        for where in group
    }


def _train(device: str, items: Sequence[tuple[Path, TrainingSpec]], say: Say) -> None:
    """Train several networks; one that diverges does so again where its cell says so."""
    say(f"training {len(items)} networks together")
    train_together(dict(items), resume=True, device=device, progress=False)


def _cell(
    spec: TrainingSpec,
    where: Mapping[str, Scalar],
    what: Sweep,
    seed: int,
    folder: Path,
    device: str,
    say: Say,
) -> Measured:
    """Train one network and measure it."""
    began = time.perf_counter()
    say("training")
    try:
        run = train(spec, run_directory(folder, spec), resume=True, device=device, progress=False)
    except Diverged as error:
        return Measured(skipped=f"{DIVERGED}: {error}", seconds=time.perf_counter() - began)
    subject = load(str(run), device=device)
    found: list[Measurement] = []
    reasons: list[str] = []
    for name in what.measure:
        say(name)
        try:
            if name == IDENTIFICATION:
                found.append(_verdict(subject, spec, what.profile, seed))
            else:
                found += BY_NAME[name].measure(subject, spec.task, seed=seed, **BY_NAME[name].sizes[what.profile])
        except NotApplicable as reason:  # a cell of another architecture, for example
            reasons.append(f"{name} does not apply: {reason}")
    labelled = tuple(replace(m, coordinates={**where, **m.coordinates}) for m in found)
    return Measured(measurements=labelled, skipped="; ".join(reasons), seconds=time.perf_counter() - began)


def _verdict(subject: Any, spec: TrainingSpec, profile: Profile, seed: int) -> Measurement:
    """The verdict as a number: the best candidate's score, with the label and the names beside it."""
    verdict = identify(subject, spec.task, seed=seed, prompts=fewer(subject, IDENTIFIED[profile]))
    answer = (verdict.discriminating or verdict.training).path
    best = answer.scores[0]
    return Measurement(
        instrument=IDENTIFICATION,
        quantity="score",
        value=best.score,
        interval=best.interval,
        n=answer.n,
        coordinates={"label": verdict.label, "algorithms": ", ".join(verdict.algorithms), "nearest": best.candidate},
        controls=answer.controls,
    )


def _table(what: Sweep, places: Mapping[str, Mapping[str, Scalar]], found: Mapping[str, Measured]) -> Figure:
    """One row per cell, with the first number of each instrument."""
    rows: list[dict[str, Scalar]] = []
    for name, each in found.items():
        row: dict[str, Scalar] = dict(places[name])
        for instrument in what.measure:
            first = next((m for m in each.measurements if m.instrument == instrument), None)
            if instrument == IDENTIFICATION:
                named = first and (first.coordinates["algorithms"] or f"none (nearest: {first.coordinates['nearest']})")
                row["verdict"] = named or None
            else:
                quantity = BY_NAME[instrument].quantities[0] if first is None else first.quantity
                row[f"{instrument}: {quantity}"] = first and first.value
        rows.append({**row, "note": each.skipped or None})
    return Figure(
        name="cells",
        section="Sweep",
        title="Every cell",
        caption="Of each instrument its first number; all others, with their controls, are among the measurements.",
        kind="table",
        rows=tuple(rows),
    )


def _grid(given: object) -> dict[str, tuple[Any, ...]]:
    if not isinstance(given, Mapping) or not given:
        raise ValueError(
            'grid must be an object with at least one field and its values, as in {"model.layers": [1, 2]}; got '
            f"{shown(given)}."
        )
    for name, values in given.items():
        if not isinstance(values, list) or not values:
            raise ValueError(f"grid: {shown(name)} must have a list of at least one value; got {shown(values)}.")
    return {name: tuple(values) for name, values in given.items()}


def _seeds(given: object) -> tuple[int, ...]:
    fine = isinstance(given, list) and given and all(type(s) is int and s >= 0 for s in given)
    if not fine or len(set(given)) < len(given):  # type: ignore[arg-type]
        raise ValueError(f"seeds must be a list of different whole numbers of 0 or more; got {shown(given)}.")
    return tuple(given)  # type: ignore[arg-type]


def _instruments(given: object) -> tuple[str, ...]:
    known = [IDENTIFICATION, *(instrument.name for instrument in INSTRUMENTS)]
    if not isinstance(given, list) or not given:
        raise ValueError(
            f"measure must be a list of instruments; got {shown(given)}. See `mesascope list instruments`."
        )
    for name in given:
        if name not in known:
            raise ValueError(f"measure must name instruments; got {shown(name)}.{nearest(str(name), known)}")
    return tuple(given)


def _profile(given: object) -> Profile:
    for profile in PROFILES:
        if given == profile:
            return profile
    raise ValueError(f"profile must be one of {', '.join(PROFILES)}; got {shown(given)}.")


def _paths(value: object, above: str = "") -> Iterator[str]:
    """The fields of a specification, also within one another, as in ``model.layers``."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            if name != "type":
                yield f"{above}{name}"
                yield from _paths(inner, f"{above}{name}.")


def _set(spec: dict[str, Any], path: str, value: object) -> None:
    *above, last = path.split(".")
    for name in above:
        spec = spec[name]
    spec[last] = value


def _scalar(value: object) -> Scalar:
    return value if isinstance(value, str | int | float | bool | None) else str(value)


__all__ = ("FIELDS", "MOST_CELLS", "Sweep", "cells", "read_sweep", "sweep")

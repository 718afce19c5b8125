"""The configuration of a training run of Garg et al.'s code: the ``config.yaml`` beside its weights.

Source: the released code (dtsip/in-context-learning): its schema, its curriculum and its tasks.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mesascope.records.checks import check_count
from mesascope.records.shown import plain, said, shown
from mesascope.tasks import LinearRegression

NAME = "config.yaml"
LONGEST, MOST = 100_000, 1000
"""Most bytes and values of a configuration; theirs have a thousand bytes and fifty values. In YAML, few bytes can expand to
very many values, so both are limited."""
PLAIN = {"linear_regression": (), "noisy_linear_regression": ("noise_std", "renormalize_ys")}
"""Their tasks that `LinearRegression` can express, and each task's options besides ``scale``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunConfig:
    """The parts of a run's configuration that a conversion uses.

    Attributes:
        path: the path of the file.
        sizes: ``dim``, ``layers``, ``width``, ``heads``, and ``positions`` (points a prompt can have).
        points: the curriculum of points per prompt: at the start, at the end, the increment, and the steps per increment.
        dims: the same for input dimensions that are not 0.
        training: the section ``training`` as it is in the file.
    """

    path: Path
    sizes: Mapping[str, int]
    points: tuple[int, int, int, int]
    dims: tuple[int, int, int, int]
    training: Mapping[str, Any]


def beside(checkpoint: Path) -> RunConfig | None:
    """The configuration in the folder of a checkpoint; None if there is none.

    Raises:
        ValueError: the file is not YAML of plain values, lacks a size, or belongs to a model that is not a GPT-2.
    """
    path = checkpoint.parent / NAME
    if not path.is_file():
        return None
    held = _read(path)
    model, training = _part(held, "model", path), _part(held, "training", path)
    if (family := model.get("family", "gpt2")) != "gpt2":
        raise ValueError(
            f"family must be gpt2 to be converted; {path} says {shown(family)}. Load it as python:module:factory."
        )
    fields = {"dim": "n_dims", "positions": "n_positions", "width": "n_embd", "layers": "n_layer", "heads": "n_head"}
    curriculum = _part(training, "curriculum", path)
    return RunConfig(
        path=path,
        sizes={ours: _count(model, theirs, path) for ours, theirs in fields.items()},
        points=_schedule(curriculum, "points", path),
        dims=_schedule(curriculum, "dims", path),
        training=training,
    )


def reached(schedule: tuple[int, int, int, int], steps: int | None) -> int:
    """The value of a curriculum after a number of steps; its end value if the steps are unknown."""
    start, end, added, interval = schedule
    return end if steps is None else min(end, start + steps // interval * added)


def task(run: RunConfig | None, *, dim: int, examples: int) -> LinearRegression | None:
    """The training task; without a run, that of the paper's models. None if it is not a `LinearRegression`."""
    if run is None:
        return LinearRegression(dim=dim, examples=examples, weights="standard")
    kind, data, options = (run.training.get(name) for name in ("task", "data", "task_kwargs"))
    options = {} if options is None else options
    if not isinstance(kind, str) or kind not in PLAIN or data != "gaussian" or not isinstance(options, Mapping):
        return None
    given = {"scale": 1.0, "noise_std": 0.0, "renormalize_ys": False, **options}
    scale, noise = given["scale"], given["noise_std"]
    if set(options) - {"scale", *PLAIN[kind]} or given["renormalize_ys"] or not (_number(scale) and _number(noise)):
        return None
    standard, unit = (math.isclose(scale, size, rel_tol=1e-6) for size in (1.0, dim**-0.5))
    if noise < 0 or not (standard or unit):
        return None
    weights: Literal["unit", "standard"] = "standard" if standard else "unit"
    return LinearRegression(dim=dim, examples=examples, noise=float(noise), weights=weights)


def _read(path: Path) -> Mapping[str, Any]:
    import yaml  # noqa: PLC0415  (few callers need it)

    try:
        if path.stat().st_size > LONGEST:
            raise ValueError(f"it has more than {LONGEST} bytes")
        held = yaml.safe_load(path.read_bytes())
        _count_values(held)
    except (
        yaml.YAMLError,
        ValueError,
        RecursionError,
    ) as error:  # ValueError: too long a number; RecursionError: nested too deeply
        where = getattr(error, "problem_mark", None)
        line = f", line {where.line + 1}" if where else ""
        reason = plain(getattr(error, "problem", None) or said(error))
        raise ValueError(
            f"{path}{line}, must be YAML of plain values; {reason}. Correct it, or move it away and pass its fields with --like."
        ) from error
    if not isinstance(held, Mapping):
        raise ValueError(f"{path} must hold a mapping with model and training; it holds a {type(held).__name__}.")
    return held


def _count_values(held: object) -> None:
    inside, count = [held], 0
    while inside:
        value = inside.pop()
        inside += [*value, *value.values()] if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        if (count := count + 1) > MOST:
            raise ValueError(f"it holds more than {MOST} values")


def _part(held: Mapping[str, Any], name: str, path: Path) -> Mapping[str, Any]:
    part = held.get(name)
    if not isinstance(part, Mapping):
        raise ValueError(
            f"{path} must have a mapping {name!r}; got {shown(part)}. Move the file away if it belongs to another model."
        )
    return part


def _count(held: Mapping[str, Any], name: str, path: Path) -> int:
    value = held.get(name)
    check_count(f"{name} in {path}", value, hint=" Write the value that was used in training.")
    assert isinstance(value, int)
    return value


def _schedule(curriculum: Mapping[str, Any], name: str, path: Path) -> tuple[int, int, int, int]:
    part = _part(curriculum, name, path)
    start, end, interval = (_count(part, field, path) for field in ("start", "end", "interval"))
    added = part.get("inc")
    check_count(f"inc in {path}", added, least=0)
    assert isinstance(added, int)
    return start, end, added, interval


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)

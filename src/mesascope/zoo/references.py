"""From a model reference to a subject: ``two-layer``, ``construction:…``, ``runs/…``, ``python:…``."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import Tensor

from mesascope import tasks
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import from_json, nearest, to_json
from mesascope.records.lines import read_lines
from mesascope.records.parsing import Damaged
from mesascope.records.shown import plain, said, shown
from mesascope.tasks import GeneralisedLinearRegression, LinearRegression
from mesascope.training import TrainingSpec
from mesascope.types import Subject, spec_of
from mesascope.zoo.own import load_own
from mesascope.zoo.shipped import HERE, names, place


def curve(reference: str) -> tuple[dict[str, float], ...]:
    """What training logged, one mapping a line: ``step``, ``loss`` (mean since the line before), ``learning_rate``.

    Prompts are fresh at every step, so the loss is that of prompts the network has not seen.

    Args:
        reference: a name in the zoo, or a run directory.

    Raises:
        ValueError: nothing was logged there.
    """
    path = HERE / f"{reference}.metrics.jsonl" if reference in names() else Path(reference) / "metrics.jsonl"
    if not path.is_file():
        raise ValueError(
            f"reference must be a name in the zoo or a run directory with a metrics.jsonl; got {shown(reference)}. "
            "A checkpoint alone has no curve: give the run that it belongs to."
        )
    return read_lines(path)


def load(reference: str, *, device: str = "cpu") -> Subject:
    """The subject that a model reference names.

    Args:
        reference: a name in the zoo (`names`); ``construction:NAME`` with options after ``?``;
            ``python:package.module:factory``, a callable without arguments that returns a subject; or a run directory
            or checkpoint.
        device: where a trained model computes.

    Raises:
        ValueError: nothing answers to the reference (with the nearest names), or its options or checkpoint are no good.
        BrokenSubject: the code of a ``python:`` reference raised, or returned what is no subject.
    """
    where = place(reference, tuple(CONSTRUCTIONS))
    if where is not None:
        return _trained(reference, where, device)
    kind, _, rest = reference.partition(":")
    return _construction(rest) if kind == "construction" else load_own(rest)


def default_task(subject: Subject) -> LinearRegression:
    """The task a subject was trained on, or one that fits its domain.

    Raises:
        ValueError: it was made for another task than linear regression, or trained on another by somebody else's code.
    """
    spec = spec_of(subject)
    if isinstance(subject, TransformerSubject) and isinstance(spec, Mapping) and spec.get("task", spec) is None:
        raise ValueError(
            f"model {shown(subject.name)} was trained on {_origin(spec)}, which is no linear regression of ours. Say on which "
            "one to examine it: --task with a JSON file of one, or an argument."
        )
    if isinstance(spec, Mapping) and isinstance(spec.get("task"), Mapping):
        if spec["task"].get("type") == GeneralisedLinearRegression.__name__:
            raise ValueError(
                f"model {shown(subject.name)} must be made for linear regression, which all candidates solve; it is made for "
                f"{spec['task'].get('family')} regression. Trace it on prompts of GeneralisedLinearRegression and compare "
                "with run(GLMNewton(…), prompts)."
            )
        if _foreign(spec["task"]):
            raise ValueError(
                f"model {shown(subject.name)} was trained on {shown(spec['task']['type'])}, a task that is not one of ours. Say "
                "on which one to examine it: pass an object of that task, or --task with a JSON file of a linear regression."
            )
        return from_json(LinearRegression, spec["task"], "spec.task")
    domain, plain = subject.domain, LinearRegression()
    return LinearRegression(
        dim=plain.dim if domain.dims is None or plain.dim in domain.dims else max(domain.dims),
        examples=plain.examples
        if domain.examples is None or plain.examples in domain.examples
        else max(domain.examples),
    )


def _foreign(task: object) -> bool:
    """Whether a specification's task is of somebody's own class: it says its sizes, and has no name of ours."""
    ours = {*tasks.__all__, *(finer.__name__ for finer in LinearRegression.__subclasses__())}
    if not isinstance(task, Mapping) or not isinstance(task.get("type"), str) or task["type"] in ours:
        return False
    return all(isinstance(task.get(name), int) for name in ("dim", "examples", "queries"))


def _origin(spec: Mapping[str, Any]) -> str:
    """What a converted model was trained on, as its record has it."""
    extra = spec.get("extra")
    origin = extra.get("converted_from") if isinstance(extra, Mapping) else None
    return str(origin.get("trained_on")) if isinstance(origin, Mapping) else "another task"


def _construction(text: str) -> Subject:
    name, _, query = text.partition("?")
    make = CONSTRUCTIONS[name]
    parameters = inspect.signature(make).parameters
    options: dict[str, int | float | str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in parameters:
            raise ValueError(
                f"construction:{name} has no option {shown(key)}; it has {', '.join(parameters)}."
                f"{nearest(key, list(parameters))}"
            )
        if key in options:
            raise ValueError(f"{key} of construction:{name} must be given once; got {shown(query)}.")
        annotation = parameters[key].annotation
        kind = annotation if annotation in (int, float) else str
        try:
            options[key] = kind(value)
        except ValueError:
            wanted = "a whole number" if kind is int else "a number"
            raise ValueError(
                f"{key} of construction:{name} must be {wanted}; got {shown(value)}. "
                f"Write {key}={parameters[key].default}, say."
            ) from None
    return make(**options)


def _read(path: Path) -> Checkpoint:
    """A run directory's finished weights or else its last checkpoint; or one checkpoint by its stem."""
    try:
        if not path.is_dir():
            return checkpoints.read(path)
        if (path / "model.json").exists():
            return checkpoints.read(path / "model")
        folder = path / "checkpoints" if (path / "checkpoints").is_dir() else path
        found = checkpoints.latest(folder)
    except Damaged as error:
        raise ValueError(f"model {shown(str(path))} cannot be read: {error}") from error
    if found is None:
        raise ValueError(
            f"model {shown(str(path))} must be a run directory or a checkpoint; it holds no intact checkpoint."
        )
    return found


def _trained(name: str, where: Path, device: str) -> Subject:
    found = _read(where)
    try:
        config = _config(found.spec)
    except ValueError as error:
        raise ValueError(f"model {shown(name)} cannot be read: {error}") from error
    model = _hold(config, found.weights, name)
    if any(not bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise ValueError(f"model {shown(name)} must have finite weights; it holds NaN or infinity. Train it again.")
    spec = {**found.spec, "step": found.step, "extra": found.extra}
    return TransformerSubject(name=name, model=model.to(device), spec=spec)


def _config(spec: Mapping[str, Any]) -> TransformerConfig:
    """The architecture that a specification says: one of a training run, or of a conversion, which knows less.

    Raises:
        ValueError: it lacks something, or has something that no specification has.
    """
    if spec.get("type") == TrainingSpec.__name__:
        if _foreign(spec.get("task")):  # of somebody's own task no more is known here than its sizes
            sizes = {name: spec["task"].get(name) for name in ("dim", "examples", "queries")}
            spec = {**spec, "task": {**to_json(LinearRegression()), **sizes}}
        return from_json(TrainingSpec, spec, "spec", ours=True).model
    if unknown := sorted(spec.keys() - {"name", "task", "model"}):
        raise ValueError(
            f"spec has a field {shown(unknown[0])}, and only that of a training run has more than name, task, model."
        )
    if spec.get("task", spec) is not None:  # null: converted from somebody else's run, on a task that is not ours
        from_json(LinearRegression, spec.get("task"), "spec.task", ours=True)
    return from_json(TransformerConfig, spec.get("model"), "spec.model", ours=True)


def _hold(config: TransformerConfig, weights: dict[str, Tensor], name: str) -> Transformer:
    """A transformer that holds the weights; their shapes are checked before memory is taken for any."""
    layers = len({key.split(".")[1] for key in weights if key.startswith("blocks.")})
    if layers != config.layers:
        raise ValueError(
            f"model {shown(name)} must hold the weights of its own specification; it has {layers} layers, and the "
            f"specification {config.layers}."
        )
    try:
        with torch.device("meta"):
            model = Transformer(config)
    except RuntimeError as error:  # sizes whose product no machine can hold
        raise ValueError(f"model {shown(name)} must be of a size that can be built; {said(error)}") from error
    expected = {key: tuple(value.shape) for key, value in model.state_dict().items()}
    given = {key: tuple(value.shape) for key, value in weights.items() if value.is_floating_point()}
    if wrong := sorted(key for key in expected.keys() | given.keys() if expected.get(key) != given.get(key)):
        key = wrong[0]
        raise ValueError(
            f"model {shown(name)} must hold the weights of its own specification; {plain(key)} is {given.get(key, 'missing')} "
            f"there and {expected.get(key, 'nothing')} in the specification."
        )
    model.load_state_dict(weights, assign=True)
    return model

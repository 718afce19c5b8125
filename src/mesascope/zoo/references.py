"""Loads the subject that a model reference names: ``two-layer``, ``construction:…``, ``runs/…``, ``hf:…``, ``python:…``."""

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import torch
from torch import Tensor

import mesascope.tasks as tasks
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.checks import nearest
from mesascope.records.codec import from_json, to_json
from mesascope.records.lines import read_lines
from mesascope.records.parsing import Damaged
from mesascope.records.shown import said, shown
from mesascope.tasks import DigitRegression, GeneralisedLinearRegression, LinearRegression
from mesascope.training import LanguageSpec, TrainingSpec
from mesascope.types import Subject, spec_of
from mesascope.zoo.ladder import trained_here
from mesascope.zoo.language import load_language_model
from mesascope.zoo.own import load_own
from mesascope.zoo.revisions import load_revisions
from mesascope.zoo.shapes import check_shapes
from mesascope.zoo.shipped import WEIGHTS, checkpoints_of, is_language_model, names, place


def curve(reference: str) -> tuple[dict[str, float], ...]:
    """The training log, one mapping per line: ``step``, ``loss`` (mean since the previous line), ``learning_rate``.

    Prompts are new at every step, so the loss is measured on prompts that the network has not seen.

    Args:
        reference: a name in the zoo, or a run directory.

    Raises:
        ValueError: there is no log.
    """
    path = WEIGHTS / f"{reference}.metrics.jsonl" if reference in names() else Path(reference) / "metrics.jsonl"
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
            ``python:package.module:factory``, a callable without arguments that returns a subject; a pretrained language
            model (``smollm2``, ``hf:NAME_OR_DIR[@revision]``, ``gguf:FILE``), of which a pattern such as ``@step*`` gives the
            last revision with all others as its history; or a run directory or checkpoint.
        device: where a trained model computes.

    Raises:
        ValueError: no model has this reference (the message suggests similar names), or its options or checkpoint are unusable.
        BrokenSubject: the code of a ``python:`` reference raised an exception, or did not return a subject.
    """
    where = place(reference, tuple(CONSTRUCTIONS))
    if where is not None:
        return _trained(reference, where, device)
    if is_language_model(reference):
        several = reference.startswith("hf:") and any(sign in reference.partition("@")[2] for sign in "*,")
        return (load_revisions if several else load_language_model)(reference, device=device)
    kind, _, rest = reference.partition(":")
    return _construction(rest) if kind == "construction" else load_own(rest)


def default_task(subject: Subject) -> LinearRegression | GeneralisedLinearRegression | DigitRegression:
    """The task a subject was trained on, or one that fits its domain.

    Raises:
        ValueError: the subject was trained on a task that is not one of mesascope's.
    """
    spec = spec_of(subject)
    if isinstance(subject, TransformerSubject) and isinstance(spec, Mapping) and spec.get("task", spec) is None:
        raise ValueError(
            f"model {shown(subject.name)} was trained on {_origin(spec)}, which is not a linear regression of "
            "mesascope. State the task to examine it on: --task with a JSON file, or the argument task."
        )
    if isinstance(spec, Mapping) and isinstance(spec.get("task"), Mapping):
        for other in (GeneralisedLinearRegression, DigitRegression):
            if spec["task"].get("type") == other.__name__:
                return from_json(other, spec["task"], "spec.task")
        if _foreign(spec["task"]):
            raise ValueError(
                f"model {shown(subject.name)} was trained on {shown(spec['task']['type'])}, which is not a task of mesascope. "
                "State the task to examine it on: pass that task as an object, or --task with a JSON file of a linear regression."
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
    """Whether a specification's task is of a user's own class: it has sizes, and its type is not one of mesascope's tasks."""
    ours = {*tasks.__all__, *(finer.__name__ for finer in LinearRegression.__subclasses__())}
    if not isinstance(task, Mapping) or not isinstance(task.get("type"), str) or task["type"] in ours:
        return False
    return all(isinstance(task.get(name), int) for name in ("dim", "examples", "queries"))


def _origin(spec: Mapping[str, Any]) -> str:
    """The training task of a converted model, in the words of its record."""
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
                f"Write, for example, {key}={parameters[key].default}."
            ) from None
    return make(**options)


def _read(path: Path) -> Checkpoint:
    """A run directory's final weights, or else its last checkpoint; or a single checkpoint, given by its stem."""
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
    if found.spec.get("type") == LanguageSpec.__name__:
        return trained_here(found, name, device=device, checkpoints=_checkpoints(where, device))
    try:
        config = _config(found.spec)
    except ValueError as error:
        raise ValueError(f"model {shown(name)} cannot be read: {error}") from error
    model = _hold(config, found.weights, name)
    if any(not bool(torch.isfinite(p).all()) for p in model.parameters()):
        raise ValueError(f"model {shown(name)} must have finite weights; it holds NaN or infinity. Train it again.")
    spec = {**found.spec, "step": found.step, "extra": found.extra}
    return TransformerSubject(name=name, model=model.to(device), spec=spec, checkpoints=_checkpoints(where, device))


def _checkpoints(where: Path, device: str) -> dict[int, Callable[[], Subject]]:
    """By step, what loads a checkpoint of a run directory, or one that ships; none of a checkpoint itself."""
    if where.parent == WEIGHTS:
        at = {step: where.with_name(f"{where.name}-step-{step}") for step in checkpoints_of(where.name)}
    elif (folder := where / "checkpoints").is_dir():
        at = {step: checkpoints.stem(folder, step) for step in checkpoints.steps(folder)}
    else:
        return {}
    return {step: functools.partial(_trained, path.name, path, device) for step, path in at.items()}


def _config(spec: Mapping[str, Any]) -> TransformerConfig:
    """The architecture from the specification of a training run, or from that of a conversion, which has fewer fields.

    Raises:
        ValueError: a field is missing or unknown.
    """
    if spec.get("type") == TrainingSpec.__name__:
        if _foreign(spec.get("task")):  # of a user's own task only the sizes are known here
            sizes = {name: spec["task"].get(name) for name in ("dim", "examples", "queries")}
            spec = {**spec, "task": {**to_json(LinearRegression()), **sizes}}
        return from_json(TrainingSpec, spec, "spec", ours=True).model
    if unknown := sorted(spec.keys() - {"name", "task", "model"}):
        raise ValueError(
            f"spec has a field {shown(unknown[0])}, but only a training run's spec has fields besides name, task, model."
        )
    if (
        spec.get("task", spec) is not None
    ):  # null: converted from another project's run, on a task that mesascope does not have
        from_json(LinearRegression, spec.get("task"), "spec.task", ours=True)
    return from_json(TransformerConfig, spec.get("model"), "spec.model", ours=True)


def _hold(config: TransformerConfig, weights: dict[str, Tensor], name: str) -> Transformer:
    """A transformer with the given weights; their shapes are checked before any memory is allocated."""
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
    check_shapes(model, weights, name)
    model.load_state_dict(weights, assign=True)
    return model

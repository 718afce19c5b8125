"""Conversion of other projects' checkpoints: the GPT-2 models of Garg et al. 2022, from ``.pt`` files."""

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mesascope.models import TransformerConfig
from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import from_json, to_json
from mesascope.records.directories import Holds, check, claim
from mesascope.records.provenance import provenance
from mesascope.records.shown import shown
from mesascope.records.store import read_json, sha256
from mesascope.zoo import run_config
from mesascope.zoo.assumptions import HEADS, POSITIONS, Choice, Training, doubts, examples, heads, in_words
from mesascope.zoo.run_config import RunConfig
from mesascope.zoo.unwrapping import few, read

log = logging.getLogger("mesascope")
HOLDS: Holds = "a conversion"
STATE = "state.pt"
"""The file name of a checkpoint in their training loop."""

FIXED: dict[str, Any] = {
    "activation": "gelu_tanh",
    "norm": True,
    "final_norm": True,
    "attention": "softmax",
    "tokens": "interleaved",
    "mask": "causal",
    "positions": True,
    "answers": "everywhere",
}
"""The configuration that all GPT-2 models of Garg et al. share, whatever their size."""

BLOCK = {
    "ln_1": "norm_attention",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "norm_mlp",
    "mlp.c_fc": "mlp.0",
    "mlp.c_proj": "mlp.2",
}
"""The parts of a block: their names and ours."""

IGNORED = re.compile(r"_backbone\.(wte\.weight|h\.\d+\.attn\.(bias|masked_bias))")
"""The word embedding, which these models never use, and the causal mask, which old versions stored."""


def convert(checkpoint: Path, out: Path, *, like: str | None = None) -> Path:
    """Convert a checkpoint of Garg et al.'s code (dtsip/in-context-learning) into a mesascope checkpoint.

    The file is their ``state.pt``, a model's state dict, or either as wrapped by DataParallel, torch.compile or Lightning; the
    wrappers that are removed are reported. Everything is read off the weights except three things. These come from ``like``,
    else from the run's ``config.yaml`` beside the file; else they are assumed, with a warning. *Heads*: assumed from layers and
    width for the three sizes of the paper; for other sizes they must be given. *Examples*: the optimiser's state, if the file
    has one, shows how many positions training reached (their curriculum stops at 41 points in a model that has positions for
    101); without it and without a configuration, as many as the model has positions for. *The task*: assumed to be theirs,
    linear regression with w ~ N(0, I). A model that was trained on something else is converted too, but examined only on a
    task that the user supplies.

    A model of the same shape that is not a GPT-2 (their own variant with ReLU instead of softmax) differs only in its
    configuration, so it is not recognised without one.

    Args:
        checkpoint: the ``.pt`` file, or the directory of a run that holds a ``state.pt``.
        out: directory for ``model.safetensors`` and ``model.json``: new, empty, or made by an earlier conversion.
        like: a JSON file with a TransformerConfig, or with only the fields to set, such as
            ``{"heads": 4}``.

    Returns:
        ``out``, which is a model reference; `told` says what was assumed.

    Raises:
        ValueError: no such file, not a file of tensors, not such a model, an unknown number of heads, a ``like`` or a
            configuration that contradicts the weights, or a directory that mesascope did not make. Nothing is written then.
        OSError: the disk is full or not writable.

    Source: Garg et al. 2022, section 3; the released code's ``models.py`` and ``train.py``.
    """
    check(out, HOLDS)
    checkpoint = _file(checkpoint)
    unwrapped = read(checkpoint)
    given = unwrapped.weights
    read_off = _read_off(given, checkpoint)
    run = run_config.beside(checkpoint)
    if run is not None:
        _check_run(run, read_off, given)
    wanted = {} if like is None else _wanted(Path(like))
    training = Training.of(unwrapped.beside, given)
    choices = {
        "heads": heads(run, read_off["layers"], read_off["width"]),
        "examples": examples(run, training, read_off["examples"]),
    }
    config = _config(
        read_off, {name: c.value for name, c in choices.items() if c.value is not None}, wanted, checkpoint
    )
    tensors = _translate(given, config, checkpoint)
    task = run_config.task(run, dim=config.dim, examples=config.examples)
    said = [c.doubt for name, c in choices.items() if c.doubt and name not in wanted] + doubts(run, training, task)
    trained_on = in_words(run, task)
    converted = Checkpoint(
        step=training.step or 0,
        spec={"name": checkpoint.stem, "task": None if task is None else to_json(task), "model": to_json(config)},
        tensors={f"model.{name}": value for name, value in tensors.items()},
        extra={
            "converted_from": {
                "file": checkpoint.name,
                "sha256": sha256(checkpoint),
                "config_sha256": None if run is None else sha256(run.path),
                "train_step": training.step,
                "format": "Garg et al. 2022, dtsip/in-context-learning",
                "positions": given[POSITIONS].shape[0],
                "examples_trained": training.examples,
                "trained_on": trained_on,
                "taken": [
                    *unwrapped.stripped,
                    *(_taken(name, getattr(config, name), choice, wanted) for name, choice in choices.items()),
                    f"task: {trained_on}, from {'the paper' if run is None else run.path.name}",
                ],
                "doubts": said,
            },
            "provenance": provenance(),
        },
    )
    with claim(out, HOLDS) as directory:
        checkpoints.write(directory / "model", converted)
    for doubt in said:
        log.warning("%s: %s", shown(checkpoint), doubt)
    return out


def told(out: Path) -> list[str]:
    """What a conversion removed, and the source of each assumed property, as recorded beside the weights."""
    return list(checkpoints.read_meta(out / "model")["extra"]["converted_from"]["taken"])


def _taken(name: str, value: int, choice: Choice, wanted: Mapping[str, Any]) -> str:
    if name not in wanted:
        return f"{name}: {value}, from {choice.source}"
    instead = "" if choice.value in (None, value) else f" instead of {choice.value} from {choice.source}"
    return f"{name}: {value}, from --like{instead}"


def _file(checkpoint: Path) -> Path:
    """The file itself, or the ``state.pt`` of a run's directory."""
    if not os.path.isdir(checkpoint):  # unlike Path.is_dir, also False for a name that is too long
        return checkpoint
    if (checkpoint / STATE).is_file():
        return checkpoint / STATE
    others = sorted(path.name for path in checkpoint.glob("*.pt"))
    remedy = f"Name the file to convert: {few(others)}." if others else "It holds no .pt file at all."
    raise ValueError(
        f"checkpoint must be a .pt file, or a directory with a {STATE}; there is no file {str(checkpoint / STATE)!r}. {remedy}"
    )


def _check_run(run: RunConfig, read_off: Mapping[str, int], given: Mapping[str, Any]) -> None:
    """Check that a configuration belongs to these weights."""
    rows = {"positions": given[POSITIONS].shape[0] / 2} | {name: read_off[name] for name in ("dim", "layers", "width")}
    for name, found in rows.items():
        if run.sizes[name] != found:
            raise ValueError(
                f"{run.path} must be the configuration of these weights; it says {name} {run.sizes[name]}, and they have "
                f"{found:g}. Put the right one there, or move it away and pass the known fields with --like."
            )


def _read_off(given: Mapping[str, Any], path: Path) -> dict[str, int]:
    """The sizes that the weights show; ``examples`` is the largest number that the positions allow."""

    def shape(name: str) -> torch.Size:
        value = given.get(name)
        if not isinstance(value, Tensor) or value.ndim != 2:
            held = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else "none"
            raise ValueError(
                f"checkpoint must hold a matrix {name}; {path} has {held} there. Save the whole state dict."
            )
        return value.shape

    numbers = (re.match(r"_backbone\.h\.(\d+)\.", str(name)) for name in given)
    width, dim = shape("_read_in.weight")
    positions = shape(POSITIONS)[0]
    if positions < 3:
        raise ValueError(f"checkpoint must have positions for x₁, y₁ and a query; {path} has {positions}.")
    return {
        "dim": dim,
        "examples": (positions - 1) // 2,
        "layers": len({match[1] for match in numbers if match}),
        "width": width,
        "feedforward": shape("_backbone.h.0.mlp.c_fc.weight")[1],
    }


def _wanted(like: Path) -> dict[str, Any]:
    """The fields that the user sets with ``like``."""
    if not os.path.isfile(like):
        raise ValueError(f"like must be a JSON file with a TransformerConfig; there is no file {shown(str(like))}.")
    wanted = read_json(like)
    if not isinstance(wanted, dict):
        raise ValueError(
            f"like must hold a JSON object with fields of a TransformerConfig; {like} holds {shown(wanted)}."
        )
    return wanted


def _config(
    read_off: Mapping[str, int], chosen: Mapping[str, Any], wanted: Mapping[str, Any], path: Path
) -> TransformerConfig:
    """The architecture, with the user's fields; they must not contradict the weights."""
    fields = {**FIXED, **read_off, **chosen, **wanted}
    config = from_json(TransformerConfig, {"heads": 1, **fields}, "like" if wanted else str(path))
    if "heads" not in fields:
        layers, width = read_off["layers"], read_off["width"]
        known = "; ".join(f"{number} for {depth} layers of width {size}" for (depth, size), number in HEADS.items())
        raise ValueError(
            f"heads cannot be read off the weights, and {path} has none of the paper's sizes ({known}), but {layers} layers of "
            f"width {width}. Put the run's {run_config.NAME} beside it, or pass --like with a JSON file that holds its number "
            'of heads, as in {"heads": 4}.'
        )
    for name, value in {**FIXED, **read_off}.items():
        if name != "examples" and (asked := getattr(config, name)) != value:
            raise ValueError(
                f"{name} must be {value!r} for {path}; like says {shown(asked)}. Leave it out: only heads and examples are "
                "not in the weights."
            )
    if config.examples > read_off["examples"]:
        raise ValueError(
            f"examples must be at most {read_off['examples']}, for which {path} has positions; like says {config.examples}. "
            f"Pass {read_off['examples']} or less."
        )
    return config


def _translate(given: Mapping[str, Any], config: TransformerConfig, path: Path) -> dict[str, Tensor]:
    """The weights in our names and layout: GPT-2 stores matrices as (input, output), PyTorch as (output, input)."""
    width, inner = config.width, config.feedforward
    sizes = {"attn.c_attn": (width, 3 * width), "attn.c_proj": (width, width)}
    sizes |= {"mlp.c_fc": (width, inner), "mlp.c_proj": (inner, width)}
    # theirs: (ours, shape in the file, whether it is transposed here)
    table: dict[str, tuple[str, tuple[int, ...], bool]] = {
        "_read_in.weight": ("embed.weight", (width, config.dim), False),
        "_read_in.bias": ("embed.bias", (width,), False),
        "_backbone.ln_f.weight": ("final_norm.weight", (width,), False),
        "_backbone.ln_f.bias": ("final_norm.bias", (width,), False),
        "_read_out.weight": ("unembed.weight", (1, width), False),
        "_read_out.bias": ("unembed.bias", (1,), False),
    }
    for layer in range(config.layers):
        for theirs, ours in BLOCK.items():
            shape = sizes.get(theirs, (width,))
            name, new = f"_backbone.h.{layer}.{theirs}", f"blocks.{layer}.{ours}"
            table[f"{name}.weight"] = (f"{new}.weight", shape, theirs in sizes)
            table[f"{name}.bias"] = (f"{new}.bias", shape[-1:], False)
    places = given[POSITIONS]
    table[POSITIONS] = ("position", (len(places), width), False)

    missing = [name for name in table if name not in given]
    if missing:
        raise ValueError(
            f"checkpoint must hold all weights of the model; {path} lacks {few(missing)}. Save the whole state dict."
        )
    unknown = [str(name) for name in given if name not in table and not IGNORED.fullmatch(str(name))]
    if unknown:
        raise ValueError(
            f"checkpoint must hold a GPT-2 of Garg et al.'s code and nothing else; {path} also has {few(unknown)}. Save the "
            "state dict without them if they are not part of it; load another model as python:module:factory."
        )
    converted: dict[str, Tensor] = {}
    for theirs, (ours, shape, transposed) in table.items():
        value = given[theirs]
        if not isinstance(value, Tensor) or tuple(value.shape) != shape or not value.is_floating_point():
            held = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)
            raise ValueError(
                f"{theirs} must hold numbers of shape {shape} to go with the other weights; {path} has {held}."
            )
        if not bool(torch.isfinite(value).all()):
            raise ValueError(
                f"{theirs} must be finite; {path} holds NaN or infinity there. Take an earlier checkpoint."
            )
        converted[ours] = (value.T if transposed else value).float()
    converted["position"] = converted["position"][: 2 * config.examples + 1]
    return converted

"""Other people's checkpoints, converted once: the GPT-2 models of Garg et al. 2022, from ``.pt`` files.

A ``.pt`` file is a pickle, and a pickle is a program. It is read weights-only: what holds anything but tensors and
plain values is refused, and nothing in it runs.
"""

import logging
import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
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
from mesascope.tasks import LinearRegression

log = logging.getLogger("mesascope")

HOLDS: Holds = "a conversion"
HEADS = {(3, 64): 2, (6, 128): 4, (12, 256): 8}
"""Garg et al.'s sizes: heads by (layers, width)."""

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
"""What every GPT-2 of Garg et al. is, whatever its size."""

BLOCK = {
    "ln_1": "norm_attention",
    "attn.c_attn": "attention.qkv",
    "attn.c_proj": "attention.out",
    "ln_2": "norm_mlp",
    "mlp.c_fc": "mlp.0",
    "mlp.c_proj": "mlp.2",
}
"""The parts of a block, theirs and ours."""

IGNORED = re.compile(r"_backbone\.(wte\.weight|h\.\d+\.attn\.(bias|masked_bias))")
"""The embedding of words, which these models never use, and the causal mask, which old versions stored."""


def convert(checkpoint: Path, out: Path, *, like: str | None = None) -> Path:
    """Convert a checkpoint of Garg et al.'s code (dtsip/in-context-learning) into one of ours.

    The file is either their ``state.pt`` or a model's state dict. All is read off the weights but two things. *Heads*:
    by layers and width, for the three sizes of the paper. *Examples*: an optimiser's state, where the file has one,
    shows how many positions training reached (their curriculum stops at 41 points in a model that has positions for
    101); without it, as many as the model has positions for. ``like`` overrides both. The task is theirs, linear
    regression with w ~ N(0, I): a file does not say what else a model was trained on.

    A model of the same shape that is no GPT-2 (their own variant with ReLU in place of softmax) cannot be told from it.

    Args:
        checkpoint: the ``.pt`` file.
        out: directory for ``model.safetensors`` and ``model.json``: new, empty, or made by an earlier conversion.
        like: a JSON file with a TransformerConfig, or with those of its fields that are to be set, such as
            ``{"heads": 4}``.

    Returns:
        ``out``, which is a model reference.

    Raises:
        ValueError: no such file, not a file of tensors, not such a model, heads that cannot be known, a ``like`` that
            contradicts the weights, or a directory that is not ours. Nothing is written then.
        OSError: the disk is full or not writable.

    Source: Garg et al. 2022, section 3; the released code's ``models.py`` and ``train.py``.
    """
    check(out, HOLDS)
    whole = _load(checkpoint)
    given = _state_dict(whole, checkpoint)
    read = _read_off(given, checkpoint)
    most, trained = read["examples"], _examples_trained(whole, given)
    wanted = {} if like is None else _wanted(Path(like))
    config = _config(read | {"examples": min(trained or most, most)}, wanted, most, checkpoint)
    tensors = _translate(given, config, checkpoint)
    step = whole.get("train_step") if given is not whole else None
    task = LinearRegression(dim=config.dim, examples=config.examples, weights="standard")
    converted = Checkpoint(
        step=step if isinstance(step, int) and step >= 0 else 0,
        spec={"name": checkpoint.stem, "task": to_json(task), "model": to_json(config)},
        tensors={f"model.{name}": value for name, value in tensors.items()},
        extra={
            "converted_from": {
                "file": checkpoint.name,
                "sha256": sha256(checkpoint),
                "train_step": step if isinstance(step, int) else None,
                "format": "Garg et al. 2022, dtsip/in-context-learning",
                "positions": given["_backbone.wpe.weight"].shape[0],
                "examples_trained": trained,
            },
            "provenance": provenance(),
        },
    )
    with claim(out, HOLDS) as directory:
        checkpoints.write(directory / "model", converted)
    if trained is None and "examples" not in wanted:
        log.warning(
            "%s does not say how many examples its model was trained on: the %d that it has positions for are taken. "
            'If it saw fewer, convert it with --like and a JSON file of {"examples": 40}, say.',
            checkpoint,
            config.examples,
        )
    return out


def _load(path: Path) -> dict[str, Any]:
    """What the file holds, tensors and plain values only."""
    if not os.path.isfile(path):  # also of a name that is too long to be one
        raise ValueError(f"checkpoint must be a .pt file; there is no file {shown(str(path))}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about formats that are on the way out: they are read, or raise below
            found = torch.load(path, map_location="cpu", weights_only=True)
            damaged = zipfile.ZipFile(path).testzip() if zipfile.is_zipfile(path) else None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # pickle, zipfile and torch raise half a dozen classes, by the kind of damage
        text = str(error)
        if (code := re.search(r"GLOBAL ([\w.]+)", text)) is not None:
            raise ValueError(
                f"checkpoint must hold tensors and plain values only; {path} needs {code[1]} to be read, and code from "
                "a file is never run. Where you trust it, save torch.save(model.state_dict(), 'weights.pt') there."
            ) from error
        inner = re.search(r"WeightsUnpickler error:\s*(.+)", text)  # torch's advice around it is not ours
        reason = inner[1] if inner else f"{type(error).__name__}: {text.strip()}".splitlines()[0].split(". ")[0]
        raise ValueError(
            f"checkpoint must be a .pt file as torch.save writes it; {path} cannot be read ({reason}). Fetch it again."
        ) from error
    if not isinstance(found, dict):
        raise ValueError(
            f"checkpoint must hold a state dict; {path} holds a {type(found).__name__}. "
            "Save torch.save(model.state_dict(), 'weights.pt')."
        )
    if damaged is not None:  # torch does not look at the checksums
        raise ValueError(
            f"checkpoint must be whole; in {shown(path)}, {shown(damaged)} is damaged. Fetch the file again."
        )
    if any(tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized for tensor in _tensors(found)):
        raise ValueError(
            f"checkpoint must hold dense tensors, with their numbers; {path} holds sparse or quantised ones, or shapes "
            "alone. Save those of the model as it was trained."
        )
    return found


def _tensors(whole: object) -> Iterator[Tensor]:
    """Every tensor in what a file holds, however deep; what holds itself is passed once."""
    waiting, passed = [whole], set()
    while waiting:
        held = waiting.pop()
        if isinstance(held, Tensor):
            yield held
        elif isinstance(held, Mapping | list | tuple) and id(held) not in passed:
            passed.add(id(held))
            waiting += held.values() if isinstance(held, Mapping) else held


def _state_dict(whole: dict[str, Any], path: Path) -> dict[str, Any]:
    """The model's weights: the whole, or a part of it."""
    given = whole.get("model_state_dict", whole)
    if not isinstance(given, dict) or "_read_in.weight" not in given:
        names = ", ".join(map(str, list(given)[:4])) if isinstance(given, Mapping) else repr(given)
        raise ValueError(
            f"checkpoint must hold a GPT-2 of Garg et al.'s code (_read_in, _backbone, _read_out), alone or under "
            f"model_state_dict; {path} holds {names or 'nothing'}. Bring another model as python:module:factory."
        )
    return given


def _read_off(given: Mapping[str, Any], path: Path) -> dict[str, int]:
    """The sizes that the weights show; ``examples`` is the most that there are positions for."""

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
    positions = shape("_backbone.wpe.weight")[0]
    if positions < 3:
        raise ValueError(f"checkpoint must have positions for x₁, y₁ and a query; {path} has {positions}.")
    return {
        "dim": dim,
        "examples": (positions - 1) // 2,
        "layers": len({match[1] for match in numbers if match}),
        "width": width,
        "feedforward": shape("_backbone.h.0.mlp.c_fc.weight")[1],
    }


def _examples_trained(whole: Mapping[str, Any], given: Mapping[str, Any]) -> int | None:
    """How many examples training showed before a query, from Adam's second moments; None where there are none.

    A position that no prompt reached never had a gradient. Nor did the last label of the longest prompt, which no
    answer sees.
    """
    optimiser = whole.get("optimizer_state_dict")
    names = [str(name) for name in given if not re.search(r"\.attn\.(bias|masked_bias)$", str(name))]
    number = names.index("_backbone.wpe.weight")  # parameters are numbered as the state dict lists them
    state = optimiser.get("state") if isinstance(optimiser, Mapping) else None
    entry = state.get(number) if isinstance(state, Mapping) else None
    moments = entry.get("exp_avg_sq") if isinstance(entry, Mapping) else None
    if not isinstance(moments, Tensor) or moments.shape != given["_backbone.wpe.weight"].shape:
        return None
    return (int((moments != 0).any(1).sum()) - 1) // 2 or None


def _wanted(like: Path) -> dict[str, Any]:
    """The fields that the user sets."""
    if not os.path.isfile(like):
        raise ValueError(f"like must be a JSON file with a TransformerConfig; there is no file {shown(str(like))}.")
    wanted = read_json(like)
    if not isinstance(wanted, dict):
        raise ValueError(
            f"like must hold a JSON object with fields of a TransformerConfig; {like} holds {shown(wanted)}."
        )
    return wanted


def _config(read: dict[str, int], wanted: dict[str, Any], most: int, path: Path) -> TransformerConfig:
    """The architecture: what the user wants, where the weights do not contradict it."""
    size = (read["layers"], read["width"])
    heads = {"heads": HEADS[size]} if size in HEADS else {}
    fields = {**FIXED, **read, **heads, **wanted}
    config = from_json(TransformerConfig, {"heads": 1, **fields}, "like" if wanted else str(path))
    if "heads" not in fields:
        known = "; ".join(f"{number} for {layers} layers of width {width}" for (layers, width), number in HEADS.items())
        raise ValueError(
            f"heads cannot be read off the weights, and {path} has none of the paper's sizes ({known}), but {size[0]} "
            f'layers of width {size[1]}. Pass --like with a JSON file of {{"heads": 4}}, or what it was trained with.'
        )
    for name, value in {**FIXED, **read}.items():
        if name != "examples" and (asked := getattr(config, name)) != value:
            raise ValueError(
                f"{name} must be {value!r} for {path}; like says {shown(asked)}. Leave it out: only heads and examples are "
                "not in the weights."
            )
    if config.examples > most:
        raise ValueError(
            f"examples must be at most {most}, for which {path} has positions; like says {config.examples}. "
            f"Pass {most} or less."
        )
    return config


def _translate(given: Mapping[str, Any], config: TransformerConfig, path: Path) -> dict[str, Tensor]:
    """Our names and layout: GPT-2 keeps its matrices (input, output), PyTorch's linear layers (output, input)."""
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
    places = given["_backbone.wpe.weight"]
    table["_backbone.wpe.weight"] = ("position", (len(places), width), False)

    missing = [name for name in table if name not in given]
    if missing:
        raise ValueError(
            f"checkpoint must hold all weights of the model; {path} lacks {_few(missing)}. Save the whole state dict."
        )
    unknown = [str(name) for name in given if name not in table and not IGNORED.fullmatch(str(name))]
    if unknown:
        raise ValueError(
            f"checkpoint must hold a GPT-2 of Garg et al.'s code and nothing else; {path} also has {_few(unknown)}. "
            "Bring another model as python:module:factory."
        )
    converted: dict[str, Tensor] = {}
    for theirs, (ours, shape, transposed) in table.items():
        value = given[theirs]
        if not isinstance(value, Tensor) or tuple(value.shape) != shape or not value.is_floating_point():
            held = f"{value.dtype} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
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


def _few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")

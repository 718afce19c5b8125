"""Other projects' ``.pt`` files: they are read weights-only, and the state dict is found inside its wrappers.

A ``.pt`` file is a pickle, and a pickle is a program. A file with anything except tensors and plain values is refused, and
no code in it runs.
"""

import os
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mesascope.records.shown import plain, shown

SIGN = "_read_in.weight"
"""A tensor that every model of Garg et al.'s code has."""
HOLDERS = ("model_state_dict", "state_dict", "model")
"""Keys under which training loops store a state dict: that of Garg et al., Lightning, and many others."""
WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "model")
"""Parts that DataParallel, torch.compile, FSDP and Lightning add to names, at the start or in the middle."""
HEAD = re.compile(r"(_backbone\.)?lm_head\.weight")
"""The output layer over words of a GPT-2 for language, which these models never use."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Unwrapped:
    """A model's weights under their own names.

    Attributes:
        weights: the state dict.
        beside: the other entries of the file, such as an optimiser's state; empty if the file is only a state dict.
        stripped: what was removed or left out, in words.
    """

    weights: Mapping[str, Any]
    beside: Mapping[str, Any]
    stripped: tuple[str, ...]


def read(path: Path) -> Unwrapped:
    """Read the weights in a file.

    Raises:
        ValueError: no such file, not a file of tensors, or no such weights in it.
        OSError: it cannot be read.
    """
    whole = plain_content(path)
    places = dict(_places(whole))
    if not places:
        raise ValueError(_remedy(whole, path))
    if len(places) > 1:
        first = "".join(f"[{key!r}]" for key in next(reversed(places)).split("."))
        raise ValueError(
            f"checkpoint must hold one model; {path} has one under each of {', '.join(places)}. Save only one, "
            f"for example with torch.save(checkpoint{first}, 'weights.pt')."
        )
    [(holder, given)] = places.items()
    kept = {str(name): _own_name(str(name)) for name in given}
    if len(set(kept.values())) < len(kept):
        once = set[str]()
        twice = next(own for own in kept.values() if own in once or once.add(own))
        both = " and ".join(name for name, own in kept.items() if own == twice)
        raise ValueError(
            f"checkpoint must hold one model; {path} holds {both}, which are both {twice}. Save only one of them."
        )
    weights = {own: given[name] for name, own in kept.items() if not HEAD.fullmatch(own)}
    stripped = [f"taken from {holder!r}"] if holder else []
    taken = [
        part for part in (*WRAPPERS, "transformer") if any(part in _parts_off(name, own) for name, own in kept.items())
    ]
    if taken:
        stripped.append(f"{', '.join(f'{part}.' for part in taken)} taken off the names")
    stripped += [f"{own} left out, which is for words" for own in kept.values() if HEAD.fullmatch(own)]
    return Unwrapped(weights=weights, beside=whole if holder else {}, stripped=tuple(stripped))


def few(names: list[str]) -> str:
    """The first three names, and how many more there are."""
    return ", ".join(map(plain, names[:3])) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def plain_content(path: Path) -> dict[str, Any]:
    """The content of the file, which may be tensors and plain values only."""
    if not os.path.isfile(path):  # unlike Path.is_file, also False for a name that is too long
        raise ValueError(f"checkpoint must be a .pt file; there is no file {shown(str(path))}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about deprecated formats: they are read, or raise below
            found = torch.load(path, map_location="cpu", weights_only=True)
            damaged = zipfile.ZipFile(path).testzip() if zipfile.is_zipfile(path) else None
    except (OSError, MemoryError):
        raise
    except Exception as error:  # pickle, zipfile and torch raise half a dozen classes, depending on the damage
        text = str(error)
        if (code := re.search(r"GLOBAL ([\w.]+)", text)) is not None:
            raise ValueError(
                f"checkpoint must hold tensors and plain values only; {path} needs {code[1]} to be read, and code from "
                "a file is never run. If you trust it, load it there and save torch.save(model.state_dict(), 'weights.pt')."
            ) from error
        inner = re.search(r"WeightsUnpickler error:\s*(.+)", text)  # without torch's advice around it
        reason = inner[1] if inner else f"{type(error).__name__}: {text.strip()}".splitlines()[0].split(". ")[0]
        raise ValueError(
            f"checkpoint must be a .pt file as torch.save writes it; {path} cannot be read ({reason}). Download it again."
        ) from error
    if not isinstance(found, dict):
        raise ValueError(
            f"checkpoint must hold a state dict; {path} holds a {type(found).__name__}. "
            "Save torch.save(model.state_dict(), 'weights.pt')."
        )
    if damaged is not None:  # torch does not look at the checksums
        raise ValueError(
            f"checkpoint must be whole; in {shown(path)}, {shown(damaged)} is damaged. Download the file again."
        )
    if any(tensor.is_meta or tensor.layout != torch.strided or tensor.is_quantized for tensor in _tensors(found)):
        raise ValueError(
            f"checkpoint must hold dense tensors with values; {path} holds sparse or quantised tensors, or shapes without "
            "values. Save the tensors of the model as it was trained."
        )
    return found


def _tensors(whole: object) -> Iterator[Tensor]:
    """Every tensor in a file's content, at any depth; a container that contains itself is visited once."""
    waiting, passed = [whole], set()
    while waiting:
        held = waiting.pop()
        if isinstance(held, Tensor):
            yield held
        elif isinstance(held, Mapping | list | tuple) and id(held) not in passed:
            passed.add(id(held))
            waiting += held.values() if isinstance(held, Mapping) else held


def _places(held: Mapping[Any, Any], place: str = "", depth: int = 3) -> Iterator[tuple[str, Mapping[Any, Any]]]:
    """Every state dict of such a model with its place: ``a.b`` for nested keys, empty for the whole file."""
    if any(_own_name(str(name)) == SIGN for name in held):
        yield place, held
        return
    for name in HOLDERS if depth else ():
        if isinstance(inner := held.get(name), Mapping):
            yield from _places(inner, f"{place}.{name}" if place else name, depth - 1)


def _own_name(name: str) -> str:
    """A tensor's name without the parts that wrappers added."""
    own = ".".join(part for part in name.split(".") if part not in WRAPPERS)
    return re.sub(r"^_backbone\.transformer\.", "_backbone.", own)


def _parts_off(name: str, own: str) -> set[str]:
    return set(name.split(".")) - set(own.split("."))


def _remedy(whole: Mapping[Any, Any], path: Path) -> str:
    """The error message for a file in which no such model was found: it names a likely place for the model, and a remedy."""
    rule = (
        "checkpoint must hold a GPT-2 of Garg et al.'s code (_read_in, _backbone, _read_out), alone or under "
        f"{', '.join(HOLDERS)}"
    )
    for key, value in whole.items():
        if isinstance(value, Mapping) and any(_own_name(str(name)) == SIGN for name in value):
            return (
                f"{rule}; {path} has one under {shown(key)}. Save torch.save(checkpoint[{shown(key)}], 'weights.pt')."
            )
    for holder in (whole, *(whole[name] for name in HOLDERS if isinstance(whole.get(name), Mapping))):
        for name in map(str, holder):
            if name.endswith(f".{SIGN}"):
                before = name.removesuffix(SIGN)
                return (
                    f"{rule}; in {path} the names begin with {shown(before)}, which is an unknown prefix. Save them without it: "
                    f"{{name.removeprefix({shown(before)}): value for name, value in state_dict.items()}}."
                )
    inner = next((whole[name] for name in HOLDERS if name in whole), whole)
    holds = few([str(name) for name in inner]) if isinstance(inner, Mapping) else shown(inner)
    return f"{rule}; {path} holds {holds or 'nothing'}. Load another model as python:module:factory."

"""Shipped models, and what a model reference names, judged by file names only. Fast to import: no model is loaded."""

import importlib.util
import os
import re
from collections.abc import Sequence
from pathlib import Path

from mesascope.records.checks import nearest
from mesascope.records.shown import shown

WEIGHTS = Path(__file__).parent / "weights"
"""What ships. A run's network comes here by ``checkpoint.write(WEIGHTS / NAME, checkpoint.read(RUN / "model"))``; its metrics
are copied."""
_CHECKPOINT = re.compile(r"-step-(\d+)$")
PRETRAINED = ("smollm2",)
"""The names of pretrained language models, which are downloaded once and kept in the user's cache."""
FOREIGN = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


def names() -> list[str]:
    """The names of the shipped trained models."""
    return sorted(name for name in _shipped() if not _CHECKPOINT.search(name))


def checkpoints_of(name: str) -> tuple[int, ...]:
    """The training steps of a model's shipped checkpoints, without the last, ascending; reference: ``NAME-step-STEP``."""
    held = (_CHECKPOINT.search(each) for each in _shipped() if each.startswith(f"{name}-step-"))
    return tuple(sorted(int(match[1]) for match in held if match))


def place(reference: str, constructions: Sequence[str]) -> Path | None:
    """The path of a trained model: a checkpoint's stem, or a run directory. None for a construction, a language
    model or a user's own subject.

    Args:
        reference: see `mesascope.zoo.load`.
        constructions: the names that ``construction:NAME`` can have.

    Raises:
        ValueError: no model has this reference; the message suggests similar names.
    """
    if not reference:
        raise ValueError(f"model must be a model reference; got an empty one. The zoo has {', '.join(names())}.")
    kind, _, rest = reference.partition(":")
    if kind == "construction":
        name = rest.partition("?")[0]
        if name not in constructions:
            raise ValueError(
                f"construction must be one of {', '.join(constructions)}; got {shown(name)}.{nearest(name, [*constructions])}"
            )
        return None
    if kind == "python":
        return None
    if is_language_model(reference):
        _check_language_model(reference, rest)
        return None
    where = WEIGHTS / reference if reference in _shipped() else _find(Path(reference))
    if where is None:
        known = [*names(), *PRETRAINED, *(f"construction:{name}" for name in constructions)]
        raise ValueError(
            f"model must be a name in the zoo ({', '.join((*names(), *PRETRAINED))}), construction:NAME, "
            "hf:NAME_OR_DIR, gguf:FILE, python:module:factory, or a run directory or checkpoint; nothing is called "
            f"{shown(reference)}.{nearest(reference, known)}"
        )
    return where


def is_language_model(reference: str) -> bool:
    """Whether a reference names a pretrained language model: a name, ``hf:…`` or ``gguf:…``."""
    return reference in PRETRAINED or reference.partition(":")[0] in ("hf", "gguf")


def _check_language_model(reference: str, rest: str) -> None:
    """Check what can be checked of a language model's reference without loading anything.

    Raises:
        ValueError: it names nothing, there is no such file, or transformers is not installed.
    """
    if reference not in PRETRAINED and not rest.partition("@")[0]:
        raise ValueError(
            f"model must be hf:NAME_OR_DIR or gguf:FILE; got {shown(reference)}. Name a directory or a file."
        )
    if reference.startswith("gguf:") and not os.path.isfile(
        rest
    ):  # unlike Path.is_file, also False for a name too long
        raise ValueError(f"model must be a GGUF file; there is no file {shown(rest)}.")
    if importlib.util.find_spec("transformers") is None:
        raise ValueError(
            f"model {shown(reference)} needs the package transformers, which is not installed: pip install 'mesascope[lm]'."
        )


def _shipped() -> set[str]:
    return {path.stem for path in WEIGHTS.glob("*.safetensors")}


def _find(path: Path) -> Path | None:
    """The run directory or checkpoint stem for a path, which may be the directory, the stem, or one of the two files."""
    try:
        if path.is_dir():
            return path
        if path.parent.is_dir() and (path.parent / f"{path.name}.json").is_file():
            return path
        if not path.exists():
            return None
    except OSError as error:  # for example, the name is too long
        raise ValueError(
            f"model must be a model reference; {shown(str(path))} is not one ({error.strerror})."
        ) from error
    which = f"model {shown(str(path))} must be a run directory or a checkpoint"
    if path.suffix in FOREIGN:
        raise ValueError(
            f"{which} of mesascope; a {path.suffix} file may hold code and is not opened here. Convert it with "
            "`mesascope convert`."
        )
    if path.suffix not in (".json", ".safetensors"):
        raise ValueError(f"{which} (.json with .safetensors beside it); it is another file.")
    return path.with_name(path.name.removesuffix(path.suffix).removesuffix(".weights"))

"""Shipped models, and what a model reference names, judged by file names only. Fast to import: no model is loaded."""

import re
from collections.abc import Sequence
from pathlib import Path

from mesascope.records.checks import nearest
from mesascope.records.shown import shown

WEIGHTS = Path(__file__).parent / "weights"
_CHECKPOINT = re.compile(r"-step-(\d+)$")
FOREIGN = (".pt", ".pth", ".bin", ".ckpt", ".pkl")


def names() -> list[str]:
    """The names of the shipped trained models."""
    return sorted(name for name in _shipped() if not _CHECKPOINT.search(name))


def checkpoints_of(name: str) -> tuple[int, ...]:
    """The training steps of a model's shipped checkpoints, without the last, ascending; reference: ``NAME-step-STEP``."""
    held = (_CHECKPOINT.search(each) for each in _shipped() if each.startswith(f"{name}-step-"))
    return tuple(sorted(int(match[1]) for match in held if match))


def place(reference: str, constructions: Sequence[str]) -> Path | None:
    """The path of a trained model: a checkpoint's stem, or a run directory. None for a construction or a user's own subject.

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
    if kind in ("hf", "gguf"):
        raise ValueError(
            f"model {shown(reference)}: pretrained language models cannot be loaded by this version of mesascope. Load it "
            "as python:module:factory."
        )
    where = WEIGHTS / reference if reference in _shipped() else _find(Path(reference))
    if where is None:
        known = [*names(), *(f"construction:{name}" for name in constructions)]
        raise ValueError(
            f"model must be a name in the zoo ({', '.join(names())}), construction:NAME, python:module:factory, or a run "
            f"directory or checkpoint; nothing is called {shown(reference)}.{nearest(reference, known)}"
        )
    return where


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

"""GGUF files: read once, and kept as safetensors with the configuration and the tokenizer beside them."""

import json
from pathlib import Path
from typing import Any

import torch

from mesascope.models.language.families import family_of
from mesascope.models.language.loading import check_installed, quiet
from mesascope.records.shown import said, shown
from mesascope.records.store import write_text
from mesascope.records.tensors import write_tensors

MAGIC = b"GGUF"


def check_gguf(file: Path) -> None:
    """Check that a file is there and begins as a GGUF file does.

    Raises:
        ValueError: it does not.
    """
    if not file.is_file():
        raise ValueError(f"model must be a GGUF file; there is no file {shown(file)}.")
    with file.open("rb") as opened:
        start = opened.read(len(MAGIC))
    if start != MAGIC:
        raise ValueError(f"model must be a GGUF file; {shown(file)} begins with {shown(start)}. Download it again.")


def convert_gguf(file: Path, out: Path) -> None:
    """Write a GGUF file's weights, in single precision, with configuration and tokenizer, into an existing directory.

    Quantised weights become the numbers that they stand for.

    Raises:
        ValueError: not a GGUF file, damaged, or of a family without a row.
        OSError: the disk is full.
    """
    check_installed()
    check_gguf(file)
    import transformers
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    folder, name = str(file.parent), file.name
    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(folder, gguf_file=name, local_files_only=True)
            family_of(config)
            with torch.device("meta"):
                shape = transformers.AutoModelForCausalLM.from_config(config)
            tensors = load_gguf_checkpoint(
                str(file), return_tensors=True, model_to_load=shape, torch_dtype=torch.float32
            )["tensors"]
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name, local_files_only=True)
    except ImportError as error:
        raise ValueError(
            f"model needs the package gguf to be read: pip install 'mesascope[lm]' ({said(error)})."
        ) from error
    except (OSError, MemoryError):
        raise
    except Exception as error:  # the reader raises many classes, depending on the damage
        if str(error).startswith("model must be"):
            raise
        raise ValueError(
            f"model must be a whole GGUF file; {shown(file)} cannot be read ({said(error)}). Download it again."
        ) from error
    write_tensors(out / "model.safetensors", _own(shape, tensors, file))
    tokenizer.save_pretrained(out)
    kept = {k: v for k, v in config.to_dict().items() if k not in ("quantization_config", "_name_or_path")}
    written = {**kept, "architectures": [type(shape).__name__], "dtype": "float32"}
    write_text(out / "config.json", json.dumps(written, indent=1))


def _own(shape: Any, tensors: dict[str, Any], file: Path) -> dict[str, torch.Tensor]:
    """The model's own tensors, each of the right shape; those tied to another are left out.

    Raises:
        ValueError: one is missing, of another shape, or not the model's.
    """
    expected = {key: tuple(value.shape) for key, value in shape.state_dict().items()}
    tied = set(getattr(shape, "all_tied_weights_keys", None) or ()) if shape.config.tie_word_embeddings else set[str]()
    found = {key: torch.as_tensor(value) for key, value in tensors.items()}
    for key in sorted(expected.keys() | found.keys()):
        given = tuple(found[key].shape) if key in found else None
        if given != expected.get(key) and not (given is None and key in tied):
            raise ValueError(
                f"model must be a whole GGUF file; in {shown(file)} the tensor {shown(key)} has the shape {given or 'of none'} "
                f"instead of {expected.get(key, 'none')}. Download it again."
            )
    return found


__all__ = ("check_gguf", "convert_gguf")

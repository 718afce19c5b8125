"""Loads a language model from a directory, and checks it before it is used.

No code from the directory is run, and nothing is unpickled: weights are safetensors, or a ``.bin`` that is read weights-only.
"""

import contextlib
import importlib.util
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from mesascope.machine.memory import check_memory
from mesascope.models.language.checks import check_network, overwritten
from mesascope.models.language.families import Family, family_named
from mesascope.models.language.network import Network
from mesascope.records.parsing import Damaged
from mesascope.records.shown import said, shown
from mesascope.records.store import read_unchecked

WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
"""The files that hold weights, or say which files hold them, best first."""
PICKLES = (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin")


def check_installed() -> None:
    """Check that transformers is there, without loading it.

    Raises:
        ValueError: it is not.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ValueError(
            "model needs the package transformers to be loaded, which is not installed: pip install 'mesascope[lm]'."
        )


def load_network(directory: Path, name: str, *, device: str = "cpu") -> Network:
    """A network from a directory in Hugging Face's layout, in single precision, after all self-checks.

    Args:
        directory: with a ``config.json`` and the weights.
        name: the model's name in messages.
        device: where it computes.

    Raises:
        ValueError: no such files, not a causal language model, a family without a row, weights that are damaged, that are not
            finite, that do not belong to the configuration or do not fit into this machine, or a failed self-check.
    """
    check_installed()
    family = check_config(directory, name)
    check_weights(directory, name)
    held = sum(
        path.stat().st_size for path in (*directory.glob("*.safetensors"), *directory.glob("pytorch_model*.bin"))
    )
    check_memory(f"the model {shown(name)}", held, "Take a smaller model.")
    import transformers

    try:
        with quiet():
            loaded: Any = transformers.AutoModelForCausalLM.from_pretrained(
                directory,
                dtype=torch.float32,
                attn_implementation="eager",
                trust_remote_code=False,
                local_files_only=True,
                weights_only=True,
                ignore_mismatched_sizes=True,  # they are named below
                output_loading_info=True,
            )
    except (OSError, ValueError, RuntimeError, KeyError, EOFError) as error:
        raise ValueError(f"model {shown(name)} cannot be loaded: {said(error)} Get its files again.") from error
    except Exception as error:  # safetensors and pickle have their own classes, depending on the damage
        raise ValueError(
            f"model {shown(name)} must have whole weights; they are damaged ({said(error)}). Get its files again."
        ) from error
    model, info = loaded
    for what, words in (
        ("missing_keys", "lack"),
        ("mismatched_keys", "have another shape of"),
        ("unexpected_keys", "also have"),
    ):
        if wrong := sorted(str(key[0] if isinstance(key, tuple) else key) for key in info.get(what, ())):
            raise ValueError(
                f"model {shown(name)} must have the weights of its own configuration; they {words} {shown(wrong[0])}"
                f"{f' and {len(wrong) - 1} more' if len(wrong) > 1 else ''}. Get config.json and weights from one place."
            )
    return finished(model.to(device), family, name)


def finished(model: Any, family: Family, name: str) -> Network:
    """A network in evaluation mode, after all self-checks.

    Raises:
        ValueError: weights that are not finite, or a failed self-check.
    """
    if any(not bool(torch.isfinite(parameter).all()) for parameter in model.parameters()):
        raise ValueError(
            f"model {shown(name)} must have finite weights; it holds NaN or infinity. Get its files again."
        )
    model.eval().requires_grad_(False)
    network = Network(model=model, family=family)
    network = Network(model=model, family=family, copied=overwritten(network))
    check_network(network, name)
    return network


def load_tokenizer(directory: Path, name: str) -> Any:
    """The tokenizer in a model's directory.

    Raises:
        ValueError: there is none that can be read.
    """
    import transformers

    try:
        with quiet():
            return transformers.AutoTokenizer.from_pretrained(directory, trust_remote_code=False, local_files_only=True)
    except Exception as error:  # the library raises many classes, depending on what is missing
        raise ValueError(
            f"model {shown(name)} must have a tokenizer beside its weights; it cannot be read ({said(error)}). Put its "
            "tokenizer.json and tokenizer_config.json there."
        ) from error


def check_config(directory: Path, name: str) -> Family:
    """The family that a directory's configuration names; nothing else is read.

    Raises:
        ValueError: no configuration, not a causal language model, or a family without a row.
    """
    try:
        config = read_unchecked(directory / "config.json")
    except Damaged as error:
        raise ValueError(
            f"model {shown(name)} must be a directory with a config.json, as save_pretrained writes it; {error}"
        ) from error
    if not isinstance(config, dict):
        raise ValueError(f"model {shown(name)} must have an object in its config.json; got {shown(config)}.")
    return family_named(str(config.get("model_type", "")), config.get("architectures") or ())


def check_weights(directory: Path, name: str) -> None:
    """Check that a directory holds weights in a form that is read.

    Raises:
        ValueError: it holds none, or pickles of another name only.
    """
    if any((directory / each).is_file() for each in WEIGHTS):
        return
    pickles = sorted(path.name for path in directory.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise ValueError(
            f"model {shown(name)} must have its weights in model.safetensors or pytorch_model.bin; it has {shown(pickles[0])}, a "
            "pickle, which can hold code and is not opened. Save it with save_pretrained where you trust it."
        )
    raise ValueError(
        f"model {shown(name)} must have its weights in one of {', '.join(WEIGHTS)}; it has none of them. Get all "
        "files of the model."
    )


@torch.no_grad()
def check_loss(network: Network, tokenizer: Any, text: str, below: float, name: str) -> float:
    """Check the mean loss per token on a text: weights in a wrong order pass every other check and show only here.

    Returns:
        The loss, in nats per token.

    Raises:
        ValueError: it is not below the threshold.
    """
    ids = torch.tensor([tokenizer(text)["input_ids"]]).to(network.device)
    loss = float(network.model(ids, labels=ids, use_cache=False).loss)
    if not loss < below or not math.isfinite(loss):
        raise ValueError(
            f"model {shown(name)} must read a sentence with a loss below {below} nats per token; got {loss:.3g}. Its "
            "weights are not in the order that its code expects: get it again, in another format."
        )
    return loss


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the library's progress bars and advice; its errors are raised as ever."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()

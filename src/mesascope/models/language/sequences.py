"""What a language model makes of sequences of symbols, after every layer."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.models.language.passes import read, unembed
from mesascope.models.language.subject import LanguageSubject
from mesascope.models.language.tokens import Tokens, plain
from mesascope.seeds import generator
from mesascope.tasks import Sequences
from mesascope.types import Intervention, Site

ROWS = 256
"""Positions unembedded at once: each has a logit for every token of the vocabulary."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SequenceReading:
    """A model's surprisal, −ln p of what came, by the logit lens; the last layer is the model's own answer.

    Attributes:
        surprisal: where the next symbol can be known, in nats.
        correct: whether the most likely token is the right one.
        control: the surprisal where the next symbol cannot be known, of the same prompts.
        guessed: whether the most likely token is the right one there.
    """

    surprisal: Float[Tensor, "layer batch query"]
    correct: Bool[Tensor, "layer batch query"]
    control: Float[Tensor, "layer batch control"]
    guessed: Bool[Tensor, "layer batch control"]


@torch.no_grad()
def read_sequences(
    subject: LanguageSubject,
    sequences: Sequences,
    sites: Sequence[Site] | None = None,
    *,
    interventions: Sequence[Intervention] = (),
) -> SequenceReading:
    """Read what a model expects next, at the positions where it can be known and where it cannot.

    Args:
        subject: the model.
        sequences: the symbols; `symbol_tokens` gives each a token.
        sites: where the stream is read; by default before the first layer and after each layer.
        interventions: edits of the pass. What is read is the stream after them.

    Raises:
        ValueError: the model has fewer tokens than there are symbols, or the sequences are longer than its context.
    """
    at, targets = questions(subject, sequences)
    where = (Site(kind="embed"), *subject.path) if sites is None else tuple(sites)
    stream = read(subject.network, sequence_tokens(subject, sequences), where, at, interventions)
    flat, wanted = stream.flatten(0, 2), targets.expand(len(where), -1, -1).flatten()
    parts = [_judge(subject, flat[i : i + ROWS], wanted[i : i + ROWS]) for i in range(0, len(flat), ROWS)]
    shape = (len(where), len(sequences), len(at))
    surprised, correct = (torch.cat(part).view(shape) for part in zip(*parts, strict=True))
    asked = len(sequences.at)
    return SequenceReading(
        surprisal=surprised[..., :asked],
        correct=correct[..., :asked],
        control=surprised[..., asked:],
        guessed=correct[..., asked:],
    )


def sequence_tokens(subject: LanguageSubject, sequences: Sequences) -> Tokens:
    """Sequences in a model's tokens, after the token that begins a text, if its tokenizer has one.

    Raises:
        ValueError: the model has fewer tokens than there are symbols.
    """
    words = symbol_tokens(subject, sequences.vocabulary)
    begin = torch.tensor(subject.writing.begin, dtype=torch.long)
    return plain(torch.cat([begin.expand(len(sequences), -1), words[sequences.symbols]], 1))


def questions(
    subject: LanguageSubject, sequences: Sequences
) -> tuple[Int[Tensor, " query"], Int[Tensor, "batch query"]]:
    """The positions in a model's tokens that are asked, and what comes there: what can be known, then what cannot."""
    words = symbol_tokens(subject, sequences.vocabulary)
    at = torch.cat([sequences.at, sequences.control_at]) + len(subject.writing.begin)
    return at, words[torch.cat([sequences.targets, sequences.control_targets], 1)]


def surprisal(logits: Float[Tensor, "*any vocab"], wanted: Int[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """−ln p of the wanted tokens, in nats."""
    return logits.logsumexp(-1) - logits.gather(-1, wanted[..., None])[..., 0]


def ordinary_tokens(subject: LanguageSubject) -> Int[Tensor, " member"]:
    """The tokens that can stand for symbols: all of the model's, but for special ones."""
    tokenizer = subject.writing.tokenizer
    rows = int(subject.network.unembedding.weight.shape[0])  # type: ignore[union-attr, arg-type, index]
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    return torch.tensor([i for i in range(min(rows, len(tokenizer))) if i not in special])


def symbol_tokens(subject: LanguageSubject, count: int) -> Int[Tensor, " member"]:
    """A token for each symbol: ordinary ones, drawn once and for all from the whole vocabulary.

    Raises:
        ValueError: the tokenizer has fewer ordinary tokens.
    """
    ordinary = ordinary_tokens(subject)
    if count > len(ordinary):
        raise ValueError(
            f"vocabulary must be at most {len(ordinary)}, which is the number of this model's ordinary tokens; got {count}. "
            "Sample from a task with fewer symbols."
        )
    return ordinary[torch.randperm(len(ordinary), generator=generator(0, "language/symbols"))[:count]]


def _judge(
    subject: LanguageSubject, stream: Float[Tensor, "member width"], wanted: Int[Tensor, " member"]
) -> tuple[Float[Tensor, " member"], Bool[Tensor, " member"]]:
    logits = unembed(subject.network, stream)
    wanted = wanted.to(logits.device)
    return surprisal(logits, wanted).float().cpu(), (logits.argmax(-1) == wanted).cpu()

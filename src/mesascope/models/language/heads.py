"""Language models without some of their attention heads: what is lost where the next symbol can be known.

Many sets of heads are left out in one pass: the prompts stand in the batch once for each set.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mesascope.models.language.passes import run, unembed
from mesascope.models.language.sequences import ROWS, questions, sequence_tokens, surprisal
from mesascope.models.language.subject import LanguageSubject
from mesascope.models.language.tokens import plain
from mesascope.tasks import Sequences
from mesascope.types import Intervention, Site

Without = Bool[Tensor, "member layer head"]
"""Sets of heads: those that are left out."""


@torch.no_grad()
def surprisal_without(
    subject: LanguageSubject, sequences: Sequences, without: Without, *, batch: int = 64
) -> tuple[Float[Tensor, "member batch query"], Float[Tensor, "member batch control"]]:
    """The model's surprisal −ln p in nats, with the outputs of a set of heads set to zero before the output projection.

    Args:
        subject: the model.
        sequences: what it reads.
        without: the sets; an empty one leaves the model as it is.
        batch: sequences per pass; it changes results by rounding only.

    Returns:
        For each set, the surprisal where the next symbol can be known, and where it cannot.
    """
    tokens = sequence_tokens(subject, sequences)
    at, targets = questions(subject, sequences)
    sets = max(1, batch // len(sequences))
    parts = [_pass(subject, tokens.ids, at, targets, without[i : i + sets]) for i in range(0, len(without), sets)]
    both = torch.cat(parts)
    asked = len(sequences.at)
    return both[..., :asked], both[..., asked:]


def _pass(
    subject: LanguageSubject,
    ids: Int[Tensor, "batch position"],
    at: Int[Tensor, " query"],
    targets: Int[Tensor, "batch query"],
    without: Without,
) -> Float[Tensor, "member batch query"]:
    sets, rows = len(without), len(ids)
    edits = [_zeroed(i, without[:, i], rows) for i in range(without.shape[1]) if bool(without[:, i].any())]
    hidden = run(subject.network, plain(ids.repeat(sets, 1)), interventions=edits).hidden
    read = hidden[:, at.to(hidden.device)].flatten(0, 1)
    wanted = targets.repeat(sets, 1).flatten().to(read.device)
    found = [
        surprisal(unembed(subject.network, read[i : i + ROWS], normed=True), wanted[i : i + ROWS])
        for i in range(0, len(read), ROWS)
    ]
    return torch.cat(found).double().cpu().view(sets, rows, len(at))


def _zeroed(layer: int, heads: Bool[Tensor, "member head"], rows: int) -> Intervention:
    """The edit that sets the outputs of heads to zero, other ones in each part of the batch."""
    gone = heads.repeat_interleave(rows, 0)[:, None, :, None]

    def edit(z: Tensor) -> Tensor:
        return z.masked_fill(gone.to(z.device), 0.0)

    return Intervention(site=Site(layer=layer, kind="z"), edit=edit)


__all__ = ("Without", "surprisal_without")

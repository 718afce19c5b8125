"""Which candidates are offered to a subject: those with a curved kernel only if its answers are not linear in the query."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.collect import answers
from mesascope.instruments.identification.family import Family
from mesascope.instruments.reading.paths import nudged
from mesascope.instruments.statistics.discrepancy import CLIP, discrepancy
from mesascope.types import Prompts, Subject, Task

CURVED = 0.02
"""Candidates that are not linear in the query are offered where more than this share of the answers is even in it. Else a
candidate that is linear in the query describes the subject as well as a verdict asks for, if any does."""
ASKED = 96
"""The number of prompts that this is asked on."""


def offered(families: Sequence[Family], subject: Subject, task: Task, seed: int) -> tuple[Family, ...]:
    """The families without those that need not be tried: fitting a kernel to answers that are linear in the query is costly.

    Args:
        families: the candidates.
        subject: what to examine.
        task: the distribution of prompts.
        seed: of the prompts.
    """
    straight = tuple(f for f in families if not f.curved)
    if len(straight) == len(families):
        return straight
    if subject.domain.written:  # no queries but those of its task can be asked
        return tuple(families)
    prompts = task.sample(ASKED, seed=seed, stream="offered")
    return tuple(families) if even_share(subject, prompts, seed=seed) > CURVED else straight


def even_share(subject: Subject, prompts: Prompts, *, seed: int = 0) -> float:
    """The share of the answers' mean square that is even in the query: 0 if linear in it, 1 if its sign has no effect.

    All is asked twice, the second time with slightly moved queries, and the even part is the mean product of both: noise in the
    answers does not add to it.
    """
    variance = prompts.target_variance
    found, even = _parts(subject, prompts)
    _, again = _parts(subject, nudged(prompts, seed))
    size = discrepancy(found, torch.zeros_like(found), variance).mean()
    product = ((even * again).mean(-1) / variance).nan_to_num(nan=CLIP).clamp(-CLIP, CLIP).mean()
    return max(0.0, float(product / size)) if size > 0 else 0.0


def _parts(subject: Subject, prompts: Prompts) -> tuple[Float[Tensor, "batch query"], Float[Tensor, "batch query"]]:
    """The answers, and what of them is even in the query."""
    turned = replace(prompts, queries=-prompts.queries, targets=-prompts.targets)
    found = answers(subject, prompts)
    return found, (found + answers(subject, turned)) / 2


__all__ = ("CURVED", "even_share", "offered")

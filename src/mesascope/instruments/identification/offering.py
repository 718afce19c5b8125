"""Which candidates are offered to a subject: those with a curved kernel only if its answers are not linear in the query."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from mesascope.instruments.asking.collect import answers
from mesascope.instruments.identification.family import Family
from mesascope.instruments.statistics.discrepancy import discrepancy
from mesascope.types import Prompts, Subject, Task

CURVED = 0.02
"""Candidates that are not linear in the query are offered where more than this share of the answers is even in it. Else a
candidate that is linear in the query describes the subject as well as a verdict asks for, if any does."""
ASKED = 48
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
    prompts = task.sample(ASKED, seed=seed, stream="offered")
    return tuple(families) if even_share(subject, prompts) > CURVED else straight


def even_share(subject: Subject, prompts: Prompts) -> float:
    """The share of the answers' mean square that is even in the query: 0 if linear in it, 1 if its sign has no effect."""
    turned = replace(prompts, queries=-prompts.queries, targets=-prompts.targets)
    found, other = answers(subject, prompts), answers(subject, turned)
    nothing, variance = torch.zeros_like(found), prompts.target_variance
    size = discrepancy(found, nothing, variance).mean()
    even = discrepancy((found + other) / 2, nothing, variance).mean()
    return float(even / size) if size > 0 else 0.0


__all__ = ("CURVED", "even_share", "offered")

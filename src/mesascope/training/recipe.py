"""What the specifications of all trainings share: how long, with which optimiser, and how often a checkpoint is written."""

import math
from dataclasses import dataclass
from typing import Literal

from mesascope.records.checks import check_choices, check_count
from mesascope.records.shown import shown

MAX_STEPS = 100_000_000
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Abstract base class of specifications.

    Attributes:
        name: used in reports and for directories.
        steps, batch: optimiser steps; prompts (or passages of text) per step, new in every step.
        optimiser: ``adam``, ``adamw`` (decoupled decay), or ``muon``: for the matrices of the blocks, a step along the
            orthogonal factor of the gradient's running mean, scaled to the length of Adam's step; Adam for all other
            parameters. (Jordan et al. 2024, with the scale of Liu et al. 2025.)
        learning_rate: its maximum.
        weight_decay, betas, clip: of the optimiser; ``clip`` bounds the gradient's norm, with None there is no bound.
        schedule: ``onecycle`` (torch's, cosine, with its cycling of the first beta), ``cosine`` (a linear warm-up, then
            half a cosine down to 0; betas stay) or ``constant``.
        warmup: share of the steps during which the rate rises (OneCycle's ``pct_start``).
        checkpoint_every: steps between regular checkpoints; there is also one at every power of two.
        log_every: steps averaged into one line of metrics.
        seed: the seed of the initial weights and the data.

    Raises:
        ValueError: a value out of range.
    """

    name: str
    steps: int = 200_000
    batch: int = 256
    optimiser: Literal["adam", "adamw", "muon"] = "adam"
    learning_rate: float = 3e-4
    weight_decay: float = 0.0
    betas: tuple[float, ...] = (0.9, 0.999)
    clip: float | None = None
    schedule: Literal["onecycle", "cosine", "constant"] = "onecycle"
    warmup: float = 0.1
    checkpoint_every: int = 1000
    log_every: int = 50
    seed: int = 0

    def __post_init__(self) -> None:
        check_choices(self)
        if len(self.name) > LONGEST_NAME or any("\ud800" <= c <= "\udfff" for c in self.name):
            raise ValueError(
                f"name must be a text of at most {LONGEST_NAME} characters that can be written; got {shown(self.name)}. "
                "Leave out halves of surrogate pairs; one or two words are enough."
            )
        for name in ("steps", "batch", "checkpoint_every", "log_every"):
            check_count(name, getattr(self, name))
        check_count("seed", self.seed, least=0)
        if self.steps > MAX_STEPS:
            raise ValueError(
                f"steps must be at most {MAX_STEPS:,}; got {self.steps:,}. No run would end: source B takes 200,000 steps."
            )
        for name, holds, rule, remedy in (
            ("learning_rate", 0 < self.learning_rate < 10, "lie between 0 and 10", "0.0003 is source B's"),
            ("warmup", 0 < self.warmup < 1, "be a share of the steps between 0 and 1", "0.1 is source B's"),
            ("weight_decay", 0 <= self.weight_decay * self.learning_rate < 1,
             "be 0 or more, and below 1/learning_rate, where one step would remove a weight entirely", "0, for no decay"),
            ("betas", len(self.betas) == 2 and all(0 <= b < 1 for b in self.betas), "be two numbers from 0 to below 1",
             "(0.9, 0.999) is usual"),
            ("clip", self.clip is None or 0 < self.clip < math.inf, "be a positive norm, or None", "None, for no bound"),
        ):  # fmt: skip
            if not holds:
                raise ValueError(f"{name} must {rule}; got {shown(getattr(self, name))}. A value that works: {remedy}.")

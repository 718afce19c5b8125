"""What designed prompts buy: how many prompts tell two candidates apart on training, on standard and on designed prompts."""

import math
from collections.abc import Sequence
from dataclasses import replace

from mesascope.instruments.identification.design import TRIALS, design_prompts, settings
from mesascope.tasks import LinearRegression
from mesascope.types import Domain, Figure, Measurement, Scalar

PAIRS = (
    ("cg", "pcg"),
    ("cg", "newton-schulz:identity"),
    ("cg", "data-space-conjugate-gradient"),
    ("chebyshev", "heavy-ball"),
    ("heavy-ball", "nesterov"),
)
"""Pairs of candidates that are hard to tell apart, by their short names."""
NOISES = (0.05, 0.2)
PLACES = ("training", "standard", "designed")
TASK = LinearRegression(dim=5, examples=20)


def bought(pair: tuple[str, str], noise: float, *, seed: int, trials: int = TRIALS) -> tuple[Measurement, ...]:
    """The prompts needed for a pair in the harder direction: on training, on standard, and on designed prompts.

    The subject is a network that takes five dimensions and twenty examples, trained on isotropic inputs. The design is at most
    as far from training as the standard prompts. Controls: as for `prompts_needed`.

    Args:
        pair: the candidates.
        noise: the variance of the prediction noise, as a share of the target's variance.
        seed: of the search and its prompts.
        trials: number of designs to try.
    """
    domain = Domain(dims=(TASK.dim,), examples=(TASK.examples,))
    design = design_prompts(pair, TASK, domain, noise=noise, seed=seed, trials=trials)
    chosen = str(design.after.coordinates["prompts"])
    words = settings(design.task) if chosen == "designed" else f"the {chosen} prompts"
    return tuple(
        replace(
            m,
            instrument="designs",
            coordinates={"pair": ", ".join(pair), "noise": noise, **m.coordinates, "prompts": place, "design": words},
        )
        for place, m in zip(PLACES, (*design.before, design.after), strict=True)
    )


def figure(found: Sequence[Measurement]) -> Figure:
    """A row for each pair and noise: the prompts needed, and the design."""
    rows: dict[tuple[Scalar, Scalar], dict[str, Scalar]] = {}
    for m in found:
        at = m.coordinates
        row = rows.setdefault((at["pair"], at["noise"]), {"pair": at["pair"], "noise": at["noise"]})
        row[str(at["prompts"])] = m.value
        if at["prompts"] == "designed":
            row |= {
                "experiments of that size that succeed": next(
                    (c.value for c in m.controls if c.kind == "positive"), None
                ),
                "design": at["design"],
            }
    return Figure(
        name="designs",
        section="Designed prompts",
        title="Prompts needed to tell two candidates apart",
        caption=f"For a network of {TASK.dim} dimensions and {TASK.examples} examples that was trained on isotropic inputs, in "
        "the harder direction, at power 0.9 and level 0.95. A design is no further from training than the standard prompts.",
        kind="table",
        rows=tuple(rows.values()),
    )


def sentence(found: Sequence[Measurement]) -> str:
    """The result in a sentence, about the pairs that some number of designed prompts tells apart."""
    needed = {(m.coordinates["pair"], m.coordinates["noise"], m.coordinates["prompts"]): m.value for m in found}
    gains = [
        value / needed[pair, noise, "designed"]
        for (pair, noise, place), value in needed.items()
        if place == "standard" and math.isfinite(needed[pair, noise, "designed"])
    ]
    if not gains:
        return "Designed prompts: no number of them tells two candidates apart."
    fewest, most = f"{min(gains):.1f}", f"{max(gains):.1f}"
    return f"Designed prompts: standard ones take {fewest} to {most} times as many to tell two candidates apart."

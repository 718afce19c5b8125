"""The text in which language models were shown regression problems, when they were compared with regressors."""

from mesascope.models.language.template import Numbers, Template
from mesascope.types import Prompts

INSTRUCTION = (
    'The task is to provide your best estimate for "Output". '
    "Please provide that and only that, without any additional text."
)
DECIMALS = 2


def published_template(prompts: Prompts, *, decimals: int = DECIMALS, letters: bool = False) -> Template:
    """The published text for problems like these: an instruction, then a line for each number::

        Feature 0: 0.52
        Feature 1: 12.0
        Output: 3.7

    with an empty line after each example. The query ends with ``Output:``, and the space after it is part of the answer. Numbers
    are written as Python writes them once rounded, without zeros at the end.

    Args:
        prompts: the problems. Only the sizes and signs of their numbers count: other problems may be written in the same way, if
            theirs have as many digits before the point at most.
        decimals: places after the point.
        letters: write inputs, which are places in the alphabet, as letters (`mesascope.tasks.datasets.CharacterRegression`).

    Source: Vacareanu et al. 2024, the released code (two decimals).
    Departs from source: an edition of it (G-structure/optim-hunt) writes three decimals and ends with ``Output: ``.
    """
    seen = (*prompts.xs.flatten().tolist(), *prompts.queries.flatten().tolist())
    return Template(
        opening=INSTRUCTION + "\n" * 5,
        before_input="Feature 0:",
        between_inputs="\nFeature {}:",
        before_label="\nOutput:",
        after_label="\n\n",
        dim=prompts.dim,
        inputs=Numbers(highest=25, spaced=True, letters=True) if letters else _numbers(seen, decimals),
        labels=_numbers(prompts.ys.flatten().tolist(), decimals),
    )


def _numbers(values: tuple[float, ...] | list[float], decimals: int) -> Numbers:
    """How numbers are written that have as many digits before the point as the longest of these."""
    longest = len(f"{max(map(abs, values)):.{decimals}f}".partition(".")[0])
    highest = 10.0**longest - 10.0**-decimals
    lowest = -highest if min(values) < 0 else 0.0
    return Numbers(lowest=lowest, highest=highest, decimals=decimals, shortest=True, spaced=True)


__all__ = ("DECIMALS", "INSTRUCTION", "published_template")

"""What a statement is."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mesascope.theory.expressions import All, Every, Formula, Variable, variables

SOURCE = "Nagy, When In-Context Learning Implements Gradient Descent (2026)"
"""The paper that states most of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One theorem, for all values of its variables: if the hypotheses hold, so does the conclusion.

    Every hypothesis is needed: what the source asks for and the conclusion does not is named in ``departs``.

    Attributes:
        key: short name, such as ``A1``; letters, digits and underscores, so that provers can use it.
        name: what it is about, in a few words.
        words: the statement in a sentence.
        hypotheses: what is assumed. An equation says what its first variable on the left is, once the others are known.
        conclusion: what follows.
        source: where it is stated.
        used: what it carries: the instrument, study or other statement.
        departs: how this differs from the source; empty if it does not.
        rocq: tactics that prove it where the generic ones fail.
        cases: values of the natural variables at which z3 is asked, where all that it is asked otherwise take it too long.
        unstable: the iteration that it describes amplifies rounding, so that float64 tells nothing and only fractions are tried.
    """

    key: str
    name: str
    words: str
    hypotheses: tuple[Formula, ...] = ()
    conclusion: Formula
    source: str
    used: str
    departs: str = ""
    rocq: str = ""
    cases: tuple[dict[str, int], ...] = ()
    unstable: bool = False

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The free variables, in order of appearance."""
        return variables(*self.hypotheses, self.conclusion)

    @property
    def assumptions(self) -> tuple[Formula, ...]:
        """The hypotheses one by one: what an iteration does in one step is several."""
        return tuple(part for hypothesis in self.hypotheses for part in _apart(hypothesis))


def _apart(formula: Formula) -> Iterator[Formula]:
    match formula:
        case All():
            yield from (part for each in formula.formulas for part in _apart(each))
        case Every():
            yield from (replace(formula, formula=part) for part in _apart(formula.formula))
        case _:
            yield formula

"""The class of statements: theorems with their source and use."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mesascope.theory.expressions import All, Every, Formula, Variable, variables

SOURCE = "Nagy, When In-Context Learning Implements Gradient Descent (2026)"
"""The paper that states most of the statements."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One theorem, for all values of its variables: if the hypotheses hold, so does the conclusion.

    Every hypothesis is needed. If the source assumes more than the conclusion needs, ``departs`` says so.

    Attributes:
        key: a short name, such as ``A1``; letters, digits and underscores, so that provers can use it.
        name: its topic in a few words.
        words: the statement in a sentence.
        hypotheses: the assumptions. An equation determines its first variable on the left from the other variables.
        conclusion: the conclusion.
        source: the publication that states it.
        used: where the project uses it: an instrument, a study or another statement.
        departs: how it differs from the source; empty if it does not.
        rocq: tactics that prove it, if the generic ones fail.
        cases: values of the natural variables for z3, if the default choices take z3 too long.
        unstable: whether the iteration in it amplifies rounding, so that float64 is not conclusive and only fractions are tried.
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
        """The free variables, in order of first appearance."""
        return variables(*self.hypotheses, self.conclusion)

    @property
    def assumptions(self) -> tuple[Formula, ...]:
        """The hypotheses split into single formulas; the equations of one step of an iteration are several."""
        return tuple(part for hypothesis in self.hypotheses for part in _apart(hypothesis))


def _apart(formula: Formula) -> Iterator[Formula]:
    match formula:
        case All():
            yield from (part for each in formula.formulas for part in _apart(each))
        case Every():
            yield from (replace(formula, formula=part) for part in _apart(formula.formula))
        case _:
            yield formula

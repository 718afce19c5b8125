"""What a statement is."""

from dataclasses import dataclass

from mesascope.theory.expressions import Formula, Variable, variables

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

    @property
    def variables(self) -> tuple[Variable, ...]:
        """The free variables, in order of appearance."""
        return variables(*self.hypotheses, self.conclusion)

"""What everybody says of a statement."""

from collections.abc import Sequence
from dataclasses import dataclass

BROKEN = ("refuted", "unproved")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What one prover says of one statement.

    Attributes:
        status: ``proved``; ``proved for`` some values of the natural variables; ``held`` at every point tried, which is no proof;
            ``refuted`` by a counter-example; ``unproved``, where the prover rejects the proof; ``undecided``; ``not checked``;
            ``not tied`` to a network that runs.
        seconds: how long it took.
        detail: a counter-example, the prover's message, the number of points.
    """

    status: str
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Why a hypothesis is there: values at which all the others hold and the conclusion fails, checked in exact fractions.

    z3 looks for them, and where it finds none in time they are drawn at random.

    Attributes:
        hypothesis: which one.
        status: ``needed``, ``not needed`` or ``undecided``; ``not checked`` without z3.
        counterexample: values by the variables' names.
    """

    hypothesis: str
    status: str
    counterexample: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One statement, and what everybody says of it.

    Attributes:
        key, name, words, source, used, departs: the statement's own.
        mathematics: hypotheses and conclusion in Unicode.
        rocq, z3, exact, numeric: the verdicts.
        running: that of networks which run, the statement's variables being read from their channels; ``not tied`` where no
            network has them.
        lean: Lean's verdict where there is a project to compile in. Its proofs have no hints, so ``unproved`` breaks nothing.
        axioms: what the Rocq proofs rest on. They are printed for all of them together, so a single proof may use fewer.
        satisfiable: whether the hypotheses can hold together.
        needs: for each hypothesis, what happens without it.
    """

    key: str
    name: str
    words: str
    mathematics: str
    source: str
    used: str
    departs: str
    rocq: Verdict
    z3: Verdict
    exact: Verdict
    numeric: Verdict
    running: Verdict
    lean: Verdict
    axioms: tuple[str, ...]
    satisfiable: str
    needs: tuple[Need, ...]

    @property
    def broken(self) -> bool:
        """Whether anybody rejects the statement, a hypothesis is contradictory or idle, or no network gets to where it speaks."""
        verdicts = (self.rocq, self.z3, self.exact, self.numeric, self.running)
        idle = any(need.status == "not needed" for need in self.needs)
        return (
            any(v.status in BROKEN for v in verdicts)
            or self.satisfiable == "no"
            or idle
            or self.running.status == "undecided"
        )

    def __str__(self) -> str:
        """One line: who proved it and in what time, and where it was tried."""
        parts = []
        for prover in ("rocq", "z3", "exact", "numeric", "running"):
            said: Verdict = getattr(self, prover)
            detail = f" {said.detail}" if said.detail and said.status not in ("not checked", "not tied") else ""
            time_spent = f" ({said.seconds:.2f} s)" if said.seconds else ""
            parts.append(f"{prover} {said.status}{detail}{time_spent}")
        return f"{'BROKEN ' * self.broken}{self.key:<16} {self.name}: {'; '.join(parts)}"

    @property
    def details(self) -> str:
        """What the line leaves out: the statement itself, and a counter-example to it without each of its hypotheses."""
        lines = [self.words, self.mathematics, self.departs, f"{self.source}. Used: {self.used}."]
        for need in self.needs:
            fails = ", ".join(f"{name} = {value}" for name, value in need.counterexample.items())
            lines.append(f"without {need.hypothesis}: {f'false at {fails}' if fails else need.status}")
        return "\n".join(f"    {line}" for line in lines if line)


def rests_on(outcomes: Sequence[Outcome]) -> str:
    """What the proofs assume, in a sentence, and what nobody has checked."""
    named = sorted({axiom for outcome in outcomes for axiom in outcome.axioms})
    rocq_says = f"Rocq's proofs rest on {', '.join(named)}" if named else "Rocq: not checked, so no axioms to name"
    proved = sum(outcome.lean.status == "proved" for outcome in outcomes)
    unproved = sum(outcome.lean.status == "unproved" for outcome in outcomes)
    lean_says = f"{proved} proved, {unproved} not by its generic tactics" if proved or unproved else "not checked"
    return f"{rocq_says}. Lean: {lean_says}; `mesascope theory export --to lean` emits the text."

"""All provers' verdicts on one statement."""

from collections.abc import Sequence
from dataclasses import dataclass

BROKEN = ("refuted", "unproved")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProverVerdict:
    """One prover's verdict on one statement.

    Attributes:
        status: ``proved``; ``proved for`` some values of the natural variables; ``held`` at every point tried, which is not a
            proof; ``refuted`` by a counter-example; ``unproved``, if the prover rejects the proof; ``undecided``;
            ``not checked``; ``not tied``, if no network has the statement's variables.
        seconds: how long the prover took.
        detail: a counter-example, the prover's message, the number of points.
    """

    status: str
    seconds: float = 0.0
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Why a hypothesis is needed: values at which all other hypotheses hold and the conclusion fails, in exact fractions.

    z3 searches for such values; if it finds none in time, random values are tried.

    Attributes:
        hypothesis: the hypothesis, in Unicode.
        status: ``needed``, ``not needed`` or ``undecided``; ``not checked`` without z3.
        counterexample: values by variable name.
    """

    hypothesis: str
    status: str
    counterexample: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class StatementOutcome:
    """One statement with all provers' verdicts.

    Attributes:
        key, name, words, source, used, departs: those of the `Statement`.
        mathematics: hypotheses and conclusion in Unicode.
        rocq, z3, exact, numeric: the verdicts.
        running: the verdict of networks that run; the statement's variables are read from their channels. ``not tied`` if no
            network has these variables.
        lean: Lean's verdict, if there is a Lean project. Its proofs have no hints, so ``unproved`` does not count as broken.
        axioms: the axioms of all Rocq proofs together; a single proof may use fewer.
        satisfiable: whether all hypotheses can hold at once.
        needs: for each hypothesis, whether the statement fails without it.
    """

    key: str
    name: str
    words: str
    mathematics: str
    source: str
    used: str
    departs: str
    rocq: ProverVerdict
    z3: ProverVerdict
    exact: ProverVerdict
    numeric: ProverVerdict
    running: ProverVerdict
    lean: ProverVerdict
    axioms: tuple[str, ...]
    satisfiable: str
    needs: tuple[Need, ...]

    @property
    def broken(self) -> bool:
        """Whether a prover rejects it, hypotheses are contradictory or unneeded, or no network meets the hypotheses."""
        verdicts = (self.rocq, self.z3, self.exact, self.numeric, self.running)
        idle = any(need.status == "not needed" for need in self.needs)
        return (
            any(v.status in BROKEN for v in verdicts)
            or self.satisfiable == "no"
            or idle
            or self.running.status == "undecided"
        )

    def __str__(self) -> str:
        """One line with every prover's status, detail and time."""
        parts = []
        for prover in ("rocq", "z3", "exact", "numeric", "running"):
            said: ProverVerdict = getattr(self, prover)
            detail = f" {said.detail}" if said.detail and said.status not in ("not checked", "not tied") else ""
            time_spent = f" ({said.seconds:.2f} s)" if said.seconds else ""
            parts.append(f"{prover} {said.status}{detail}{time_spent}")
        return f"{'BROKEN ' * self.broken}{self.key:<16} {self.name}: {'; '.join(parts)}"

    @property
    def details(self) -> str:
        """Details that ``str`` omits: the statement itself, and for each hypothesis a counter-example without it."""
        lines = [self.words, self.mathematics, self.departs, f"{self.source}. Used: {self.used}."]
        for need in self.needs:
            fails = ", ".join(f"{name} = {value}" for name, value in need.counterexample.items())
            lines.append(f"without {need.hypothesis}: {f'false at {fails}' if fails else need.status}")
        return "\n".join(f"    {line}" for line in lines if line)


def rests_on(outcomes: Sequence[StatementOutcome]) -> str:
    """The axioms that the proofs assume, and Lean's results, in a sentence."""
    named = sorted({axiom for outcome in outcomes for axiom in outcome.axioms})
    rocq_says = f"Rocq's proofs rest on {', '.join(named)}" if named else "Rocq: not checked, so no axioms to name"
    proved = sum(outcome.lean.status == "proved" for outcome in outcomes)
    unproved = sum(outcome.lean.status == "unproved" for outcome in outcomes)
    lean_says = f"{proved} proved, {unproved} not by its generic tactics" if proved or unproved else "not checked"
    return f"{rocq_says}. Lean: {lean_says}; `mesascope theory export --to lean` emits the text."

"""Statements as SMT-LIB text, and what z3 says of it.

A statement with natural variables (lengths, exponents) has one text per choice of them: sums and powers are written out.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mesascope.theory.expressions import (
    Binary,
    Compare,
    Entry,
    Every,
    Expression,
    Formula,
    Natural,
    Number,
    Power,
    Real,
    Sequence,
    Sum,
    natural,
)
from mesascope.theory.statement import Statement

LENGTHS = (0, 1, 2, 3)
"""The values of natural variables for which a statement is written out."""

TIMEOUT = 10_000
"""Milliseconds that z3 may take for one question."""


def instances(statement: Statement) -> Iterator[dict[str, int]]:
    """Every choice of the natural variables; a single empty one if there are none."""
    names = [v.name for v in statement.variables if isinstance(v, Natural)]
    for values in itertools.product(LENGTHS, repeat=len(names)):
        yield dict(zip(names, values, strict=True))


def question(
    statement: Statement, naturals: Mapping[str, int], *, without: int | None = None, conclusion: bool = True
) -> str:
    """Asks for values at which the hypotheses hold and the conclusion fails: ``unsat`` is a proof.

    Whoever asks for values, without a hypothesis or without the conclusion, wants ones that can be computed with: no division
    by zero, which for provers has a value too.

    Args:
        statement: what is asked about.
        naturals: the values of its natural variables.
        without: a hypothesis to leave out, by its place.
        conclusion: False asks whether the hypotheses can hold together.
    """
    kept = [h for n, h in enumerate(statement.hypotheses) if n != without]
    lines = [f"(assert {text})" for h in kept for text in _comparisons(h, naturals)]
    if conclusion:
        parts = " ".join(_comparisons(statement.conclusion, naturals))
        lines.append(f"(assert (not (and true {parts})))")
    if without is not None or not conclusion:
        divisors = [divisor for tree in (*kept, statement.conclusion) for divisor in _divisors(tree)]
        lines += [f"(assert (not (= {_term(divisor, naturals)} 0.0)))" for divisor in divisors]
    names = dict.fromkeys(name for tree in (*kept, statement.conclusion) for name in _constants(tree, dict(naturals)))
    return "\n".join([*(f"(declare-const {name} Real)" for name in names), *lines, "(check-sat)", ""])


def module(statement: Statement) -> str:
    """All the questions about one statement, for any solver that reads SMT-LIB; every answer should be ``unsat``."""
    texts = [f"; {statement.key}: {statement.name}", f"; {statement.words}", "(set-logic QF_NRA)"]
    for naturals in instances(statement):
        given = ", ".join(f"{name} = {value}" for name, value in naturals.items())
        texts.append(f"(push 1) ; {given}\n{question(statement, naturals)}(pop 1)")
    return "\n".join(texts) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What z3 says.

    Attributes:
        verdict: unsat, sat or unknown.
        values: for sat, values by the constants' names; None where one is no rational number.
    """

    verdict: str
    values: dict[str, Fraction] | None = None


def ask(text: str) -> Answer:
    """Put a question to z3.

    Raises:
        ImportError: z3 is not installed.
    """
    import z3  # noqa: PLC0415  an extra of its own

    solver = z3.Solver()
    solver.set("timeout", TIMEOUT)
    solver.from_string(text)
    verdict = str(solver.check())
    if verdict != "sat":
        return Answer(verdict=verdict)
    model = solver.model()
    found = {}
    for declaration in model.decls():
        if declaration.arity() == 0:
            value: Any = model[declaration]
            if not z3.is_rational_value(value):
                return Answer(verdict=verdict)
            found[declaration.name()] = value.as_fraction()
    return Answer(verdict=verdict, values=found)


def _comparisons(formula: Formula, naturals: Mapping[str, int]) -> list[str]:
    if isinstance(formula, Compare):
        return [f"({formula.symbol} {_term(formula.left, naturals)} {_term(formula.right, naturals)})"]
    each = range(natural(formula.length, naturals))
    return [text for k in each for text in _comparisons(formula.formula, {**naturals, formula.index.name: k})]


def _term(tree: Expression, naturals: Mapping[str, int]) -> str:
    match tree:
        case Number():
            return f"{tree.value}.0"
        case Real():
            return tree.name
        case Entry():
            return constant(tree.sequence, natural(tree.index, naturals))
        case Binary():
            return f"({tree.symbol} {_term(tree.left, naturals)} {_term(tree.right, naturals)})"
        case Power():
            factors = " ".join([_term(tree.base, naturals)] * natural(tree.exponent, naturals))
            return f"(* 1.0 1.0 {factors})"
        case Sum():
            each = range(natural(tree.length, naturals))
            terms = " ".join(_term(tree.term, {**naturals, tree.index.name: k}) for k in each)
            return f"(+ 0.0 0.0 {terms})"
    raise AssertionError(tree)


def _constants(tree: object, naturals: dict[str, int]) -> Iterator[str]:
    """Names of the constants in a formula that is written out."""
    match tree:
        case Real():
            yield tree.name
        case Entry():
            yield constant(tree.sequence, natural(tree.index, naturals))
        case Binary() | Compare():
            yield from _constants(tree.left, naturals)
            yield from _constants(tree.right, naturals)
        case Power():
            yield from _constants(tree.base, naturals)
        case Sum() | Every():
            inner = tree.term if isinstance(tree, Sum) else tree.formula
            for k in range(natural(tree.length, naturals)):
                yield from _constants(inner, {**naturals, tree.index.name: k})


def _divisors(tree: object) -> Iterator[Expression]:
    """What is divided by. Inside sums and quantifiers nothing is looked for."""
    match tree:
        case Binary() | Compare():
            if tree.symbol == "/":
                yield tree.right
            yield from _divisors(tree.left)
            yield from _divisors(tree.right)
        case Power():
            yield from _divisors(tree.base)


def constant(sequence: Sequence, index: int) -> str:
    """The name of one entry of a sequence."""
    return f"{sequence.name}!{index}"

"""Statements as SMT-LIB text, and z3's answers to it.

A statement with natural variables (lengths, exponents) has one text per choice of their values, with sums and powers expanded.
"""

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from mesascope.theory.expressions import (
    All,
    Binary,
    Compare,
    Count,
    Entry,
    Every,
    Expression,
    Formula,
    Function,
    Natural,
    NaturalPower,
    Number,
    Real,
    Sequence,
    Sum,
    natural,
)
from mesascope.theory.statement import Statement

LONGEST = 3
"""The largest value of natural variables."""

TIMEOUT = 10_000
"""Milliseconds allowed to z3 for one question."""


def instances(statement: Statement) -> Iterator[dict[str, int]]:
    """Choices of the natural variables: the statement's own cases, else all up to `LONGEST`; an empty one if there are none."""
    names = [v.name for v in statement.variables if isinstance(v, Natural)]
    every = itertools.product(range(LONGEST + 1), repeat=len(names))
    yield from statement.cases or (dict(zip(names, values, strict=True)) for values in every)


def question(
    statement: Statement, naturals: Mapping[str, int], *, without: int | None = None, conclusion: bool = True
) -> str:
    """The question for values at which the hypotheses hold and the conclusion fails: the answer ``unsat`` is a proof.

    If ``without`` is given or ``conclusion`` is False, the values themselves are used. Then divisions by zero, which have a value
    for provers, are excluded.

    Args:
        statement: the statement.
        naturals: the values of its natural variables.
        without: index of a hypothesis to leave out.
        conclusion: with False, the question is whether all hypotheses can hold at once.
    """
    kept = [h for n, h in enumerate(statement.assumptions) if n != without]
    lines = [f"(assert {text})" for h in kept for text in _comparisons(h, naturals)]
    if conclusion:
        parts = " ".join(_comparisons(statement.conclusion, naturals))
        lines.append(f"(assert (not (and true {parts})))")
    if without is not None or not conclusion:
        divisors = [divisor for tree in (*kept, statement.conclusion) for divisor in _divisors(tree)]
        lines += [f"(assert (not (= {_term(divisor, naturals)} 0.0)))" for divisor in divisors]
    parts = [part for tree in (*kept, statement.conclusion) for part in _parts(tree, naturals)]
    declared = [f"(declare-const {name} Real)" for name in dict.fromkeys(name for name, _ in parts if name)]
    positive = list(dict.fromkeys(f"(assert (< 0.0 {text}))" for name, text in parts if not name))
    if positive:
        declared.append("(declare-fun exp (Real) Real)")
    return "\n".join([*declared, *positive, *lines, "(check-sat)", ""])


def module(statement: Statement) -> str:
    """All the questions about one statement, for any solver that reads SMT-LIB; every answer should be ``unsat``."""
    texts = [f"; {statement.key}: {statement.name}", f"; {statement.words}", "(set-logic QF_UFNRA)"]
    for naturals in instances(statement):
        given = ", ".join(f"{name} = {value}" for name, value in naturals.items())
        texts.append(f"(push 1) ; {given}\n{question(statement, naturals)}(pop 1)")
    return "\n".join(texts) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class SolverAnswer:
    """z3's answer.

    Attributes:
        verdict: unsat, sat or unknown.
        values: for sat, values by the constants' names; None if a value is not a rational number.
    """

    verdict: str
    values: dict[str, Fraction] | None = None


def ask(text: str) -> SolverAnswer:
    """Ask z3 a question.

    Raises:
        ImportError: z3 is not installed.
    """
    import z3  # noqa: PLC0415  (an optional extra)

    solver = z3.Solver()
    solver.set("timeout", TIMEOUT)
    solver.from_string(text)
    verdict = str(solver.check())
    if verdict != "sat":
        return SolverAnswer(verdict=verdict)
    model = solver.model()
    found = {}
    for declaration in model.decls():
        if declaration.arity() == 0:
            value: Any = model[declaration]
            if not z3.is_rational_value(value):
                return SolverAnswer(verdict=verdict)
            found[declaration.name()] = value.as_fraction()
    return SolverAnswer(verdict=verdict, values=found)


def _comparisons(formula: Formula, naturals: Mapping[str, int]) -> list[str]:
    if isinstance(formula, Compare):
        return [f"({formula.symbol} {_term(formula.left, naturals)} {_term(formula.right, naturals)})"]
    if isinstance(formula, All):
        return [text for part in formula.formulas for text in _comparisons(part, naturals)]
    each = range(natural(formula.length, naturals))
    return [text for k in each for text in _comparisons(formula.formula, {**naturals, formula.index.name: k})]


def _term(tree: Expression, naturals: Mapping[str, int]) -> str:
    match tree:
        case Number():
            return f"{tree.value}.0"
        case Real():
            return tree.name
        case Entry():
            return _entry(tree, naturals)
        case Count():
            return f"{natural(tree.value, naturals)}.0"
        case Function(symbol="abs"):
            argument = _term(tree.argument, naturals)
            return f"(ite (<= 0.0 {argument}) {argument} (- {argument}))"
        case Function():
            return f"({tree.symbol} {_term(tree.argument, naturals)})"
        case Binary():
            return f"({tree.symbol} {_term(tree.left, naturals)} {_term(tree.right, naturals)})"
        case NaturalPower():
            factors = " ".join([_term(tree.base, naturals)] * natural(tree.exponent, naturals))
            return f"(* 1.0 1.0 {factors})"
        case Sum():
            each = range(natural(tree.length, naturals))
            terms = " ".join(_term(tree.term, {**naturals, tree.index.name: k}) for k in each)
            return f"(+ 0.0 0.0 {terms})"
    raise AssertionError(tree)


def _parts(tree: object, naturals: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    """The constants in an expanded formula, as (name, ""), and its exponentials, as ("", text).

    z3 is told only that the exponential is positive: whatever it proves from this is true of the exponential.
    """
    match tree:
        case Real():
            yield tree.name, ""
        case Entry():
            yield _entry(tree, naturals), ""
        case Function():
            yield from _parts(tree.argument, naturals)
            if tree.symbol == "exp":
                yield "", _term(tree, naturals)
        case Binary() | Compare():
            yield from _parts(tree.left, naturals)
            yield from _parts(tree.right, naturals)
        case NaturalPower():
            yield from _parts(tree.base, naturals)
        case All():
            for formula in tree.formulas:
                yield from _parts(formula, naturals)
        case Sum() | Every():
            inner = tree.term if isinstance(tree, Sum) else tree.formula
            for k in range(natural(tree.length, naturals)):
                yield from _parts(inner, {**naturals, tree.index.name: k})


def _entry(entry: Entry, naturals: Mapping[str, int]) -> str:
    return constant(entry.sequence, *(natural(index, naturals) for index in entry.indices))


def _divisors(tree: object) -> Iterator[Expression]:
    """The divisors in a formula, except those inside sums and quantifiers."""
    match tree:
        case Binary() | Compare():
            if tree.symbol == "/":
                yield tree.right
            yield from _divisors(tree.left)
            yield from _divisors(tree.right)
        case NaturalPower():
            yield from _divisors(tree.base)


def constant(sequence: Sequence, *indices: int) -> str:
    """The name of one entry of a sequence or table."""
    return "!".join([sequence.name, *map(str, indices)])

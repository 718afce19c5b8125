"""Statements as Lean 4 text over Mathlib. `check` compiles it if a Lean project is given."""

from collections.abc import Iterable

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
    NaturalIndex,
    NaturalPower,
    Number,
    Real,
    Sequence,
    Sum,
    Variable,
)
from mesascope.theory.statement import Statement

PRELUDE = """\
-- Made by `mesascope theory export --to lean`. Not compiled where it was made: where the closing tactics fail, a
-- statement is unproved here, not false.
import Mathlib

open Finset

macro "close" : tactic => `(tactic| (intros; first
  | (subst_vars; linarith) | (subst_vars; ring) | (subst_vars; nlinarith) | positivity
  | (exact sum_nonneg fun k hk => by simp_all) | (exact sum_le_sum fun k hk => by simp_all)
  | (exact sum_congr rfl fun k hk => by simp_all; ring)))
"""
_SYMBOL = {"<=": "≤"}


def module(statements: Iterable[Statement]) -> str:
    """The text of a Lean file for a project that depends on Mathlib."""
    return "\n".join([PRELUDE, *map(theorem, statements)])


def theorem(statement: Statement) -> str:
    """The text of one theorem, with generic tactics as its proof."""
    variables = "".join(f" ({v.name} : {_type(v)})" for v in statement.variables)
    assumed = "".join(f"\n    (h{n} : {_text(formula)})" for n, formula in enumerate(statement.assumptions, 1))
    claim = f"theorem {statement.key}{variables}{assumed} :\n    {_text(statement.conclusion)}"
    return f"/-- {statement.words} -/\n{claim} := by\n  close\n"


def _type(variable: Variable) -> str:
    match variable:
        case Natural():
            return "ℕ"
        case Sequence():
            return "ℕ → " * variable.axes + "ℝ"
        case Real():
            return "ℝ"


def _text(tree: Formula | Expression) -> str:
    match tree:
        case Every():
            return f"∀ {tree.index.name} < {_natural(tree.length)}, {_text(tree.formula)}"
        case All():
            return f"({' ∧ '.join(map(_text, tree.formulas))})"
        case Compare() | Binary():
            return f"({_text(tree.left)} {_SYMBOL.get(tree.symbol, tree.symbol)} {_text(tree.right)})"
        case Number():
            return f"({tree.value} : ℝ)"
        case Real():
            return tree.name
        case Entry():
            return f"{tree.sequence.name} {' '.join(map(_natural, tree.indices))}"
        case Count():
            return f"({_natural(tree.value)} : ℝ)"
        case Function(symbol="abs"):
            return f"|{_text(tree.argument)}|"
        case Function():
            return f"(Real.{tree.symbol} ({_text(tree.argument)}))"
        case NaturalPower():
            return f"({_text(tree.base)}) ^ {_natural(tree.exponent)}"
        case Sum():
            return f"(∑ {tree.index.name} ∈ range {_natural(tree.length)}, {_text(tree.term)})"
    raise AssertionError(tree)


def _natural(value: NaturalIndex) -> str:
    if isinstance(value, int):
        return str(value)
    return f"({value.name} + {value.shift})" if value.shift else value.name

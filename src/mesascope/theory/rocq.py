"""Statements as Rocq (Coq) text over the standard library's real numbers; no other library is needed."""

from collections.abc import Sequence as Sequenced
from pathlib import Path

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

LEMMAS = ("sums", "inner_products", "chebyshev", "conjugate_gradient", "rounding", "welch")
"""Files in ``lemmas/``, in an order in which each uses only earlier ones."""

_HERE = Path(__file__).parent
PRELUDE = "\n".join((_HERE / "lemmas" / f"{name}.v").read_text("utf-8") for name in LEMMAS)
"""The text before the theorems: sums, tactics, and the lemmas of longer proofs."""

_FUNCTION = {"exp": "exp", "abs": "Rabs"}


def module(statements: Sequenced[Statement], *, axioms_of_each: bool = True) -> str:
    """The text of a file that ``coqc`` compiles.

    Args:
        statements: the statements to prove.
        axioms_of_each: print the axioms of every single proof, which takes almost a second each; with False they are printed
            once, for all proofs together.
    """
    keys = [statement.key for statement in statements]
    together = f"Definition everything := ({', '.join(keys)}).\n" if keys else ""
    printed = keys if axioms_of_each else ["everything"] * bool(keys)
    return "\n".join(
        [PRELUDE, *map(theorem, statements), together, *(f"Print Assumptions {name}." for name in printed), ""]
    )


def theorem(statement: Statement) -> str:
    """The text of one theorem with its proof."""
    variables = "".join(f" ({v.name} : {_type(v)})" for v in statement.variables)
    claim = " ->\n  ".join(map(_text, (*statement.assumptions, statement.conclusion)))
    proof = statement.rocq or "close."
    return (
        f"(* {statement.name} *)\nTheorem {statement.key} : forall{variables},\n  {claim}.\nProof.\n  {proof}\nQed.\n"
    )


def _type(variable: Variable) -> str:
    match variable:
        case Natural():
            return "nat"
        case Sequence():
            return "nat -> " * variable.axes + "R"
        case Real():
            return "R"


def _text(tree: Formula | Expression) -> str:
    match tree:
        case Every():
            index = tree.index.name
            return f"(forall {index} : nat, ({index} < {_natural(tree.length)})%nat -> {_text(tree.formula)})"
        case All():
            together = " /\\ ".join(map(_text, tree.formulas))
            return f"({together})"
        case Compare() | Binary():
            return f"({_text(tree.left)} {tree.symbol} {_text(tree.right)})"
        case Number():
            return str(tree.value)
        case Real():
            return tree.name
        case Entry():
            return f"({tree.sequence.name} {' '.join(map(_index, tree.indices))})"
        case Count():
            return f"(INR {_natural(tree.value)})"
        case Function():
            return f"({_FUNCTION[tree.symbol]} {_text(tree.argument)})"
        case NaturalPower():
            return f"({_text(tree.base)} ^ {_natural(tree.exponent)})"
        case Sum():
            return f"(total (fun {tree.index.name} => {_text(tree.term)}) {_natural(tree.length)})"
    raise AssertionError(tree)


def _index(value: NaturalIndex) -> str:
    return f"{value}%nat" if isinstance(value, int) else _natural(value)


def _natural(value: NaturalIndex) -> str:
    if isinstance(value, int):
        return str(value)
    return f"({value.name} + {value.shift})%nat" if value.shift else value.name

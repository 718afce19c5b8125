"""Statements in usual mathematical notation, in Unicode."""

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
    Sum,
)
from mesascope.theory.statement import Statement

_BINDING = {"+": 1, "-": 1, "*": 2, "/": 2}
_WRITTEN = {"+": " + ", "-": " − ", "*": "·", "/": "/", "<=": " ≤ ", "<": " < ", "=": " = "}
_RAISED = str.maketrans("0123456789+abcdefghijklmn", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿ")


def mathematics(statement: Statement) -> str:
    """The statement in the form: hypotheses ⇒ conclusion."""
    hypotheses = ", ".join(map(written, statement.hypotheses))
    return f"{hypotheses} ⇒ {written(statement.conclusion)}" if hypotheses else written(statement.conclusion)


def written(tree: Formula | Expression) -> str:
    """An expression or a formula in Unicode."""
    match tree:
        case Every():
            return f"{written(tree.formula)} for all {tree.index.name} < {_natural(tree.length)}"
        case All():
            return " and ".join(map(written, tree.formulas))
        case Compare():
            return f"{written(tree.left)}{_WRITTEN[tree.symbol]}{written(tree.right)}"
        case Number():
            return str(tree.value)
        case Real():
            return tree.symbol
        case Entry():
            return f"{tree.sequence.symbol}[{', '.join(map(_natural, tree.indices))}]"
        case Count():
            return _natural(tree.value) if tree.value.shift == 0 else f"({_natural(tree.value)})"
        case Function(symbol="abs"):
            return f"|{written(tree.argument)}|"
        case Function():
            return f"{tree.symbol}({written(tree.argument)})"
        case Sum():
            return f"Σ_{{{tree.index.name}<{_natural(tree.length)}}} {_inside(tree.term, 2)}"
        case NaturalPower():
            return f"{_inside(tree.base, 4)}{_natural(tree.exponent).translate(_RAISED)}"
        case Binary(symbol="-", left=Number(value=0)):
            return f"−{_inside(tree.right, 2)}"
        case Binary():
            level = _BINDING[tree.symbol]
            right = _inside(tree.right, level + (tree.symbol in "-/"))
            return f"{_inside(tree.left, level)}{_WRITTEN[tree.symbol]}{right}"
    raise AssertionError(tree)


def _inside(tree: Expression, level: int) -> str:
    """An expression, in brackets if the surrounding operator binds more strongly."""
    match tree:
        case Binary(symbol="-", left=Number(value=0)):
            own = 0
        case Binary():
            own = _BINDING[tree.symbol]
        case Sum():
            own = 1
        case NaturalPower():
            own = 3
        case _:
            own = 5
    return written(tree) if own >= level else f"({written(tree)})"


def _natural(value: Natural | int) -> str:
    if isinstance(value, int):
        return str(value)
    return f"{value.name}+{value.shift}" if value.shift else value.name

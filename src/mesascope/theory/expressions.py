"""The language of statements: real expressions, finite sums, comparisons, "and", and "for every index".

Python's operators build trees and compute nothing: ``eta * (b - a * w) <= 0`` is a formula. The text for every prover and every
numeric check is derived from the tree, so that a statement is written only once.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Union

Operand = Union["Expression", int]


class Expression:
    """An expression with a real value, as a tree."""

    __slots__ = ()

    def __add__(self, other: Operand) -> "Binary":
        return Binary(symbol="+", left=self, right=_lift(other))

    def __radd__(self, other: Operand) -> "Binary":
        return Binary(symbol="+", left=_lift(other), right=self)

    def __sub__(self, other: Operand) -> "Binary":
        return Binary(symbol="-", left=self, right=_lift(other))

    def __rsub__(self, other: Operand) -> "Binary":
        return Binary(symbol="-", left=_lift(other), right=self)

    def __mul__(self, other: Operand) -> "Binary":
        return Binary(symbol="*", left=self, right=_lift(other))

    def __rmul__(self, other: Operand) -> "Binary":
        return Binary(symbol="*", left=_lift(other), right=self)

    def __truediv__(self, other: Operand) -> "Binary":
        return Binary(symbol="/", left=self, right=_lift(other))

    def __rtruediv__(self, other: Operand) -> "Binary":
        return Binary(symbol="/", left=_lift(other), right=self)

    def __neg__(self) -> "Binary":
        return Binary(symbol="-", left=Number(value=0), right=self)

    def __pow__(self, exponent: "int | Natural") -> "NaturalPower":
        return NaturalPower(base=self, exponent=exponent)

    def __le__(self, other: Operand) -> "Compare":
        return Compare(symbol="<=", left=self, right=_lift(other))

    def __lt__(self, other: Operand) -> "Compare":
        return Compare(symbol="<", left=self, right=_lift(other))

    def __ge__(self, other: Operand) -> "Compare":
        return Compare(symbol="<=", left=_lift(other), right=self)

    def __gt__(self, other: Operand) -> "Compare":
        return Compare(symbol="<", left=_lift(other), right=self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Natural:
    """A natural number: a length, an index or an exponent; ``k + 1`` is the next one.

    Attributes:
        name: its name in ASCII, for provers.
        meaning: its meaning in words; empty for an index that a sum or a quantifier binds.
        shift: the number that is added to the variable.
    """

    name: str
    meaning: str = ""
    shift: int = 0

    def __add__(self, by: int) -> "Natural":
        return replace(self, shift=self.shift + by)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number(Expression):
    """A whole number."""

    value: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Real(Expression):
    """A real variable.

    Attributes:
        name: its name in ASCII, for provers.
        symbol: its usual mathematical symbol.
        meaning: its meaning in words.
    """

    name: str
    symbol: str
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A real sequence or table; ``g[k]`` is an entry of a sequence, ``r[k, i]`` an entry of a table.

    Attributes:
        name, symbol, meaning: those of `Real`.
        axes: 1 for a sequence, 2 for a table (steps by channels, outputs by channels).
    """

    name: str
    symbol: str
    meaning: str
    axes: int = 1

    def __getitem__(self, index: "NaturalIndex | tuple[NaturalIndex, ...]") -> "Entry":
        return Entry(sequence=self, indices=index if isinstance(index, tuple) else (index,))


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Expression):
    """One entry of a sequence or table."""

    sequence: Sequence
    indices: "tuple[NaturalIndex, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Count(Expression):
    """A natural number, converted to a real number."""

    value: Natural


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary(Expression):
    """A sum, difference, product or quotient: ``symbol`` is one of + - * /."""

    symbol: str
    left: Expression
    right: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class NaturalPower(Expression):
    """A power with a natural exponent."""

    base: Expression
    exponent: int | Natural


@dataclass(frozen=True, slots=True, kw_only=True)
class Function(Expression):
    """A real function: ``symbol`` is exp or abs."""

    symbol: str
    argument: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Sum(Expression):
    """The sum of a term over index = 0, …, length − 1; an empty sum is zero."""

    index: Natural
    length: Natural
    term: Expression


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """A comparison: ``symbol`` is one of = < <=."""

    symbol: str
    left: Expression
    right: Expression

    def __bool__(self) -> bool:
        raise TypeError(
            "a formula is neither true nor false before its variables have values; got one where a bool is needed. "
            "Write 0 < x < 1 as two formulas."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Every:
    """A formula that holds for every index = 0, …, length − 1."""

    index: Natural
    length: Natural
    formula: "Formula"


@dataclass(frozen=True, slots=True, kw_only=True)
class All:
    """A conjunction of formulas; inside `Every`, the equations of one step of an iteration."""

    formulas: "tuple[Formula, ...]"


Formula = Compare | Every | All
NaturalIndex = Natural | int
Variable = Real | Sequence | Natural


def equals(left: Operand, right: Operand) -> Compare:
    """The equation left = right; ``==`` would compare trees."""
    return Compare(symbol="=", left=_lift(left), right=_lift(right))


def exp(argument: Operand) -> Function:
    """The exponential."""
    return Function(symbol="exp", argument=_lift(argument))


def absolute(argument: Operand) -> Function:
    """The absolute value."""
    return Function(symbol="abs", argument=_lift(argument))


def variables(*trees: object) -> tuple[Variable, ...]:
    """The free variables in order of first appearance."""
    return tuple(dict.fromkeys(variable for tree in trees for variable in _free(tree)))


def natural(value: NaturalIndex, values: Mapping[str, Any]) -> int:
    """The value of an index, a length or an exponent, given the variables' values."""
    return value if isinstance(value, int) else values[value.name] + value.shift


def _free(tree: object) -> Iterator[Variable]:
    match tree:
        case Real() | Sequence():
            yield tree
        case Natural():
            yield replace(tree, shift=0)
        case Sum() | Every():
            yield replace(tree.length, shift=0)
            inner = tree.term if isinstance(tree, Sum) else tree.formula
            yield from (variable for variable in _free(inner) if variable != tree.index)
        case tuple():
            for part in tree:
                yield from _free(part)
        case Entry() | Count() | Binary() | NaturalPower() | Function() | Compare() | All():
            for field in fields(tree):
                yield from _free(getattr(tree, field.name))


def _lift(value: Operand) -> Expression:
    return Number(value=value) if isinstance(value, int) else value

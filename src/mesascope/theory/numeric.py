"""Statements as predicates, evaluated on float64 tensors with a tolerance for rounding, and on exact fractions."""

import itertools
import math
import operator
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from mesascope.seeds import generator
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
    variables,
)
from mesascope.theory.rounding import Rounded
from mesascope.theory.statement import Statement

SLACK = 64 * torch.finfo(torch.float64).eps
"""Tolerance for rounding in float64, relative to the sum of the magnitudes of all terms that are added."""

AMPLIFIED = 2**4 * SLACK
"""The same for an iteration whose vectors shrink by a factor below 16 and keep the rounding errors of the first ones."""

DRAWN = 512
"""Number of random fractions for one point; reals, and sequences of `LONGEST` + 2 entries, take their values from them."""

LONGEST = 4
"""Natural variables are drawn from 0 to this number."""

MEASURED = "measured"
"""Key of values that were measured in a network instead of computed, by the expression that they replace."""

Value = Tensor | Fraction
Values = Mapping[str, Any]
"""Values by variable name: a number (tensor, fraction or NumPy array of fractions, or `Rounded`) for a real, a list of numbers
for a sequence, an int for a natural; and `MEASURED` values: a number, or inside a sum or a quantifier a list of numbers."""


def holds(formula: Formula, values: Values, slack: float = 0, inequalities: bool = True) -> Any:
    """Whether a formula holds at given values: a bool for fractions, an elementwise tensor of bools for tensors.

    Args:
        formula: the formula.
        values: tensors in float64 that broadcast together, or fractions.
        slack: tolerance of a comparison, relative to the magnitudes of its terms; 0 for fractions, `SLACK` for float64.
        inequalities: whether inequalities get the tolerance too; with False only equations do.
    """
    if not isinstance(formula, Compare):
        result: Any = True
        for part, indices in _parts(formula, values):
            result = holds(part, {**values, **indices}, slack, inequalities) & result
        return result
    if formula.symbol != "=":
        slack *= inequalities
    left, right = _evaluate(formula.left, values), _evaluate(formula.right, values)
    allowed = slack * (left.size + right.size) if slack else 0
    match formula.symbol:
        case "=":
            return (left.value - right.value <= allowed) & (right.value - left.value <= allowed)
        case "<=":
            return left.value <= right.value + allowed
        case _:
            return left.value < right.value + allowed


def violations(statement: Statement, values: Values, slack: float = 0) -> tuple[Any, Any]:
    """Whether the hypotheses hold, and whether also the conclusion fails. In the hypotheses only equations get the slack."""
    assumed: Any = True
    for hypothesis in statement.hypotheses:
        assumed = holds(hypothesis, values, slack, inequalities=False) & assumed
        if assumed is False:  # one point, in fractions; the conclusion may divide by zero there
            return False, False
    return assumed, assumed & (True ^ holds(statement.conclusion, values, slack))


def floats(statement: Statement, points: int, seed: int) -> Iterator[Values]:
    """Random float64 values of a statement's variables, for one choice of the naturals at a time; equations are solved."""
    for length in range(LONGEST + 1):
        draw = generator(seed, f"theory/float/{statement.key}", length)
        lengths = itertools.repeat(length)
        yield _fill(statement, lengths, lambda draw=draw: torch.randn(points, generator=draw, dtype=torch.float64) * 2)


def fractions(statement: Statement, points: int, seed: int, without: Formula | None = None) -> Iterator[Values]:
    """Random small fractions for a statement's variables; a point is left out if an equation has no solution.

    Args:
        statement: the statement whose variables get values.
        points: number of points to try.
        seed: the seed of the draw.
        without: one of the statement's assumptions, which need not hold.
    """
    drawn = torch.randint(-12, 13, (points, DRAWN), generator=generator(seed, f"theory/exact/{statement.key}"))
    for n, row in enumerate(drawn.tolist()):
        numbers, lengths = iter(row), (n // (LONGEST + 1) ** place % (LONGEST + 1) for place in itertools.count())
        try:
            yield _fill(statement, lengths, lambda numbers=numbers: Fraction(next(numbers), 4), without)
        except ZeroDivisionError:
            continue


def _fill(statement: Statement, lengths: Iterator[int], draw: Any, without: Formula | None = None) -> Values:
    values: dict[str, Any] = {}
    for variable in statement.variables:
        match variable:
            case Natural():
                values[variable.name] = next(lengths)
            case Sequence():
                values[variable.name] = _table(variable.axes, draw)
            case Real():
                values[variable.name] = draw()
    while isinstance(without, Every):
        without = without.formula
    for hypothesis in statement.hypotheses:
        _solve(hypothesis, values, {}, without)
    return values


def _table(axes: int, draw: Any) -> Any:
    return [_table(axes - 1, draw) for _ in range(LONGEST + 2)] if axes else draw()


def _parts(formula: Every | All, values: Values) -> Iterator[tuple[Formula, Mapping[str, int]]]:
    """The parts of a formula in order, each with the value of its index."""
    if isinstance(formula, All):
        yield from ((part, {}) for part in formula.formulas)
    else:
        yield from ((formula.formula, {formula.index.name: k}) for k in range(natural(formula.length, values)))


def _solve(formula: Formula, values: dict[str, Any], indices: Mapping[str, int], without: Formula | None) -> None:
    """Make a hypothesis hold: solve an equation, linear in its first variable, or reflect a variable that breaks an inequality.

    An inequality without a single variable on one side is not enforced.
    """
    if not isinstance(formula, Compare):
        for part, more in _parts(formula, {**values, **indices}):
            _solve(part, values, {**indices, **more}, without)
        return
    if formula == without:
        return
    naturals = {**values, **indices}
    if formula.symbol != "=":
        for free, limit, sign in ((formula.right, formula.left, 1), (formula.left, formula.right, -1)):
            if isinstance(free, Real | Entry):
                (holder, key), edge = _place(free, values, naturals), _evaluate(limit, naturals).value
                holder[key] = edge + sign * abs(holder[key] - edge)
                return
        return
    holder, key = _place(_first(formula.left), values, naturals)

    def gap(value: Any) -> Any:
        holder[key] = value
        every = {**values, **indices}
        return (_evaluate(formula.left, every) - _evaluate(formula.right, every)).value

    nothing = holder[key] * 0
    zero, one = gap(nothing), gap(nothing + 1)
    holder[key] = -zero / (one - zero)
    if isinstance(zero, Tensor):  # refine once: the slope is known only up to an absolute error
        holder[key] = holder[key] - gap(holder[key]) / (one - zero)


def _first(tree: Expression) -> Real | Entry:
    match tree:
        case Real() | Entry():
            return tree
        case Binary():
            return _first(tree.left)
        case NaturalPower():
            return _first(tree.base)
    raise AssertionError(f"an equation among the hypotheses must begin with a variable; got {tree}")


def _place(variable: Real | Entry, values: dict[str, Any], naturals: Values) -> tuple[Any, Any]:
    """The container that holds a variable's value, and the key there."""
    if isinstance(variable, Real):
        return values, variable.name
    holder = values[variable.sequence.name]
    *outer, last = (natural(index, naturals) for index in variable.indices)
    for index in outer:
        holder = holder[index]
    return holder, last


def _evaluate(tree: Expression, values: Values) -> Rounded:
    """An expression's value. A measured value has at least the size of the computation, because a network rounds too."""
    if MEASURED in values and tree in values[MEASURED]:
        value = values[MEASURED][tree]
        for index in (v for v in variables(tree) if isinstance(v, Natural) and not v.meaning):
            value = value[values[index.name]]
        value = Rounded.of(value)
        return Rounded(value.value, value.size + _computed(tree, values).size)
    return _computed(tree, values)


def _computed(tree: Expression, values: Values) -> Rounded:
    match tree:
        case Number():
            return Rounded.of(tree.value)
        case Real():
            return Rounded.of(values[tree.name])
        case Entry():
            value = values[tree.sequence.name]
            for index in tree.indices:
                value = value[natural(index, values)]
            return Rounded.of(value)
        case Count():
            return Rounded.of(natural(tree.value, values))
        case Function(symbol="abs"):
            return abs(_evaluate(tree.argument, values))
        case Function():
            argument = _evaluate(tree.argument, values)
            value = _exponential(argument.value)
            return Rounded(value, value * (1 + argument.size))
        case NaturalPower():
            return _evaluate(tree.base, values) ** natural(tree.exponent, values)
        case Sum():
            terms = (_evaluate(tree.term, {**values, tree.index.name: k}) for k in range(natural(tree.length, values)))
            return sum(terms, Rounded.of(0))
        case Binary():
            operation = {"+": operator.add, "-": operator.sub, "*": operator.mul}.get(tree.symbol, operator.truediv)
            return operation(_evaluate(tree.left, values), _evaluate(tree.right, values))
    raise AssertionError(tree)


def _exponential(value: Any) -> Any:
    """The exponential; for a fraction, a float approximation as a fraction, which suffices if only positivity is used."""
    return value.exp() if isinstance(value, Tensor) else Fraction(math.exp(value))

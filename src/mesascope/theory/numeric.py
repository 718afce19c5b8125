"""Statements as predicates: on float64 tensors, with the rounding errors that float64 makes, and on exact fractions."""

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
    Number,
    Power,
    Real,
    Sequence,
    Sum,
    natural,
    variables,
)
from mesascope.theory.rounding import Rounded
from mesascope.theory.statement import Statement

SLACK = 64 * torch.finfo(torch.float64).eps
"""Rounding allowed to float64, relative to the sum of the magnitudes of everything that is added up."""

AMPLIFIED = 2**4 * SLACK
"""The same for an iteration whose vectors shrink by less than 16 and keep the rounding errors of the first, larger ones."""

DRAWN = 512
"""How many random fractions there are for one point; sequences of `LONGEST` + 2 entries and reals take theirs from it."""

LONGEST = 4
"""Natural variables are drawn from 0 to this."""

MEASURED = "measured"
"""Key of what is not computed but was read from a network: values by the expression that they take the place of."""

Value = Tensor | Fraction
Values = Mapping[str, Any]
"""By the variables' names: a number (tensor, fraction or NumPy array of them, or `Rounded`) for a real, a list of them for a
sequence, an int for a natural; and what is `MEASURED`: a number, or within a sum or a quantifier a list of them."""


def holds(formula: Formula, values: Values, slack: float = 0, inequalities: bool = True) -> Any:
    """Whether a formula holds at given values: a bool for fractions, a tensor of them, elementwise, for tensors.

    Args:
        formula: what is asked.
        values: tensors in float64 that broadcast together, or fractions.
        slack: how far a comparison may be missed, relative to the magnitudes that enter; 0 for fractions, `SLACK` for float64.
        inequalities: False gives the slack to equations only.
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
    """Where the hypotheses hold, and where in addition the conclusion fails. An equation among the hypotheses gets the slack."""
    assumed: Any = True
    for hypothesis in statement.hypotheses:
        assumed = holds(hypothesis, values, slack, inequalities=False) & assumed
        if assumed is False:  # one point, in fractions; the conclusion may divide by zero there
            return False, False
    return assumed, assumed & (True ^ holds(statement.conclusion, values, slack))


def floats(statement: Statement, points: int, seed: int) -> Iterator[Values]:
    """Random float64 values for a statement's variables, one choice of the naturals at a time; equations are solved."""
    for length in range(LONGEST + 1):
        draw = generator(seed, f"theory/float/{statement.key}", length)
        lengths = itertools.repeat(length)
        yield _fill(statement, lengths, lambda draw=draw: torch.randn(points, generator=draw, dtype=torch.float64) * 2)


def fractions(statement: Statement, points: int, seed: int, without: Formula | None = None) -> Iterator[Values]:
    """Random small fractions for a statement's variables; where an equation has no solution, the point is left out.

    Args:
        statement: whose variables.
        points: how many are tried.
        seed: of the draw.
        without: one of the statement's assumptions that need not hold.
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
    """What has to hold together, in order, each with the index that it is about."""
    if isinstance(formula, All):
        yield from ((part, {}) for part in formula.formulas)
    else:
        yield from ((formula.formula, {formula.index.name: k}) for k in range(natural(formula.length, values)))


def _solve(formula: Formula, values: dict[str, Any], indices: Mapping[str, int], without: Formula | None) -> None:
    """Set the first variable on the left so that an equation holds, if it enters linearly; reflect one that is on the wrong side.

    A comparison without a variable alone on one side is left to chance.
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
    if isinstance(zero, Tensor):  # once more: the slope is known with an absolute error only
        holder[key] = holder[key] - gap(holder[key]) / (one - zero)


def _first(tree: Expression) -> Real | Entry:
    match tree:
        case Real() | Entry():
            return tree
        case Binary():
            return _first(tree.left)
        case Power():
            return _first(tree.base)
    raise AssertionError(f"an equation among the hypotheses must begin with a variable; got {tree}")


def _place(variable: Real | Entry, values: dict[str, Any], naturals: Values) -> tuple[Any, Any]:
    """Where a variable's value is kept: what holds it, and under which key."""
    if isinstance(variable, Real):
        return values, variable.name
    holder = values[variable.sequence.name]
    *outer, last = (natural(index, naturals) for index in variable.indices)
    for index in outer:
        holder = holder[index]
    return holder, last


def _evaluate(tree: Expression, values: Values) -> Rounded:
    """An expression's value. The size of a measured one is at least that of computing it: a network rounds as it computes."""
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
        case Power():
            return _evaluate(tree.base, values) ** natural(tree.exponent, values)
        case Sum():
            terms = (_evaluate(tree.term, {**values, tree.index.name: k}) for k in range(natural(tree.length, values)))
            return sum(terms, Rounded.of(0))
        case Binary():
            operation = {"+": operator.add, "-": operator.sub, "*": operator.mul}.get(tree.symbol, operator.truediv)
            return operation(_evaluate(tree.left, values), _evaluate(tree.right, values))
    raise AssertionError(tree)


def _exponential(value: Any) -> Any:
    """Of a fraction a float's exact value, positive but not quite the exponential: enough where statements use no more."""
    return value.exp() if isinstance(value, Tensor) else Fraction(math.exp(value))

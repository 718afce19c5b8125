"""A description in one sentence, as one colleague would say it to another."""

from mesascope.instruments.explaining.shares import HOLDS
from mesascope.types import Description, Explanation, NamedFunction, Rung

NEAR_ONE = 0.05
"""How far a gain may be from 1 to be called least squares."""
EXACT = 0.9999
"""Share from which on answers are a function; below they are like it."""
MOSTLY = 0.8
"""Share from which on a class is said to hold in part."""
FIXED = ("function", "polynomial", "filter")


def sentence(description: Description) -> str:
    """What a subject computes, in a sentence or two.

    Args:
        description: its own ``sentence`` is not read.
    """
    home = description.training
    away = description.discriminating if description.basis == "discriminating" else None
    main = away or home
    if not main.rungs:
        return _capital(f"nothing can be said: {next(iter(main.missing.values()), 'no class could be measured')}.")
    told = f"{_class(main, home if away else None)}: {_what(main)}{_mixed(main)}."
    return told if away is None else told + _difference(home, away)


def _class(main: Explanation, home: Explanation | None) -> str:
    """The class that holds, with its share on both distributions."""
    rung = main.of(main.rung) if main.rung else None
    if rung is None:
        best = max(main.rungs, key=lambda r: r.share)
        nearest = f"the nearest, {_called(best, main)}, explains {percent(best.share)}"
        return f"None of the classes tried explains its answers; {nearest}"
    at_home = home.of(rung.kind) if home else None
    shares = f"{percent(rung.share)} of its answers"
    if at_home is not None:
        shares += f"; {percent(at_home.share)} on its training prompts"
    return f"{_capital(_called(rung, main))} ({shares}{_limit(rung)})"


def _mixed(main: Explanation) -> str:
    """A remark where a class that is linear in the labels holds, and answers to labels of two functions mixed are not."""
    labels = main.of("labels")
    if main.rung in (None, "query alone", "labels", "labels and query") or labels is None or labels.holds:
        return ""
    return f"; with the labels of two functions mixed it is linear in them only to {percent(max(0.0, labels.share))}"


def _limit(rung: Rung) -> str:
    """A remark where the interval of what the class leaves contains the limit up to which it holds."""
    low, high = rung.left_interval
    if not low <= HOLDS < high:
        return ""
    between = f"{100 * max(low, 0):.1f} to {percent(high)}"
    return (
        f"; {between} left beyond noise, around the limit of {100 * HOLDS:g} %: the class may change with more prompts"
    )


def _called(rung: Rung, of: Explanation) -> str:
    labels = of.of("labels")
    if rung.kind == "labels and query" and labels is not None and not labels.holds:  # each prompt's weights are fitted
        return "linear in the query and not in the labels"
    names = {
        "query alone": "a function of the query alone, whatever the examples",
        "labels": "linear in the labels",
        "labels and query": "linear in the labels and in the query",
        "smoother": f"linear in the labels, a weighted mean of them ({rung.detail})",
        "diagonal": "linear in the labels, with a gain of each prompt's own for every eigen-direction of XᵀX",
        "own polynomial": f"each prompt's own polynomial of {rung.detail} in XᵀX, applied to Xᵀy",
    }
    return names.get(rung.kind, "linear in the labels and the same spectral filter for every prompt")


def _what(main: Explanation) -> str:
    """What the class is like: the filter's name or shape, or by how much the next narrower class fails."""
    if main.rung == "function":
        best = main.functions[0]
        words = _function(main, best)
        return words if best.share > EXACT or words.startswith("least squares") else f"like {words}"
    if main.rung in FIXED:
        detail = next((r.detail for r in main.rungs if r.kind == main.rung), "")
        lead = f"a polynomial of {detail} in XᵀX" if main.rung == "polynomial" else _shape(main)
        nearest = main.functions[0]
        return f"{lead}; the nearest function with a name, {named(nearest)}, leaves {percent(nearest.distance)} more"
    if main.rung == "query alone":
        return "it does not learn in context"
    fixed = main.of("filter")
    if fixed is None:
        return "no filter could be measured"
    if main.rung == "own polynomial":
        return f"as conjugate gradient computes one; a single filter for all prompts explains {percent(fixed.share)}"
    if main.rung in ("diagonal", "labels and query"):
        return f"one filter for all prompts explains only {percent(fixed.share)}"
    query = main.of("labels and query")
    linear = ""
    if query is not None and main.rung == "labels":
        only = f"linear in the query only to {percent(query.share)}"
        linear = f"{only if query.share > MOSTLY else 'not in the query'}; "
    return f"{linear}the best filter of the eigenvalues explains {percent(fixed.share)}"


def _function(main: Explanation, best: NamedFunction) -> str:
    if best.name not in ("gradient flow", "ridge", "iterated Tikhonov", "Newton–Schulz"):
        return named(best)
    exact = [p.eigenvalue for p in main.filter if p.gain < 1 - NEAR_ONE]
    above = [p.eigenvalue for p in main.filter if not exact or p.eigenvalue > exact[-1]]
    if not exact:
        return f"least squares, as far as these eigenvalues show ({named(best)})"
    if len(above) < len(main.filter) / 2:
        return named(best)
    return f"least squares for eigenvalues above {above[0]:.2g}, falling below like {named(best)}"


def _shape(main: Explanation) -> str:
    """A filter without a name: its gain at the ends and in the middle."""
    places = sorted({0, len(main.filter) // 2, len(main.filter) - 1})
    return "gain " + ", ".join(f"{main.filter[i].gain:.2f} at λ = {main.filter[i].eigenvalue:.2g}" for i in places)


def named(function: NamedFunction) -> str:
    """A function with its coefficients and their intervals."""

    def value(name: str) -> str:
        low, high = function.intervals.get(name, (0.0, 0.0))
        found = function.coefficients[name]
        narrow = high - low <= 0.005 * found
        return f"{found:.3g}" if narrow else f"{found:.3g} [{low:.3g}, {high:.3g}]"

    if function.name == "gradient flow":
        return f"gradient flow stopped at t = {value('time')}"
    if function.name == "gradient descent":
        count, counted = int(function.coefficients["steps"]), _count(function, "steps")
        doubled = count in (4, 8, 16) and counted == f"{count} steps"
        same = f" (the same function as Newton–Schulz after {count.bit_length() - 1})" if doubled else ""
        return f"gradient descent, {counted} of size {value('step size')}{same}"
    if function.name == "Newton–Schulz":
        power = 2 ** int(function.coefficients["steps"])
        return (
            f"Newton–Schulz, {_count(function, 'steps')} (the same function as gradient descent after {power} of size "
            f"{value('step size')})"
        )
    if function.name == "ridge":
        return f"ridge regression with penalty {value('penalty')}"
    if function.name == "iterated Tikhonov":
        return f"Tikhonov's ridge iterated {_count(function, 'times')} with penalty {value('penalty')}"
    steps = [_count(function, "steps")] if "steps" in function.coefficients else []
    return ", ".join([function.name, *steps, *(f"{n} {value(n)}" for n in function.coefficients if n != "steps")])


def _count(function: NamedFunction, name: str) -> str:
    """A count, or the counts that fit as well: ``8 steps``, ``7 to 9 steps``."""
    low, high = function.intervals.get(name, (0.0, 0.0))
    found = function.coefficients[name]
    if low < high:
        return f"{low:.0f} to {high:.0f} {name} (best: {found:.0f})"
    return f"{found:.0f} {name}" if found != 1 else f"1 {name.removesuffix('s')}"


def _difference(home: Explanation, away: Explanation) -> str:
    """What is said of the training prompts where another class or function holds there."""
    there = home.of(home.rung) if home.rung else None
    if there is None:
        return "" if away.rung is None else " On its training prompts no class holds."
    if home.rung in FIXED and away.rung in FIXED:
        known, seen = home.functions[0], away.functions[0]
        if home.rung != "function" or known.name == seen.name:
            return ""
        return f" On its training prompts it is {'least squares' if known.name == 'least squares' else named(known)}."
    if home.rung == away.rung:
        return ""
    what = named(home.functions[0]) if home.rung == "function" else _called(there, home)
    told = f" On its training prompts it is {what} ({percent(there.share)})"
    shortcut = home.rung in FIXED and away.rung != "own polynomial"
    return told + ("; that this does not hold elsewhere is a shortcut." if shortcut else ".")


def percent(share: float) -> str:
    """A share in per cent; close to all or nothing with as many digits as tell it from them."""
    near = min(abs(1 - share), abs(share))
    if near < 5e-5:
        return f"{100 * share:.0f} %"
    return f"{100 * share:.2f} %" if near < 5e-3 else f"{100 * share:.1f} %"


def _capital(words: str) -> str:
    return words[:1].upper() + words[1:]


__all__ = ("named", "percent", "sentence")

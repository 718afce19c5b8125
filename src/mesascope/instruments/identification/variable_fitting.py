"""Fit a family whose number of coefficients depends on the path: coefficients for every layer, or a matrix for all prompts."""

from collections.abc import Sequence

import torch

from mesascope.instruments.identification.family import Family
from mesascope.instruments.identification.fitting import Aim, Fit, Start, option_losses, refined
from mesascope.instruments.identification.scattering import scattered
from mesascope.instruments.identification.starting import FINDERS
from mesascope.instruments.identification.variable import moving
from mesascope.instruments.statistics.discrepancy import PRECISION, discrepancy

ROUGH, FINE = 12, 20
"""The numbers of iterations for families whose number of coefficients depends on the path, on few prompts and on all. Their
starts are near already, and each iteration takes one run per coefficient."""
LIKELY = 2
"""How many timings are tried for a matrix in the weights."""
BEHIND = 2.0
"""If such a family ends, on few prompts, with a loss this many times that of a smaller family, it is not refined on all."""
SILENT = 1e-3
"""An answer of this size, in units of the target's variance, is none: the path may start after its layer."""
PLAIN = ("gradient-descent", (0.25,))
"""The member of a smaller family at which the search starts if nothing better is known, for inputs of mean eigenvalue 1."""


BASES, BEST = 2, 4
"""Where readouts are fitted: around how many of the best members so far a search is scattered, and how many are kept."""
TURNS, GAIN = 3, 0.1
"""How often that is done, and the share by which the best loss must fall to do it once more."""


def fit_variable(
    family: Family, aim: Aim, options: Sequence[tuple[int, ...]], idle: Sequence[int], smaller: Sequence[Fit]
) -> Fit:
    """The best member of a family whose number of coefficients depends on the path.

    The search starts at the members that equal fits of smaller families, and where `FINDERS` says. These look at answers of
    which with fitted readouts only the last has a size; there it starts around the former instead (`scattering`).

    Args:
        family: the candidate.
        aim: the subject.
        options: the numbers of steps after each layer to choose from.
        idle: the layers, counted from 1, that leave the answer unchanged.
        smaller: fits of other families.
    """
    projected = aim.projection is not None
    every = family.root is None  # coefficients for every layer: one that does nothing has step size 0
    rests = ((), idle) if projected else (idle,)
    admitted = [steps for steps in options if any(_admitted(steps, rest, every=every) for rest in rests)]
    options = admitted or list(options[:1])
    options = [o for o in options if family.says(len(moving(o)), sized=not projected)] or options
    options.sort(key=lambda steps: moving(steps)[0])
    if not (every or projected):
        options = _likely(family, aim, options)
    known: dict[tuple[int, ...], list[tuple[float, tuple[float, ...]]]] = {steps: [] for steps in options}
    for fit in smaller:
        values = family.contained(fit.family.name, fit.values, max(fit.steps), aim.runner.prompts.dim)
        if values is not None and fit.steps in known:
            known[fit.steps].append((fit.loss, values))
    if projected:
        options = [steps for steps in options if known[steps]] or options[:1]
    least, best = min((fit.loss for fit in smaller), default=torch.inf), None
    for steps in options:
        fit = _fit_steps(family, aim, steps, known[steps], least)
        # A first step that does nothing is a later start, and then a smaller answer to the same question.
        late = SILENT * len(steps) if every and not projected else 0.0
        best = fit if best is None or fit.loss <= best.loss + late else best
        first = fit.answers(aim.runner)[moving(steps)[0]]
        size = float(discrepancy(first, torch.zeros_like(first), aim.units[0]).mean())
        if every and not projected and size > SILENT:
            break
    assert best is not None, "there is always the option of one step per layer"
    return best


def _admitted(steps: tuple[int, ...], idle: Sequence[int], *, every: bool) -> bool:
    """Whether no idle layer takes a step and no layer takes several; with ``every``, all others take one from the first on."""
    moves, resting = set(moving(steps)), {layer - 1 for layer in idle}
    if moves & resting or len(moves) < max(steps):
        return False
    return not every or moves == set(range(min(moves), len(steps))) - resting


def _likely(family: Family, aim: Aim, options: Sequence[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The options whose first answer gives, on all prompts, the matrices that describe a few of them best."""
    few, ranked = aim.few(family), []
    for first in dict.fromkeys(moving(steps)[0] for steps in options):
        group = [steps for steps in options if moving(steps)[0] == first]
        values = FINDERS[family.name](aim, group[0])
        losses = option_losses(few.runner.many(family, [values], max(max(steps) for steps in group)), few, group)[0]
        ranked += zip(losses.tolist(), group, strict=True)
    return [steps for _, steps in sorted(ranked)[:LIKELY]]


def _fit_steps(
    family: Family, aim: Aim, steps: tuple[int, ...], known: Sequence[tuple[float, tuple[float, ...]]], least: float
) -> Fit:
    """The best member with these steps.

    Args:
        family: the candidate, one with a variable number of coefficients.
        aim: the subject.
        steps: the number of steps after each layer.
        known: members that equal fits of smaller families, with their losses.
        least: the least loss of a smaller family.
    """
    nearest = min(known, default=(torch.inf, ()))
    if nearest[0] <= PRECISION * len(steps):
        return Fit(family=family, values=nearest[1], steps=steps, timing=None, loss=nearest[0])
    begin: list[Start] = [(steps, values) for _, values in known]
    if aim.projection is None:
        begin.append((steps, FINDERS[family.name](aim, steps)))
    elif not begin:
        name, values = ("conjugate-gradient", ()) if "conjugate-gradient" in family.contains else PLAIN
        values = tuple(value / aim.runner.size for value in values)
        begin.append((steps, family.contained(name, values, max(steps), aim.runner.prompts.dim) or ()))
    if aim.projection is not None and family.root is None:
        bases = [values for _, values in sorted(known)[:BASES]] or [values for _, values in begin]
        found = _around(family, aim.few(family), bases, steps)
    else:
        found = refined(family, aim.few(family), begin, ROUGH)
    rough = [(steps, fit.values) for fit in found]
    ends = refined(family, aim, rough, 0)
    if min(fit.loss for fit in ends) <= BEHIND * least:
        ends = refined(family, aim, rough, FINE)
    fit = min(ends, key=lambda fit: fit.loss)
    if nearest[0] < fit.loss:
        fit = Fit(family=family, values=nearest[1], steps=steps, timing=None, loss=nearest[0])
    return fit


def _around(family: Family, aim: Aim, bases: Sequence[Sequence[float]], steps: tuple[int, ...]) -> list[Fit]:
    """The best members that a search finds which is scattered around some, then around the best found, while that helps.

    Args:
        family: the candidate, one with coefficients for every layer.
        aim: the subject, on few prompts.
        bases: the members to begin with.
        steps: the number of steps after each layer.
    """
    best: list[Fit] = []
    around = bases
    for turn in range(TURNS):
        begin = [(steps, values) for base in around for values in scattered(base, len(moving(steps)), turn)]
        begin += [] if best else [(steps, base) for base in bases]
        least = best[0].loss if best else torch.inf
        best = sorted([*best, *refined(family, aim, begin, ROUGH)], key=lambda fit: fit.loss)[:BEST]
        if best[0].loss <= PRECISION * len(steps) or best[0].loss > (1 - GAIN) * least:
            break
        around = [fit.values for fit in best[:BASES]]
    return best

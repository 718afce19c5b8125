"""Gradient descent with all inputs on the axes, so that the channels of the curvature are the coordinates."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from mesascope.models.constructions import Construction, Weights, gradient_descent, several_outputs
from mesascope.theory.quantities import a_1, a_2, curvatures, eta, k, kappa, step_per_channel, u, v
from mesascope.theory.rounding import Rounded
from mesascope.theory.running.reading import (
    Numbers,
    Ran,
    Reading,
    Readings,
    Rebuilding,
    draw,
    prompts_of,
    ran,
    reweighted,
    subjects,
)

DIM, EXAMPLES, PROMPTS, LAYERS, OUTPUTS = 3, 8, 36, 2, 2
STEP = 2.0
"""Divided by eight examples, this is the step size 1/4 for sums over examples: Newton's step at curvature 4."""
BALANCED, SPREAD = (2, 1, 2, 1, 1, 0, 0, 1), (2, 1, 2, 2, 1, 0, 0, 0)
"""Inputs, placed on the axes in turn, with curvatures 5, 3, 4 (for which the step is balanced) and with 8, 2, 4."""
NEWTON = (0.5, 2.0, 1.0)
"""Gains that make the step Newton's for `SPREAD`."""


def several_channels(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """One step size for three channels."""
    xs, ys = _drawn(exact, seed)
    construction = change(gradient_descent(layers=LAYERS, step_size=STEP))
    for subject in subjects(construction, DIM, EXAMPLES, exact):
        seen = ran(subject, construction.channels(DIM), prompts_of(xs, ys), exact)
        yield from _read(seen, exact)


def per_channel(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """One step size per channel, by scaled keys."""
    xs, ys = _drawn(exact, seed)
    construction = change(scaled(gradient_descent(layers=LAYERS, step_size=STEP)))
    for subject in subjects(construction, DIM, EXAMPLES, exact):
        curvature, left, *_ = _channels(ran(subject, construction.channels(DIM), prompts_of(xs, ys), exact))
        number = Fraction if exact else float
        values = {"d": DIM, "a": curvature, "eta": [number(STEP / EXAMPLES) * number(gain) for gain in NEWTON]}
        yield Reading(
            key="channel_gains",
            values=values,
            measured={(1 - step_per_channel[k] * curvatures[k]) ** 2: left},
        )


def several_targets(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """Two outputs side by side; the network generates the second output's labels from its own weights."""
    assert not exact, "those weights are no binary fractions"
    xs, ys = _drawn(exact, seed)
    construction = change(several_outputs(gradient_descent(layers=LAYERS, step_size=STEP), OUTPUTS))
    seen = ran(construction, construction.channels(DIM), prompts_of(xs, ys), exact)
    n, x, names = seen.examples, seen.held[0]["x"][:, : seen.examples], ("label", "label 2")
    curvature = [(x[..., axis] ** 2).sum(1) for axis in range(DIM)]
    products = [[Rounded.total(x[..., axis] * seen.held[0][name][:, :n, 0]) for axis in range(DIM)] for name in names]
    before, after = ([[-h[name][:, n + axis, 0] for axis in range(DIM)] for name in names] for h in seen.held[:2])
    solved = [[moment / a for moment, a in zip(row, curvature, strict=True)] for row in products]
    values = {"m": OUTPUTS, "d": DIM, "a": curvature, "B": products, "S": solved, "W": before, "V": after}
    yield Reading(key="outputs_decouple", values={**values, "eta": STEP / EXAMPLES}, laws=(1,))


def scaled(construction: Construction) -> Construction:
    """The same network with one gain per channel, `NEWTON`, in its keys."""

    def weigh(name: str, value: Tensor, network: Weights) -> Tensor:
        if not name.endswith("key"):
            return value
        gains = torch.ones(network.channels.width, dtype=torch.float64)
        gains[network.channels.slices["x"]] = torch.tensor(NEWTON, dtype=torch.float64)
        return value * gains

    return reweighted(construction, weigh)


def _drawn(exact: bool, seed: int) -> tuple[Tensor, Tensor]:
    """Prompts: a third are `BALANCED`, a third `SPREAD`, and the rest have random curvatures."""
    xs = torch.zeros(PROMPTS, EXAMPLES, DIM, dtype=torch.float64)
    sizes = 1.5 * draw((PROMPTS, EXAMPLES), seed, "several channels/x", exact, zero=False)
    for third, planned in enumerate((BALANCED, SPREAD)):
        part = slice(third * PROMPTS // 3, (third + 1) * PROMPTS // 3)
        sizes[part] = sizes[part].sign() * torch.tensor(planned, dtype=torch.float64)
    index = torch.arange(EXAMPLES)
    xs[:, index, index % DIM] = sizes
    return xs, draw((PROMPTS, EXAMPLES), seed, "several channels/y", exact, zero=False)


def _channels(
    seen: Ran,
) -> tuple[list[Numbers], list[Numbers], list[list[Numbers]], list[list[Numbers]], list[Numbers]]:
    """By channel: curvature; remaining share of the squared error, gradients, errors (before, after) and update of layer one.

    Only for prompts whose first weight, 0, differs from w* in every channel.
    """
    n, axes = seen.examples, range(DIM)
    x = seen.held[0]["x"][:, :n]
    moments = [Rounded.total(x[..., axis] * seen.held[0]["label"][:, :n, 0]) for axis in axes]
    keep = (moments[0].value != 0) & (moments[1].value != 0) & (moments[2].value != 0)
    curvature = [(x[..., axis] ** 2).sum(1)[keep] for axis in axes]
    star = [moment[keep] / a for moment, a in zip(moments, curvature, strict=True)]
    errors = [[-h["label"][keep][:, n + axis, 0] - star[axis] for axis in axes] for h in seen.held[:2]]
    slopes = [[-Rounded.total(x[..., axis] * h["label"][:, :n, 0])[keep] for axis in axes] for h in seen.held[:2]]
    left = [(after / before) ** 2 for before, after in zip(*errors, strict=True)]
    return curvature, left, slopes, errors, [-seen.added[0]["label"][keep][:, n + axis, 0] for axis in axes]


def _read(seen: Ran, exact: bool) -> Iterator[Reading]:
    size = (Fraction if exact else float)(STEP / EXAMPLES)
    curvature, left, slopes, errors, moved = _channels(seen)
    for one, two in ((0, 1), (1, 2), (2, 0)):
        a, lost, *both, change = ([v[one], v[two]] for v in (curvature, left, *slopes, *errors, moved))
        yield from _two(size, a, lost, slopes=both[:2], errors=both[2:], moved=change)
    every = {"d": DIM, "a": curvature, "eta": size, "kappa": size}
    contractions: Readings = {(1 - eta * curvatures[k]) ** 2: left}
    ends = {"a_1": 3, "a_2": 5}  # of `BALANCED`
    yield Reading(key="minimax_reached", values={**every, **ends}, measured=contractions)
    worst = _larger(_larger(left[0], left[1]), left[2])
    yield Reading(key="minimax", values={**every, "h": worst}, measured=contractions, laws=(1,))
    yield Reading(key="no_single_gain", values=every, measured={(1 - kappa * curvatures[k]) ** 2: left})
    yield Reading(key="MN2", values={"d": DIM, "g": slopes[0], "u": slopes[1]})
    yield Reading(key="MN3", values={"d": DIM, "g": slopes[0], "u": moved, "kappa": [size] * DIM}, laws=(0,))


def _two(
    size: Any,
    curvature: list[Numbers],
    left: list[Numbers],
    *,
    slopes: list[list[Numbers]],
    errors: list[list[Numbers]],
    moved: list[Numbers],
) -> Iterator[Reading]:
    """Readings of the statements about two channels; gradients and errors before and after the first layer."""
    lost, then = ([a * e**2 for a, e in zip(curvature, off, strict=True)] for off in errors)
    yield Reading(key="D1", values={"l_1": lost[0], "l_2": lost[1], "m_1": then[0], "m_2": then[1]})
    product = {"u": size * curvature[0], "v": size * curvature[1]}
    yield Reading(key="D2", values=product, measured={(1 - u) ** 2: left[0], (1 - v) ** 2: left[1]})
    known = {"a_1": curvature[0], "a_2": curvature[1], "eta": size, "kappa": size}
    yield Reading(key="D2_rate", values=known, measured={(1 - eta * a_1) ** 2: left[0]})
    yield Reading(key="M3", values=known, measured={(1 - kappa * a_2) ** 2: left[1]})
    both: Readings = {(1 - kappa * a_1) ** 2: left[0], (1 - kappa * a_2) ** 2: left[1]}
    yield Reading(key="M3_both", values=known, measured=both)
    gradients = {"g_1": slopes[0][0], "g_2": slopes[0][1]}
    steps = {"kappa_1": size, "kappa_2": size, "u_1": moved[0], "u_2": moved[1]}
    yield Reading(key="M1", values={**gradients, **steps}, laws=(0, 1))
    yield Reading(key="M2", values={**gradients, "u_1": slopes[1][0], "u_2": slopes[1][1]})


def _larger(one: Rounded, other: Rounded) -> Rounded:
    """The elementwise maximum, without rounding in fractions."""
    return (one + other + abs(one - other)) / 2

"""Gradient descent in one dimension, where step, gradient and loss of a layer are single numbers."""

from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import Any

import torch

from mesascope.models.constructions import Construction, gradient_descent
from mesascope.theory.expressions import Expression
from mesascope.theory.quantities import (
    a,
    a_p,
    b,
    error,
    eta,
    gain_qk,
    gain_vo,
    gradient,
    kappa,
    loss,
    rate,
    shift,
    step,
    u,
    v,
    w,
)
from mesascope.theory.rounding import Rounded
from mesascope.theory.running.reading import (
    Numbers,
    Ran,
    Reading,
    Readings,
    Rebuilding,
    along,
    draw,
    prompts_of,
    ran,
    reweighted,
    subjects,
)

LAYERS, EXAMPLES, PROMPTS = 4, 4, 64
STARTS = (0, 1)
"""Layers from which steps are examined, three steps from each."""
MIRRORED = torch.tensor([2.0, 2.0, 0.0, 0.0], dtype=torch.float64)
"""Inputs whose curvature gives step product 2; inputs of size 1 give step product 1, that of Newton's step."""
GAIN = 2.0
"""The split of the step size: the keys are multiplied by this factor, and the output is divided by it."""

GAINS = gain_vo * gain_qk
ONE, TWO = step(w), step(step(w))
CHECKED: Mapping[str, tuple[Expression, ...]] = {
    "A1": (eta * (b - a * w), gradient(w)),
    "A2": (gradient(w),),
    "loss_decrease": (loss(w), loss(ONE), gradient(w)),
    "A5_step": (loss(w), loss(ONE)),
    "error_recursion": (ONE,),
    "A7_step": (ONE,),
    "B7_step": (ONE,),
    "C3_step": (TWO,),
    "exit_band": (gradient(w),),
    "exit_band_narrows": (gradient(w), gradient(ONE)),
}
"""Statements whose variables have their usual meaning, each with its expressions that a layer computes."""


def one_channel(change: Rebuilding, exact: bool, seed: int) -> Iterator[Reading]:
    """Networks with step size 1/4, at curvatures below, at and above 4, the curvature for which the step is Newton's."""
    xs = draw((PROMPTS, EXAMPLES, 1), seed, "one channel/x", exact, zero=False)
    quarter = PROMPTS // 4
    xs[:quarter] = xs[:quarter].sign()
    xs[quarter : 2 * quarter] = xs[quarter : 2 * quarter].sign() * MIRRORED[:, None]
    xs[-quarter:] *= 2
    ys = draw((PROMPTS, EXAMPLES), seed, "one channel/y", exact)
    construction = change(_split(gradient_descent(layers=LAYERS, step_size=1.0)))
    (head,) = construction.build(1).layers[0].heads
    gains = {
        "q": float((head.query[:, :1] @ head.key[:, :1].T).sum()),
        "o": -float((head.out[1:] @ head.value[:, 1:]).sum()),
    }
    for subject in subjects(construction, 1, EXAMPLES, exact):
        yield from _read(ran(subject, construction.channels(1), prompts_of(xs, ys), exact), gains, exact)


def _split(construction: Construction) -> Construction:
    """The same network with its step split between the two gains."""
    scale = {"key": GAIN, "out": 1 / GAIN}
    return reweighted(construction, lambda name, value, _: value * scale.get(name.rpartition(".")[2], 1.0))


def _read(seen: Ran, gains: Mapping[str, float], exact: bool) -> Iterator[Reading]:
    number = Fraction if exact else float
    n, x, y = seen.examples, *(seen.held[0][name][:, : seen.examples, 0] for name in ("x", "label"))
    weight = [-held["label"][:, n, 0] for held in seen.held]
    residual = [held["label"][:, :n, 0] for held in seen.held]
    curvature, moment, squares, size = (x * x).sum(1), Rounded.total(x * y), (y * y).sum(1), number(1 / n)

    def at(values: list[Numbers], later: int = 0) -> Numbers:
        return along([values[start + later] for start in STARTS])

    a_, b_, c_ = (along([values] * len(STARTS)) for values in (curvature, moment, squares))
    slope = [-Rounded.total(x * r) for r in residual]
    lost = [(r * r).sum(1) for r in residual]
    star = moment / curvature
    off = [(each - star) ** 2 for each in weight]
    base = {"a": a_, "b": b_, "c": c_, "eta": size, "w": at(weight), "w_star": b_ / a_, "a_1": a_ * number(15 / 16)}
    measured: Readings = {
        eta * (b - a * w): at([-added["label"][:, n, 0] for added in seen.added]),
        gradient(w): at(slope),
        gradient(ONE): at(slope, 1),
        loss(w): at(lost),
        loss(ONE): at(lost, 1),
        ONE: at(weight, 1),
        TWO: at(weight, 2),
    }
    for key, expressions in CHECKED.items():
        yield Reading(key=key, values=base, measured={e: measured[e] for e in expressions})
    yield Reading(key="A2_unique", values={**base, "w": at(weight, 1)}, measured={w: at(weight, 1)})
    yield from _sizes(at, lost, off, slope, size * a_, size)
    yield from _gains(base, measured, {name: number(value) for name, value in gains.items()}, size)
    first = moment.value != 0  # if w* is not 0, the first weight, errors can be divided by the first error
    left = [values[first] / off[0][first] for values in off]
    yield from _contractions(left, (weight[1] - star)[first], (weight[0] - star)[first], curvature[first], size)
    yield from _paths(weight, curvature, moment, star, off[0], size)


def _sizes(
    at: Any, lost: list[Numbers], off: list[Numbers], slope: list[Numbers], u_: Numbers, size: Any
) -> Iterator[Reading]:
    """Readings of the statements about given losses and errors."""
    before, after = at(lost), at(lost, 1)
    values = {"before": before, "after": after, "factor": size * (2 - u_), "energy": at(slope) ** 2}
    yield Reading(key="A5", values=values, laws=(0,))
    once = (1 - Rounded.of(u_)) ** 2
    for key, name, layers, rate_ in (("A7", "after", 1, once), ("C3", "later", 2, once**2)):
        yield Reading(key=key, values={"before": at(off), name: at(off, layers), "rate": rate_}, laws=(0,))
    yield Reading(key="C4", values={"before": at(lost), "later": at(lost, 2), "last": at(lost, 3)})


def _gains(base: Mapping[str, Numbers], measured: Readings, gains: Mapping[str, Any], size: Any) -> Iterator[Reading]:
    """Readings of the statements about products of the gains; attention takes means over the examples."""
    values = {**base, **gains, "a_p": base["a"] * size, "b": base["b"] * size}
    moved, after = measured[eta * (b - a * w)], measured[ONE]
    yield Reading(key="V1", values=values, measured={GAINS * (b - a_p * w): moved})
    yield Reading(key="V3", values=values, measured={w + GAINS * (b - a_p * w): after})
    slope = values["b"] - values["a_p"] * values["w"]
    moving = slope.value != 0
    yield Reading(key="V2", values=gains, measured={GAINS: moved[moving] / slope[moving]})


def _contractions(
    left: list[Numbers], after: Numbers, before: Numbers, curvature: Numbers, size: Any
) -> Iterator[Reading]:
    """Readings of the statements about the share of the squared error that a layer leaves."""
    once, product = left[1], size * curvature
    yield Reading(key="A6", values={"eta": size, "a": curvature}, measured={(1 - eta * a) ** 2: once})
    yield Reading(key="B7", values={"v": product}, measured={(1 - v) ** 2: once})
    pair: Readings = {(1 - u) ** 2: once[:, None], (1 - v) ** 2: once[None]}  # all pairs of prompts
    for key in ("B3", "B4"):
        yield Reading(key=key, values={"u": product[:, None], "v": product[None]}, measured=pair)
    for key in ("C1", "C2"):
        yield Reading(key=key, values={"rate": once}, measured={rate**2: left[2]})
    planned = {"a": 1 / size, "kappa": size, "delta": curvature - 1 / size}
    yield Reading(key="perturbed_curvature", values=planned, measured={(1 - kappa * (a + shift)) ** 2: once})
    for regime in ("short", "newton", "across", "mirror", "apart"):
        key = f"regime_{regime}"
        yield Reading(key=key, values={"u": product, "e": before}, measured={(1 - u) * error: after})


def _paths(
    weight: list[Numbers], curvature: Numbers, moment: Numbers, star: Numbers, off: Numbers, size: Any
) -> Iterator[Reading]:
    """Readings of the statements about n layers, for every n."""
    values = {"a": curvature, "b": moment, "eta": size, "w_star": star, "w": weight}
    window = size * curvature * (2 - size * curvature)
    inside = window > 0
    for n in range(LAYERS + 1):
        for key in ("n_steps", "n_steps_error", "never_nearer"):
            yield Reading(key=key, values={**values, "n": n}, laws=(1,))
        if n:
            shown = {name: value[inside] for name, value in (("a", curvature), ("b", moment), ("w_star", star))}
            enough = off[inside] / (n * window[inside]) + 1
            some = {**values, **shown, "w": [each[inside] for each in weight], "n": n, "eps": enough}
            yield Reading(key="converges", values=some, laws=(1,))

"""The filter that a network trained on conditioning applies to the eigenvalues of XᵀX/n: by layer and by condition number."""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace

from mesascope.algorithms import ConjugateGradient, GradientDescent
from mesascope.instruments.spectral import spectrum
from mesascope.models.scripted import Scripted, followed
from mesascope.studies.bench import Bench
from mesascope.studies.conditioning.filter_curves import (
    CG,
    CURVES,
    DESCENT,
    FLOW,
    RIDGE,
    distances,
    filter_after,
    nearest,
)
from mesascope.studies.conditioning.networks import ISOTROPIC, LAYERS, MIXED, MIXED_100, ROTATED, Conditioned, at
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import heatmap, lines, only
from mesascope.studies.rules import Derived, largest, where
from mesascope.studies.study import Study, own
from mesascope.types import Figure, Measurement, Scalar, bounds

RESPONSE, FORM, OTHERS = "response", "R² of a spectral form", "another prompt's channels"
PLANTED_GD, PLANTED_CG = "planted gradient descent", "planted conjugate gradient"
BUILT, STEP_SIZE = "hand-built gradient descent", 0.05
REFERENCE = f"construction:gradient-descent?layers={LAYERS}&step_size={STEP_SIZE}"
CONDITIONS = (10.0, 500.0)
"""The condition numbers at which the filter is measured, one at a time."""
HARD = (MIXED, MIXED_100, ROTATED)
NAMES = tuple(network.name for network in HARD)
MIDDLE = (4, 5, 6, 7, 8)
"""The layers at which part of the eigenvalues is resolved."""
WIDE = 0.6
"""Where the interval is wider, too little energy lies at an eigenvalue for a picture."""


def planted_gd() -> Scripted:
    """Gradient descent with each prompt's own best step size, one step per layer."""
    return followed(PLANTED_GD, GradientDescent(), range(1, LAYERS + 1))


def planted_cg() -> Scripted:
    """Conjugate gradient, one step per layer."""
    return followed(PLANTED_CG, ConjugateGradient(), range(1, LAYERS + 1))


_MEASURE = functools.partial(Measure, instrument=spectrum.INSTRUMENT.name, prompts={"prompts": 400})


def _network(network: Conditioned, condition: float) -> Measure:
    return _MEASURE(
        network=network,
        label={"network": network.name, "condition": condition},
        task=at(condition, rotate=network == ROTATED),
        options={"own": True, "readout": "fitted"},
        at_smoke=network == MIXED,
    )


def _known(reference: str, name: str, condition: float, readout: str = "fitted") -> Measure:
    return _MEASURE(
        network=reference,
        label={"network": name, "condition": condition},
        task=at(condition),
        options={"own": True, "readout": readout},
    )


def _distances(found: Sequence[Measurement]) -> list[Measurement]:
    return [
        m
        for name in NAMES
        for condition in CONDITIONS
        for m in distances(found, MIDDLE, PLANTED_CG, network=name, condition=condition)
    ]


def _further(curve: str, found: Sequence[Measurement]) -> list[Measurement]:
    """How much further a method's nearest curve is than that of ridge regression."""
    gaps = _distances(found)
    ridge = {
        (m.coordinates["network"], m.coordinates["condition"]): m.value for m in gaps if m.coordinates["curve"] == RIDGE
    }
    return [
        replace(
            m,
            quantity="distance beyond ridge regression's",
            value=m.value - ridge[m.coordinates["network"], m.coordinates["condition"]],
        )
        for m in gaps
        if m.coordinates["curve"] == curve
    ]


def _from_ridge(found: Sequence[Measurement]) -> list[Measurement]:
    return [m for m in _distances(found) if m.coordinates["curve"] == RIDGE]


def _penalties(found: Sequence[Measurement], network: str, condition: float) -> str:
    """λ/n of the nearest ridge regression after the middle layers, in words."""
    held = ((layer, filter_after(found, layer, network=network, condition=condition)) for layer in MIDDLE)
    return ", ".join(f"{1 / nearest(f, layer, ())[RIDGE].number:.2g}" for layer, f in held if f is not None)


def _off(found: Sequence[Measurement]) -> list[Measurement]:
    """The largest distance of the hand-built network's measured filter from its closed form, over eigenvalues and layers."""

    def off(m: Measurement) -> float:
        left = (1 - STEP_SIZE * float(m.coordinates["eigenvalue"] or 0)) ** int(m.coordinates["layer"] or 0)
        return abs(m.value - 1 + left)

    points = only(found, quantity=RESPONSE, network=BUILT)
    if not points:
        return []
    furthest = max(points, key=off)
    return [replace(furthest, quantity="distance from the closed form", value=off(furthest), interval=None)]


def _least(found: Sequence[Measurement]) -> list[Measurement]:
    """The least share that a network's answers resolve, by condition number."""
    last = only(found, quantity=RESPONSE, layer=LAYERS)
    groups = dict.fromkeys((m.coordinates["network"], m.coordinates["condition"]) for m in last)
    of = [only(last, network=network, condition=c) for network, c in groups if network in (*NAMES, ISOTROPIC.name)]
    return [replace(min(group, key=lambda m: m.value), quantity="least share resolved") for group in of]


def _ahead(found: Sequence[Measurement]) -> list[Measurement]:
    """How much more of the middle eigenvalue the network resolves than planted gradient descent after as many layers."""
    rows = []
    for name in NAMES:
        mine, theirs = (
            filter_after(found, MIDDLE[-1], network=who, condition=CONDITIONS[-1]) for who in (name, PLANTED_GD)
        )
        if mine is None or theirs is None:
            continue
        place = len(mine.gains) // 2
        points = only(found, quantity=RESPONSE, network=name, condition=CONDITIONS[-1], layer=MIDDLE[-1])
        shift = float(theirs.gains[place])
        interval = points[place].interval
        rows.append(
            replace(
                points[place],
                quantity="share resolved beyond gradient descent's",
                value=points[place].value - shift,
                interval=interval and (interval[0] - shift, interval[1] - shift),
            )
        )
    return rows


def _by_layer(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = [
        {
            "who": f"{m.coordinates['network']}, κ = {m.coordinates['condition']:g}",
            "eigenvalue": m.coordinates["eigenvalue"],
            "after layer": m.coordinates["layer"],
            "share resolved": m.value,
            **bounds(m.interval),
        }
        for m in only(found, quantity=RESPONSE)
        if m.coordinates["network"] in (MIXED.name, PLANTED_CG, PLANTED_GD)
        and m.coordinates["layer"] in (2, 4, 6, 8, 12)
        and m.interval is not None
        and m.interval[1] - m.interval[0] < WIDE
    ]
    return lines(
        name="filter-by-layer",
        section="Filter",
        title="Which share of each eigen-direction of XᵀX/n is resolved, by layer and by κ",
        caption="Spectral response on prompts with one condition number each, by a fitted readout; 1 is least squares. Planted "
        "subjects take one step of a solver per layer. Bands are 95 % intervals over prompts; eigenvalues with hardly any energy "
        f"(an interval wider than {WIDE:g}) are left out.",
        rows=tuple(rows),
        x="eigenvalue",
        y="share resolved",
        series="after layer",
        facet="who",
        titles={"eigenvalue": "eigenvalue of XᵀX/n"},
        log=("x",),
    )


def _beside_curves(found: Sequence[Measurement]) -> Figure:
    """The filters of the middle layers beside the nearest curve of each method."""
    rows: list[dict[str, Scalar]] = []
    condition = CONDITIONS[-1]
    steps = [f for k in range(1, LAYERS + 1) if (f := filter_after(found, k, network=PLANTED_CG, condition=condition))]
    for layer in (4, 6, 8):
        measured = filter_after(found, layer, network=MIXED.name, condition=condition)
        if measured is None:
            continue
        points = only(found, quantity=RESPONSE, network=MIXED.name, condition=condition, layer=layer)
        kept = [i for i, m in enumerate(points) if m.interval and m.interval[1] - m.interval[0] < WIDE]
        place = [{"layer": layer, "eigenvalue": float(measured.eigenvalues[i])} for i in kept]
        rows += [
            {**where_, "who": "network", "share resolved": points[i].value, **bounds(points[i].interval)}
            for where_, i in zip(place, kept, strict=True)
        ]
        for name, near in nearest(measured, layer, steps).items():
            if name in CURVES:
                rows += [
                    {**where_, "who": name, "share resolved": float(near.curve[i]), "low": None, "high": None}
                    for where_, i in zip(place, kept, strict=True)
                ]
    return lines(
        name="filter-beside-curves",
        section="Filter",
        title=f"The filter of the middle layers beside the nearest curve of each method: {MIXED.name}, κ = {condition:g}",
        caption="Each curve has one free number (a time, a step size, λ, the step of conjugate gradient) and a factor, chosen to "
        "come nearest to the network's filter.",
        rows=tuple(rows),
        x="eigenvalue",
        y="share resolved",
        series="who",
        facet="layer",
        titles={"eigenvalue": "eigenvalue of XᵀX/n"},
        log=("x",),
    )


def _form(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = [
        {
            "layer": m.coordinates["layer"],
            "R²": m.value,
            **bounds(m.interval),
            "who": m.coordinates["network"],
            "condition": f"κ = {m.coordinates['condition']:g}",
        }
        for m in only(found, quantity=FORM)
        if math.isfinite(m.value)
    ]
    return lines(
        name="filter-form",
        section="Form",
        title="How well one filter for all prompts describes the answers after each layer",
        caption="Held-out R². It is 1 for gradient descent with one step size, below 1 where the filter adapts to each prompt, "
        "as conjugate gradient's does, and near 0 where the answers are no filter at all.",
        rows=tuple(rows),
        x="layer",
        y="R²",
        series="who",
        facet="condition",
    )


def _gaps(found: Sequence[Measurement]) -> Figure:
    rows = [
        {
            "curve": m.coordinates["curve"],
            "network": f"{m.coordinates['network']}, κ = {m.coordinates['condition']:g}",
            "distance": m.value,
        }
        for m in _distances(found)
    ]
    return heatmap(
        name="filter-distances",
        section="Filter",
        title=f"Distance of the filter to the nearest curve of each method, on average over layers {MIDDLE[0]} to {MIDDLE[-1]}",
        caption="Root mean square over eigenvalues, each weighted by the inverse square of its interval's width.",
        rows=tuple(rows),
        x="curve",
        y="network",
        value="distance",
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return tuple(f for f in (_by_layer(found), _beside_curves(found), _gaps(found), _form(found)) if f.rows)


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    gaps = _distances(found)
    places = [(name, c) for name in NAMES for c in CONDITIONS if only(gaps, network=name, condition=c)]
    told = "; ".join(
        f"{name}, κ = {condition:g}: "
        + ", ".join(
            f"{m.coordinates['curve']} {m.value:.3f}"
            for m in sorted(only(gaps, network=name, condition=condition), key=lambda m: m.value)
        )
        for name, condition in places
    )
    penalties = "; ".join(
        f"{name}, κ = {condition:g}: {_penalties(found, name, condition)}" for name, condition in places
    )
    return (
        f"Distances to the nearest curves, the nearest first. {told}.",
        f"λ/n of the nearest ridge regression after layers {MIDDLE[0]} to {MIDDLE[-1]}. {penalties}.",
    ) * bool(told)


_USES = (where(RESPONSE, network=(*NAMES, PLANTED_CG)),)

STUDY = Study(
    name="spectral-response",
    title="Which filter of the eigenvalues does a network trained on conditioning apply, by layer and by condition number?",
    source="own",
    measures=(
        *(_network(network, condition) for network in HARD for condition in CONDITIONS),
        _network(ISOTROPIC, 1.0),
        *(_known(f"python:{__name__}:{planted_gd.__name__}", PLANTED_GD, condition) for condition in CONDITIONS),
        *(_known(f"python:{__name__}:{planted_cg.__name__}", PLANTED_CG, condition) for condition in CONDITIONS),
        _known(REFERENCE, BUILT, CONDITIONS[0], readout="own"),
    ),
    claims=(
        own(
            "In this very run, the filter of a hand-built network that takes steps of gradient descent is the known one, "
            "1 − (1 − ηλ)ᵏ, at every layer, and no filter explains answers by another prompt's channels.",
            Derived(words="distance from the closed form", of=_off, uses=(where(RESPONSE, network=BUILT),)).between(
                high=0.05
            ),
            largest(where(FORM, control=OTHERS, network=(*NAMES, BUILT)), "network").between(high=0.3),
        ),
        own(
            "After the last layer the answers are one filter for all prompts, at every condition number.",
            where(FORM, network=(*NAMES, ISOTROPIC.name), layer=LAYERS).between(low=0.98),
        ),
        own(
            "That filter is nearly least squares: the share resolved is above 0.85 at every eigenvalue.",
            Derived(
                words="least share resolved",
                of=_least,
                uses=(where(RESPONSE, network=(*NAMES, ISOTROPIC.name), layer=LAYERS),),
            ).between(low=0.85),
        ),
        own(
            "The first two layers apply no filter of that kind at κ = 10: it explains at most 0.6 of their answers.",
            where(FORM, network=NAMES, condition=CONDITIONS[0], layer=(1, 2)).between(high=0.6),
        ),
        own(
            "No gradient descent with one step per layer: after eight layers at κ = 500 the middle eigenvalue is resolved by at "
            "least 0.3 more than by the best step size of each prompt.",
            Derived(
                words="share resolved beyond gradient descent's",
                of=_ahead,
                uses=(where(RESPONSE, network=(*NAMES, PLANTED_GD)),),
            ).between(low=0.3),
        ),
        own(
            "The middle layers' filter is that of ridge regression with a penalty of its own: within 0.05, and nearer than any "
            "time of gradient flow, any number of steps of conjugate gradient, and as many steps of gradient descent as layers.",
            Derived(words="distance to ridge regression's curve", of=_from_ridge, uses=_USES).between(high=0.05),
            *(
                Derived(
                    words=f"distance of {curve} beyond ridge regression's",
                    of=functools.partial(_further, curve),
                    uses=_USES,
                ).between(low=0.0)
                for curve in (FLOW, CG, DESCENT)
            ),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Nobody published this: source A has no such measurement. The filter is measured on the networks' own kind of prompts, "
        "between the first and the last hundredth of their eigenvalues, with readouts that are fitted after every layer. "
        "Distances to curves have no intervals; the seeds and condition numbers show how much they vary.",
        "The rules were written with the filters of checkpoints at 6,000 and 10,000 of 16,000 steps of one network in sight.",
    ),
)

"""The pictures of a description: the filter with its band, and the time of gradient flow that every layer has reached."""

import torch

from mesascope.instruments.explaining.functions import FAMILIES
from mesascope.instruments.explaining.shares import COSTS, HOLDS
from mesascope.instruments.explaining.words import percent
from mesascope.types import Description, Explanation, Figure, NamedFunction, Scalar

SECTION = "Spectral response"
BY_NAME = {family.name: family for family in FAMILIES}


def figures(description: Description) -> tuple[Figure, ...]:
    """The filter, and the time by layer where gradient flow fits."""
    where = {"discriminating": description.discriminating, "training": description.training}
    measured = {name: explanation for name, explanation in where.items() if explanation and explanation.filter}
    if not measured:
        return ()
    return (_filter(measured), *_time({name: e for name, e in measured.items() if flows(e)}))


def flows(explanation: Explanation) -> bool:
    """Whether the subject's answers are nearly those of gradient flow stopped at a time."""
    return bool(explanation.layers) and explanation.layers[-1].flow_share >= explanation.ceiling - HOLDS - COSTS


def _filter(measured: dict[str, Explanation]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    told = []
    for name, explanation in measured.items():
        nearest, share = explanation.functions[0], explanation.of("filter")
        curve = f"nearest function ({nearest.name})"
        rows += [
            {"on": f"{name} prompts", "curve": "subject", "eigenvalue": p.eigenvalue, "gain": p.gain}
            | {"low": p.low, "high": p.high}
            for p in explanation.filter
        ]
        rows += [
            {"on": f"{name} prompts", "curve": curve, "eigenvalue": at, "gain": gain, "low": None, "high": None}
            for at, gain in _curve(nearest, explanation)
        ]
        told.append(f"{percent(share.share if share else 0.0)} on {name} prompts")
    return Figure(
        name="filter",
        section=SECTION,
        title="The one filter that is nearest to its answers",
        caption="The share of the least-squares answer that is given in a direction with this eigenvalue: 1 is least squares, "
        "0 means that the answer does not use the direction. The band is a 95 % bootstrap interval over prompts. On held-out "
        f"prompts the filter explains {' and '.join(told)}. Beside it the nearest function with a name.",
        kind="lines",
        rows=tuple(rows),
        x="eigenvalue",
        y="gain",
        series="curve",
        facet="on",
        low="low",
        high="high",
        titles={"eigenvalue": "eigenvalue λ of XᵀX/n", "gain": "gain f(λ)", "curve": "", "on": "prompts"},
        log=("x",),
    )


def _curve(function: NamedFunction, explanation: Explanation) -> list[tuple[float, float]]:
    family = BY_NAME[function.name]
    at = torch.tensor([p.eigenvalue for p in explanation.filter], dtype=torch.float64)
    values = [torch.tensor(function.coefficients[c.name], dtype=torch.float64) for c in family.coefficients]
    gains = family.gains(at, int(function.coefficients.get(family.count, 1)), *values)
    return list(zip(at.tolist(), gains.tolist(), strict=True))


def _time(measured: dict[str, Explanation]) -> tuple[Figure, ...]:
    rows: list[dict[str, Scalar]] = []
    for name, explanation in measured.items():
        for layer in explanation.layers:
            low, high = layer.time_interval
            rows.append(
                {"on": f"{name} prompts", "layer": str(layer.layer), "time": layer.time, "low": low, "high": high}
                | {"explained by gradient flow": layer.flow_share, "n": explanation.n}
            )
    if not rows:
        return ()
    fitted = any(explanation.readout == "fitted" for explanation in measured.values())
    read = "linear readouts fitted by ridge regression, whose factor is fitted too" if fitted else "its own readout"
    return (
        Figure(
            name="time-by-layer",
            section=SECTION,
            title="The time of gradient flow that every layer has reached",
            caption="The time t of the gradient flow 1 − exp(−tλ) that is nearest to the answers after each layer, in units of "
            f"1/λ, with 95 % intervals. Layers before the last are read by {read}. Drawn for {' and '.join(measured)} prompts, "
            f"where the last layer's answers are gradient flow up to {100 * (HOLDS + COSTS):g} %.",
            kind="lines",
            rows=tuple(rows),
            x="layer",
            y="time",
            series="on",
            low="low",
            high="high",
            titles={"layer": "after layer", "time": "time t, in units of 1/λ", "on": ""},
        ),
    )


__all__ = ("figures", "flows")

"""The pictures of a description: the filter with its band, and the time of gradient flow by layer."""

import dataclasses
from typing import Literal

import pytest

from mesascope.instruments.explaining.pictures import figures
from mesascope.report.figures import draw
from mesascope.types import Description, Explanation, FilterPoint, LayerFilter, NamedFunction, Rung

FLOW = NamedFunction(
    name="gradient flow",
    coefficients={"time": 3.0},
    intervals={"time": (2.5, 3.5)},
    share=0.99,
    interval=(0.98, 1.0),
    distance=0.0,
)
DESCENT = dataclasses.replace(
    FLOW, name="gradient descent", coefficients={"steps": 2.0, "step size": 0.5}, intervals={}
)


def layer(number, time, share=0.99):
    around = (0.9 * time, 1.1 * time)
    return LayerFilter(
        layer=number, share=0.99, interval=(0.98, 1.0), time=time, time_interval=around, flow_share=share
    )


def explanation(function=FLOW, share=0.99, readout: Literal["own", "fitted"] = "own") -> Explanation:
    rung = Rung(
        kind="filter", detail="", share=0.99, interval=(0.98, 1), left=0.01, left_interval=(0, 0.02), holds=True
    )
    return Explanation(
        distribution="some prompts",
        rung="function",
        rungs=(rung,),
        ceiling=1.0,
        filter=tuple(FilterPoint(eigenvalue=at, gain=0.9, low=0.8, high=1.0) for at in (0.5, 1.0, 2.0)),
        functions=(function,),
        layers=(layer(1, 1.0, 0.9), layer(2, 3.0, share)),
        readout=readout,
        n=10,
    )


def drawn(training, discriminating=None):
    basis = "training" if discriminating is None else "discriminating"
    made = figures(Description(sentence="", basis=basis, training=training, discriminating=discriminating))
    for figure in made:
        assert draw(figure)["data"]["values"]
    return {figure.name: figure for figure in made}


def test_the_filter_has_a_band_and_the_nearest_function_beside_it():
    found = drawn(explanation(DESCENT), explanation())["filter"]
    assert {row["on"] for row in found.rows} == {"training prompts", "discriminating prompts"}
    assert [row["low"] for row in found.rows if row["curve"] == "subject"] == [0.8] * 6
    descent = [row["gain"] for row in found.rows if row["curve"] == "nearest function (gradient descent)"]
    assert descent == pytest.approx([1 - 0.75**2, 1 - 0.5**2, 1.0])
    assert "99.0 % on discriminating prompts" in found.caption


def test_the_time_is_drawn_where_gradient_flow_fits():
    times = drawn(explanation(share=0.9), explanation())["time-by-layer"]
    assert [(row["on"], row["layer"], row["time"]) for row in times.rows] == [
        ("discriminating prompts", "1", 1.0),
        ("discriminating prompts", "2", 3.0),
    ]
    assert "read by its own readout" in times.caption
    assert "Drawn for discriminating prompts, where" in times.caption
    assert "fitted by ridge regression" in drawn(explanation(readout="fitted"))["time-by-layer"].caption
    assert list(drawn(explanation(share=0.9))) == ["filter"]


def test_where_nothing_was_measured_nothing_is_drawn():
    assert drawn(dataclasses.replace(explanation(), filter=(), functions=(), layers=(), rungs=())) == {}

"""The sentence that a description is told in."""

import dataclasses

import pytest

from mesascope.instruments.explaining.words import named, percent, sentence
from mesascope.records.codec import from_json, to_json
from mesascope.report import ladder
from mesascope.types import Description, Explanation, FilterPoint, NamedFunction, Rung

SHARES = {
    "labels": 0.9995,
    "labels and query": 0.995,
    "diagonal": 0.994,
    "own polynomial": 0.985,
    "filter": 0.993,
    "polynomial": 0.95,
    "function": 0.992,
}
FLOW = NamedFunction(
    name="gradient flow",
    coefficients={"time": 70.2},
    intervals={"time": (64.1, 77.0)},
    share=0.992,
    interval=(0.99, 0.994),
    distance=0.001,
)
SQUARES = NamedFunction(
    name="least squares", coefficients={}, intervals={}, share=0.9999, interval=(0.9998, 1.0), distance=0.0
)


def rung(kind, share, holds=True):
    around = (share - 0.001, share + 0.001)
    left = 1 - share
    return Rung(
        kind=kind,
        detail="degree 3" if "polynomial" in kind else "",
        share=share,
        interval=around,
        left=left,
        left_interval=(left - 0.001, left + 0.001),
        holds=holds,
    )


def explanation(kind, functions=(FLOW,), shares=None) -> Explanation:
    gains = {0.013: 0.6, 0.06: 0.97, 0.2: 1.0, 0.9: 1.0, 2.0: 1.0}
    return Explanation(
        distribution="some prompts",
        rung=kind,
        rungs=tuple(rung(name, share) for name, share in (SHARES | (shares or {})).items()),
        ceiling=1.0,
        filter=tuple(FilterPoint(eigenvalue=at, gain=g, low=g, high=g) for at, g in gains.items()),
        functions=functions,
        layers=(),
        readout="own",
        n=240,
    )


def told(away, home) -> str:
    basis = "training" if away is None else "discriminating"
    return sentence(Description(sentence="", basis=basis, training=home, discriminating=away))


HOME = explanation("function", (SQUARES,), {"function": 0.9999, "filter": 0.9999})


def test_a_filter_with_a_name_says_where_it_is_least_squares():
    assert told(explanation("function"), HOME) == (
        "Linear in the labels and the same spectral filter for every prompt (99.2 % of its answers; 99.99 % on its "
        "training prompts): "
        "least squares for eigenvalues above 0.06, falling below like gradient flow stopped at t = 70.2 [64.1, 77]. "
        "On its training prompts it is least squares."
    )


def test_a_filter_without_a_name_is_told_by_its_gains():
    words = told(None, explanation("filter"))
    assert "gain 0.60 at λ = 0.013, 1.00 at λ = 0.2, 1.00 at λ = 2" in words
    assert "leaves 0.10 % more" in words


def test_a_class_that_ends_away_from_home_is_a_shortcut():
    words = told(explanation("labels", shares={"labels and query": 0.945}), HOME)
    assert words.startswith("Linear in the labels (99.95 % of its answers")
    assert "linear in the query only to 94.5 %" in words
    assert words.endswith(
        "On its training prompts it is least squares (99.99 %); that this does not hold elsewhere is a shortcut."
    )


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("own polynomial", "Each prompt's own polynomial of degree 3 in XᵀX, applied to Xᵀy"),
        ("diagonal", "with a gain of each prompt's own"),
        ("labels and query", "Linear in the labels and in the query"),
        ("polynomial", "a polynomial of degree 3 in XᵀX"),
    ],
)
def test_every_class_has_its_words(kind, words):
    assert words in told(None, explanation(kind))


def test_a_class_at_the_limit_is_said_to_be():
    at_limit = rung("filter", 0.981)
    at_limit = dataclasses.replace(at_limit, left=0.0201, left_interval=(0.0187, 0.0214))
    near = dataclasses.replace(explanation("filter"), rungs=(at_limit,))
    assert (
        "(98.1 % of its answers; 1.9 to 2.1 % left beyond noise, around the limit of 2 %: the class may change with more "
        "prompts)" in told(None, near)
    )
    assert "limit" not in told(None, explanation("filter"))


def test_where_nothing_holds_the_nearest_class_is_named():
    words = told(None, dataclasses.replace(explanation("labels"), rung=None))
    assert words.startswith(
        "None of the classes tried explains its answers; the nearest, linear in the labels, explains"
    )


def test_where_nothing_was_measured_the_reason_is_given():
    empty = dataclasses.replace(explanation(None), rungs=(), missing={"filter": "its answers are zero"})
    assert told(None, empty) == "Nothing can be said: its answers are zero."


@pytest.mark.parametrize(
    ("name", "coefficients", "intervals", "words"),
    [
        ("gradient descent", {"steps": 8, "step size": 0.25}, {}, "8 steps of size 0.25 (the same function as Newton–Schulz"),
        ("gradient descent", {"steps": 1, "step size": 0.25}, {}, "gradient descent, 1 step of size 0.25"),
        ("gradient descent", {"steps": 6, "step size": 0.2}, {"steps": (5, 7)}, "5 to 7 steps (best: 6) of size 0.2"),
        ("Newton–Schulz", {"steps": 6, "step size": 0.3}, {}, "as gradient descent after 64 of size 0.3"),
        ("ridge", {"penalty": 0.1}, {"penalty": (0.09, 0.12)}, "ridge regression with penalty 0.1 [0.09, 0.12]"),
        ("iterated Tikhonov", {"times": 3, "penalty": 0.1}, {}, "iterated 3 times with penalty 0.1"),
        ("heavy ball", {"steps": 5, "step size": 0.2, "momentum": 0.4}, {}, "heavy ball, 5 steps, step size 0.2, momentum 0.4"),
        ("least squares", {}, {}, "least squares"),
    ],
)  # fmt: skip
def test_a_function_is_named_with_its_coefficients(name, coefficients, intervals, words):
    whole = {key: (float(low), float(high)) for key, (low, high) in intervals.items()}
    numbers = {key: float(value) for key, value in coefficients.items()}
    assert words in named(dataclasses.replace(FLOW, name=name, coefficients=numbers, intervals=whole))


def test_shares_near_all_and_nothing_have_more_digits():
    assert [percent(share) for share in (1.0, 0.9999, 0.993, 0.5, 0.001)] == [
        "100 %",
        "99.99 %",
        "99.3 %",
        "50.0 %",
        "0.10 %",
    ]


def test_a_description_is_read_back_as_it_was_written():
    found = Description(sentence="…", basis="discriminating", training=HOME, discriminating=explanation("function"))
    assert from_json(Description, to_json(found), ours=True) == found
    assert str(found) == "…"


def test_the_classes_fit_into_a_terminal():
    away, widest = explanation("filter"), "Nadaraya–Watson, exponential, temperature 0.00073"
    away = dataclasses.replace(
        away, rungs=(*away.rungs, dataclasses.replace(away.rungs[0], kind="smoother", detail=widest))
    )
    lines = ladder(Description(sentence="", basis="discriminating", training=HOME, discriminating=away))
    assert len(lines) <= 10
    assert any("exponential, temperature" in line for line in lines)
    assert max(map(len, lines)) <= 98  # and two of indentation
    marked = [line for line in lines if "←" in line]
    assert len(marked) == 2
    assert "99.30 % ←" in next(line for line in marked if line.startswith("one filter"))
    assert (
        ladder(
            Description(
                sentence="", basis="training", training=dataclasses.replace(HOME, rungs=()), discriminating=None
            )
        )
        == []
    )

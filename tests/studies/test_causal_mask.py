"""Under a causal mask: which networks still solve every prefix, and where the others end."""

import dataclasses

import pytest
import torch

from mesascope.algorithms import ConjugateGradient, LeastSquares, run
from mesascope.instruments.attending.causal_mask import causal_mask, triangular_interpolant
from mesascope.models.constructions import conjugate_gradient
from mesascope.report.figures import draw
from mesascope.studies.bench import Bench
from mesascope.studies.constructions import causal_mask as study
from mesascope.studies.measure import works
from mesascope.tasks import LinearRegression, Uniform
from mesascope.types import Measurement

EXAMPLES = 12
PRIMAL = "primal-conjugate-gradient"


@pytest.fixture(scope="module")
def bench(tmp_path_factory) -> Bench:
    nowhere = tmp_path_factory.mktemp("study")
    return Bench(profile="smoke", seed=0, directory=nowhere, networks=nowhere)


@pytest.fixture(scope="module")
def found(bench) -> list[Measurement]:
    """All measures of the study, with 24 prompts."""
    done = (work.run(lambda words: None) for measure in study.STUDY.measures for work in works(measure, bench))
    return [m for measured in done for m in measured.measurements]


def chosen(found: list[Measurement], **coordinates: str) -> list[Measurement]:
    rows = [m for m in found if coordinates.items() <= m.coordinates.items()]
    assert rows
    return rows


def test_every_network_is_measured_on_every_prefix_and_at_the_queries(found):
    groups = {(m.coordinates["network"], m.coordinates["after"], m.coordinates["against"]) for m in found}
    assert len(groups) == 8
    for network, after, against in groups:
        rows = chosen(found, network=network, after=after, against=against)
        assert [m.coordinates["prefix"] for m in rows] == [*range(1, EXAMPLES + 1), EXAMPLES]
        assert [m.coordinates["token"] for m in rows] == ["example"] * EXAMPLES + ["query"]
    assert all(m.interval and m.interval[0] <= m.value <= m.interval[1] and m.n == 24 for m in found)


def test_the_primal_form_solves_every_prefix(found):
    rows = chosen(found, network=PRIMAL)
    assert len(rows) == 2 * (EXAMPLES + 1)
    assert max(m.value for m in rows) < 1e-13
    assert max(m.interval[1] for m in rows if m.interval) < 1e-11


@pytest.mark.parametrize("network", ["gradient-descent", "conjugate-gradient", "data-space-conjugate-gradient"])
def test_the_others_solve_none_but_the_first(found, network):
    early = chosen(found, network=network, after="3 steps")
    assert early[0].value < 1e-15  # one example: nothing to mix with
    assert min(m.value for m in early[3:]) > 1e-2
    for rows in (early, chosen(found, network=network, token="query")):
        assert all(m.value < 20 for m in rows)  # wrong, but no overflow


def test_in_the_end_they_interpolate_their_labels_where_least_squares_does_not(found):
    for network in ("gradient-descent", "conjugate-gradient"):
        rows = chosen(found, network=network, after="the end", against="least squares on the prefix")
        assert max(m.value for m in rows[:4]) < 1e-4  # as many examples as dimensions: least squares interpolates too
        assert min(m.value for m in rows[5:]) > 0.05


def test_gradient_descent_ends_at_the_triangular_interpolant(found):
    rows = chosen(found, against="the triangular interpolant")
    assert len(rows) == EXAMPLES + 1
    assert max(m.value for m in rows) < 1e-8


def test_the_controls_come_out_as_they_must(found):
    for m in found:
        values = {c.name: c.value for c in m.controls}
        assert {c.kind for c in m.controls} == {"positive", "negative"}
        assert values.pop("answering zero") > 0.05
        assert len(values) == (2 if m.coordinates["token"] == "query" else 1)
        assert max(values.values()) < 1e-13


def test_the_interpolant_solves_its_own_system():
    p = LinearRegression(dim=3, examples=5, queries=2, noise=0.3, inputs=Uniform()).sample(8, seed=0)
    limit = triangular_interpolant(p)
    assert torch.equal(limit[:, :5], p.ys)
    for i in range(8):
        summed = torch.zeros(5, dtype=torch.float64)  # by substitution: (1/j) Σ_{i≤j} ⟨x_j, xᵢ⟩ sᵢ = y_j
        for j in range(5):
            before = sum(float(p.xs[i, j] @ p.xs[i, k] * summed[k]) for k in range(j))
            summed[j] = ((j + 1) * p.ys[i, j] - before) / (p.xs[i, j] @ p.xs[i, j])
        expected = p.queries[i] @ (p.xs[i].T @ summed) / 5
        torch.testing.assert_close(limit[i, 5:], expected, rtol=1e-9, atol=1e-9)
    one = dataclasses.replace(p, xs=p.xs[:, :1], ys=p.ys[:, :1])
    solved = run(LeastSquares(), one).predictions[-1]
    torch.testing.assert_close(triangular_interpolant(one)[:, 1:], solved, rtol=1e-12, atol=1e-12)


def test_the_figure_can_be_drawn_and_shows_the_examples(found, bench):
    (figure,) = study.STUDY.figures(found, bench)
    assert draw(figure)["usermeta"]["hidden"] == 0
    assert len(figure.rows) == 8 * EXAMPLES


def test_the_seed_is_the_measurement():
    network, task = conjugate_gradient(iterations=2), LinearRegression(dim=2, examples=4, queries=2, noise=0.5)
    again = [causal_mask(network, task, seed=seed, n=3, algorithm=ConjugateGradient(), steps=2) for seed in (1, 1, 2)]
    assert again[0] == again[1]
    assert again[0] != again[2]

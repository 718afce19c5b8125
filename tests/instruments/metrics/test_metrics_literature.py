"""The page's table of metrics, the best-matching steps, the best single step and the interpolation test."""

import dataclasses
import math

import pytest
import torch

from mesascope.algorithms import ConjugateGradient, GradientDescent, NewtonSchulz, tuned
from mesascope.instruments import metrics
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.metrics.interpolating import halfway
from mesascope.instruments.metrics.layers import prefix_errors
from mesascope.instruments.metrics.linear_attention import LinearAttention
from mesascope.instruments.metrics.matching import BEST, ITSELF, OTHERS
from mesascope.instruments.metrics.oracle_step import exact
from mesascope.instruments.metrics.question import Queries
from mesascope.instruments.metrics.replies import Replies
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.report.figures import draw
from mesascope.tasks import Diagonal, Eigenvalues, Gaussian, Laplace, LinearRegression, Rademacher, Uniform

FIXED = ("SPD", "ILWD", "linearity R²", "SimW", "sensitivity cosine", "sensitivity difference", "prediction difference")


# ------------------------------------------------------------------------------------ literature


def test_every_metric_stands_beside_its_controls(planted, task):
    found = metrics.literature(planted, task, n=12)
    assert {m.quantity for m in found} == set(FIXED)
    assert {m.coordinates["reference"] for m in found if m.quantity == "SPD"} == {
        "least-squares",
        "ridge, λ=0.01",
        "one tuned gradient step",
        "conjugate-gradient, 1 step",
        "conjugate-gradient, 2 steps",
        "conjugate-gradient, 3 steps",
    }
    assert len({(m.quantity, *m.coordinates.items()) for m in found}) == len(found)
    for m in found:
        assert {"positive", "negative"} == {c.kind for c in m.controls}
        assert m.interval is not None
        assert math.isfinite(m.value)
        assert m.n == 12


def test_the_table_says_why_sime_is_missing(planted, task, make_transformer):
    without = metrics.figure(metrics.literature(planted, task, n=8))
    assert without.kind == "table"
    assert "SimE is missing" in without.caption
    assert not any("SimE" in str(row["metric"]) for row in without.rows)
    short = LinearRegression(dim=3, examples=4)
    with_it = metrics.figure(metrics.literature(make_transformer(answers="everywhere", examples=4), short, n=8))
    assert "SimE is missing" not in with_it.caption
    assert {"SimE, Fu et al. 2023", "SPD (y²), Akyürek et al. 2023"} <= {row["metric"] for row in with_it.rows}
    assert all({"against", "value", "low", "high", "untrained network"} <= row.keys() for row in with_it.rows[:6])
    assert not metrics.figure([]).rows


def test_ridge_is_bayes_optimal_where_labels_have_noise():
    noisy = metrics.references(LinearRegression(dim=2, examples=4, noise=0.5))
    assert [r.name for r in noisy][1] == "ridge, Bayes-optimal"
    assert len(noisy) == 5  # conjugate gradient takes no more steps than there are dimensions


def test_the_same_seed_gives_the_same_numbers(make_transformer):
    subject, task = make_transformer(answers="everywhere", examples=3), LinearRegression(dim=3, examples=3)
    before = [p.detach().clone() for p in subject.model.parameters()]
    first, again, other = (metrics.literature(subject, task, n=6, seed=s) for s in (1, 1, 2))
    assert first == again
    assert [m.value for m in first] != [m.value for m in other]
    assert all(torch.equal(a, b) for a, b in zip(before, subject.model.parameters(), strict=True))


# -------------------------------------------------------------------------- best-matching steps


def at(found, quantity, **coordinates):
    return [m for m in found if m.quantity == quantity and coordinates.items() <= m.coordinates.items()]


def test_every_layer_of_a_construction_matches_its_own_step():
    task = LinearRegression(dim=4, examples=12, inputs=Gaussian(covariance=Diagonal(condition=30.0)))
    algorithm, subject = GradientDescent(step_size=0.3), gradient_descent(layers=4, step_size=0.3)
    found = metrics.best_matching_steps(subject, algorithm, task, n=60, steps=7)
    for layer in range(1, 5):
        (best,) = at(found, BEST, layer=layer)
        assert best.value == layer
        assert best.controls[0].value == 7  # the last iterate is matched with itself
        (similarity,) = at(found, "SimW by layer and step", layer=layer, step=layer)
        controls = {c.name: c.value for c in similarity.controls}
        assert similarity.coordinates["best"]
        assert similarity.value == pytest.approx(1.0, abs=1e-12)
        assert similarity.coordinates["readout"] == "own"
        assert controls[ITSELF] == pytest.approx(1.0, abs=1e-9)
        assert abs(controls[OTHERS]) < 0.4
    assert len(found) == 4 + 4 * 7


def test_a_readout_that_means_nothing_before_the_last_layer_is_fitted():
    """The same network whose first layer shows its answers times −5: fitted readouts undo that."""

    class Distorted:
        inner = gradient_descent(layers=2, step_size=0.3)
        name, domain, sites, path, trace = inner.name, inner.domain, inner.sites, inner.path, inner.trace

        def readout(self, activation, site):
            return (-5 if site.layer == 0 else 1) * self.inner.readout(activation, site)

    task = LinearRegression(dim=2, examples=10)
    found = metrics.best_matching_steps(Distorted(), GradientDescent(step_size=0.3), task, n=300)
    (similarity,) = at(found, "SimW by layer and step", layer=1, step=1)
    assert similarity.coordinates["readout"] == "fitted"
    assert similarity.value > 0.98


def test_an_argmax_names_a_step_also_for_an_untrained_network(tiny, task):
    """Which is why it stands beside another prompt's, and why no verdict rests on it."""
    found = metrics.best_matching_steps(tiny, NewtonSchulz(), task, n=40)
    for m in at(found, BEST):
        assert 1 <= m.value <= 4
        (similarity,) = at(found, "SimW by layer and step", layer=m.coordinates["layer"], best=True)
        assert abs(similarity.value) < 0.5


def test_sime_of_the_last_layer_is_that_of_the_answers(make_transformer, task):
    subject = make_transformer(answers="everywhere")
    fit, score = (dataclasses.replace(task, queries=12).sample(16, seed=s) for s in (1, 2))
    vectors = prefix_errors(subject, ConjugateGradient(), fit, score, 3)
    replies = Replies.of(subject, Queries.of(score))
    torch.testing.assert_close(vectors.layers[-1], replies.errors[:, 1:], atol=1e-6, rtol=0)
    reference = metrics.ReferenceSubject(algorithm=ConjugateGradient(), steps=3)
    expected = Replies.of(reference, Queries.of(score)).errors[:, 1:]
    torch.testing.assert_close(vectors.steps[3], expected, atol=1e-12, rtol=0)
    zero = torch.cat([-score.ys[:, 1:], -score.targets[:, :1]], 1)
    torch.testing.assert_close(vectors.steps[0], zero)


def test_a_subject_that_answers_everywhere_is_matched_by_its_errors(make_transformer, task):
    subject = make_transformer(answers="everywhere")
    found = metrics.best_matching_steps(subject, ConjugateGradient(), task, n=24)
    assert {m.quantity for m in found} == {BEST, "SimE by layer and step"}
    assert {m.coordinates["step"] for m in found if "step" in m.coordinates} == {0, 1, 2, 3, 4}
    by_weights = metrics.best_matching_steps(subject, ConjugateGradient(), task, n=24, metric="SimW")
    assert {m.quantity for m in by_weights} == {BEST, "SimW by layer and step"}


def test_the_heat_map_shows_the_control_beside_it():
    task = LinearRegression(dim=3, examples=8)
    found = metrics.best_matching_steps(gradient_descent(layers=2), GradientDescent(step_size=0.25), task, n=16)
    figure = metrics.heat_map(found)
    panels = {str(row["algorithm"]) for row in figure.rows}
    assert panels == {"gradient-descent, SimW", "gradient-descent, SimW: another prompt's iterates"}
    for panel in panels:
        for layer in (1, 2):
            marked = [row for row in figure.rows if row["algorithm"] == panel and row["layer"] == layer and row["best"]]
            assert len(marked) == 1
    assert draw(figure)["data"]["values"]


def test_what_cannot_be_matched(bare, planted, task):
    with pytest.raises(NotApplicable, match="bare shows no layers"):
        metrics.best_matching_steps(bare, ConjugateGradient(), task)
    with pytest.raises(NotApplicable, match=r"planted does not answer at every position.*match by SimW"):
        metrics.best_matching_steps(planted, ConjugateGradient(), task, metric="SimE")
    with pytest.raises(ValueError, match="steps must be at least 1; got 0"):
        metrics.best_matching_steps(planted, ConjugateGradient(), task, steps=0)
    with pytest.raises(NotApplicable, match="planted or gradient-descent has answers that are not finite"):
        metrics.best_matching_steps(planted, GradientDescent(step_size=1e200), task, n=8, steps=3)


# --------------------------------------------------------------------------- the best single step


def uniform(half_range: float, dim: int = 10) -> LinearRegression:
    inputs = Uniform(covariance=Eigenvalues(values=(half_range**2 / 3,) * dim))
    return LinearRegression(dim=dim, examples=10, weights="standard", inputs=inputs)


def test_inputs_have_the_range_of_the_source():
    xs = uniform(0.5).sample(500, seed=0).xs
    assert 0.499 < float(xs.abs().max()) <= 0.5


@pytest.mark.parametrize(("half_range", "step", "loss"), [(0.5, 0.606, 0.2062), (1.0, 0.1515, 0.825)])
def test_the_oracle_of_von_oswald(half_range, step, loss):
    """Published: η/N and half the mean squared error for d = N = 10, from our tasks and algorithms and on paper."""
    variance = half_range**2 / 3
    on_paper = exact(dim=10, examples=10, variance=variance, kurtosis=1.8)
    assert on_paper == pytest.approx((step, loss), rel=5e-4)
    for m, expected in zip(metrics.oracle(uniform(half_range), n=12_000), on_paper, strict=True):
        low, high = m.interval
        assert m.value == pytest.approx(expected, rel=0.03)
        assert low - (high - low) / 2 < expected < high + (high - low) / 2  # four standard errors
        assert next(c.value for c in m.controls if c.kind == "positive") == expected


def test_the_tuner_finds_the_same_step():
    """It weighs prompts by 1/|w|², which is independent of the direction that the error depends on."""
    prompts = dataclasses.replace(uniform(0.5), queries=8).sample(2000, seed=0)
    assert tuned(GradientDescent(), prompts, 1).step_size / 10 == pytest.approx(12 / 19.8, rel=0.03)
    assert metrics.one_step(prompts).step_size / 10 == pytest.approx(12 / 19.8, rel=0.03)


def test_no_other_step_errs_less():
    prompts = dataclasses.replace(uniform(1.0), queries=4).sample(500, seed=0)
    best = metrics.one_step(prompts)

    def error(factor):
        reference = metrics.ReferenceSubject(algorithm=GradientDescent(step_size=factor * best.step_size))
        return float((reference.trace(prompts).predictions - prompts.targets).square().mean())

    assert error(1.0) < min(error(0.99), error(1.01))


@pytest.mark.parametrize(("inputs", "noise"), [(Gaussian(), 1.0), (Laplace(), 0.5), (Rademacher(), 0.0)])
def test_the_derivation_holds_for_other_inputs_and_noise(inputs, noise):
    task = LinearRegression(dim=4, examples=6, inputs=inputs, noise=noise)
    for m in metrics.oracle(task, n=8000):
        low, high = m.interval
        known = next(c.value for c in m.controls if c.kind == "positive")
        assert low - (high - low) / 2 < known < high + (high - low) / 2
        assert high - low < 0.12 * known


def test_a_step_towards_another_prompts_targets_leads_nowhere():
    step, loss = metrics.oracle(uniform(1.0), n=4000)
    assert abs(next(c.value for c in step.controls if c.kind == "negative")) < 0.01
    assert next(c.value for c in loss.controls if c.kind == "negative") == pytest.approx(0.5 * 10 / 3, rel=0.1)


@pytest.mark.parametrize(
    "task",
    [
        LinearRegression(inputs=Gaussian(covariance=Diagonal(condition=10.0))),
        LinearRegression(inputs=Gaussian(covariance=Diagonal(condition=(1.0, 1.0)))),
        LinearRegression(inputs=Gaussian(exact=True)),
        LinearRegression(query_inputs=Gaussian()),
    ],
)
def test_the_derivation_is_for_independent_coordinates_of_equal_variance(task):
    with pytest.raises(NotApplicable, match="independent coordinates of equal variance"):
        metrics.oracle(task, n=4)


def test_no_step_helps_where_labels_are_the_wrong_way_round():
    prompts = dataclasses.replace(uniform(1.0), queries=4).sample(100, seed=0)
    with pytest.raises(NotApplicable, match="best step size is not above 0"):
        metrics.one_step(dataclasses.replace(prompts, ys=-prompts.ys))


# --------------------------------------------------------------------------------- interpolation


def attention(dim=3, **options) -> LinearAttention:
    return LinearAttention.of(gradient_descent(layers=1, **options), dim)


def test_the_products_answer_as_the_network_does(task):
    p = dataclasses.replace(task, queries=4).sample(10, seed=0)
    subject = gradient_descent(layers=1, step_size=0.4)
    torch.testing.assert_close(LinearAttention.of(subject, 3).answers(p), subject.trace(p).predictions)


def test_full_products_of_the_source(task):
    """W_KQ = diag(I, 0), W_PV = diag(0, −η), and the answer is minus the label's slot: one step of size η."""
    p = dataclasses.replace(task, queries=4).sample(10, seed=0)
    kq, pv, readout = torch.zeros(4, 4), torch.zeros(4, 4), torch.zeros(4)
    kq[:3, :3], pv[3, 3], readout[3] = torch.eye(3), -0.25, -1.0
    network = LinearAttention.of_products(name="source", kq=kq, pv=pv, readout=readout)
    torch.testing.assert_close(network.answers(p), gradient_descent(layers=1, step_size=0.25).trace(p).predictions)


def test_a_gauge_changes_nothing_and_is_taken_out(task):
    p = dataclasses.replace(task, queries=4).sample(10, seed=0)
    network = attention()
    for factor in (2.0, -0.1):
        torch.testing.assert_close(network.scaled(factor).answers(p), network.answers(p))
        torch.testing.assert_close(halfway(network, network.scaled(factor)).answers(p), network.answers(p))
    balanced = network.scaled(7.0).balanced()
    assert float(balanced.kq.norm()) == pytest.approx(float(balanced.pv.norm()))


def test_half_way_between_two_step_sizes():
    """Balanced, a product of step η is √η on each side: half-way the step is ((√η₁ + √η₂)/2)²."""
    p = LinearRegression(dim=3, examples=5, queries=4).sample(10, seed=0)
    expected = gradient_descent(layers=1, step_size=((0.2**0.5 + 0.8**0.5) / 2) ** 2).trace(p).predictions
    found = halfway(attention(step_size=0.2), attention(step_size=0.8).scaled(-5.0))
    torch.testing.assert_close(found.answers(p), expected)


def test_the_interpolation_test_with_its_controls(task):
    (m,) = metrics.interpolation(attention(step_size=0.3), attention(step_size=0.5).scaled(-2.0), task)
    value = {c.kind: c.value for c in m.controls}
    assert m.value < 1.0  # an average of two steps, where the error is convex in the step
    assert value["positive"] == pytest.approx(1.0, abs=1e-12)
    assert value["negative"] > 1.5
    assert m.coordinates["first"] == "gradient-descent"


def test_networks_that_hold_different_things_cannot_be_averaged(task):
    """A random layer that answers by other entries of the context: half-way is no better than the two are."""
    rng = torch.Generator().manual_seed(0)
    kq, pv = torch.randn(4, 3, generator=rng).double(), torch.randn(4, generator=rng).double()
    other = LinearAttention(name="random", kq=kq, pv=pv)
    (m,) = metrics.interpolation(attention(step_size=0.5), other, task)
    end = metrics.interpolation(attention(step_size=0.5), attention(step_size=0.5), task)[0]
    assert end.value == pytest.approx(1.0)
    assert abs(m.value - 1.0) > 0.05


def test_what_cannot_be_interpolated(task):
    with pytest.raises(NotApplicable, match=r"conjugate-gradient is not a single layer.*2 layers, 5 heads, 1 gates"):
        LinearAttention.of(conjugate_gradient(iterations=1), 3)
    with pytest.raises(NotApplicable, match="2 layers"):
        LinearAttention.of(gradient_descent(layers=2), 3)

    def reads_its_own_token(dim):
        network = gradient_descent(layers=1).build(dim)
        return dataclasses.replace(network, readout=network.readout + network.channels.read("x")[0])

    own = dataclasses.replace(gradient_descent(layers=1), build=reads_its_own_token)
    with pytest.raises(NotApplicable, match="also answers from the query's own token"):
        LinearAttention.of(own, 3)
    with pytest.raises(ValueError, match=r"first must have the task's dimension 3; got 2"):
        metrics.interpolation(attention(dim=2), attention(dim=2), task)
    with pytest.raises(ValueError, match=r"second must have first's dimension 3; got 2"):
        metrics.interpolation(attention(), attention(dim=2), task)
    silent = dataclasses.replace(attention(), pv=torch.zeros(4, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"kq and pv must not be zero.*always answers zero"):
        metrics.interpolation(attention(), silent, task)

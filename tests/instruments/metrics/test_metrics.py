"""The metrics of the literature on predictors for which each of them is known on paper."""

import dataclasses
import math

import pytest
import torch

from mesascope.algorithms import ConjugateGradient, GradientDescent, LeastSquares, NadarayaWatson
from mesascope.instruments import metrics
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.metrics.panel import AGAIN, OTHERS, UNTRAINED, ZERO, cosine
from mesascope.instruments.metrics.question import Queries
from mesascope.instruments.metrics.replies import Replies
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import Diagonal, Gaussian, LinearRegression
from mesascope.types import Domain, Site, Trace


class Known:
    """A subject that answers by a function of the prompts."""

    sites = path = ()

    def __init__(self, answer, name="known", domain=None):
        self.answer, self.name, self.domain = answer, name, domain or Domain()

    def trace(self, prompts, *, capture=(), interventions=()):
        return Trace(predictions=self.answer(prompts), activations={})

    def readout(self, activation, site):
        return activation[..., 0]


def linear(weights, **more):
    """Answers wᵀx for w = weights(prompts)."""
    return Known(lambda p: (p.queries @ weights(p)[..., None])[..., 0], **more)


def shifted(*delta, **more):
    """Answers with the true weights plus a constant: its error at x is δᵀx."""
    return linear(lambda p: p.weights + torch.tensor(delta, dtype=torch.float64), **more)


TASK = LinearRegression(dim=2, examples=6)


def by_name(found):
    return {m.quantity: m for m in found}


# ------------------------------------------------------------------------------- Akyürek et al.


def test_spd_and_ilwd_of_two_linear_predictors():
    task = LinearRegression(dim=3, examples=4, inputs=Gaussian(covariance=Diagonal(condition=10.0)))
    found = by_name(metrics.prediction_differences(shifted(1.0, 0.0, -2.0), shifted(0.0, 0.0, 0.0), task, n=2000))
    variances = task.inputs.covariance.eigenvalues(3, 0, 1, torch.Generator())[0]
    expected = float(variances[0] + 4 * variances[2])  # Δwᵀ Σ Δw
    low, high = found["SPD"].interval
    assert found["SPD"].value == pytest.approx(expected, rel=0.03)
    assert low < expected < high
    assert found["ILWD"].value == pytest.approx(5.0, abs=1e-10)  # ‖Δw‖²
    assert found["linearity R²"].value == pytest.approx(1.0, abs=1e-12)


def test_the_controls_of_spd():
    task = LinearRegression(dim=3, examples=8)
    found = by_name(metrics.prediction_differences(gradient_descent(layers=1), LeastSquares(), task, n=1000))["SPD"]
    value = {c.name: c.value for c in found.controls}
    assert 0 < value[AGAIN] < 1e-9  # rounding to single precision, and nothing else
    assert value[ZERO] == pytest.approx(1.0, rel=0.1)  # E (wᵀx)² for weights of unit length
    assert value[OTHERS] > value[ZERO]
    assert value[UNTRAINED] > found.value
    assert {c.kind for c in found.controls} == {"positive", "negative"}


def test_the_fit_of_a_cubic_explains_three_fifths():
    """Of x³ with x ~ N(0, 1) the best linear fit is 3x: (E x³·x)²/E x⁶ = 9/15."""
    task = LinearRegression(dim=2, examples=2)
    cubic = Known(lambda p: p.queries[..., 0] ** 3)
    found = metrics.prediction_differences(cubic, LeastSquares(), task, n=2000, queries=100)
    r2 = {m.coordinates["predictor"]: m for m in found if m.quantity == "linearity R²"}
    assert r2["known"].value == pytest.approx(0.6, abs=0.03)
    assert r2["least-squares"].value == pytest.approx(1.0, abs=1e-12)


def test_answers_that_have_nothing_to_do_with_the_queries_are_not_linear():
    task, rng = LinearRegression(dim=4, examples=4), torch.Generator().manual_seed(0)
    noise = Known(lambda p: torch.randn(p.targets.shape, generator=rng, dtype=torch.float64))
    found = metrics.prediction_differences(noise, LeastSquares(), task, n=2000, queries=8)
    r2 = next(m for m in found if m.coordinates.get("predictor") == "known")
    assert r2.value == pytest.approx(0.0, abs=0.03)  # unadjusted it would be 4/8
    assert {c.name: c.value for c in r2.controls}["least squares"] == pytest.approx(1.0, abs=1e-9)
    assert {c.name: c.value for c in r2.controls}["answers to other queries"] == pytest.approx(0.0, abs=0.03)


def test_a_predictor_that_answers_zero_is_linear():
    zero = metrics.ReferenceSubject(algorithm=LeastSquares(), steps=0, label="nothing")
    found = metrics.prediction_differences(zero, LeastSquares(), TASK, n=8)
    assert next(m.value for m in found if m.coordinates.get("predictor") == "nothing") == 1.0


# ------------------------------------------------------------------------------------ Fu et al.


@pytest.mark.parametrize(
    ("subject", "reference", "expected", "within"),
    [
        (shifted(1.0, 2.0), shifted(1.0, 2.0), 1.0, 1e-12),
        (shifted(3.0, 6.0), shifted(1.0, 2.0), 1.0, 1e-12),  # a cosine is blind to the size of the errors
        (shifted(-1.0, -2.0), shifted(1.0, 2.0), -1.0, 1e-12),
        (shifted(1.0, 0.0), shifted(0.0, 1.0), 0.0, 0.04),
        (shifted(0.0, 0.0), shifted(0.0, 1.0), 0.0, 0.0),  # no error has no direction
    ],
)
def test_sime_of_known_errors(subject, reference, expected, within):
    found = by_name(metrics.similarity_of_errors(subject, reference, TASK, n=600))
    assert found["SimE"].value == pytest.approx(expected, abs=within)


def test_position_0_inflates_sime_by_the_label_that_both_miss():
    """There both answer 0 and err by −y₁: cos = (y₁² − Σ(δᵀx)²)/(y₁² + Σ(δᵀx)²) for errors that are opposite elsewhere."""
    found = by_name(metrics.similarity_of_errors(shifted(-1.0, 0.0), shifted(1.0, 0.0), TASK, n=50, seed=3))
    p = dataclasses.replace(TASK, queries=8).sample(50, seed=3, stream="metrics")
    later = p.xs[:, 1:, 0].square().sum(-1) + p.queries[:, 0, 0].square()
    first = p.ys[:, 0].square()
    expected = float(((first - later) / (first + later)).mean())
    assert found["SimE"].value == pytest.approx(-1.0, abs=1e-12)
    assert found["SimE, position 0 counted"].value == pytest.approx(expected, abs=1e-12)
    assert expected > -1


def test_sime_shows_what_answering_zero_earns():
    found = by_name(metrics.similarity_of_errors(gradient_descent(layers=1), LeastSquares(), TASK, n=200))["SimE"]
    value = {c.name: c.value for c in found.controls}
    assert 0.98 < value[AGAIN] < 1.0  # prefixes that are nearly singular are solved otherwise in single precision
    assert value[ZERO] > 0.1
    assert abs(value[OTHERS]) < 0.25


def test_both_ways_of_asking_everywhere_agree(make_transformer):
    """A subject that answers everywhere, and the same one shown each prefix in turn."""
    task = LinearRegression(dim=3, examples=10)
    at_once = make_transformer(answers="everywhere")
    in_turn = Known(lambda p: at_once.trace(p).predictions, domain=at_once.domain)
    question = Queries.of(dataclasses.replace(task, queries=12).sample(16, seed=0))
    one, other = (Replies.of(s, question) for s in (at_once, in_turn))
    torch.testing.assert_close(one.errors[:, 1:], other.errors[:, 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(one.shorter, other.shorter, atol=1e-5, rtol=0)
    torch.testing.assert_close(other.errors[:, 0], -question.prompts.ys[:, 0])
    assert one.errors.shape == (16, 11)
    assert one.shorter.shape == (16, len(question.lengths), 3)


def test_sime_is_not_for_subjects_that_answer_at_the_query_alone(planted, task):
    with pytest.raises(NotApplicable, match="planted does not answer at every position"):
        metrics.similarity_of_errors(planted, LeastSquares(), task, n=4)
    with pytest.raises(NotApplicable, match="planted does not answer at every position"):
        metrics.similarity_of_errors(gradient_descent(layers=1), planted, task, n=4)


def test_a_model_that_could_but_was_not_trained_to_is_not_asked_everywhere(tiny, task):
    assert hasattr(tiny, "answer_everywhere")
    with pytest.raises(NotApplicable, match="tiny does not answer"):
        metrics.similarity_of_errors(tiny, LeastSquares(), task, n=4)


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        (lambda p: p.weights, 1.0),
        (lambda p: 5 * p.weights, 1.0),
        (lambda p: -p.weights, -1.0),
        (lambda p: p.weights.flip(-1) * torch.tensor([1.0, -1.0]), 0.0),
        (lambda p: torch.zeros_like(p.weights), 0.0),
        (lambda p: p.weights @ torch.tensor([[1.0, 1.0], [-1.0, 1.0]], dtype=torch.float64), math.sqrt(0.5)),
    ],
)
def test_simw_of_known_weights(weights, expected):
    found = by_name(metrics.similarity_of_weights(linear(weights), linear(lambda p: p.weights), TASK, n=20))
    assert found["SimW"].value == pytest.approx(expected, abs=1e-12)
    assert found["SimW over context lengths"].value == pytest.approx(expected, abs=1e-12)


def test_simw_over_lengths_is_a_mean_over_lengths():
    """Right from the fourth of five examples on, the other way round before: lengths 1, 2, 3 against 4, 5."""
    task = LinearRegression(dim=2, examples=5)
    late = linear(lambda p: p.weights if p.examples > 3 else -p.weights)
    found = by_name(metrics.similarity_of_weights(late, linear(lambda p: p.weights), task, n=20))
    assert found["SimW"].value == pytest.approx(1.0)
    assert found["SimW over context lengths"].value == pytest.approx((2 - 3) / 5)


def test_simw_over_lengths_needs_subjects_that_take_them(planted, task):
    found = by_name(metrics.similarity_of_weights(planted, LeastSquares(), task, n=8))
    assert found["SimW"].value == pytest.approx(1.0)
    assert "SimW over context lengths" not in found


# ---------------------------------------------------------------------------- von Oswald et al.


def test_alignment_of_two_linear_predictors():
    """Gradients are the weights; E|Δwᵀx| = √(2/π)·‖Δw‖ for x ~ N(0, I)."""
    one, other = (linear(lambda p, w=w: torch.tensor(w).double().expand(len(p), 2)) for w in ([3.0, 4.0], [4.0, 3.0]))
    found = by_name(metrics.alignment(one, other, TASK, n=2000))
    assert found["sensitivity cosine"].value == pytest.approx(24 / 25, abs=1e-9)
    assert found["sensitivity difference"].value == pytest.approx(math.sqrt(2), abs=1e-8)
    assert found["prediction difference"].value == pytest.approx(math.sqrt(2 / math.pi) * math.sqrt(2), rel=0.03)
    assert [found[k].unit for k in ("sensitivity difference", "prediction difference")] == ["y/x", "y"]


def test_differences_give_the_gradient():
    matrix = torch.tensor([[1.0, 2.0], [0.0, -1.0]], dtype=torch.float64)
    form = Known(lambda p: torch.einsum("bqi,ij,bqj->bq", p.queries, matrix, p.queries))
    question = Queries.of(dataclasses.replace(TASK, queries=5).sample(30, seed=0))
    expected = question.prompts.queries[:, 0] @ (matrix + matrix.T)
    torch.testing.assert_close(Replies.of(form, question).sensitivity, expected, atol=1e-8, rtol=0)


def test_differences_agree_with_automatic_differentiation(tiny, task):
    question = Queries.of(dataclasses.replace(task, queries=5).sample(30, seed=0))
    p = question.prompts.to(dtype=torch.float32)
    x = p.queries[:, :1].clone().requires_grad_()
    tiny.model(p.xs, p.ys, x).sum().backward()
    found = Replies.of(tiny, question).sensitivity
    torch.testing.assert_close(found, x.grad[:, 0].double(), atol=2e-4, rtol=0)


# --------------------------------------------------------------------------- what they all share


def test_a_construction_is_its_algorithm_by_every_metric():
    subject = gradient_descent(layers=3, step_size=0.3)
    reference = metrics.ReferenceSubject(algorithm=GradientDescent(step_size=0.3), steps=3)
    task = LinearRegression(dim=3, examples=8, noise=0.2)
    expected = {
        **dict.fromkeys(("SPD", "ILWD", "sensitivity difference", "prediction difference"), 0.0),
        **dict.fromkeys(("SimE", "SimE, position 0 counted", "SimW", "SimW over context lengths"), 1.0),
        **dict.fromkeys(("sensitivity cosine", "linearity R²"), 1.0),
    }
    found = [
        m
        for metric in (
            metrics.prediction_differences,
            metrics.similarity_of_errors,
            metrics.similarity_of_weights,
            metrics.alignment,
        )
        for m in metric(subject, reference, task, n=16)
    ]
    assert {m.quantity for m in found} == set(expected)
    for m in found:
        assert m.value == pytest.approx(expected[m.quantity], abs=1e-9)


def test_a_reference_is_asked_as_a_subject_is():
    p = dataclasses.replace(TASK, queries=3).sample(4, seed=0)
    reference = metrics.ReferenceSubject(algorithm=ConjugateGradient(), steps=2)
    assert (reference.name, reference.sites, reference.path) == ("conjugate-gradient, 2 steps", (), ())
    assert metrics.ReferenceSubject(algorithm=GradientDescent()).name == "gradient-descent, 1 step"
    assert metrics.ReferenceSubject(algorithm=LeastSquares()).name == "least-squares"
    torch.testing.assert_close(reference.trace(p).predictions, p.targets)
    single = dataclasses.replace(reference, dtype=torch.float32).trace(p).predictions
    assert single.dtype == torch.float32
    site = Site(layer=0, kind="resid_post")
    with pytest.raises(ValueError, match="an algorithm has none"):
        reference.readout(torch.zeros(1, 1, 1), site)
    with pytest.raises(ValueError, match="site must be one of the subject's 0 sites"):
        reference.trace(p, capture=[site])
    with pytest.raises(ValueError, match="steps must be an integer"):
        metrics.ReferenceSubject(algorithm=ConjugateGradient(), steps=-1).trace(p)


def test_a_subject_can_be_the_reference(tiny, planted, task):
    found = by_name(metrics.similarity_of_weights(tiny, planted, task, n=8))["SimW"]
    assert found.coordinates["reference"] == "planted"
    assert {c.name: c.value for c in found.controls}[AGAIN] == pytest.approx(1.0, abs=1e-12)


def test_the_step_of_an_algorithm_that_is_not_linear():
    found = metrics.prediction_differences(gradient_descent(layers=1), NadarayaWatson(), TASK, n=100)
    r2 = {m.coordinates["predictor"]: m.value for m in found if m.quantity == "linearity R²"}
    assert r2["nadaraya-watson"] < 0.95


@pytest.mark.parametrize(
    "metric", [metrics.prediction_differences, metrics.similarity_of_weights, metrics.alignment, metrics.literature]
)
def test_too_few_queries_are_refused(metric, tiny, task):
    reference = () if metric is metrics.literature else (LeastSquares(),)
    with pytest.raises(ValueError, match=r"queries must be more than dim=3.*got 3\. Pass queries=12\."):
        metric(tiny, *reference, task, n=4, queries=3)


def test_a_reference_that_diverges_is_refused(tiny, task):
    with pytest.raises(ValueError, match=r"reference must answer every prompt.*on 4 of 4"):
        metrics.alignment(
            tiny, metrics.ReferenceSubject(algorithm=GradientDescent(step_size=1e200), steps=3), task, n=4
        )


def test_a_subject_that_overflows_cannot_be_measured():
    with pytest.raises(NotApplicable, match=r"known answers 5 of 5 prompts with numbers that are not finite"):
        metrics.prediction_differences(Known(lambda p: p.queries[..., 0] / 0), LeastSquares(), TASK, n=5)


def test_an_untrained_control_that_overflows_is_left_out():
    class Restarting(Known):
        def reinitialised(self, seed):
            return Known(lambda p: p.queries[..., 0] / 0)

    found = metrics.alignment(Restarting(lambda p: p.queries[..., 0]), LeastSquares(), TASK, n=5)
    assert all(c.name != UNTRAINED for m in found for c in m.controls)


def test_a_vector_without_direction_has_cosine_0():
    assert cosine(torch.zeros(2, 3), torch.ones(2, 3)).tolist() == [0.0, 0.0]
    assert cosine(torch.tensor([1.0, 0.0]), torch.tensor([2.0, 2.0])).item() == pytest.approx(math.sqrt(0.5))

"""Lemmas of this project on gains, heads and early exits, after abstracts of papers whose full texts were not available."""

from mesascope.theory.expressions import Count, Every, Expression, Natural, Sum, equals
from mesascope.theory.quantities import (
    a,
    a_1,
    b,
    bound,
    curvatures,
    d,
    eta,
    gradient,
    i,
    j,
    k,
    kappa,
    m,
    rate_of_gain,
    root,
    shift,
    step,
    step_per_channel,
    vectors,
    w,
    w_star,
)
from mesascope.theory.statement import Statement

_OURS = "this project, after the satellite papers of Nagy (2026)"


def _vectors(index: Natural, term: Expression) -> Sum:
    return Sum(index=index, length=m, term=term)


def _square(index: Natural) -> Sum:
    return Sum(index=k, length=d, term=vectors[index, k] ** 2)


_inner = Sum(index=k, length=d, term=vectors[i, k] * vectors[j, k])
trained_step = eta + rate_of_gain * (a * (1 - eta * a))
"""The step size after one step of training it."""

STATEMENTS = (
    Statement(
        key="channel_gains",
        name="a gain for each channel is Newton's step",
        words="If every channel's gain is the inverse of its curvature, one step leaves no error in any channel.",
        hypotheses=(Every(index=k, length=d, formula=equals(step_per_channel[k] * curvatures[k], 1)),),
        conclusion=equals(Sum(index=k, length=d, term=(1 - step_per_channel[k] * curvatures[k]) ** 2), 0),
        source=_OURS,
        used="no_single_gain, which says that one gain cannot",
        rocq="intros; rewrite <- (total_zero d); apply total_ext; intros; rewrite H by assumption; ring.",
    ),
    Statement(
        key="head_doubling",
        name="the root of a condition number has the better rate",
        words="If heads reduce the condition number from κ to √κ, the rate (√κ − 1)/(√κ + 1) is at most (κ − 1)/(κ + 1).",
        hypotheses=(root >= 1,),
        conclusion=(root - 1) / (root + 1) <= (root**2 - 1) / (root**2 + 1),
        source=_OURS,
        used="comparing cg_rate with minimax_reached",
        rocq="intros; assert (0 < z ^ 2 + 1) by (pose proof (pow2_ge_0 z); lra).\n"
        "  apply Rmult_le_reg_r with (z + 1); [lra|]; apply Rmult_le_reg_r with (z ^ 2 + 1); [assumption|].\n"
        "  replace ((z - 1) / (z + 1) * (z + 1) * (z ^ 2 + 1)) with ((z - 1) * (z ^ 2 + 1)) by (field; lra).\n"
        "  replace ((z ^ 2 - 1) / (z ^ 2 + 1) * (z + 1) * (z ^ 2 + 1)) with ((z ^ 2 - 1) * (z + 1)) by (field; lra).\n"
        "  assert (0 <= (z - 1) * z) by (apply Rmult_le_pos; lra); nra.",
    ),
    Statement(
        key="perturbed_curvature",
        name="what a Newton gain leaves under another curvature",
        words="If the gain is Newton's for curvature a and the curvature is a + δ, one step leaves (δ/a)² of the squared error.",
        hypotheses=(equals(kappa * a, 1),),
        conclusion=equals((1 - kappa * (a + shift)) ** 2, (shift / a) ** 2),
        source=_OURS,
        used="step sizes tuned on one covariance and used on another",
        rocq="intros; assert (a <> 0) by (intro Z; rewrite Z in H; lra).\n"
        "  replace kappa with (/ a) by (apply Rmult_eq_reg_r with a; [rewrite Rinv_l by assumption; lra | assumption]).\n"
        "  field; assumption.",
    ),
    Statement(
        key="welch_floor",
        name="more vectors than dimensions cannot all be orthogonal",
        words="For m vectors in d dimensions, d times the sum of all squared inner products is at least (Σ|uᵢ|²)².",
        conclusion=_vectors(i, _square(i)) ** 2 <= Count(value=d) * _vectors(i, _vectors(j, _inner**2)),
        source="Welch, Lower bounds on the maximum cross correlation of signals (1974)",
        used="interference of features that share a residual stream",
        departs="With unit vectors and coherence μ it says m² ≤ d(m + m(m − 1)μ²), that is μ² ≥ (m − d)/(d(m − 1)).",
        rocq="intros m d u; apply welch.",
        cases=({"m": 1, "d": 1}, {"m": 2, "d": 1}, {"m": 1, "d": 2}),
    ),
    Statement(
        key="welch_coherence",
        name="some two of many vectors must be close",
        words="If no two of m vectors in d dimensions have a squared cosine above h, the Welch floor bounds h from below.",
        hypotheses=(
            Every(
                index=i,
                length=m,
                formula=Every(index=j, length=i, formula=_inner**2 <= bound * (_square(i) * _square(j))),
            ),
        ),
        conclusion=_vectors(i, _square(i)) ** 2
        <= Count(value=d)
        * (_vectors(i, _square(i) ** 2) + bound * (_vectors(i, _square(i)) ** 2 - _vectors(i, _square(i) ** 2))),
        source="Welch, Lower bounds on the maximum cross correlation of signals (1974)",
        used="as welch_floor",
        departs="For unit vectors it says m ≤ d(1 + h(m − 1)), that is h ≥ (m − d)/(d(m − 1)).",
        rocq="intros m d u h H; apply Rle_trans with (1 := welch u m d); apply Rmult_le_compat_l; [apply pos_INR|].\n"
        "  pose proof (coherent u m d h H) as C; cbv zeta in C; lra.",
        cases=({"m": 1, "d": 1}, {"m": 2, "d": 1}),
    ),
    Statement(
        key="gain_descent",
        name="training the gain contracts its own error",
        words="A gradient step on ℓ(η) = (1 − ηa)²/2 multiplies 1 − ηa by 1 − τa²: faster for larger a, at rest only at 1/a.",
        conclusion=equals(1 - trained_step * a, (1 - rate_of_gain * a**2) * (1 - eta * a)),
        source=_OURS,
        used="how a layer's gain comes to be Newton's in training",
    ),
    Statement(
        key="gain_grows",
        name="a gain that falls short grows",
        words="With positive curvature, training raises the step size where ηa < 1.",
        hypotheses=(a > 0, rate_of_gain > 0, eta * a < 1),
        conclusion=trained_step > eta,
        source=_OURS,
        used="gain_descent",
        rocq="intros; assert (0 < tau * (a * (1 - eta * a))) by (repeat apply Rmult_lt_0_compat; lra); lra.",
    ),
    Statement(
        key="gain_falls",
        name="a gain that does not fall short does not grow",
        words="With positive curvature, training does not raise the step size where ηa ≥ 1.",
        hypotheses=(a > 0, rate_of_gain > 0, eta * a >= 1),
        conclusion=trained_step <= eta,
        source=_OURS,
        used="gain_grows: together they say that the gain grows exactly where ηa < 1",
        rocq="intros; assert (0 <= tau * (a * (eta * a - 1))) by (repeat apply Rmult_le_pos; lra); lra.",
    ),
    Statement(
        key="exit_band",
        name="the early-exit band holds the optimum",
        words="If the curvature is at least a₁ > 0, w* lies within |g|/a₁ of the weight after any layer, g being the gradient.",
        hypotheses=(a_1 > 0, a >= a_1, equals(b, a * w_star)),
        conclusion=a_1**2 * (w - w_star) ** 2 <= gradient(w) ** 2,
        source=_OURS,
        used="early stopping with a bound on the remaining error",
        departs="Squared. The abstract does not define the band; here it is the weight plus and minus |g|/a₁.",
        rocq="intros; subst; replace ((a * w - a * w_star) ^ 2) with (a ^ 2 * (w - w_star) ^ 2) by ring.\n"
        "  apply Rmult_le_compat_r; [apply pow2_ge_0 | apply pow_incr; lra].",
    ),
    Statement(
        key="exit_band_narrows",
        name="the early-exit band never widens",
        words="Inside the stability window one more layer does not make the band |g|/a₁ wider.",
        hypotheses=(eta * a >= 0, eta * a <= 2),
        conclusion=gradient(step(w)) ** 2 <= gradient(w) ** 2,
        source=_OURS,
        used="exit_band",
        rocq="intros; assert (H1 : 0 <= 1 - (1 - eta * a) ^ 2) by nra.\n"
        "  pose proof (scaled_square _ (a * w - b) H1).\n"
        "  replace ((a * (w - eta * (a * w - b)) - b) ^ 2) with ((1 - eta * a) ^ 2 * (a * w - b) ^ 2) by ring; lra.",
    ),
)

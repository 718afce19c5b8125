"""Conjugate gradient in the eigenbasis: Chebyshev's bound, conjugate directions, optimality, termination, rate.

No step is assumed to succeed: the statements also hold for steps after conjugate gradient has finished early. The proofs are
in ``theory/lemmas/``; the statements name the lemmas that they use.
"""

from mesascope.theory.expressions import All, Every, Expression, Formula, Natural, Sequence, Sum, equals
from mesascope.theory.quantities import (
    a,
    a_1,
    at,
    at_0,
    chebyshev,
    chebyshev_0,
    coefficients,
    curvatures,
    d,
    directions,
    i,
    iterates,
    j,
    k,
    momenta,
    n,
    ratio,
    residuals,
    root,
    step_sizes,
    target_weights,
)
from mesascope.theory.statement import Statement

BOOK = "Saad, Iterative Methods for Sparse Linear Systems (2003)"


def _channels(term: Expression) -> Sum:
    return Sum(index=i, length=d, term=term)


def _every_channel(formula: Formula) -> Every:
    return Every(index=i, length=d, formula=formula)


def _chebyshev(sequence: Sequence, x: Expression) -> tuple[Formula, ...]:
    recurrence = equals(sequence[k + 2], 2 * x * sequence[k + 1] - sequence[k])
    return equals(sequence[0], 1), equals(sequence[1], x), Every(index=k, length=n, formula=recurrence)


def _run(steps: Natural, weights: bool = True) -> tuple[Formula, ...]:
    """The textbook recurrences, without a division; with or without the weights besides residuals and directions."""
    energy = _channels(directions[k, i] * (curvatures[i] * directions[k, i]))
    square = _channels(residuals[k, i] * residuals[k, i])
    next_square = _channels(residuals[k + 1, i] * residuals[k + 1, i])
    image = step_sizes[k] * (curvatures[i] * directions[k, i])
    start = equals(residuals[0, i], curvatures[i] * (target_weights[i] - iterates[0, i]))
    move = equals(iterates[k + 1, i], iterates[k, i] + step_sizes[k] * directions[k, i])
    one = (
        equals(step_sizes[k] * energy, square),
        *((_every_channel(move),) if weights else ()),
        _every_channel(equals(residuals[k + 1, i], residuals[k, i] - image)),
        equals(momenta[k] * square, next_square),
        _every_channel(equals(directions[k + 1, i], residuals[k + 1, i] + momenta[k] * directions[k, i])),
    )
    return (
        *((_every_channel(start),) if weights else ()),
        _every_channel(equals(directions[0, i], residuals[0, i])),
        Every(index=k, length=steps, formula=All(formulas=one)),
    )


def _error(step: Natural | int) -> Expression:
    """The squared error in the norm of the curvature, which is the excess loss."""
    error = target_weights[i] - iterates[step, i]
    return _channels(error * (curvatures[i] * error))


_polynomial = (1 + Sum(index=j, length=n, term=coefficients[j] * curvatures[i] ** (j + 1))) * (
    target_weights[i] - iterates[0, i]
)
_SMALL = ({"d": 1, "n": 1},)

STATEMENTS = (
    Statement(
        key="chebyshev_inside",
        name="Chebyshev polynomials are at most 1 on the spectrum",
        words="Where |x| ≤ 1, no Chebyshev polynomial exceeds 1 in size, for every degree.",
        hypotheses=(*_chebyshev(chebyshev, at), at**2 <= 1),
        conclusion=chebyshev[n] ** 2 <= 1,
        source=f"{BOOK}, section 6.11.1",
        used="chebyshev_bound; algorithms/first_order.py",
        rocq="intros t x n H0 H1 H X; rewrite (cheb_is x t n H0 H1 H).\n"
        "  pose proof (cheb_inside x 1 n ltac:(lra)) as B; replace (1 ^ 2) with 1 in B by ring; rewrite pow1 in B; exact B.",
    ),
    Statement(
        key="chebyshev_outside",
        name="Chebyshev polynomials grow off the spectrum",
        words="At x = (ρ + 1/ρ)/2 twice the polynomial of degree n is ρⁿ + ρ⁻ⁿ, for every degree.",
        hypotheses=(equals(at * (2 * ratio), 1 + ratio**2), *_chebyshev(chebyshev, at)),
        conclusion=equals(2 * chebyshev[n] * ratio**n, 1 + (ratio**n) ** 2),
        source=f"{BOOK}, section 6.11.1",
        used="chebyshev_bound",
        rocq="intros x rho t n X H0 H1 H; rewrite (cheb_is x t n H0 H1 H).\n  apply cheb_reciprocal; exact X.",
    ),
    Statement(
        key="chebyshev_bound",
        name="the Chebyshev polynomial that is 1 at zero is small on the spectrum",
        words="On the spectrum, from a₁ to κa₁, tₙ/Tₙ is at most 2((√κ − 1)/(√κ + 1))ⁿ; at 0 it is 1, since t = T there.",
        hypotheses=(
            a_1 > 0,
            a >= a_1,
            a <= root**2 * a_1,
            equals(ratio * (root + 1), root - 1),
            equals(at * ((root**2 - 1) * a_1), (root**2 + 1) * a_1 - 2 * a),
            equals(at_0 * (root**2 - 1), root**2 + 1),
            *_chebyshev(chebyshev, at),
            *_chebyshev(chebyshev_0, at_0),
        ),
        conclusion=(chebyshev[n] / chebyshev_0[n]) ** 2 <= (2 * ratio**n) ** 2,
        source=f"{BOOK}, equation 6.128",
        used="cg_rate",
        departs="Squared, with z for √κ, whose sign does not matter. κ = 1 is left out: x₀ would be infinite.",
        rocq="intros a_1 a z rho x x_0 t n T P L U R X Y t0 t1 tn T0 T1 Tn.\n"
        "  rewrite (cheb_is x t n t0 t1 tn), (cheb_is x_0 T n T0 T1 Tn).\n"
        "  assert (N : z + 1 <> 0) by (intro Z; rewrite Z in R; lra).\n"
        "  assert (M : z ^ 2 - 1 <> 0) by (intro Z; rewrite Z in Y; assert (z ^ 2 = 1) by lra; lra).\n"
        "  apply (cheb_ratio x x_0 rho n).\n"
        "  - replace rho with ((z - 1) / (z + 1)) by (rewrite <- R; field; exact N).\n"
        "    replace x_0 with ((z ^ 2 + 1) / (z ^ 2 - 1)) by (rewrite <- Y; field; exact M); field; split; [exact N|].\n"
        "    intro Z; apply M; lra.\n"
        "  - replace x with (((z ^ 2 + 1) * a_1 - 2 * a) / ((z ^ 2 - 1) * a_1))\n"
        "      by (rewrite <- X; field; split; [lra | intro Z; apply M; lra]).\n"
        "    assert (D : (z ^ 2 - 1) * a_1 <> 0) by (apply Rmult_integral_contrapositive; split; [exact M | lra]).\n"
        "    assert (S : 0 < ((z ^ 2 - 1) * a_1) ^ 2) by (rewrite <- Rsqr_pow2; apply Rsqr_pos_lt; exact D).\n"
        "    apply Rmult_le_reg_r with (1 := S); rewrite <- Rpow_mult_distr; unfold Rdiv.\n"
        "    rewrite Rmult_assoc, Rinv_l, Rmult_1_r, Rmult_1_l by exact D.\n"
        "    assert (0 <= (a - a_1) * (z ^ 2 * a_1 - a)) by (apply Rmult_le_pos; lra); nra.",
    ),
    Statement(
        key="cg_conjugate",
        name="directions are conjugate, residuals orthogonal",
        words="Each residual of conjugate gradient is orthogonal to all before it, each direction conjugate to those before it.",
        hypotheses=_run(n, weights=False),
        conclusion=Every(
            index=j,
            length=n,
            formula=All(
                formulas=(
                    equals(_channels(residuals[n, i] * residuals[j, i]), 0),
                    equals(_channels(directions[n, i] * (curvatures[i] * directions[j, i])), 0),
                )
            ),
        ),
        source=f"{BOOK}, proposition 6.20",
        used="cg_optimal, cg_terminates; models/constructions/conjugate_gradient.py",
        departs="Curvatures may have either sign; steps satisfy their equations, so a direction without curvature ends the run.",
        rocq="intros d p r n alpha a beta H0 H1 H2 H3 H4 j Hj.\n"
        "  destruct (conjugate d n a r p alpha beta H0 H1 H2 H3 H4 n ltac:(lia) j Hj) as (R & P & _); split; assumption.",
        cases=_SMALL,
        unstable=True,
    ),
    Statement(
        key="cg_terminates",
        name="conjugate gradient is done after as many steps as channels",
        words="With positive curvatures the weight after d steps is w* in each of the d channels.",
        hypotheses=(_every_channel(curvatures[i] > 0), *_run(d)),
        conclusion=_every_channel(equals(iterates[d, i], target_weights[i])),
        source=f"{BOOK}, section 6.7",
        used="depth of models/constructions/conjugate_gradient.py",
        rocq="intros d a r w_star w p alpha beta P S H0 H1 W H2 H3 H4.\n"
        "  assert (Q : forall i, (i < d)%nat -> 0 <= a i) by (intros i Hi; left; apply P, Hi).\n"
        "  apply (terminates d d a r p alpha beta) with (w := w); assumption || lia.",
        cases=({"d": 1},),
        unstable=True,
    ),
    Statement(
        key="cg_optimal",
        name="no polynomial does better than conjugate gradient",
        words="Each polynomial of degree n that is 1 at 0 leaves the error of n steps plus the squared distance to their result.",
        hypotheses=_run(n),
        conclusion=equals(
            _channels(curvatures[i] * _polynomial**2),
            _error(n) + _channels(curvatures[i] * (_polynomial - (target_weights[i] - iterates[n, i])) ** 2),
        ),
        source=f"{BOOK}, proposition 6.9 and lemma 6.28",
        used="cg_rate; conjugate gradient as the bound of every first-order path in identification",
        departs="Errors and distances in the norm of the curvature; where none is negative, no polynomial's error is smaller.",
        rocq="intros d r a w_star w p n alpha beta c S H0 H1 W H2 H3 H4.\n"
        "  apply (krylov_exact d n a r p alpha beta); assumption.",
        cases=_SMALL,
        unstable=True,
    ),
    Statement(
        key="cg_rate",
        name="the rate of conjugate gradient",
        words="After n steps the error in the norm of the curvature is at most 2((√κ − 1)/(√κ + 1))ⁿ times the initial one.",
        hypotheses=(
            a_1 > 0,
            _every_channel(curvatures[i] >= a_1),
            _every_channel(curvatures[i] <= root**2 * a_1),
            equals(ratio * (root + 1), root - 1),
            *_run(n),
        ),
        conclusion=_error(n) <= (2 * ratio**n) ** 2 * _error(0),
        source=f"{BOOK}, equation 6.128",
        used="the depth that conjugate gradient needs, algorithms/conjugate_gradient.py",
        departs="Squared, with z for √κ, whose sign does not matter.",
        rocq="intros a_1 d a z rho r w_star w p n alpha beta P L U R S H0 H1 W H2 H3 H4.\n"
        "  apply (cg_bound d n a r p alpha beta) with (low := a_1) (z := z); try assumption.\n"
        "  - intros i Hi; pose proof (L i Hi); lra.\n"
        "  - intros i Hi; split; [apply L | apply U]; exact Hi.",
        cases=_SMALL,
        unstable=True,
    ),
)

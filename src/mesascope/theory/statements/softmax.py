"""B: softmax attention averages the targets and reweights the curvature."""

from mesascope.theory.expressions import Every, Expression, Sum, equals, exp
from mesascope.theory.quantities import (
    a,
    a_p,
    b,
    bound,
    error,
    eta,
    k,
    n,
    p,
    scores,
    step,
    targets,
    u,
    v,
    w,
    w_star,
    y_1,
    y_2,
)
from mesascope.theory.statement import SOURCE, Statement


def _total(term: Expression) -> Sum:
    return Sum(index=k, length=n + 1, term=term)


prediction = _total(exp(scores[k]) * targets[k]) / _total(exp(scores[k]))
"""Softmax attention's average of the targets."""

STATEMENTS = (
    Statement(
        key="B1",
        name="a softmax prediction is not below the smallest target",
        words="A prediction that averages two targets with weights p and 1 − p is at least the smaller one.",
        hypotheses=(p <= 1, y_1 <= y_2),
        conclusion=p * y_1 + (1 - p) * y_2 >= y_1,
        source=f"{SOURCE}, Theorem B1",
        used="softmax attention cannot extrapolate, as linear attention can",
        departs="The source also assumes p ≥ 0, which this bound does not need.",
    ),
    Statement(
        key="B2",
        name="a softmax prediction is not above the largest target",
        words="A prediction that averages two targets with weights p and 1 − p is at most the larger one.",
        hypotheses=(p >= 0, y_1 <= y_2),
        conclusion=p * y_1 + (1 - p) * y_2 <= y_2,
        source=f"{SOURCE}, Theorem B2",
        used="as B1",
        departs="The source also assumes p ≤ 1, which this bound does not need.",
    ),
    Statement(
        key="B3",
        name="concentration accelerates a step that falls short",
        words="If both step products are at most 1, the larger one contracts at least as much.",
        hypotheses=(u <= v, v <= 1),
        conclusion=(1 - v) ** 2 <= (1 - u) ** 2,
        source=f"{SOURCE}, Theorem B3",
        used="B6",
        departs="The source also assumes u > 0, which is not needed.",
    ),
    Statement(
        key="B4",
        name="moderation accelerates a step that overshoots",
        words="If both step products are at least 1, the smaller one contracts at least as much.",
        hypotheses=(v >= 1, v <= u),
        conclusion=(1 - v) ** 2 <= (1 - u) ** 2,
        source=f"{SOURCE}, Theorem B4",
        used="B3, for steps too large",
        departs="The source also assumes u ≤ 2, which is not needed.",
    ),
    Statement(
        key="B5",
        name="squares of curvatures keep their order",
        words="If a curvature is at least another one, which is not negative, its square is at least the other's square.",
        hypotheses=(a >= 0, a <= a_p),
        conclusion=a**2 <= a_p**2,
        source=f"{SOURCE}, Lemma B5",
        used="B6",
    ),
    Statement(
        key="B6",
        name="concentration amplifies the gradient",
        words="The squared gradient under the larger, attention-weighted curvature is at least that under the other.",
        hypotheses=(a >= 0, a <= a_p),
        conclusion=a**2 * error**2 <= a_p**2 * error**2,
        source=f"{SOURCE}, Theorem B6",
        used="nothing yet",
        departs="The same error on both sides: reweighting moves the optimum unless the problem is realisable.",
        rocq="intros; assert (H1 : 0 <= a_p ^ 2 - a ^ 2) by nra.\n  pose proof (scaled_square _ e H1); lra.",
    ),
    Statement(
        key="B7",
        name="the optimal step product contracts to zero",
        words="At step product 1 the contraction factor is zero.",
        hypotheses=(equals(v, 1),),
        conclusion=equals((1 - v) ** 2, 0),
        source=f"{SOURCE}, Theorem B7",
        used="B7_step",
    ),
    Statement(
        key="B7_step",
        name="one step at gain 1/a is Newton's",
        words="If ηa = 1, one step arrives at w*, from every weight.",
        hypotheses=(equals(eta * a, 1), equals(b, a * w_star)),
        conclusion=equals(step(w), w_star),
        source=f"{SOURCE}, Theorem B7, its consequence in words",
        used="V3",
        rocq="intros; subst. replace (w - eta * (a * w - a * w_star)) with (w - eta * a * (w - w_star)) by ring.\n"
        "  rewrite H; ring.",
    ),
    Statement(
        key="softmax_least",
        name="softmax over examples is not below the smallest target",
        words="If no target is below h, neither is softmax attention's average of them, whatever their number and the scores.",
        hypotheses=(Every(index=k, length=n + 1, formula=targets[k] >= bound),),
        conclusion=prediction >= bound,
        source=f"{SOURCE}, Theorem B1, for two; for every number, this project",
        used="as B1",
        departs="Real exponentials, n + 1 ≥ 1 examples. z3 is told only that exponentials are positive.",
        rocq="intros; apply softmax_above; assumption.",
    ),
    Statement(
        key="softmax_most",
        name="softmax over examples is not above the largest target",
        words="If no target is above h, neither is softmax attention's average of them, whatever their number and the scores.",
        hypotheses=(Every(index=k, length=n + 1, formula=targets[k] <= bound),),
        conclusion=prediction <= bound,
        source=f"{SOURCE}, Theorem B2, for two; for every number, this project",
        used="as B2",
        departs="Real exponentials, n + 1 ≥ 1 examples. z3 is told only that exponentials are positive.",
        rocq="intros; apply softmax_below; assumption.",
    ),
)

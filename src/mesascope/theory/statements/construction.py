"""V: the weights of a linear-attention layer whose gains multiply to η emit the gradient step."""

from mesascope.theory.expressions import equals
from mesascope.theory.quantities import a_p, b, gain_qk, gain_vo, w, w_star
from mesascope.theory.statement import SOURCE, Statement

_gain = gain_vo * gain_qk

STATEMENTS = (
    Statement(
        key="V1",
        name="the construction emits the gradient step",
        words="A head with key–query gain q and value–output gain o adds minus q·o times the gradient.",
        conclusion=equals(_gain * (b - a_p * w), -(_gain * (a_p * w - b))),
        source=f"{SOURCE}, Theorem V1",
        used="models/constructions/gradient_descent.py",
    ),
    Statement(
        key="V2",
        name="positive gains make a positive step size",
        words="If both gains are positive, so is the step size, their product.",
        hypotheses=(gain_vo > 0, gain_qk > 0),
        conclusion=_gain > 0,
        source=f"{SOURCE}, Theorem V2",
        used="A3, A5_step",
    ),
    Statement(
        key="V3",
        name="gains can make the step Newton's",
        words="Gains whose product is the inverse curvature take the weight to w* in one layer, from every weight.",
        hypotheses=(equals(gain_vo * gain_qk * a_p, 1), equals(b, a_p * w_star)),
        conclusion=equals(w + _gain * (b - a_p * w), w_star),
        source=f"{SOURCE}, Theorem V3",
        used="models/constructions/gradient_descent.py with step size 1/a",
        departs="The source says that such gains exist (for a_p > 0: o = 1/a_p and q = 1); this says what they do.",
        rocq="intros; subst; replace (w + o * q * (a_p * w_star - a_p * w)) with (w + o * q * a_p * (w_star - w)) by ring.\n"
        "  rewrite H; ring.",
    ),
)

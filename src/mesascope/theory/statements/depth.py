"""C: layers compound. First statements about a given number of layers, then about any number."""

from mesascope.theory.expressions import All, Count, Every, Formula, equals
from mesascope.theory.quantities import (
    a,
    b,
    before,
    error,
    eta,
    k,
    last,
    later,
    n,
    path,
    rate,
    step,
    tolerance,
    u,
    w,
    w_star,
)
from mesascope.theory.statement import SOURCE, Statement

_DESCENT = Every(index=k, length=n, formula=equals(path[k + 1], step(path[k])))
_next = (1 - u) * error


def _regime(
    name: str, words: str, product: tuple[Formula, ...], conclusion: Formula, rocq: str, departs: str = ""
) -> Statement:
    """A statement about the effect of one step on the error, for one range of the step product u = ηa."""
    return Statement(
        key=f"regime_{name}",
        name=f"the five regimes of the step product: {_REGIMES[name]}",
        words=words,
        hypotheses=(*product, error**2 > 0) if name in ("short", "across", "apart") else product,
        conclusion=conclusion,
        source="this project, after the satellite papers of Nagy (2026)",
        used="n_steps; how the residuals of models/constructions/gradient_descent.py move from layer to layer",
        departs=departs,
        rocq=rocq,
    )


_REGIMES = {
    "short": "0 < u < 1",
    "newton": "u = 1",
    "across": "1 < u < 2",
    "mirror": "u = 2",
    "apart": "u > 2",
}
_SQUARE = "intros; assert (P : 0 < e ^ 2) by lra; replace ((1 - u) * e * e) with ((1 - u) * e ^ 2) by ring"

STATEMENTS = (
    Statement(
        key="C1",
        name="contraction compounds",
        words="Two steps at a rate between 0 and 1 contract at least as much as one.",
        hypotheses=(rate >= 0, rate <= 1),
        conclusion=rate**2 <= rate,
        source=f"{SOURCE}, Theorem C1",
        used="C3",
    ),
    Statement(
        key="C2",
        name="depth strictly improves",
        words="Two steps at a rate strictly between 0 and 1 contract more than one.",
        hypotheses=(rate > 0, rate < 1),
        conclusion=rate**2 < rate,
        source=f"{SOURCE}, Theorem C2",
        used="the early layers of a depth sweep",
    ),
    Statement(
        key="C3",
        name="two layers do not raise the error",
        words="If the two-step rate is at most 1, the squared error after two layers is at most the one before them.",
        hypotheses=(equals(later, rate * before), rate <= 1, before >= 0),
        conclusion=later <= before,
        source=f"{SOURCE}, Theorem C3",
        used="C4",
        departs="The source takes the recursion as a hypothesis, so the formula is A7's; C3_step states what two layers do.",
    ),
    Statement(
        key="C3_step",
        name="two steps multiply the error by (1 − ηa)²",
        words="Two steps of gradient descent with one step size multiply the error by (1 − ηa)², from every weight.",
        hypotheses=(equals(b, a * w_star),),
        conclusion=equals(step(step(w)) - w_star, (1 - eta * a) ** 2 * (w - w_star)),
        source=f"{SOURCE}, Theorem C3 with the identity of section 4",
        used="depth of models/constructions/gradient_descent.py",
    ),
    Statement(
        key="C4",
        name="three layers do not raise the error",
        words="If the first two layers together do not raise the error, and the third does not, all three together do not.",
        hypotheses=(last <= later, later <= before),
        conclusion=last <= before,
        source=f"{SOURCE}, Theorem C4",
        used="n_steps, which replaces it",
    ),
    Statement(
        key="n_steps",
        name="n steps multiply the error by (1 − ηa)ⁿ",
        words="After n layers with one step size the error is (1 − ηa)ⁿ times the initial one, for every n and initial weight.",
        hypotheses=(equals(b, a * w_star), _DESCENT),
        conclusion=equals(path[n] - w_star, (1 - eta * a) ** n * (path[0] - w_star)),
        source="this project; by induction from error_recursion",
        used="rates of gradient descent in identification; the spectral response of instruments/spectral/spectrum.py",
        rocq="intros b a w_star n w eta Hb; induction n as [|n IH]; intros H; simpl; [ring|].\n"
        "  pose proof (H n ltac:(lia)) as Hn; replace (n + 1)%nat with (S n) in Hn by lia; rewrite Hn.\n"
        "  replace (w n - eta * (a * w n - b) - w_star) with ((1 - eta * a) * (w n - w_star)) by (subst b; ring).\n"
        "  rewrite IH; [ring | intros k Hk; apply H; lia].",
    ),
    Statement(
        key="n_steps_error",
        name="n steps do not raise the error",
        words="Inside the stability window the squared error after n layers is at most the initial one, for every n.",
        hypotheses=(equals(b, a * w_star), _DESCENT, eta * a >= 0, eta * a <= 2),
        conclusion=(path[n] - w_star) ** 2 <= (path[0] - w_star) ** 2,
        source="this project; by induction from A7_step",
        used="n_steps",
        rocq="intros b a w_star n w eta Hb; induction n as [|n IH]; intros H H0 H2; [lra|].\n"
        "  apply Rle_trans with ((w n - w_star) ^ 2);\n"
        "    [| apply IH; [intros k Hk; apply H; lia | exact H0 | exact H2]].\n"
        "  pose proof (H n ltac:(lia)) as Hn; replace (n + 1)%nat with (S n) in Hn by lia; rewrite Hn; subst b.\n"
        "  assert (H1 : 0 <= 1 - (1 - eta * a) ^ 2) by nra.\n"
        "  pose proof (scaled_square _ (w n - w_star) H1); lra.",
    ),
    Statement(
        key="converges",
        name="how many steps bring the error below any bound",
        words="After n ≥ (w₀ − w*)²/(ηa(2 − ηa)ε) layers the squared error is at most ε: inside the window it tends to zero.",
        hypotheses=(
            equals(b, a * w_star),
            _DESCENT,
            tolerance > 0,
            Count(value=n) * (eta * a * (2 - eta * a) * tolerance) >= (path[0] - w_star) ** 2,
        ),
        conclusion=(path[n] - w_star) ** 2 <= tolerance,
        source="this project; Bernoulli's inequality on n_steps",
        used="the limit that depth approaches; with never_nearer, convergence exactly when 0 < ηa < 2",
        departs="The limit is spelled out, with the number of steps: such an n exists for every ε when 0 < ηa < 2.",
        rocq="intros b a w_star n w eta eps Hb H He Hn; rewrite (descent b a w_star eta w n Hb H), Rpow_mult_distr.\n"
        "  pose proof (bernoulli ((1 - eta * a) ^ 2) (pow2_ge_0 _) n) as [B P].\n"
        "  rewrite <- pow_mult, Nat.mul_comm, pow_mult.\n"
        "  apply Rle_trans with (((1 - eta * a) ^ 2) ^ n * (INR n * (eta * a * (2 - eta * a) * eps)));\n"
        "    [apply Rmult_le_compat_l; [exact P | exact Hn]|].\n"
        "  replace (((1 - eta * a) ^ 2) ^ n * (INR n * (eta * a * (2 - eta * a) * eps)))\n"
        "    with ((INR n * (1 - (1 - eta * a) ^ 2) * ((1 - eta * a) ^ 2) ^ n) * eps) by ring.\n"
        "  rewrite <- (Rmult_1_l eps) at 2; apply Rmult_le_compat_r; lra.",
    ),
    Statement(
        key="never_nearer",
        name="outside the window no number of steps helps",
        words="If ηa is not strictly between 0 and 2, the weight after n layers is no nearer to w* than at first, for every n.",
        hypotheses=(equals(b, a * w_star), _DESCENT, eta * a * (2 - eta * a) <= 0),
        conclusion=(path[0] - w_star) ** 2 <= (path[n] - w_star) ** 2,
        source="this project; by induction from error_recursion",
        used="converges: the window is sharp",
        rocq="intros b a w_star n w eta Hb H H2; rewrite (descent b a w_star eta w n Hb H), Rpow_mult_distr.\n"
        "  rewrite <- pow_mult, Nat.mul_comm, pow_mult, <- (Rmult_1_l ((w 0%nat - w_star) ^ 2)) at 1.\n"
        "  apply Rmult_le_compat_r; [apply pow2_ge_0 | apply pow_R1_Rle; lra].",
    ),
    _regime(
        "short",
        "With a step product strictly between 0 and 1 the error shrinks and keeps its sign.",
        (u > 0, u < 1),
        All(formulas=(_next * error > 0, _next**2 < error**2)),
        f"{_SQUARE}.\n  split; [apply Rmult_lt_0_compat; lra|].\n"
        "  replace (((1 - u) * e) ^ 2) with ((1 - u) ^ 2 * e ^ 2) by ring; nra.",
    ),
    _regime(
        "newton",
        "With a step product of 1 no error is left.",
        (equals(u, 1),),
        equals(_next, 0),
        "intros; subst; ring.",
    ),
    _regime(
        "across",
        "With a step product strictly between 1 and 2 the error shrinks and changes its sign.",
        (u > 1, u < 2),
        All(formulas=(_next * error < 0, _next**2 < error**2)),
        f"{_SQUARE}.\n  assert (0 < (u - 1) * e ^ 2) by (apply Rmult_lt_0_compat; lra).\n"
        "  assert (0 < u * (2 - u) * e ^ 2) by (apply Rmult_lt_0_compat; [apply Rmult_lt_0_compat|]; lra).\n"
        "  split; [lra|]; replace (((1 - u) * e) ^ 2) with ((1 - u) ^ 2 * e ^ 2) by ring; lra.",
    ),
    _regime(
        "mirror",
        "With a step product of 2 the error changes its sign and nothing else.",
        (equals(u, 2),),
        equals(_next, -error),
        "intros; subst; ring.",
    ),
    _regime(
        "apart",
        "With a step product above 2 the error changes its sign and grows.",
        (u > 2,),
        All(formulas=(_next * error < 0, _next**2 > error**2)),
        f"{_SQUARE}.\n  assert (0 < (u - 1) * e ^ 2) by (apply Rmult_lt_0_compat; lra).\n"
        "  assert (0 < u * (u - 2) * e ^ 2) by (apply Rmult_lt_0_compat; [apply Rmult_lt_0_compat|]; lra).\n"
        "  split; [lra|]; replace (((1 - u) * e) ^ 2) with ((1 - u) ^ 2 * e ^ 2) by ring; lra.",
    ),
)

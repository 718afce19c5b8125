"""What one step size can do for any number of channels and outputs."""

from mesascope.theory.expressions import Every, Expression, Sum, equals
from mesascope.theory.quantities import (
    a_1,
    a_2,
    bound,
    curvatures,
    d,
    eta,
    i,
    j,
    k,
    kappa,
    m,
    products,
    solution,
    weights,
    weights_after,
)
from mesascope.theory.statement import SOURCE, Statement


def _channels(term: Expression) -> Sum:
    return Sum(index=k, length=d, term=term)


def _outputs(term: Expression) -> Sum:
    return Sum(index=j, length=m, term=term)


STATEMENTS = (
    Statement(
        key="minimax_reached",
        name="the balanced step bounds every channel",
        words="At step size 2/(a₁ + a₂) every channel with curvature from a₁ to a₂ contracts by at least ((a₂ − a₁)/(a₂ + a₁))².",
        hypotheses=(
            equals(eta * (a_1 + a_2), 2),
            Every(index=k, length=d, formula=curvatures[k] >= a_1),
            Every(index=k, length=d, formula=curvatures[k] <= a_2),
        ),
        conclusion=Every(index=k, length=d, formula=(1 - eta * curvatures[k]) ** 2 <= ((a_2 - a_1) / (a_2 + a_1)) ** 2),
        source=f"{SOURCE}, after Theorem D2, for two channels; for every number, this project",
        used="the step size of gradient descent that knows the spectrum, algorithms/first_order.py",
        rocq="intros eta a_1 a_2 d a H L U k Hk; specialize (L k Hk); specialize (U k Hk).\n"
        "  assert (N : a_2 + a_1 <> 0) by (intro Z; replace (a_1 + a_2) with (a_2 + a_1) in H by ring; rewrite Z in H; lra).\n"
        "  replace eta with (2 / (a_2 + a_1)) by (rewrite <- H; field; exact N).\n"
        "  assert (P : 0 < (a_2 + a_1) ^ 2) by (rewrite <- Rsqr_pow2; apply Rsqr_pos_lt; exact N).\n"
        "  apply Rmult_le_reg_r with (1 := P).\n"
        "  replace ((1 - 2 / (a_2 + a_1) * a k) ^ 2 * (a_2 + a_1) ^ 2) with ((a_2 + a_1 - 2 * a k) ^ 2) by (field; exact N).\n"
        "  replace (((a_2 - a_1) / (a_2 + a_1)) ^ 2 * (a_2 + a_1) ^ 2) with ((a_2 - a_1) ^ 2) by (field; exact N).\n"
        "  assert (0 <= (a k - a_1) * (a_2 - a k)) by (apply Rmult_le_pos; lra); nra.",
    ),
    Statement(
        key="minimax",
        name="no step size bounds all channels better",
        words="If one step size leaves at most h of each channel's squared error, h ≥ ((aᵢ − aⱼ)/(aᵢ + aⱼ))² for any two.",
        hypotheses=(
            Every(index=k, length=d, formula=curvatures[k] > 0),
            Every(index=k, length=d, formula=(1 - eta * curvatures[k]) ** 2 <= bound),
        ),
        conclusion=Every(
            index=i,
            length=d,
            formula=Every(
                index=j,
                length=d,
                formula=((curvatures[i] - curvatures[j]) / (curvatures[i] + curvatures[j])) ** 2 <= bound,
            ),
        ),
        source="this project; the largest and the smallest curvature give ((κ − 1)/(κ + 1))²",
        used="minimax_reached: the balanced step is the best one",
        rocq="intros d a eta h P R i Hi j Hj; pose proof (P i Hi) as A; pose proof (P j Hj) as B.\n"
        "  pose proof (R i Hi) as Q; pose proof (R j Hj) as S.\n"
        "  apply Rmult_le_reg_r with ((a i + a j) ^ 2); [apply pow_lt; lra|].\n"
        "  replace (((a i - a j) / (a i + a j)) ^ 2 * (a i + a j) ^ 2)\n"
        "    with ((a i * (1 - eta * a j) - a j * (1 - eta * a i)) ^ 2) by (field; lra).\n"
        "  set (x := 1 - eta * a i) in *; set (y := 1 - eta * a j) in *.\n"
        "  assert (0 <= a i ^ 2 * (h - y ^ 2)) by (apply Rmult_le_pos; [apply pow2_ge_0 | lra]).\n"
        "  assert (0 <= a j ^ 2 * (h - x ^ 2)) by (apply Rmult_le_pos; [apply pow2_ge_0 | lra]).\n"
        "  assert (0 <= a i * a j * (h + x * y)) by (apply Rmult_le_pos; [apply Rmult_le_pos; lra|];\n"
        "    pose proof (pow2_ge_0 (x + y)); nra).\n"
        "  nra.",
    ),
    Statement(
        key="no_single_gain",
        name="no shared gain is Newton's in every channel",
        words="Unless all curvatures are equal, every shared gain leaves an error in some channel, for every number of channels.",
        hypotheses=(
            Sum(index=i, length=d, term=Sum(index=j, length=d, term=(curvatures[i] - curvatures[j]) ** 2)) > 0,
        ),
        conclusion=_channels((1 - kappa * curvatures[k]) ** 2) > 0,
        source=f"{SOURCE}, Theorem M3, for two channels; for every number, this project",
        used="why one linear-attention head is not Newton's method",
        rocq="intros d a kappa H; apply Rnot_le_lt; intro Z.\n"
        "  assert (E : forall k, (k < d)%nat -> kappa * a k = 1)\n"
        "    by (intros k Hk; pose proof (total_square_zero (fun k => 1 - kappa * a k) d k Z Hk) as Y; cbv beta in Y; lra).\n"
        "  enough (total (fun i => total (fun j => (a i - a j) ^ 2) d) d = 0) by lra.\n"
        "  rewrite <- (total_zero d) at 1; apply total_ext; intros i Hi.\n"
        "  rewrite <- (total_zero d); apply total_ext; intros j Hj.\n"
        "  pose proof (E i Hi) as A; pose proof (E j Hj) as B.\n"
        "  assert (K : kappa <> 0) by (intro Y; rewrite Y in A; lra).\n"
        "  assert (a i = a j) as -> by (apply Rmult_eq_reg_l with kappa; [lra | exact K]); ring.",
    ),
    Statement(
        key="outputs_decouple",
        name="outputs and channels decouple",
        words="With any number of outputs, each output contracts in each channel by the channel's factor, and errors add up.",
        hypotheses=(
            Every(
                index=j,
                length=m,
                formula=Every(index=k, length=d, formula=equals(products[j, k], curvatures[k] * solution[j, k])),
            ),
            Every(
                index=j,
                length=m,
                formula=Every(
                    index=k,
                    length=d,
                    formula=equals(
                        weights_after[j, k], weights[j, k] - eta * (curvatures[k] * weights[j, k] - products[j, k])
                    ),
                ),
            ),
        ),
        conclusion=equals(
            _outputs(_channels((weights_after[j, k] - solution[j, k]) ** 2)),
            _channels((1 - eta * curvatures[k]) ** 2 * _outputs((weights[j, k] - solution[j, k]) ** 2)),
        ),
        source="this project; error_recursion in every entry of the weight matrix",
        used="regression with several outputs: the spectral response is the same for each",
        rocq="intros m d B a S V W eta HB HV; rewrite total_swap; apply total_ext; intros k Hk.\n"
        "  rewrite <- total_scale; apply total_ext; intros j Hj; rewrite HV, HB by assumption; ring.",
    ),
)

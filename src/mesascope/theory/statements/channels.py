"""D, M and MN: in the eigenbasis of the curvature a regression is one problem per channel."""

from mesascope.theory.expressions import Every, Sum, equals
from mesascope.theory.quantities import (
    a_1,
    a_2,
    d,
    energies,
    eta,
    g_1,
    g_2,
    gains,
    gradients,
    k,
    kappa,
    kappa_1,
    kappa_2,
    loss_1,
    loss_2,
    next_1,
    next_2,
    u,
    u_1,
    u_2,
    updates,
    v,
)
from mesascope.theory.statement import SOURCE, Statement

STATEMENTS = (
    Statement(
        key="D1",
        name="the total loss descends",
        words="If the loss of neither channel rises, their sum does not.",
        hypotheses=(next_1 <= loss_1, next_2 <= loss_2),
        conclusion=next_1 + next_2 <= loss_1 + loss_2,
        source=f"{SOURCE}, Theorem D1",
        used="MN2, for every number of channels",
    ),
    Statement(
        key="D2",
        name="the optimal step balances two channels",
        words="If the two step products sum to 2, both channels contract alike.",
        hypotheses=(equals(u + v, 2),),
        conclusion=equals((1 - u) ** 2, (1 - v) ** 2),
        source=f"{SOURCE}, Theorem D2",
        used="D2_rate",
        departs="The source states ≤ and adds the other direction by symmetry.",
        rocq="intros; replace u with (2 - v) by lra; ring.",
    ),
    Statement(
        key="D2_rate",
        name="the rate at the balanced step",
        words="At step size 2/(a₁ + a₂) each channel contracts by ((a₂ − a₁)/(a₂ + a₁))², that is ((κ − 1)/(κ + 1))².",
        hypotheses=(equals(eta * (a_1 + a_2), 2),),
        conclusion=equals((1 - eta * a_1) ** 2, ((a_2 - a_1) / (a_2 + a_1)) ** 2),
        source=f"{SOURCE}, after Theorem D2, in words",
        used="the step size of gradient descent that knows the spectrum, algorithms/first_order.py",
        rocq="intros; assert (N : a_2 + a_1 <> 0)\n"
        "    by (intro Z; assert (Y : a_1 + a_2 = 0) by lra; rewrite Y in H; lra).\n"
        "  f_equal; apply Rmult_eq_reg_r with (a_2 + a_1); [|exact N].\n"
        "  unfold Rdiv; rewrite Rmult_assoc, Rinv_l by exact N.\n"
        "  replace ((1 - eta * a_1) * (a_2 + a_1)) with (a_2 + a_1 - a_1 * (eta * (a_1 + a_2))) by ring.\n"
        "  rewrite H; ring.",
    ),
    Statement(
        key="D3",
        name="the condition-number rate is at most one",
        words="For curvatures that are not negative, (a₂ − a₁)² ≤ (a₂ + a₁)².",
        hypotheses=(a_1 >= 0, a_2 >= 0),
        conclusion=(a_2 - a_1) ** 2 <= (a_2 + a_1) ** 2,
        source=f"{SOURCE}, Theorem D3",
        used="D2_rate",
    ),
    Statement(
        key="M1",
        name="update energy has no cross terms",
        words="When each of two channels takes its own step, the squared length of the update is the sum over channels.",
        hypotheses=(equals(u_1, -(kappa_1 * g_1)), equals(u_2, -(kappa_2 * g_2))),
        conclusion=equals(u_1**2 + u_2**2, kappa_1**2 * g_1**2 + kappa_2**2 * g_2**2),
        source=f"{SOURCE}, Theorem M1",
        used="MN3, for every number of channels",
    ),
    Statement(
        key="M2",
        name="contraction in each channel is contraction of the whole",
        words="If the gradient energy of neither channel grows, the total does not.",
        hypotheses=(u_1**2 <= g_1**2, u_2**2 <= g_2**2),
        conclusion=u_1**2 + u_2**2 <= g_1**2 + g_2**2,
        source=f"{SOURCE}, Theorem M2",
        used="MN2, for every number of channels",
    ),
    Statement(
        key="M3",
        name="a gain that is Newton's in one channel is not in another",
        words="If the gain solves the first channel in one step and the second has more curvature, the second keeps an error.",
        hypotheses=(a_1 < a_2, equals(kappa * a_1, 1)),
        conclusion=(1 - kappa * a_2) ** 2 > 0,
        source=f"{SOURCE}, Theorem M3",
        used="why one linear-attention head is not Newton's method",
        rocq="intros; assert (1 - kappa * a_2 <> 0).\n"
        "  { intro Z; assert (kappa * (a_2 - a_1) = 0) as P by lra.\n"
        "    apply Rmult_integral in P; destruct P as [P|P]; [rewrite P in H0|]; lra. }\n"
        "  rewrite <- Rsqr_pow2; apply Rsqr_pos_lt; assumption.",
    ),
    Statement(
        key="M3_both",
        name="no shared gain is Newton's in two channels",
        words="If two curvatures differ, every shared gain leaves an error in at least one of the two channels.",
        hypotheses=(a_1 < a_2,),
        conclusion=(1 - kappa * a_1) ** 2 + (1 - kappa * a_2) ** 2 > 0,
        source=f"{SOURCE}, Theorem M3, its consequence in words",
        used="as M3",
        rocq="intros; destruct (Req_dec (1 - kappa * a_1) 0) as [Z|Z].\n"
        "  - assert (1 - kappa * a_2 <> 0).\n"
        "    { intro Y; assert (kappa * (a_2 - a_1) = 0) as P by lra.\n"
        "      apply Rmult_integral in P; destruct P as [P|P]; [rewrite P in Z|]; lra. }\n"
        "    pose proof (pow2_ge_0 (1 - kappa * a_1)); assert (0 < (1 - kappa * a_2) ^ 2)\n"
        "      by (rewrite <- Rsqr_pow2; apply Rsqr_pos_lt; assumption); lra.\n"
        "  - pose proof (pow2_ge_0 (1 - kappa * a_2)); assert (0 < (1 - kappa * a_1) ^ 2)\n"
        "      by (rewrite <- Rsqr_pow2; apply Rsqr_pos_lt; assumption); lra.",
    ),
    Statement(
        key="MN1",
        name="total gradient energy is not negative",
        words="If no channel's gradient energy is negative, their sum is not, for every number of channels.",
        hypotheses=(Every(index=k, length=d, formula=energies[k] >= 0),),
        conclusion=Sum(index=k, length=d, term=energies[k]) >= 0,
        source=f"{SOURCE}, Theorem MN1",
        used="MN2",
        rocq="intros; rewrite <- (total_zero d); apply total_le; assumption.",
    ),
    Statement(
        key="MN2",
        name="contraction in every channel is contraction of the whole",
        words="If no channel's gradient energy grows, the total does not, for every number of channels.",
        hypotheses=(Every(index=k, length=d, formula=updates[k] ** 2 <= gradients[k] ** 2),),
        conclusion=Sum(index=k, length=d, term=updates[k] ** 2) <= Sum(index=k, length=d, term=gradients[k] ** 2),
        source=f"{SOURCE}, Theorem MN2",
        used="descent of the constructions in d dimensions",
        rocq="intros; apply total_le; assumption.",
    ),
    Statement(
        key="MN3",
        name="update energy is the sum over channels",
        words="When every channel takes its own step, the squared length of the update is Σ κ²g², for every number of channels.",
        hypotheses=(Every(index=k, length=d, formula=equals(updates[k], -(gains[k] * gradients[k]))),),
        conclusion=equals(
            Sum(index=k, length=d, term=updates[k] ** 2),
            Sum(index=k, length=d, term=gains[k] ** 2 * gradients[k] ** 2),
        ),
        source=f"{SOURCE}, Theorem MN3",
        used="per-channel step sizes, instruments/spectral/spectrum.py",
        rocq="intros; apply total_ext; intros i Hi; rewrite H by exact Hi; ring.",
    ),
)

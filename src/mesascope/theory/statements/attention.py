"""What is particular to attention: causal masks, rounding, sinks."""

from mesascope.theory.expressions import All, Every, Expression, Sequence, Sum, absolute, equals
from mesascope.theory.quantities import (
    d,
    direction,
    dual,
    eta,
    examples,
    i,
    in_product,
    in_sum,
    in_value,
    inputs,
    j,
    k,
    m,
    n,
    partial,
    path,
    query,
    sink,
    targets,
    tolerance,
    u,
    u_of,
    v_of,
    w_star,
)
from mesascope.theory.statement import Statement


def _prefix(term: Expression) -> Sum:
    return Sum(index=i, length=m, term=term)


def _masked(left: Sequence, right: Sequence) -> Expression:
    """The causal kernel's form for two tokens: Σ over j ≤ i of leftᵢ·xᵢ·xⱼ·rightⱼ."""
    return left[0] * inputs[0] * (inputs[0] * right[0]) + left[1] * inputs[1] * (
        inputs[0] * right[0] + inputs[1] * right[1]
    )


_exact = query * inputs[k] * v_of[k]
applied = _prefix(examples[i, j] * Sum(index=k, length=d, term=examples[i, k] * direction[k]))
"""One channel of the result of attention to a prefix with a token's own vector as the query."""

STATEMENTS = (
    Statement(
        key="causal_kernel",
        name="a causal mask makes the kernel asymmetric",
        words="The masked kernel of two tokens is not symmetric: exchanging its arguments changes it by x₀x₁(u₁v₀ − u₀v₁).",
        conclusion=equals(
            _masked(u_of, v_of) - _masked(v_of, u_of),
            inputs[0] * inputs[1] * (u_of[1] * v_of[0] - u_of[0] * v_of[1]),
        ),
        source="this project",
        used="why dual constructions need a prefix mask: conjugate gradient needs a symmetric matrix",
        departs="For example, with x₀ = x₁ = 1, u = (0, 1) and v = (1, 0) it is 1, and 0 with its arguments exchanged.",
    ),
    Statement(
        key="causal_interpolates",
        name="fixed points of causal gradient descent in dual form interpolate",
        words="At a fixed point of causal gradient descent in dual form, the last example is fitted exactly, whatever the rest.",
        hypotheses=(
            Every(
                index=i,
                length=n + 1,
                formula=equals(targets[i], Sum(index=j, length=i + 1, term=inputs[i] * (inputs[j] * dual[j]))),
            ),
        ),
        conclusion=equals(inputs[n] * Sum(index=j, length=n + 1, term=inputs[j] * dual[j]), targets[n]),
        source="this project",
        used="as causal_kernel",
        departs="Least squares on the prefix depends on all examples: in one dimension its weight is Σxy/Σx².",
        rocq="intros n y x alpha H; rewrite (H n ltac:(lia)), <- total_scale; apply total_ext; intros; ring.",
    ),
    Statement(
        key="causal_primal",
        name="in primal form a prefix applies its own curvature",
        words="A token that attends to the m tokens before it, its own vector as query, gets their curvature times the vector.",
        conclusion=Every(
            index=j,
            length=d,
            formula=equals(
                applied,
                Sum(index=k, length=d, term=_prefix(examples[i, j] * examples[i, k]) * direction[k]),
            ),
        ),
        source="this project",
        used="models/constructions: primal forms are exact on every prefix",
        rocq="intros d m x p j Hj; transitivity (total (fun i => total (fun k => x i j * x i k * p k) d) m).\n"
        "  - apply total_ext; intros; rewrite <- total_scale; apply total_ext; intros; ring.\n"
        "  - rewrite total_swap; apply total_ext; intros; rewrite Rmult_comm, <- total_scale; apply total_ext; intros; ring.",
    ),
    Statement(
        key="causal_steps",
        name="gradient descent under a causal mask is exact on every prefix",
        words="A token that descends in primal form on its prefix contracts by the prefix's own factor, at every depth.",
        hypotheses=(
            equals(w_star * _prefix(inputs[i] ** 2), _prefix(inputs[i] * targets[i])),
            Every(
                index=k,
                length=n,
                formula=equals(path[k + 1], path[k] + eta * _prefix(inputs[i] * (targets[i] - inputs[i] * path[k]))),
            ),
        ),
        conclusion=equals(path[n] - w_star, (1 - eta * _prefix(inputs[i] ** 2)) ** n * (path[0] - w_star)),
        source="this project; n_steps on a prefix",
        used="models/constructions: gradient descent under a causal mask",
        rocq="intros w_star m x y n w eta S H; set (a := total (fun i => x i ^ 2) m) in *.\n"
        "  apply (descent (a * w_star) a w_star eta w n eq_refl); intros k Hk; rewrite (H k Hk).\n"
        "  rewrite (total_ext _ (fun i => x i * y i + (- w k) * x i ^ 2)) by (intros; ring).\n"
        "  rewrite total_plus, total_scale, <- S; fold a; ring.",
        cases=tuple({"m": prefix, "n": steps} for prefix in (1, 2) for steps in (0, 1, 2)),
    ),
    Statement(
        key="rounding",
        name="rounding in one attention step",
        words="A head's sum over n examples errs by at most (1 + ε)ⁿ⁺² − 1 times its terms' sizes; to first order, (n + 2)ε.",
        hypotheses=(
            Every(
                index=k,
                length=n,
                formula=All(
                    formulas=(
                        absolute(in_product[k]) <= tolerance,
                        absolute(in_value[k]) <= tolerance,
                        absolute(in_sum[k]) <= tolerance,
                    )
                ),
            ),
            equals(partial[0], 0),
            Every(
                index=k,
                length=n,
                formula=equals(
                    partial[k + 1],
                    (partial[k] + _exact * (1 + in_product[k]) * (1 + in_value[k])) * (1 + in_sum[k]),
                ),
            ),
        ),
        conclusion=absolute(partial[n] - Sum(index=k, length=n, term=_exact))
        <= ((1 + tolerance) ** (n + 2) - 1) * Sum(index=k, length=n, term=absolute(_exact)),
        source="Higham, Accuracy and Stability of Numerical Algorithms (2002), section 3.1",
        used="tolerances of the constructions' tests",
        departs="Each example takes two products and an addition, each rounded with a relative error of at most ε.",
        rocq="intros n theta eps phi psi s q x v A B C S0 S; apply (rounded n (fun k => q * x k * v k) s eps theta phi psi);\n"
        "    assumption.",
        cases=tuple({"n": examples} for examples in (0, 1)),
    ),
    Statement(
        key="sink_optimal",
        name="a sink mends a step that overshoots",
        words="If the step product is u ≥ 1, a sink that takes the share 1 − 1/u of the attention makes it 1, Newton's step.",
        hypotheses=(u >= 1, equals(sink * u, u - 1)),
        conclusion=All(formulas=(equals((1 - sink) * u, 1), sink >= 0, sink < 1)),
        source="this project, after the satellite papers of the same author",
        used="nothing yet",
        rocq="intros; split; [lra|]; split; [|]; apply Rmult_le_reg_r with u || apply Rmult_lt_reg_r with u; lra.",
    ),
    Statement(
        key="sink_hurts",
        name="a sink harms a step that falls short",
        words="If the step product is from 0 to 1, attention that goes to a sink slows the contraction down.",
        hypotheses=(u >= 0, u <= 1, sink >= 0),
        conclusion=(1 - (1 - sink) * u) ** 2 >= (1 - u) ** 2,
        source="this project, after the satellite papers of the same author",
        used="nothing yet",
        rocq="intros; assert (0 <= s * u) by (apply Rmult_le_pos; assumption); apply pow_incr; lra.",
    ),
)

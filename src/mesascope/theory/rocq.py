"""Statements as Rocq (Coq) text over the standard library's real numbers; no other library is needed."""

from collections.abc import Sequence as Sequenced

from mesascope.theory.expressions import (
    Binary,
    Compare,
    Entry,
    Every,
    Expression,
    Formula,
    Natural,
    Number,
    Power,
    Real,
    Sequence,
    Sum,
    Variable,
)
from mesascope.theory.statement import Statement

PRELUDE = """\
(* Made by `mesascope theory export --to rocq`; compile with `coqc`. *)
Require Import Reals Lra Lia Psatz.
Open Scope R_scope.

(* f 0 + ... + f (d - 1) *)
Fixpoint total (f : nat -> R) (d : nat) : R :=
  match d with O => 0 | S n => total f n + f n end.

Lemma total_le : forall f g d, (forall k, (k < d)%nat -> f k <= g k) -> total f d <= total g d.
Proof.
  induction d as [|n IH]; simpl; intros H; [lra|].
  apply Rplus_le_compat; [apply IH; intros k Hk; apply H; lia | apply H; lia].
Qed.

Lemma total_ext : forall f g d, (forall k, (k < d)%nat -> f k = g k) -> total f d = total g d.
Proof.
  intros f g d H; apply Rle_antisym; apply total_le; intros k Hk; rewrite (H k Hk); apply Rle_refl.
Qed.

Lemma total_zero : forall d, total (fun _ => 0) d = 0.
Proof. induction d as [|n IH]; simpl; [|rewrite IH]; ring. Qed.

Lemma total_scale : forall c f d, total (fun k => c * f k) d = c * total f d.
Proof. induction d as [|n IH]; simpl; [|rewrite IH]; ring. Qed.

(* a square times something that is not negative *)
Lemma scaled_square : forall f x, 0 <= f -> 0 <= f * x ^ 2.
Proof. intros f x H; apply Rmult_le_pos; [exact H | apply pow2_ge_0]. Qed.

Ltac close := intros; subst; first [ lra | ring | apply pow2_ge_0 | nra | field; lra ].
"""


def module(statements: Sequenced[Statement], *, axioms_of_each: bool = True) -> str:
    """A file that ``coqc`` compiles.

    Args:
        statements: what is proved.
        axioms_of_each: print what every single proof assumes, at almost a second each; False prints it once, for all together.
    """
    keys = [statement.key for statement in statements]
    together = f"Definition everything := ({', '.join(keys)}).\n" if keys else ""
    printed = keys if axioms_of_each else ["everything"] * bool(keys)
    return "\n".join(
        [PRELUDE, *map(theorem, statements), together, *(f"Print Assumptions {name}." for name in printed), ""]
    )


def theorem(statement: Statement) -> str:
    """One theorem with its proof."""
    variables = "".join(f" ({v.name} : {_type(v)})" for v in statement.variables)
    claim = " ->\n  ".join(map(_text, (*statement.hypotheses, statement.conclusion)))
    proof = statement.rocq or "close."
    return (
        f"(* {statement.name} *)\nTheorem {statement.key} : forall{variables},\n  {claim}.\nProof.\n  {proof}\nQed.\n"
    )


def _type(variable: Variable) -> str:
    match variable:
        case Natural():
            return "nat"
        case Sequence():
            return "nat -> R"
        case Real():
            return "R"


def _text(tree: Formula | Expression) -> str:
    match tree:
        case Every():
            index = tree.index.name
            return f"(forall {index} : nat, ({index} < {_natural(tree.length)})%nat -> {_text(tree.formula)})"
        case Compare() | Binary():
            return f"({_text(tree.left)} {tree.symbol} {_text(tree.right)})"
        case Number():
            return str(tree.value)
        case Real():
            return tree.name
        case Entry():
            scope = "%nat" if isinstance(tree.index, int) else ""
            return f"({tree.sequence.name} {_natural(tree.index)}{scope})"
        case Power():
            return f"({_text(tree.base)} ^ {_natural(tree.exponent)})"
        case Sum():
            return f"(total (fun {tree.index.name} => {_text(tree.term)}) {_natural(tree.length)})"
    raise AssertionError(tree)


def _natural(value: Natural | int) -> str:
    if isinstance(value, int):
        return str(value)
    return f"({value.name} + {value.shift})%nat" if value.shift else value.name

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

Lemma total_plus : forall f g d, total (fun k => f k + g k) d = total f d + total g d.
Proof. induction d as [|n IH]; simpl; [|rewrite IH]; ring. Qed.

Lemma total_nonneg : forall f d, (forall k, (k < d)%nat -> 0 <= f k) -> 0 <= total f d.
Proof. intros f d H; rewrite <- (total_zero d); apply total_le; exact H. Qed.

Lemma total_term : forall f d k, (forall i, (i < d)%nat -> 0 <= f i) -> (k < d)%nat -> f k <= total f d.
Proof.
  induction d as [|n IH]; simpl; intros k H Hk; [lia|].
  assert (0 <= total f n) by (apply total_nonneg; intros i Hi; apply H; lia).
  destruct (Nat.eq_dec k n) as [->|N]; [lra|].
  pose proof (IH k ltac:(intros i Hi; apply H; lia) ltac:(lia)); pose proof (H n ltac:(lia)); lra.
Qed.

Lemma total_square_zero : forall f d k, total (fun i => f i ^ 2) d <= 0 -> (k < d)%nat -> f k = 0.
Proof.
  intros f d k H Hk.
  pose proof (total_term (fun i => f i ^ 2) d k (fun i _ => pow2_ge_0 (f i)) Hk) as T; cbv beta in T.
  pose proof (pow2_ge_0 (f k)); apply Rsqr_0_uniq; unfold Rsqr; lra.
Qed.

Lemma total_swap : forall (f : nat -> nat -> R) m d,
  total (fun i => total (f i) d) m = total (fun j => total (fun i => f i j) m) d.
Proof.
  induction m as [|n IH]; intros d; simpl; [rewrite total_zero; reflexivity|].
  rewrite IH, <- total_plus; reflexivity.
Qed.

Ltac close := intros; subst; first [ lra | ring | apply pow2_ge_0 | nra | field; lra ].

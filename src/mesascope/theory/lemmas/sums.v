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

(* gradient descent, and a bound on decreasing powers *)
Lemma descent : forall b a w_star eta (w : nat -> R) n, b = a * w_star ->
  (forall k, (k < n)%nat -> w (k + 1)%nat = w k - eta * (a * w k - b)) -> w n - w_star = (1 - eta * a) ^ n * (w 0%nat - w_star).
Proof.
  intros b a w_star eta w n Hb; induction n as [|n IH]; intros H; simpl; [ring|].
  pose proof (H n ltac:(lia)) as Hn; replace (n + 1)%nat with (S n) in Hn by lia; rewrite Hn.
  replace (w n - eta * (a * w n - b) - w_star) with ((1 - eta * a) * (w n - w_star)) by (subst b; ring).
  rewrite IH; [ring | intros k Hk; apply H; lia].
Qed.

Lemma bernoulli : forall q, 0 <= q -> forall n, INR n * (1 - q) * q ^ n <= 1 - q ^ n /\ 0 <= q ^ n.
Proof.
  intros q Q; induction n as [|n [IH P]]; [simpl; lra|]; rewrite S_INR; simpl; split; [|apply Rmult_le_pos; assumption].
  assert (0 <= INR n) by apply pos_INR; assert (0 <= (INR n + 1) * (1 - q) ^ 2 * q ^ n)
    by (apply Rmult_le_pos; [apply Rmult_le_pos; [lra | apply pow2_ge_0] | exact P]).
  replace ((INR n + 1) * (1 - q) * (q * q ^ n))
    with (INR n * (1 - q) * q ^ n + (1 - q) * q ^ n - (INR n + 1) * (1 - q) ^ 2 * q ^ n) by ring; lra.
Qed.

(* averages with weights exp s k *)
Lemma exp_total : forall s n, 0 < total (fun k => exp (s k)) (n + 1).
Proof.
  induction n as [|n IH]; simpl; [pose proof (exp_pos (s 0%nat)); lra | pose proof (exp_pos (s (n + 1)%nat)); lra].
Qed.

Lemma softmax_below : forall s y h n, (forall k, (k < n + 1)%nat -> y k <= h) ->
  total (fun k => exp (s k) * y k) (n + 1) / total (fun k => exp (s k)) (n + 1) <= h.
Proof.
  intros s y h n H; pose proof (exp_total s n) as P; apply Rmult_le_reg_r with (1 := P).
  unfold Rdiv; rewrite Rmult_assoc, Rinv_l, Rmult_1_r, <- total_scale by lra.
  apply total_le; intros k Hk; rewrite (Rmult_comm h); apply Rmult_le_compat_l; [left; apply exp_pos | apply H, Hk].
Qed.

Lemma softmax_above : forall s y h n, (forall k, (k < n + 1)%nat -> h <= y k) ->
  h <= total (fun k => exp (s k) * y k) (n + 1) / total (fun k => exp (s k)) (n + 1).
Proof.
  intros s y h n H; pose proof (exp_total s n) as P; apply Rmult_le_reg_r with (1 := P).
  unfold Rdiv; rewrite Rmult_assoc, Rinv_l, Rmult_1_r, <- total_scale by lra.
  apply total_le; intros k Hk; rewrite (Rmult_comm h); apply Rmult_le_compat_l; [left; apply exp_pos | apply H, Hk].
Qed.

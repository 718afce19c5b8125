(* sums of squares, and vectors in few dimensions *)
Lemma total_S : forall f n, total f (S n) = total f n + f n.
Proof. reflexivity. Qed.

Lemma cauchy_one : forall f d, total f d ^ 2 <= INR d * total (fun i => f i ^ 2) d.
Proof.
  induction d as [|n IH]; [simpl; lra|]; rewrite S_INR, !total_S.
  set (s := total f n) in *; set (q := total (fun i => f i ^ 2) n) in *; set (x := f n).
  assert (H : 2 * s * x <= q + INR n * x ^ 2).
  { destruct (Req_dec (INR n) 0) as [Z|N].
    - rewrite Z in *; assert (s = 0) by (apply Rsqr_0_uniq; unfold Rsqr; pose proof (pow2_ge_0 s); lra).
      assert (0 <= q) by (apply total_nonneg; intros; apply pow2_ge_0); replace (2 * s * x) with 0 by (rewrite H; ring); lra.
    - assert (P : 0 < INR n) by (pose proof (pos_INR n); lra); apply Rmult_le_reg_l with (1 := P).
      pose proof (pow2_ge_0 (s - INR n * x)); nra. }
  replace ((s + x) ^ 2) with (s ^ 2 + 2 * s * x + x ^ 2) by ring.
  replace ((INR n + 1) * (q + x ^ 2)) with (INR n * q + INR n * x ^ 2 + q + x ^ 2) by ring; lra.
Qed.

Lemma total_square : forall f d, total f d ^ 2 = total (fun i => total (fun j => f i * f j) d) d.
Proof.
  intros f d; transitivity (total (fun i => total f d * f i) d); [rewrite total_scale; ring|].
  apply total_ext; intros i Hi; rewrite (Rmult_comm (total f d)), <- total_scale; reflexivity.
Qed.

(* the frame operator and the Gram matrix have the same squares *)
Lemma frame_gram : forall (u : nat -> nat -> R) m d,
  total (fun k => total (fun l => total (fun i => u i k * u i l) m ^ 2) d) d
  = total (fun i => total (fun j => total (fun k => u i k * u j k) d ^ 2) m) m.
Proof.
  intros u m d.
  rewrite (total_ext _ (fun k => total (fun i => total (fun j => total (fun l => u i k * u i l * (u j k * u j l)) d) m) m)).
  - rewrite total_swap; apply total_ext; intros i Hi; rewrite total_swap; apply total_ext; intros j Hj.
    rewrite total_square; apply total_ext; intros k Hk; apply total_ext; intros; ring.
  - intros k Hk; rewrite (total_ext _ (fun l => total (fun i => total (fun j => u i k * u i l * (u j k * u j l)) m) m))
      by (intros; apply (total_square (fun i => u i k * u i _))).
    rewrite total_swap; apply total_ext; intros i Hi; apply total_swap.
Qed.

Lemma welch : forall (u : nat -> nat -> R) m d, total (fun i => total (fun k => u i k ^ 2) d) m ^ 2
  <= INR d * total (fun i => total (fun j => total (fun k => u i k * u j k) d ^ 2) m) m.
Proof.
  intros u m d; rewrite <- frame_gram; set (F := fun k l => total (fun i => u i k * u i l) m).
  replace (total (fun i => total (fun k => u i k ^ 2) d) m) with (total (fun k => F k k) d).
  - apply Rle_trans with (1 := cauchy_one (fun k => F k k) d); apply Rmult_le_compat_l; [apply pos_INR|].
    apply total_le; intros k Hk; apply (total_term (fun l => F k l ^ 2)); [intros; apply pow2_ge_0 | exact Hk].
  - unfold F; rewrite total_swap; apply total_ext; intros i Hi; apply total_ext; intros; ring.
Qed.

Lemma total_none : forall n i c, (n <= i)%nat -> total (fun j => if Nat.eqb i j then c else 0) n = 0.
Proof.
  induction n as [|n IH]; intros i c H; simpl; [reflexivity|].
  rewrite IH by lia; replace (Nat.eqb i n) with false by (symmetry; apply Nat.eqb_neq; lia); ring.
Qed.

Lemma total_only : forall n i c, (i < n)%nat -> total (fun j => if Nat.eqb i j then c else 0) n = c.
Proof.
  induction n as [|n IH]; intros i c H; [lia|]; simpl; destruct (Nat.eq_dec i n) as [->|N].
  - rewrite total_none, Nat.eqb_refl by lia; ring.
  - rewrite IH by lia; replace (Nat.eqb i n) with false by (symmetry; apply Nat.eqb_neq; exact N); ring.
Qed.

(* If no two vectors have a squared cosine above h, the sum of all squared inner products is at most this. *)
Lemma coherent : forall (u : nat -> nat -> R) m d h, let square := fun i => total (fun k => u i k ^ 2) d in
  (forall i, (i < m)%nat -> forall j, (j < i)%nat -> total (fun k => u i k * u j k) d ^ 2 <= h * (square i * square j)) ->
  total (fun i => total (fun j => total (fun k => u i k * u j k) d ^ 2) m) m
  <= h * total square m ^ 2 + (1 - h) * total (fun i => square i ^ 2) m.
Proof.
  intros u m d h square H.
  apply Rle_trans with
    (total (fun i => total (fun j => h * square i * square j + (if Nat.eqb i j then (1 - h) * square i ^ 2 else 0)) m) m).
  - apply total_le; intros i Hi; apply total_le; intros j Hj; destruct (Nat.lt_trichotomy i j) as [L|[<-|L]].
    + replace (Nat.eqb i j) with false by (symmetry; apply Nat.eqb_neq; lia).
      replace (total (fun k => u i k * u j k) d) with (total (fun k => u j k * u i k) d) by (apply total_ext; intros; ring).
      pose proof (H j Hj i L); lra.
    + rewrite Nat.eqb_refl.
      replace (total (fun k => u i k * u i k) d) with (square i) by (apply total_ext; intros; ring); lra.
    + replace (Nat.eqb i j) with false by (symmetry; apply Nat.eqb_neq; lia); pose proof (H i Hi j L); lra.
  - right; transitivity (total (fun i => (h * total square m) * square i + (1 - h) * square i ^ 2) m).
    + apply total_ext; intros i Hi; rewrite total_plus, total_only by exact Hi; rewrite total_scale; ring.
    + rewrite total_plus, !total_scale; ring.
Qed.

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

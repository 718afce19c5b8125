(* sums in which every operation is rounded *)
Lemma one_more : forall x b eps psi, 0 <= eps -> Rabs (x - 1) <= b - 1 -> Rabs psi <= eps ->
  Rabs (x * (1 + psi) - 1) <= b * (1 + eps) - 1.
Proof.
  intros x b eps psi E X P; replace (x * (1 + psi) - 1) with ((x - 1) * (1 + psi) + psi) by ring.
  apply Rle_trans with (1 := Rabs_triang _ _); rewrite Rabs_mult.
  assert (Rabs (1 + psi) <= 1 + eps) by (apply Rle_trans with (1 := Rabs_triang _ _); rewrite Rabs_R1; lra).
  assert (Rabs (x - 1) * Rabs (1 + psi) <= (b - 1) * (1 + eps)) by (apply Rmult_le_compat; auto using Rabs_pos); lra.
Qed.

Lemma total_abs : forall f d, Rabs (total f d) <= total (fun k => Rabs (f k)) d.
Proof.
  induction d as [|n IH]; simpl; [rewrite Rabs_R0; lra | apply Rle_trans with (1 := Rabs_triang _ _); lra].
Qed.

Lemma rounded : forall n (t s : nat -> R) eps (theta phi psi : nat -> R),
  (forall k, (k < n)%nat -> Rabs (theta k) <= eps) -> (forall k, (k < n)%nat -> Rabs (phi k) <= eps) ->
  (forall k, (k < n)%nat -> Rabs (psi k) <= eps) -> s 0%nat = 0 ->
  (forall k, (k < n)%nat -> s (k + 1)%nat = (s k + t k * (1 + theta k) * (1 + phi k)) * (1 + psi k)) ->
  Rabs (s n - total t n) <= ((1 + eps) ^ (n + 2) - 1) * total (fun k => Rabs (t k)) n.
Proof.
  intros n t s eps theta phi psi; induction n as [|n IH]; intros A B C S0 S.
  - simpl; rewrite S0, Rminus_0_r, Rabs_R0; lra.
  - assert (I : Rabs (s n - total t n) <= ((1 + eps) ^ (n + 2) - 1) * total (fun k => Rabs (t k)) n)
      by (apply IH; auto; intros; try apply A; try apply B; try apply C; try apply S; lia).
    pose proof (A n ltac:(lia)) as An; pose proof (B n ltac:(lia)) as Bn; pose proof (C n ltac:(lia)) as Cn.
    pose proof (S n ltac:(lia)) as Sn; replace (n + 1)%nat with (Datatypes.S n) in Sn by lia; rewrite Sn; simpl total.
    assert (E : 0 <= eps) by (pose proof (Rabs_pos (psi n)); lra).
    assert (T : Rabs (total t n) <= total (fun k => Rabs (t k)) n) by apply total_abs.
    set (e := (1 + eps) ^ (n + 2)) in *; set (x := s n - total t n) in *; set (y := total t n) in *.
    replace (Datatypes.S n + 2)%nat with (Datatypes.S (n + 2)) by lia; change ((1 + eps) ^ Datatypes.S (n + 2)) with ((1 + eps) * e).
    assert (G : (1 + eps) ^ 2 <= e) by (unfold e; rewrite pow_add; rewrite <- (Rmult_1_l ((1 + eps) ^ 2)) at 1;
      apply Rmult_le_compat_r; [apply pow_le; lra | apply pow_R1_Rle; lra]).
    replace ((s n + t n * (1 + theta n) * (1 + phi n)) * (1 + psi n) - (y + t n))
      with (x * (1 + psi n) + y * psi n + t n * ((1 + theta n) * (1 + phi n) * (1 + psi n) - 1)) by (unfold x; ring).
    assert (P : Rabs (1 + psi n) <= 1 + eps)
      by (apply Rle_trans with (1 := Rabs_triang _ _); rewrite Rabs_R1; lra).
    assert (Q : Rabs ((1 + theta n) * (1 + phi n) * (1 + psi n) - 1) <= (1 + eps) * e - 1).
    { apply Rle_trans with ((1 + eps) ^ 3 - 1); [|simpl; simpl in G; nra].
      replace ((1 + eps) ^ 3) with ((1 + eps) * (1 + eps) * (1 + eps)) by ring.
      apply one_more; [exact E | apply one_more; [exact E | | exact Bn] | exact Cn].
      replace (1 + theta n - 1) with (theta n) by ring; lra. }
    apply Rle_trans with (1 := Rabs_triang _ _); apply Rle_trans with
      (Rabs x * (1 + eps) + Rabs y * eps + Rabs (t n) * ((1 + eps) * e - 1)).
    + apply Rplus_le_compat; [apply Rle_trans with (1 := Rabs_triang _ _); apply Rplus_le_compat|];
        rewrite Rabs_mult; apply Rmult_le_compat_l; auto using Rabs_pos.
    + assert (Rabs x * (1 + eps) <= (e - 1) * total (fun k => Rabs (t k)) n * (1 + eps))
        by (apply Rmult_le_compat_r; [lra | exact I]).
      assert (Rabs y * eps <= total (fun k => Rabs (t k)) n * eps) by (apply Rmult_le_compat_r; [lra | exact T]).
      nra.
Qed.

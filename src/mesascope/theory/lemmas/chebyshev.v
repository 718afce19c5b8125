(* Chebyshev polynomials on [-h, h], scaled to be monic up to a factor *)
Fixpoint cheb (x h : R) (n : nat) : R :=
  match n with O => 1 | S m => match m with O => x | S q => 2 * x * cheb x h m - h ^ 2 * cheb x h q end end.
Lemma cheb_step : forall x h k, cheb x h (S (S k)) = 2 * x * cheb x h (S k) - h ^ 2 * cheb x h k.
Proof. reflexivity. Qed.

Lemma cheb_invariant : forall x h n, (cheb x h (S n) - x * cheb x h n) ^ 2 + (h ^ 2 - x ^ 2) * cheb x h n ^ 2
  = (h ^ 2) ^ n * (h ^ 2 - x ^ 2).
Proof.
  induction n as [|n IH]; [simpl; ring|]; rewrite cheb_step; change ((h ^ 2) ^ S n) with (h ^ 2 * (h ^ 2) ^ n);
  replace (h ^ 2 * (h ^ 2) ^ n * (h ^ 2 - x ^ 2)) with (h ^ 2 * ((h ^ 2) ^ n * (h ^ 2 - x ^ 2))) by ring.
  rewrite <- IH; ring.
Qed.

Lemma cheb_inside : forall x h n, x ^ 2 <= h ^ 2 -> cheb x h n ^ 2 <= (h ^ 2) ^ n.
Proof.
  intros x h n H; destruct (Req_dec (h ^ 2) (x ^ 2)) as [E|N].
  - induction n as [|n IH]; [simpl; lra|].
    pose proof (cheb_invariant x h n) as I; rewrite E in I; replace (x ^ 2 - x ^ 2) with 0 in I by ring.
    assert (Z : cheb x h (S n) - x * cheb x h n = 0)
      by (apply Rsqr_0_uniq; unfold Rsqr; pose proof (pow2_ge_0 (cheb x h n)); lra).
    replace (cheb x h (S n)) with (x * cheb x h n) by lra.
    change ((h ^ 2) ^ S n) with (h ^ 2 * (h ^ 2) ^ n); rewrite Rpow_mult_distr, <- E.
    apply Rmult_le_compat_l; [apply pow2_ge_0 | exact IH].
  - pose proof (cheb_invariant x h n) as I; pose proof (pow2_ge_0 (cheb x h (S n) - x * cheb x h n)).
    apply Rmult_le_reg_r with (h ^ 2 - x ^ 2); lra.
Qed.

Lemma cheb_outside : forall x h s, 2 * x * s = s ^ 2 + h ^ 2 -> forall n, 2 * cheb x h n * s ^ n = (s ^ 2) ^ n + (h ^ 2) ^ n.
Proof.
  intros x h s H n.
  enough (2 * cheb x h n * s ^ n = (s ^ 2) ^ n + (h ^ 2) ^ n /\
    2 * cheb x h (S n) * s ^ S n = (s ^ 2) ^ S n + (h ^ 2) ^ S n) by tauto.
  induction n as [|n [I J]]; [split; simpl; simpl in H; lra|]; split; [exact J|].
  rewrite cheb_step; change (s ^ S (S n)) with (s * (s * s ^ n)); change (s ^ S n) with (s * s ^ n) in J.
  change ((s ^ 2) ^ S (S n)) with (s ^ 2 * (s ^ 2 * (s ^ 2) ^ n)); change ((s ^ 2) ^ S n) with (s ^ 2 * (s ^ 2) ^ n) in J.
  change ((h ^ 2) ^ S (S n)) with (h ^ 2 * (h ^ 2 * (h ^ 2) ^ n)); change ((h ^ 2) ^ S n) with (h ^ 2 * (h ^ 2) ^ n) in J.
  replace (2 * (2 * x * cheb x h (S n) - h ^ 2 * cheb x h n) * (s * (s * s ^ n)))
    with ((2 * x * s) * (2 * cheb x h (S n) * (s * s ^ n)) - h ^ 2 * s ^ 2 * (2 * cheb x h n * s ^ n)) by ring.
  rewrite H, I, J; ring.
Qed.

Lemma cheb_is : forall x (t : nat -> R) n, t 0%nat = 1 -> t 1%nat = x ->
  (forall k, (k < n)%nat -> t (k + 2)%nat = 2 * x * t (k + 1)%nat - t k) -> t n = cheb x 1 n.
Proof.
  intros x t n H0 H1 H; enough (forall m, ((m <= n)%nat -> t m = cheb x 1 m) /\ ((S m <= n)%nat -> t (S m) = cheb x 1 (S m)))
    as G by (apply (G n); lia).
  induction m as [|m [I J]]; [split; intros; assumption|]; split; [exact J|]; intros L.
  replace (S (S m)) with (m + 2)%nat by lia; rewrite H by lia; replace (m + 1)%nat with (S m) by lia.
  rewrite I, J by lia; replace (m + 2)%nat with (S (S m)) by lia; rewrite cheb_step; ring.
Qed.

Lemma cheb_reciprocal : forall x rho, x * (2 * rho) = 1 + rho ^ 2 -> forall n, 2 * cheb x 1 n * rho ^ n = 1 + (rho ^ n) ^ 2.
Proof.
  intros x rho X n; enough (2 * cheb x 1 n * rho ^ n = 1 + (rho ^ n) ^ 2 /\
    2 * cheb x 1 (S n) * rho ^ S n = 1 + (rho ^ S n) ^ 2) by tauto.
  induction n as [|n [I J]]; [split; simpl; simpl in X; lra|]; split; [exact J|]; rewrite cheb_step.
  change (rho ^ S (S n)) with (rho * (rho * rho ^ n)); change (rho ^ S n) with (rho * rho ^ n) in J.
  replace (2 * (2 * x * cheb x 1 (S n) - 1 ^ 2 * cheb x 1 n) * (rho * (rho * rho ^ n))) with ((x * (2 * rho)) *
    (2 * cheb x 1 (S n) * (rho * rho ^ n)) - rho ^ 2 * (2 * cheb x 1 n * rho ^ n)) by ring.
  rewrite X, I, J; ring.
Qed.

Lemma cheb_ratio : forall x y rho n, y * (2 * rho) = 1 + rho ^ 2 -> x ^ 2 <= 1 ->
  (cheb x 1 n / cheb y 1 n) ^ 2 <= (2 * rho ^ n) ^ 2.
Proof.
  intros x y rho n Y X; pose proof (cheb_reciprocal y rho Y n) as E; pose proof (pow2_ge_0 (rho ^ n)) as P.
  pose proof (cheb_inside x 1 n ltac:(lra)) as B; replace (1 ^ 2) with 1 in B by ring; rewrite pow1 in B.
  assert (N : cheb y 1 n <> 0) by (intro Z; rewrite Z in E; lra).
  apply Rmult_le_reg_r with (cheb y 1 n ^ 2); [rewrite <- Rsqr_pow2; apply Rsqr_pos_lt; exact N|].
  rewrite <- !Rpow_mult_distr; replace (cheb x 1 n / cheb y 1 n * cheb y 1 n) with (cheb x 1 n) by (field; exact N).
  replace (2 * rho ^ n * cheb y 1 n) with (1 + (rho ^ n) ^ 2) by (rewrite <- E; ring).
  apply Rle_trans with (1 := B); rewrite <- (pow1 2) at 1; apply pow_incr; lra.
Qed.

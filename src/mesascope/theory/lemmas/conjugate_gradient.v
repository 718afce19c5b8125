(* n steps of conjugate gradient in the eigenbasis: r and p are its residuals and directions *)
Section ConjugateGradient.
Variables (d n : nat) (a : nat -> R) (r p : nat -> nat -> R) (alpha beta : nat -> R).
Let A (v : nat -> R) : nat -> R := fun i => a i * v i.
Hypothesis start : forall i, (i < d)%nat -> p 0%nat i = r 0%nat i.
Hypothesis size : forall k, (k < n)%nat -> alpha k * dot d (p k) (A (p k)) = dot d (r k) (r k).
Hypothesis residual : forall k, (k < n)%nat -> forall i, (i < d)%nat -> r (k + 1)%nat i = r k i - alpha k * (a i * p k i).
Hypothesis momentum : forall k, (k < n)%nat -> beta k * dot d (r k) (r k) = dot d (r (k + 1)%nat) (r (k + 1)%nat).
Hypothesis direction : forall k, (k < n)%nat -> forall i, (i < d)%nat -> p (k + 1)%nat i = r (k + 1)%nat i + beta k * p k i.

Lemma A_sym : forall u v, dot d u (A v) = dot d (A u) v.
Proof. intros; apply total_ext; intros; unfold A; ring. Qed.

Lemma dot_residual : forall k u, (k < n)%nat -> dot d u (r (k + 1)%nat) = dot d u (r k) - alpha k * dot d u (A (p k)).
Proof.
  intros k u Hk; rewrite (dot_ext d u (r (k + 1)%nat) u (fun i => 1 * r k i + (- alpha k) * A (p k) i)).
  - rewrite dot_combine; ring.
  - reflexivity.
  - intros i Hi; rewrite residual by assumption; unfold A; ring.
Qed.

Lemma dot_direction : forall k u, (k < n)%nat -> dot d u (p (k + 1)%nat) = dot d u (r (k + 1)%nat) + beta k * dot d u (p k).
Proof.
  intros k u Hk; rewrite (dot_ext d u (p (k + 1)%nat) u (fun i => 1 * r (k + 1)%nat i + beta k * p k i)).
  - rewrite dot_combine; ring.
  - reflexivity.
  - intros i Hi; rewrite direction by assumption; ring.
Qed.

Lemma dot_image : forall k u, (k < n)%nat ->
  dot d u (A (p (k + 1)%nat)) = dot d u (A (r (k + 1)%nat)) + beta k * dot d u (A (p k)).
Proof. intros; rewrite !A_sym; apply dot_direction; assumption. Qed.

(* if a residual is zero, the direction is zero too, and both stay zero *)
Lemma finished : forall k, (k <= n)%nat -> dot d (r k) (r k) = 0 -> forall i, (i < d)%nat -> p k i = 0.
Proof.
  induction k as [|k IH]; intros Hk Z i Hi; [rewrite start by exact Hi; apply (dot_zero d (r 0%nat)); assumption|].
  replace (S k) with (k + 1)%nat in * by lia.
  rewrite direction by (try exact Hi; lia); rewrite (dot_zero d (r (k + 1)%nat) Z i Hi).
  destruct (Req_dec (dot d (r k) (r k)) 0) as [Y|N].
  - rewrite IH by (auto; lia); ring.
  - pose proof (momentum k ltac:(lia)) as M; rewrite Z in M; apply Rmult_integral in M as [->|M]; [ring | contradiction].
Qed.

(* residuals are orthogonal, directions conjugate, and residuals orthogonal to earlier directions *)
Lemma conjugate : forall m, (m <= n)%nat -> forall j, (j < m)%nat ->
  dot d (r m) (r j) = 0 /\ dot d (p m) (A (p j)) = 0 /\ dot d (r m) (p j) = 0.
Proof.
  induction m as [|m IH]; intros Hm j Hj; [lia|].
  replace (S m) with (m + 1)%nat in * by lia.
  assert (low : forall j, (j < m)%nat -> dot d (r m) (p j) = 0) by (intros i Hi; apply IH; lia).
  (* the inner product of r_m and p_m is that of r_m with itself *)
  assert (own : dot d (r m) (p m) = dot d (r m) (r m)).
  { destruct m as [|q]; [apply dot_ext; [reflexivity | exact start]|].
    replace (S q) with (q + 1)%nat in * by lia; rewrite dot_direction by lia; rewrite (low q) by lia; ring. }
  (* the inner product of A p_m with r_m equals that of A p_m with p_m *)
  assert (image : dot d (p m) (A (r m)) = dot d (p m) (A (p m))).
  { destruct m as [|q]; [rewrite !(A_sym (p 0%nat)); symmetry; apply dot_ext; [reflexivity | exact start]|].
    replace (S q) with (q + 1)%nat in * by lia; rewrite (dot_image q) by lia.
    destruct (IH ltac:(lia) q ltac:(lia)) as (_ & C & _); rewrite C; ring. }
  assert (directions : forall j, (j <= m)%nat -> dot d (r (m + 1)%nat) (p j) = 0).
  { intros i Hi; rewrite dot_sym, dot_residual by lia; rewrite (dot_sym d (p i)).
    destruct (Nat.eq_dec i m) as [->|N]; [rewrite own, size by lia; ring|].
    rewrite low by lia; rewrite A_sym, dot_sym.
    destruct (IH ltac:(lia) i ltac:(lia)) as (_ & C & _); rewrite C; ring. }
  assert (residuals : forall j, (j <= m)%nat -> dot d (r (m + 1)%nat) (r j) = 0).
  { intros i Hi; destruct i as [|q].
    - rewrite <- (directions 0%nat) by lia; apply dot_ext; [reflexivity | intros; symmetry; apply start; assumption].
    - replace (S q) with (q + 1)%nat in * by lia.
      pose proof (dot_direction q (r (m + 1)%nat) ltac:(lia)) as E; rewrite !directions in E by lia; lra. }
  split; [apply residuals; lia | split; [|apply directions; lia]].
  rewrite dot_sym, dot_direction by lia.
  rewrite (dot_sym d (A (p j)) (r (m + 1)%nat)).
  destruct (Req_dec (dot d (r j) (r j)) 0) as [Z|N].
  - (* p_j is zero *)
    pose proof (finished j ltac:(lia) Z) as P; unfold A.
    rewrite (dot_null d (r (m + 1)%nat)) by (intros; rewrite P by assumption; ring).
    rewrite dot_sym, (dot_null d (p m)) by (intros; rewrite P by assumption; ring); ring.
  - assert (alpha j <> 0) by (intro Y; pose proof (size j ltac:(lia)) as E; rewrite Y in E; lra).
    pose proof (dot_residual j (r (m + 1)%nat) ltac:(lia)) as E; rewrite (residuals j) in E by lia.
    destruct (Nat.eq_dec j m) as [->|M].
    + pose proof (size m ltac:(lia)) as F; pose proof (momentum m ltac:(lia)) as G.
      rewrite (dot_sym d (A (p m)) (p m)).
      apply Rmult_eq_reg_l with (alpha m); [|assumption].
      replace (alpha m * (dot d (r (m + 1)%nat) (A (p m)) + beta m * dot d (p m) (A (p m))))
        with (alpha m * dot d (r (m + 1)%nat) (A (p m)) + beta m * (alpha m * dot d (p m) (A (p m)))) by ring.
      rewrite F, G; lra.
    + rewrite (residuals (j + 1)%nat) in E by lia.
      rewrite (dot_sym d (A (p j)) (p m)).
      destruct (IH ltac:(lia) j ltac:(lia)) as (_ & C & _); rewrite C.
      assert (dot d (r (m + 1)%nat) (A (p j)) = 0) as ->; [|ring].
      apply Rmult_eq_reg_l with (alpha j); [lra | assumption].
Qed.

Lemma stays : forall k j, (k + j <= n)%nat -> dot d (r k) (r k) = 0 -> dot d (r (k + j)%nat) (r (k + j)%nat) = 0.
Proof.
  induction j as [|j IH]; intros H Z; [rewrite Nat.add_0_r; exact Z|].
  pose proof (IH ltac:(lia) Z) as Y; pose proof (finished (k + j)%nat ltac:(lia) Y) as P.
  replace (k + S j)%nat with (k + j + 1)%nat by lia; apply dot_null; intros i Hi.
  rewrite residual, P by (try assumption; lia); rewrite (dot_zero d _ Y i Hi); ring.
Qed.

Lemma alive : forall m, (m <= n)%nat ->
  dot d (r m) (r m) = 0 \/ forall k, (k < m)%nat -> dot d (r k) (r k) <> 0.
Proof.
  induction m as [|m IH]; intros H; [right; intros; lia|].
  destruct (Req_dec (dot d (r m) (r m)) 0) as [Z|N].
  - left; replace (S m) with (m + 1)%nat by lia; apply stays; [lia | exact Z].
  - destruct (IH ltac:(lia)) as [Z|F]; [contradiction|].
    right; intros k Hk; destruct (Nat.eq_dec k m) as [->|M]; [exact N | apply F; lia].
Qed.

(* vectors in the span of the first j residuals: orthogonal to every vector that is orthogonal to these *)
Definition below (j : nat) (v : nat -> R) : Prop :=
  forall u, (forall k, (k < j)%nat -> dot d u (r k) = 0) -> dot d u v = 0.

Lemma below_combine : forall j x y s t, below j x -> below j y -> below j (fun i => s * x i + t * y i).
Proof. intros j x y s t X Y u H; rewrite dot_combine, X, Y by exact H; ring. Qed.

Lemma below_ext : forall j x y, (forall i, (i < d)%nat -> x i = y i) -> below j x -> below j y.
Proof. intros j x y E X u H; rewrite <- (X u H); apply dot_ext; [reflexivity | intros; symmetry; apply E; assumption]. Qed.

Lemma below_more : forall j m v, (j <= m)%nat -> below j v -> below m v.
Proof. intros j m v H B u Z; apply B; intros k Hk; apply Z; lia. Qed.

Lemma below_direction : forall k, (k <= n)%nat -> below (k + 1) (p k).
Proof.
  induction k as [|k IH]; intros H u Z.
  - rewrite (dot_ext d u (p 0%nat) u (r 0%nat)); [apply Z; lia | reflexivity | exact start].
  - replace (S k) with (k + 1)%nat in * by lia; rewrite dot_direction by lia; rewrite Z by lia.
    rewrite (IH ltac:(lia) u) by (intros m Hm; apply Z; lia); ring.
Qed.

Lemma below_image : (forall k, (k < n)%nat -> dot d (r k) (r k) <> 0) ->
  forall j v, (j <= n)%nat -> below j v -> below (j + 1) (A v).
Proof.
  intros F j v Hj B u Z; rewrite A_sym; apply B.
  assert (images : forall k, (k < j)%nat -> dot d u (A (p k)) = 0).
  { intros k Hk; pose proof (dot_residual k u ltac:(lia)) as E; rewrite !Z in E by lia.
    assert (alpha k <> 0)
      by (intro Y; pose proof (size k ltac:(lia)) as G; rewrite Y in G; apply (F k ltac:(lia)); lra).
    apply Rmult_eq_reg_l with (alpha k); [lra | assumption]. }
  intros k Hk; rewrite <- A_sym; destruct k as [|k].
  - rewrite <- (images 0%nat Hk); apply dot_ext; [reflexivity|].
    intros i Hi; unfold A; rewrite start by exact Hi; reflexivity.
  - replace (S k) with (k + 1)%nat in * by lia.
    pose proof (dot_image k u ltac:(lia)) as E; rewrite !images in E by lia; lra.
Qed.

(* the weights w, and the error in the norm of the curvature *)
Variables (w : nat -> nat -> R) (target : nat -> R).
Hypothesis first : forall i, (i < d)%nat -> r 0%nat i = a i * (target i - w 0%nat i).
Hypothesis weight : forall k, (k < n)%nat -> forall i, (i < d)%nat -> w (k + 1)%nat i = w k i + alpha k * p k i.
Hypothesis positive : forall i, (i < d)%nat -> 0 <= a i.
Let e (k : nat) : nat -> R := fun i => target i - w k i.

Lemma residual_error : forall k, (k <= n)%nat -> forall i, (i < d)%nat -> r k i = a i * e k i.
Proof.
  unfold e; induction k as [|k IH]; intros H i Hi; [apply first; exact Hi|].
  replace (S k) with (k + 1)%nat in * by lia.
  rewrite residual, weight by (try assumption; lia); rewrite IH by (try assumption; lia); ring.
Qed.

Lemma below_progress : forall k, (k <= n)%nat -> below k (fun i => w k i - w 0%nat i).
Proof.
  induction k as [|k IH]; intros H u Z; [apply dot_null; intros; ring|].
  replace (S k) with (k + 1)%nat in * by lia.
  rewrite (dot_ext d u _ u (fun i => 1 * (w k i - w 0%nat i) + alpha k * p k i)); [|reflexivity|].
  - rewrite dot_combine, (below_direction k ltac:(lia) u Z), (IH ltac:(lia) u); [ring | intros m Hm; apply Z; lia].
  - intros i Hi; rewrite weight by (try assumption; lia); ring.
Qed.

Lemma energy_nonneg : forall v, 0 <= dot d v (A v).
Proof.
  intros v; apply total_nonneg; intros i Hi; unfold A.
  replace (v i * (a i * v i)) with (a i * v i ^ 2) by ring; apply scaled_square, positive, Hi.
Qed.

Lemma energy_split : forall u x,
  dot d (fun i => u i - x i) (A (fun i => u i - x i)) = dot d u (A u) - 2 * dot d u (A x) + dot d x (A x).
Proof.
  intros u x; unfold dot; rewrite <- (total_scale 2).
  replace (total (fun i => u i * A u i) d - total (fun k => 2 * (u k * A x k)) d)
    with (total (fun i => u i * A u i) d + (-1) * total (fun k => 2 * (u k * A x k)) d) by ring.
  rewrite <- total_scale, <- !total_plus; apply total_ext; intros; unfold A; ring.
Qed.

Lemma optimal : forall v, below n v ->
  dot d (e n) (A (e n)) <= dot d (fun i => e 0%nat i - v i) (A (fun i => e 0%nat i - v i)).
Proof.
  intros v B; set (x := fun i => 1 * v i + (-1) * (w n i - w 0%nat i)).
  assert (X : dot d (e n) (A x) = 0).
  { rewrite A_sym, (dot_ext d (A (e n)) x (r n) x); [|intros; symmetry; apply residual_error; auto | reflexivity].
    refine (below_combine n v _ 1 (-1) B (below_progress n ltac:(lia)) (r n) _).
    intros k Hk; apply (conjugate n); lia. }
  pose proof (energy_split (e n) x) as S; rewrite X in S; pose proof (energy_nonneg x).
  rewrite (dot_ext d (fun i => e 0%nat i - v i) (A (fun i => e 0%nat i - v i)) (fun i => e n i - x i)
    (A (fun i => e n i - x i))); [lra | unfold x, e; intros; ring | unfold A, x, e; intros; ring].
Qed.

Lemma ended : dot d (r n) (r n) = 0 -> dot d (e n) (A (e n)) = 0.
Proof.
  intros Z; apply dot_null; intros i Hi; unfold A; rewrite <- residual_error by (auto; lia).
  apply (dot_zero d (r n)); assumption.
Qed.

Lemma power_below : (forall k, (k < n)%nat -> dot d (r k) (r k) <> 0) ->
  forall j, (j <= n)%nat -> below (j + 1) (fun i => a i ^ j * r 0%nat i).
Proof.
  intros F; induction j as [|j IH]; intros H.
  - intros u Z; rewrite (dot_ext d u _ u (r 0%nat)); [apply Z; lia | reflexivity | intros; simpl; ring].
  - apply below_ext with (A (fun i => a i ^ j * r 0%nat i)); [intros; unfold A; simpl; ring|].
    replace (S j + 1)%nat with (j + 1 + 1)%nat by lia; apply below_image; [exact F | lia | apply IH; lia].
Qed.

Lemma krylov_exact : forall c : nat -> R,
  total (fun i => a i * ((1 + total (fun j => c j * a i ^ (j + 1)) n) * e 0%nat i) ^ 2) d
  = dot d (e n) (A (e n)) + total (fun i => a i * ((1 + total (fun j => c j * a i ^ (j + 1)) n) * e 0%nat i - e n i) ^ 2) d.
Proof.
  intros c; set (y := fun i => (1 + total (fun j => c j * a i ^ (j + 1)) n) * e 0%nat i).
  assert (X : dot d (r n) (fun i => y i - e n i) = 0).
  { destruct (alive n ltac:(lia)) as [Z|F].
    - rewrite dot_sym; apply dot_null; intros i Hi; apply (dot_zero d (r n)); assumption.
    - set (v := fun m i => total (fun j => c j * a i ^ (j + 1)) m * e 0%nat i).
      assert (B : forall m, (m <= n)%nat -> below m (v m)).
      { induction m as [|m IH]; intros H.
        - intros u Z; apply dot_null; intros; unfold v; simpl; ring.
        - apply below_ext with (fun i => 1 * v m i + c m * (a i ^ m * r 0%nat i)).
          + intros i Hi; rewrite first by exact Hi; unfold v, e; simpl; rewrite pow_add; simpl; ring.
          + apply below_combine; [apply (below_more m); [lia | apply IH; lia]|].
            replace (S m) with (m + 1)%nat by lia; apply power_below; [exact F | lia]. }
      rewrite (dot_ext d (r n) _ (r n) (fun i => 1 * v n i + 1 * (w n i - w 0%nat i))); [| reflexivity
        | intros i Hi; unfold y, v, e; ring].
      apply (below_combine n (v n) (fun i => w n i - w 0%nat i) 1 1 (B n ltac:(lia)) (below_progress n ltac:(lia)) (r n)).
      intros k Hk; apply (conjugate n); lia. }
  rewrite (dot_ext d (r n) _ (A (e n)) (fun i => y i - e n i)) in X;
    [| intros; apply residual_error; auto | reflexivity].
  change (total (fun i => a i * y i ^ 2) d = dot d (e n) (A (e n)) + total (fun i => a i * (y i - e n i) ^ 2) d).
  replace (dot d (e n) (A (e n))) with (dot d (e n) (A (e n)) + 2 * dot d (A (e n)) (fun i => y i - e n i)) by lra.
  unfold dot; rewrite <- total_scale, <- !total_plus; apply total_ext; intros; unfold A; ring.
Qed.

(* comparison with the Chebyshev polynomial on [low, z^2 low] that is 1 at 0 *)
Lemma cg_bound : forall low z rho, 0 < low -> (forall i, (i < d)%nat -> low <= a i /\ a i <= z ^ 2 * low) ->
  rho * (z + 1) = z - 1 ->
  dot d (e n) (A (e n)) <= (2 * rho ^ n) ^ 2 * dot d (e 0%nat) (A (e 0%nat)).
Proof.
  intros low z rho L R H.
  destruct (alive n ltac:(lia)) as [Z|F]; [rewrite (ended Z); apply Rmult_le_pos; [apply pow2_ge_0 | apply energy_nonneg]|].
  set (mid := (z ^ 2 + 1) * low); set (h := (z ^ 2 - 1) * low); set (s := (z + 1) ^ 2 * low).
  assert (N : z + 1 <> 0) by (intro Y; rewrite Y in H; lra).
  assert (s_pos : 0 < s) by (unfold s; pose proof (pow2_ge_0 (z + 1)); assert ((z + 1) ^ 2 <> 0) by (apply pow_nonzero; exact N);
    apply Rmult_lt_0_compat; lra).
  assert (h_s : h = rho * s) by (unfold h, s; replace (rho * ((z + 1) ^ 2 * low)) with (rho * (z + 1) * ((z + 1) * low)) by ring;
    rewrite H; ring).
  assert (large : forall m, s ^ m * 1 <= 2 * cheb mid h m /\ 0 < s ^ m).
  { intros m; assert (P : 0 < s ^ m) by (apply pow_lt; exact s_pos); split; [|exact P].
    pose proof (cheb_outside mid h s ltac:(unfold mid, h, s; ring) m) as E.
    rewrite <- !pow_mult, !(Nat.mul_comm 2), !pow_mult in E; pose proof (pow2_ge_0 (h ^ m)); nra. }
  set (t := fun m i => cheb (mid - 2 * a i) h m); set (T := cheb mid h).
  set (v := fun m i => (T m - t m i) * e 0%nat i).
  assert (B : forall m, (m <= n)%nat -> below m (v m) /\ ((S m <= n)%nat -> below (S m) (v (S m)))).
  { assert (first_below : below 1 (A (e 0%nat))).
    { intros u Y; rewrite <- (Y 0%nat ltac:(lia)); apply dot_ext; [reflexivity|].
      intros i Hi; unfold A, e; rewrite first by exact Hi; reflexivity. }
    induction m as [|m IH]; intros Hm.
    - split; [intros u _; apply dot_null; intros; unfold v, t, T; simpl; ring|]; intros _.
      apply below_ext with (fun i => 2 * A (e 0%nat) i + 0 * A (e 0%nat) i);
        [intros; unfold v, t, T, A; simpl; ring | apply below_combine; exact first_below].
    - destruct (IH ltac:(lia)) as [I J]; split; [apply J; lia|]; intros K; specialize (J ltac:(lia)).
      apply below_ext with (fun i => 1 * (2 * mid * v (S m) i + (- h ^ 2) * v m i)
        + 4 * (T (S m) * A (e 0%nat) i + (-1) * A (v (S m)) i)).
      + intros i Hi; unfold v, t, T, A; rewrite !cheb_step; ring.
      + apply below_combine; apply below_combine.
        * apply (below_more (S m)); [lia | exact J].
        * apply (below_more m); [lia | exact I].
        * apply (below_more 1); [lia | exact first_below].
        * replace (S (S m)) with (S m + 1)%nat by lia; apply below_image; [exact F | lia | exact J]. }
  destruct (large n) as [O1 O2]; assert (P : 0 < T n) by (unfold T; lra).
  apply Rle_trans with (1 := optimal _ (below_combine n _ _ (/ T n) 0 (proj1 (B n ltac:(lia))) (proj1 (B n ltac:(lia))))).
  unfold dot; rewrite <- total_scale; apply total_le; intros i Hi; unfold A, v; destruct (R i Hi) as [R1 R2].
  set (y := e 0%nat i); replace (y - (/ T n * ((T n - t n i) * y) + 0 * ((T n - t n i) * y))) with (t n i * / T n * y)
    by (field; lra).
  replace (t n i * / T n * y * (a i * (t n i * / T n * y))) with ((t n i * / T n) ^ 2 * (a i * y ^ 2)) by ring.
  replace ((2 * rho ^ n) ^ 2 * (y * (a i * y))) with ((2 * rho ^ n) ^ 2 * (a i * y ^ 2)) by ring.
  apply Rmult_le_compat_r; [apply scaled_square, positive, Hi|].
  assert (Q : t n i ^ 2 <= (h ^ 2) ^ n) by (apply cheb_inside; unfold mid, h;
    assert (0 <= (a i - low) * (z ^ 2 * low - a i)) by (apply Rmult_le_pos; lra); nra).
  apply Rmult_le_reg_r with (T n ^ 2); [apply pow_lt; exact P|].
  replace ((t n i * / T n) ^ 2 * T n ^ 2) with (t n i ^ 2) by (field; lra).
  apply Rle_trans with (1 := Q); rewrite h_s, <- pow_mult, Nat.mul_comm, pow_mult, Rpow_mult_distr.
  replace ((2 * rho ^ n) ^ 2 * T n ^ 2) with ((rho ^ n) ^ 2 * (2 * T n) ^ 2) by ring; rewrite Rpow_mult_distr.
  apply Rmult_le_compat_l; [apply pow2_ge_0|]; unfold T; apply pow_incr; lra.
Qed.

(* the polynomial whose roots are the curvatures *)
Fixpoint rooted (m i : nat) : R := match m with O => 1 | S q => rooted q i * (1 - a i / a q) end.
Lemma rooted_zero : forall m i, (i < m)%nat -> a i <> 0 -> rooted m i = 0.
Proof.
  induction m as [|m IH]; intros i H N; [lia|]; simpl.
  destruct (Nat.eq_dec i m) as [->|M]; [unfold Rdiv; rewrite Rinv_r by exact N; ring | rewrite IH by (auto; lia); ring].
Qed.

Lemma terminates : (d <= n)%nat -> (forall i, (i < d)%nat -> 0 < a i) -> forall i, (i < d)%nat -> w n i = target i.
Proof.
  intros D P i Hi; assert (E : dot d (e n) (A (e n)) <= 0).
  { destruct (alive n ltac:(lia)) as [Z|F]; [rewrite (ended Z); lra|].
    assert (B : forall m, (m <= d)%nat -> below m (fun i => (1 - rooted m i) * e 0%nat i)).
    { induction m as [|m IH]; intros H.
      - intros u Z; apply dot_null; intros; simpl; ring.
      - apply below_ext with (fun i => 1 * ((1 - rooted m i) * e 0%nat i)
          + / a m * (1 * r 0%nat i + (-1) * A (fun i => (1 - rooted m i) * e 0%nat i) i)).
        + intros k Hk; rewrite first by exact Hk; unfold A, e, Rdiv; simpl; unfold Rdiv; ring.
        + replace (S m) with (m + 1)%nat by lia; apply below_combine; [apply (below_more m); [lia | apply IH; lia]|].
          apply below_combine; [|apply below_image; [exact F | lia | apply IH; lia]].
          intros u Z; apply Z; lia. }
    apply Rle_trans with (1 := optimal _ (below_more d n _ D (B d ltac:(lia)))), Req_le, dot_null.
    intros k Hk; unfold A; rewrite rooted_zero; [ring | exact Hk | pose proof (P k Hk); lra]. }
  assert (T : a i * e n i ^ 2 <= 0).
  { apply Rle_trans with (dot d (e n) (A (e n))); [|exact E]; unfold dot, A.
    rewrite (total_ext _ (fun i => a i * e n i ^ 2)) by (intros; ring).
    apply (total_term (fun i => a i * e n i ^ 2)); [intros; apply scaled_square, positive; assumption | exact Hi]. }
  pose proof (P i Hi) as Pi; pose proof (pow2_ge_0 (e n i)).
  assert (Z : e n i ^ 2 = 0) by nra.
  assert (e n i = 0) by (apply Rsqr_0_uniq; unfold Rsqr; lra); unfold e in *; lra.
Qed.
End ConjugateGradient.

(* inner products over the channels *)
Definition dot (d : nat) (u v : nat -> R) : R := total (fun i => u i * v i) d.
Lemma dot_ext : forall d u v u' v', (forall i, (i < d)%nat -> u i = u' i) -> (forall i, (i < d)%nat -> v i = v' i) ->
  dot d u v = dot d u' v'.
Proof. intros; apply total_ext; intros i Hi; rewrite H, H0 by exact Hi; reflexivity. Qed.

Lemma dot_combine : forall d u x y a b, dot d u (fun i => a * x i + b * y i) = a * dot d u x + b * dot d u y.
Proof.
  intros; unfold dot; rewrite <- (total_scale a), <- (total_scale b), <- total_plus; apply total_ext; intros; ring.
Qed.

Lemma dot_sym : forall d u v, dot d u v = dot d v u.
Proof. intros; apply total_ext; intros; ring. Qed.

Lemma dot_zero : forall d u, dot d u u = 0 -> forall i, (i < d)%nat -> u i = 0.
Proof.
  intros d u H i Hi; apply (total_square_zero u d i); [|exact Hi].
  unfold dot in H; rewrite (total_ext (fun i => u i ^ 2) (fun i => u i * u i)); [lra | intros; ring].
Qed.

Lemma dot_null : forall d u v, (forall i, (i < d)%nat -> v i = 0) -> dot d u v = 0.
Proof. intros; unfold dot; rewrite <- (total_zero d); apply total_ext; intros i Hi; rewrite H by exact Hi; ring. Qed.

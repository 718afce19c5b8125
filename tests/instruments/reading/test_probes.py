"""Probes of a subject that writes the weights into its stream with the attention, and holds nothing before."""

import dataclasses

import pytest
import torch

from mesascope.algorithms import RBF, GradientDescent, NadarayaWatson, run
from mesascope.instruments.asking.applicability import NotApplicable
from mesascope.instruments.reading import probes
from mesascope.models.constructions.network import Layer, Weights
from mesascope.models.constructions.primal_gradient_descent import primal_gradient_descent
from mesascope.tasks import LinearRegression

PRE, MID = "blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid"
SIZE = {"fit": 128, "score": 128, "queries": 2}


@pytest.fixture(scope="module")
def found(planted, task):
    return probes.linear_probes(planted, task, **SIZE)


def test_the_weights_are_found_where_they_are(found, look):
    value, _ = look
    for quantity in ("cosine", "R²"):
        assert value(found, quantity, site=MID, target="w").value == pytest.approx(1, abs=1e-9)
        assert value(found, quantity, site=PRE, target="w").value == pytest.approx(0, abs=0.2)


def test_what_is_not_there_is_not_found(found, look):
    """The memory holds w, from which Xᵀy follows by a matrix that changes with the prompt: near, not there."""
    value, _ = look
    assert 0.7 < value(found, "cosine", site=MID, target="Xᵀy/n").value < 0.98
    assert abs(value(found, "cosine", site=MID, target="XᵀX/n").value) < 0.15
    assert value(found, "R²", site=MID, target="XᵀX/n").value < 0.05


def test_the_controls_come_out_as_they_must(found, look):
    _, control = look
    for m in found:
        assert control(m, "target written in") > 0.999
        for name in ("another prompt's target", "untrained network"):
            assert abs(control(m, name)) < 0.2, (name, m.quantity, m.coordinates)
        assert abs(control(m, "raw prompt")) < 0.25
        names = {c.name for c in m.controls}
        assert ("Xᵀy alone" in names) == (m.coordinates["target"] != "Xᵀy/n")


def test_the_moment_alone_goes_a_long_way_to_the_weights(found, look):
    value, control = look
    assert control(value(found, "cosine", site=PRE, target="w"), "Xᵀy alone") > 0.8


def test_targets_are_what_they_say(task):
    p = task.sample(5, seed=0)
    X, y, n = p.xs[2], p.ys[2], p.examples
    torch.testing.assert_close(probes.moment(p)[2], X.T @ y / n)
    upper = [(X.T @ X / n)[i, j] for i in range(p.dim) for j in range(i, p.dim)]
    torch.testing.assert_close(probes.gram(p)[2], torch.stack(upper))
    inverse = n * torch.linalg.inv(X.T @ X + 0.5 * torch.eye(p.dim, dtype=X.dtype))
    expected = torch.stack([inverse[i, j] for i in range(p.dim) for j in range(i, p.dim)])
    torch.testing.assert_close(probes.InverseGram(ridge=0.5)(p)[2], expected)
    algorithm = GradientDescent()
    weights = run(algorithm, p, 3).weights
    assert weights is not None
    assert torch.equal(probes.iterate(algorithm, 3)(p), weights[3])
    alpha = probes.KernelWeights(kernel=RBF(bandwidth=2.0))(p)
    assert alpha.shape == (5, 1, n)
    torch.testing.assert_close(alpha[2, 0], torch.exp(-(X - p.queries[2, 0]).square().sum(-1) / 8))


def test_targets_that_depend_on_the_query(planted, task, look):
    value, control = look
    found = probes.linear_probes(planted, task, **SIZE, targets={"α": probes.KernelWeights(kernel=RBF(bandwidth=2.0))})
    assert value(found, "cosine", site=MID, target="α").n == SIZE["score"]
    assert all(control(m, "target written in") > 0.999 for m in found)
    # A wide kernel's weights rise and fall together with the query's length.
    assert all(0.3 < control(m, "query alone") < 0.9 for m in found if m.quantity == "cosine")


def test_what_the_query_alone_says(planted, task, look):
    value, control = look
    targets = {"squares": lambda p: p.queries.square(), "w": probes.TARGETS["w"]}
    found = probes.linear_probes(planted, task, **SIZE, targets=targets)
    assert control(value(found, "cosine", site=MID, target="squares"), "query alone") == pytest.approx(1, abs=1e-6)
    assert "query alone" not in {c.name for c in value(found, "cosine", site=MID, target="w").controls}


def test_an_iterate_close_to_the_weights_is_found_and_a_far_one_less_so(planted, task, look):
    value, _ = look
    targets = {k: probes.iterate(GradientDescent(), int(k)) for k in ("1", "200")}
    found = probes.linear_probes(planted, task, **SIZE, targets=targets)
    near, far = (value(found, "R²", site=MID, target=k).value for k in ("200", "1"))
    assert near > far + 0.02


def test_a_probe_of_a_constant_scores_zero_cosine():
    features = torch.zeros(8, 1, 2)
    target = torch.randn(8, 1, 3, generator=torch.Generator().manual_seed(0))
    scores = probes.probe([features, features], [{"t": target}, {"t": target}])
    assert not scores["t"][probes.COSINE].any()


def test_uncentred_a_constant_guess_scores():
    """A target about a large mean, and features that know nothing of it: the mean alone makes the cosine."""
    rng = torch.Generator().manual_seed(0)
    fitted, scored = torch.randn(2, 64, 2, 3, generator=rng, dtype=torch.float64) + torch.tensor([3.0, 0.0, 0.0])
    nothing, noise = torch.zeros(64, 2, 1), torch.randn(2, 64, 2, 1, generator=rng)
    targets = [{"t": fitted}, {"t": scored}]
    constant, blind, seeing = (
        probes.probe(pair, targets)["t"] for pair in ([nothing, nothing], list(noise), [fitted, scored])
    )
    by_hand = scored @ fitted.mean((0, 1)) / (scored.norm(dim=-1) * fitted.mean((0, 1)).norm())
    torch.testing.assert_close(constant[probes.UNCENTRED], by_hand.mean(-1))
    assert 0.8 < float(by_hand.mean()) < 0.95
    assert float(blind[probes.UNCENTRED].mean()) == pytest.approx(float(by_hand.mean()), abs=0.02)
    assert float(blind[probes.COSINE].mean()) == pytest.approx(0, abs=0.2)
    assert float(seeing[probes.UNCENTRED].mean()) == pytest.approx(1, abs=1e-9)


def test_the_uncentred_cosine_stands_beside_a_constant_guess_and_changes_nothing_else(planted, task, look):
    value, control = look
    targets = {"α": probes.KernelWeights(), "w": probes.TARGETS["w"]}
    plain, found = (probes.linear_probes(planted, task, **SIZE, targets=targets, uncentred=u) for u in (False, True))
    name = probes.UNCENTRED.name
    assert [m for m in found if m.quantity != name] == list(plain)
    assert all((probes.CONSTANT in {c.name for c in m.controls}) == (m.quantity == name) for m in found)
    weights, alpha = (value(found, name, site=MID, target=t) for t in ("w", "α"))
    assert weights.value == pytest.approx(1, abs=1e-9)
    assert abs(control(weights, probes.CONSTANT)) < 0.2
    # The examples are exchangeable, so the mean α has equal entries. The network holds nothing of α, and scores the same.
    fresh = targets["α"](task.sample(1000, seed=1))
    equal = float((fresh.mean(-1) / fresh.square().mean(-1).sqrt()).mean())
    assert 0.5 < equal < 0.9
    assert control(alpha, probes.CONSTANT) == pytest.approx(equal, abs=0.03)
    assert alpha.value == pytest.approx(control(alpha, probes.CONSTANT), abs=0.05)
    assert all(control(m, "target written in") > 0.999 for m in (weights, alpha))


def test_planting_makes_room_in_a_narrow_stream():
    rng = torch.Generator().manual_seed(0)
    target = torch.randn(64, 2, 7, generator=rng, dtype=torch.float64)
    narrow = torch.randn(64, 2, 3, generator=rng, dtype=torch.float64)
    planted = probes.plant([narrow, narrow], [target, target], seed=0)
    assert planted[0].shape[-1] == 10
    scores = probes.probe(planted, [{"t": target}, {"t": target}])
    assert float(scores["t"][probes.COSINE].min()) > 0.9999


def test_a_target_that_an_algorithm_does_not_hold(planted, task):
    with pytest.raises(NotApplicable, match="nadaraya-watson holds no weights to probe for"):
        probes.linear_probes(planted, task, **SIZE, targets={"w": probes.iterate(NadarayaWatson(), 1)})


def test_it_needs_a_residual_stream(bare, task):
    with pytest.raises(NotApplicable, match="residual-stream"):
        probes.linear_probes(bare, task)


def test_the_figure_has_a_panel_a_target_and_the_subject_first(found):
    drawn = probes.figure(found)
    assert drawn.rows[0]["probe of"] == "subject"
    assert {row["target"] for row in drawn.rows} == {"w", "Xᵀy/n", "XᵀX/n"}
    assert "untrained network" in {row["probe of"] for row in drawn.rows}


def test_other_query_counts_do_not_change_the_answer(planted, task, look):
    value, _ = look
    one = probes.linear_probes(planted, task, fit=256, score=256, queries=1)
    assert value(one, "cosine", site=MID, target="w").value == pytest.approx(1, abs=1e-9)
    assert dataclasses.replace(task, queries=1) == task


@pytest.mark.parametrize("reading", ["labels", "label mean", "context mean"])
def test_it_reads_elsewhere_too(planted, task, look, reading):
    """The memory holds w at every token, and pooling equal things changes nothing."""
    value, control = look
    found = probes.linear_probes(planted, task, **SIZE, reading=reading)
    m = value(found, "cosine", site=MID, target="w")
    assert m.value == pytest.approx(1, abs=1e-9)
    assert m.coordinates["read at"] == reading
    assert abs(value(found, "cosine", site=PRE, target="w").value) < 0.25
    assert control(m, "target written in") > 0.999
    assert abs(control(m, "untrained network")) < 0.25


def test_pooled_products_are_the_moment(task, look):
    """A layer that turns a label's stream into yₖxₖ holds Xᵀy/n in the mean over labels, and at no single one."""
    value, _ = look
    subject = primal_gradient_descent(layers=1)
    made = dataclasses.replace(subject, build=lambda dim: _products(subject.build(dim)))
    pooled, single = (
        probes.linear_probes(made, task, fit=256, score=64, queries=2, reading=r) for r in ("label mean", "query")
    )
    post = "blocks.0.hook_resid_post"
    assert value(pooled, "cosine", site=post, target="Xᵀy/n").value == pytest.approx(1, abs=1e-9)
    assert abs(value(single, "cosine", site=post, target="Xᵀy/n").value) < 0.25


def _products(network: Weights) -> Weights:
    gate = Layer(heads=(), gate=lambda c: {"weights": c["label"] * c["x"]})
    return dataclasses.replace(network, layers=(gate,))


def test_what_depends_on_the_query_is_not_looked_for_elsewhere(planted, task):
    with pytest.raises(NotApplicable, match="α depends on the query, which is not seen at the labels"):
        probes.linear_probes(planted, task, **SIZE, targets={"α": probes.KernelWeights()}, reading="labels")


def test_beyond_the_moment_nothing_of_it_is_left(task):
    p = task.sample(400, seed=0)
    left, m = probes.beyond_moment(p), probes.moment(p)
    assert float((left * m).sum().abs()) < 1e-3 * float(left.norm() * m.norm())
    share = 1 - float(left.square().sum() / p.weights.square().sum())
    assert share == pytest.approx(task.examples / (task.examples + task.dim + 1), abs=0.05)
    assert share > 0.5


def decomposed(monkeypatch) -> list[int]:
    """The sizes of all matrices whose eigenvectors are computed from here on."""
    sizes, eigh = [], torch.linalg.eigh

    def noted(matrix):
        sizes.append(matrix.shape[-1])
        return eigh(matrix)

    monkeypatch.setattr(torch.linalg, "eigh", noted)
    return sizes


@pytest.mark.parametrize(("dim", "examples"), [(50, 20), (30, 60), (5, 20)])
def test_what_grows_with_the_task_is_bounded_and_said(dim, examples, look, monkeypatch):
    """XᵀX has 1275 numbers in 50 dimensions, and 60 examples in 30 are a prompt of 1890."""
    _, control = look
    sizes = decomposed(monkeypatch)
    subject, task = primal_gradient_descent(layers=1), LinearRegression(dim=dim, examples=examples)
    found = probes.linear_probes(subject, task, fit=32, score=16, queries=2)
    assert max(sizes) <= 2 * 32
    entries = dim * (dim + 1) // 2
    kept = {m.coordinates["target"]: m.coordinates["entries"] for m in found}
    assert kept == {"w": f"{dim} of {dim}", "Xᵀy/n": f"{dim} of {dim}", "XᵀX/n": f"{min(entries, 256)} of {entries}"}
    assert all(control(m, "raw prompt") is not None for m in found)
    assert (" Of XᵀX/n 256 of" in probes.figure(found).caption) == (entries > 256)


def test_a_wide_prompt_is_read_as_mixtures_and_the_control_says_so(planted, task, look, monkeypatch):
    monkeypatch.setattr(probes, "WIDEST", 24)
    value, control = look
    targets = {"w": probes.TARGETS["w"], "α": probes.KernelWeights(kernel=RBF(bandwidth=2.0))}
    found = probes.linear_probes(planted, task, **SIZE, targets=targets)
    mixed = "raw prompt, 24 random mixtures of its 43 numbers"
    assert all(mixed in {c.name for c in m.controls} for m in found)
    assert abs(control(value(found, "cosine", site=MID, target="w"), mixed)) < 0.25
    assert all(control(m, "query alone") for m in found if m.coordinates["target"] == "α")  # 12 numbers, as they are


def test_a_sample_of_a_matrix_is_found_where_the_matrix_is(planted, task, look, monkeypatch):
    """The memory holds w, of which some coordinates are as well found as all."""
    value, _ = look
    monkeypatch.setattr(probes, "ENTRIES", 2)
    found = probes.linear_probes(planted, task, **SIZE)
    m = value(found, "R²", site=MID, target="w")
    assert m.coordinates["entries"] == "2 of 3"
    assert m.value == pytest.approx(1, abs=1e-9)
    assert value(found, "R²", site=MID, target="XᵀX/n").coordinates["entries"] == "2 of 6"

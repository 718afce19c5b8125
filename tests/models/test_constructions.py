"""Hand-built networks: they run their algorithm, layer by layer, and can be opened up like any subject."""

import dataclasses
from collections.abc import Callable
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import mesascope as ms
from mesascope.models.constructions import (
    CONSTRUCTIONS,
    Construction,
    conjugate_gradient,
    data_space_conjugate_gradient,
    gradient_descent,
)
from mesascope.tasks.covariance import Diagonal
from mesascope.tasks.inputs import Gaussian
from mesascope.types import Intervention, Prompts, Site, Subject

A = ms.algorithms
STEPS = 5
CASES: dict[str, tuple[Construction, A.Algorithm]] = {
    "gradient descent": (gradient_descent(layers=STEPS, step_size=0.2), A.GradientDescent(step_size=0.2)),
    "conjugate gradient": (conjugate_gradient(iterations=STEPS), A.ConjugateGradient()),
    "data space": (data_space_conjugate_gradient(iterations=STEPS), A.DataSpaceConjugateGradient()),
    "data space, ridge": (
        data_space_conjugate_gradient(iterations=STEPS, ridge=0.7),
        A.DataSpaceConjugateGradient(ridge=0.7),
    ),
}
case = pytest.mark.parametrize("case", CASES)


def draw(condition: float = 10.0, *, dim: int = 5, examples: int = 20, queries: int = 4, noise: float = 0.0) -> Prompts:
    """Prompts whose XᵀX/n has exactly this condition number."""
    covariance = Diagonal(condition=condition if dim > 1 else 1.0, rotate=dim > 1)
    inputs = Gaussian(covariance=covariance, exact=examples >= dim)
    task = ms.tasks.LinearRegression(dim=dim, examples=examples, queries=queries, noise=noise, inputs=inputs)
    return task.sample(32, seed=0)


def path(construction: Construction, p: Prompts) -> Tensor:
    """The network's own readout after every layer: (layer, batch, query)."""
    trace = construction.trace(p, capture=construction.path)
    return torch.stack([construction.readout(trace[site][:, p.examples :], site) for site in construction.path])


def every_step(construction: Construction, p: Prompts) -> Tensor:
    """After each step of the algorithm: (step, batch, query)."""
    return path(construction, p)[construction.layers_per_step - 1 :: construction.layers_per_step]


def channel(construction: Construction, stream: Tensor, name: str, dim: int = 5) -> Tensor:
    """A channel of one number, by name: (batch, position)."""
    return construction.channels(dim).split(stream)[name][..., 0]


# ------------------------------------------------------------------------------------------- they are their algorithms


@case
@pytest.mark.parametrize("condition", [1.0, 5.0, 30.0])
def test_every_layer_holds_its_algorithms_iterate(case: str, condition: float) -> None:
    construction, algorithm = CASES[case]
    p = draw(condition)
    expected = ms.run(algorithm, p, steps=STEPS).predictions[1:]  # at condition 1 it is done after one step
    torch.testing.assert_close(every_step(construction, p), expected, rtol=0, atol=1e-10)
    torch.testing.assert_close(construction.trace(p).predictions, expected[-1], rtol=0, atol=1e-10)
    assert float(expected[0].abs().max()) > 0.1


@case
@settings(max_examples=30)
@given(dim=st.integers(1, 7), examples=st.integers(1, 25), noise=st.sampled_from([0.0, 0.5]), seed=st.integers(0, 99))
def test_at_any_dimension_and_number_of_examples(case: str, dim: int, examples: int, noise: float, seed: int) -> None:
    construction, algorithm = CASES[case]
    p = ms.tasks.LinearRegression(dim=dim, examples=examples, queries=3, noise=noise).sample(8, seed=seed)
    kept = max(1, min(STEPS, dim, examples) - 1)  # before it is solved: what follows is rounding, or has no solution
    eigenvalues = torch.linalg.eigvalsh(p.xs.mT @ p.xs).flip(-1)[:, : min(dim, examples)]
    mild = eigenvalues[:, 0] / eigenvalues[:, -1] <= 30
    answers = every_step(construction, p)
    assert answers.shape == (STEPS, 8, 3)
    assert bool(answers.isfinite().all())
    expected = ms.run(algorithm, p, steps=STEPS).predictions[1 : kept + 1]
    torch.testing.assert_close(answers[:kept, mild], expected[:, mild], rtol=1e-10, atol=1e-10)


def exact(p: Prompts, steps: int) -> Tensor:
    """Conjugate gradient in rational arithmetic, from Hestenes & Stiefel's formulas: (step, batch, query)."""

    def numbers(values: Tensor) -> list[Fraction]:
        return [Fraction(value) for value in values.tolist()]

    def dot(a: list[Fraction], b: list[Fraction]) -> Fraction:
        return sum((x * y for x, y in zip(a, b, strict=True)), Fraction(0))

    answers = torch.zeros(steps, len(p), p.queries.shape[1], dtype=torch.float64)
    for i in range(len(p)):
        rows, labels = [numbers(x) for x in p.xs[i]], numbers(p.ys[i])
        columns = [list(column) for column in zip(*rows, strict=True)]
        w, r = [Fraction(0)] * p.dim, [dot(column, labels) for column in columns]
        direction, energy = r, dot(r, r)
        for step in range(steps):
            pushed = [dot(row, direction) for row in rows]
            length = energy / dot(pushed, pushed)
            image = [dot(column, pushed) for column in columns]
            w = [a + length * b for a, b in zip(w, direction, strict=True)]
            r = [a - length * b for a, b in zip(r, image, strict=True)]
            last, energy = energy, dot(r, r)
            direction = [a + energy / last * b for a, b in zip(r, direction, strict=True)]
            for q, query in enumerate(p.queries[i]):
                answers[step, i, q] = float(dot(numbers(query), w))
    return answers


@pytest.mark.parametrize("condition", [30.0, 1e3, 1e4])
def test_on_hard_prompts_conjugate_gradient_loses_no_more_than_the_algorithm_itself(condition: float) -> None:
    p, steps = draw(condition, dim=4, examples=6)[:16], 4
    truth = exact(p, steps)

    def loss(answers: Tensor) -> Tensor:
        return (answers - truth).abs().amax((1, 2))

    network = loss(every_step(conjugate_gradient(iterations=steps), p))
    algorithm = loss(ms.run(A.ConjugateGradient(), p, steps=steps).predictions[1:])
    assert bool((network <= 10 * algorithm + 1e-14).all()), (network, algorithm)
    assert float(network[-1]) < 1e-10 * condition


@pytest.mark.parametrize("condition", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("dim", [1, 2, 5])
@pytest.mark.parametrize("examples", [2, 5, 20])
def test_once_solved_the_answer_stays(condition: float, dim: int, examples: int) -> None:
    p = draw(condition, dim=dim, examples=examples)
    solution = (p.queries @ torch.linalg.pinv(p.xs) @ p.ys[..., None])[..., 0]
    for construction in (conjugate_gradient(iterations=40), data_space_conjugate_gradient(iterations=40)):
        assert float((path(construction, p)[2 * dim + 2 :] - solution).abs().max()) < 1e-9 * condition
    damped = path(data_space_conjugate_gradient(iterations=40, ridge=0.5), p)
    kernel = p.xs @ p.xs.mT + 0.5 * torch.eye(examples)
    ridge = (p.queries @ p.xs.mT @ torch.linalg.solve(kernel, p.ys[..., None]))[..., 0]
    assert float((damped[2 * dim + 4 :] - ridge).abs().max()) < 1e-9


def test_without_labels_the_answer_is_zero() -> None:
    p = draw()
    p = dataclasses.replace(p, ys=torch.zeros_like(p.ys))
    for construction, _ in CASES.values():
        assert not path(construction, p).any()


# ------------------------------------------------------------------------------------------- channels have names


def test_gradient_descents_label_channel_is_the_residual() -> None:
    construction, algorithm = CASES["gradient descent"]
    p = draw()
    trace = construction.trace(p, capture=construction.path)
    weights = ms.run(algorithm, p, steps=STEPS).weights
    assert weights is not None
    for step, site in enumerate(construction.path, 1):
        label = channel(construction, trace[site], "label")
        residual = p.ys - (p.xs @ weights[step, ..., None])[..., 0]
        torch.testing.assert_close(label[:, :20], residual, rtol=1e-10, atol=1e-12)
        torch.testing.assert_close(
            label[:, 20:], -(p.queries @ weights[step, ..., None])[..., 0], rtol=1e-10, atol=1e-12
        )
        x = construction.channels(5).split(trace[site])["x"]
        assert torch.equal(x, torch.cat([p.xs, p.queries], 1))


def test_conjugate_gradients_channels_are_the_algorithms_vectors() -> None:
    construction, algorithm = CASES["conjugate gradient"]
    p = draw()
    trace = construction.trace(p, capture=construction.path)
    weights = ms.run(algorithm, p, steps=STEPS).weights
    assert weights is not None
    tokens = torch.cat([p.xs, p.queries], 1)
    for step in range(1, STEPS):
        after = trace[construction.path[2 * step - 1]]
        s = channel(construction, after, "residual")
        residual = p.ys - (p.xs @ weights[step, ..., None])[..., 0]
        expected = torch.einsum("bnd,bn->bd", p.xs, residual) / 20
        torch.testing.assert_close(torch.einsum("bnd,bn->bd", p.xs, s[:, :20]) / 20, expected, rtol=1e-8, atol=1e-10)
        assert not s[:, 20:].any()
        moved = (tokens @ (weights[step] - weights[step - 1])[..., None])[..., 0]
        direction = channel(construction, after, "direction")
        cosine = torch.nn.functional.cosine_similarity(direction, moved, dim=-1)
        torch.testing.assert_close(cosine, torch.ones_like(cosine), rtol=0, atol=1e-9)
        energy = channel(construction, trace[construction.path[2 * step + 1]], "su_last")
        torch.testing.assert_close(energy[:, 0], expected.square().sum(-1), rtol=1e-6, atol=1e-12)
        for name in ("pushed", "su", "uu", "uv", "vv"):
            assert not channel(construction, after, name).any()  # cleared for the next iteration


def test_data_space_conjugate_gradients_residual_is_that_of_its_system() -> None:
    construction, algorithm = CASES["data space, ridge"]
    p = draw(noise=0.5)
    trace = construction.trace(p, capture=construction.path)
    weights = ms.run(algorithm, p, steps=STEPS).weights
    assert weights is not None
    kernel = p.xs @ p.xs.mT + 0.7 * torch.eye(20)
    for step in range(1, STEPS):
        stream = trace[construction.path[2 * step - 1]]
        residual = channel(construction, stream, "residual")[:, :20]
        alpha = torch.linalg.solve(kernel, p.ys - residual)
        torch.testing.assert_close(torch.einsum("bnd,bn->bd", p.xs, alpha), weights[step], rtol=1e-6, atol=1e-8)
        direction, image = (channel(construction, stream, name)[:, :20] for name in ("direction", "image"))
        torch.testing.assert_close(image, (kernel @ direction[..., None])[..., 0] / 20, rtol=1e-6, atol=1e-8)


@case
def test_the_channels_fill_the_stream(case: str) -> None:
    construction, _ = CASES[case]
    channels = construction.channels(5)
    stream = construction.trace(draw(), capture=construction.path)[construction.path[0]]
    assert stream.shape == (32, 24, channels.width)
    assert torch.equal(torch.cat(list(channels.split(stream).values()), -1), stream)
    for name, where in channels.slices.items():
        assert torch.equal(stream @ channels.read(name).T, stream[..., where])
        assert torch.equal(channels.read(name, 2.0), 2 * channels.read(name))


# ------------------------------------------------------------------------------------------- what must not matter


@case
def test_the_order_of_examples_does_not_matter(case: str) -> None:
    construction, _ = CASES[case]
    p = draw(noise=0.3)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    moved = dataclasses.replace(p, xs=p.xs[:, order], ys=p.ys[:, order])
    torch.testing.assert_close(path(construction, p), path(construction, moved), rtol=1e-9, atol=1e-9)


@case
def test_queries_are_answered_each_alone(case: str) -> None:
    construction, _ = CASES[case]
    p = draw(queries=6, noise=0.3)
    together = path(construction, p)
    for i in range(6):
        one = dataclasses.replace(p, queries=p.queries[:, [i]], targets=p.targets[:, [i]])
        torch.testing.assert_close(path(construction, one), together[..., [i]], rtol=1e-9, atol=1e-9)


@case
def test_batching_changes_nothing(case: str) -> None:
    construction, _ = CASES[case]
    p = draw(noise=0.3)
    alone = torch.cat([path(construction, p[i : i + 1]) for i in range(len(p))], 1)
    torch.testing.assert_close(path(construction, p), alone, rtol=1e-9, atol=1e-9)


@case
def test_all_is_computed_in_double_precision(case: str) -> None:
    construction, _ = CASES[case]
    p = draw().to(dtype=torch.float32)
    trace = construction.trace(p, capture=construction.sites)
    assert {value.dtype for value in (trace.predictions, *trace.activations.values())} == {torch.float64}
    assert (
        construction.readout(trace[construction.path[0]][:, 20:].float(), construction.path[0]).dtype == torch.float32
    )


# ------------------------------------------------------------------------------------------- sites and interventions


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_it_is_a_subject_that_says_what_it_is(name: str) -> None:
    construction = CONSTRUCTIONS[name]()
    assert isinstance(construction, Subject)
    assert construction.name == name
    known = {algorithm.name for algorithm in A.ALL} | {"kernel-gradient-descent", "glm-newton"}
    assert construction.algorithm in known
    assert construction.algorithm == name or name not in known
    assert construction.domain == ms.Domain()
    assert len(construction.path) == construction.layers == len({site.layer for site in construction.sites})
    gated = any(layer.gate is not None for layer in construction.build(5).layers)
    assert bool(construction.not_attention) == gated
    assert set(construction.spec) >= {"construction", "algorithm", "source", "options", "not_attention"}


@case
def test_every_site_fires_and_looking_changes_nothing(case: str) -> None:
    construction, _ = CASES[case]
    p = draw()
    trace = construction.trace(p, capture=construction.sites)
    assert set(trace.activations) == set(construction.sites)
    assert torch.equal(trace.predictions, construction.trace(p).predictions)
    for layer in range(construction.layers):
        at = {
            kind: trace[Site(layer=layer, kind=kind)] for kind in ("resid_pre", "attn_out", "resid_mid", "resid_post")
        }
        assert torch.equal(at["resid_pre"] + at["attn_out"], at["resid_mid"])
        if layer:
            assert torch.equal(at["resid_pre"], trace[Site(layer=layer - 1, kind="resid_post")])
    assert not construction.readout(
        trace[Site(layer=0, kind="resid_pre")][:, 20:], Site(layer=0, kind="resid_pre")
    ).any()


@case
def test_patching_a_network_with_itself_changes_nothing(case: str) -> None:
    construction, _ = CASES[case]
    p = draw()
    trace = construction.trace(p, capture=construction.sites)
    same = [Intervention(site=site, edit=lambda _, site=site: trace[site].clone()) for site in construction.sites]
    assert torch.equal(construction.trace(p, interventions=same).predictions, trace.predictions)


@case
def test_patching_in_another_prompts_stream_answers_the_other_prompt(case: str) -> None:
    construction, _ = CASES[case]
    p = draw()
    other = p[torch.arange(len(p)).roll(1)]
    for site in construction.path:
        donor = construction.trace(other, capture=[site])
        patched = construction.trace(p, interventions=[Intervention(site=site, edit=lambda _, d=donor, s=site: d[s])])
        torch.testing.assert_close(patched.predictions, donor.predictions, rtol=0, atol=1e-12)


def clear(construction: Construction, name: str) -> Callable[[Tensor], Tensor]:
    """Set a channel to zero at the examples."""
    where = construction.channels(5).slices[name]

    def edit(stream: Tensor) -> Tensor:
        stream = stream.clone()
        stream[:, :20, where] = 0
        return stream

    return edit


@pytest.mark.parametrize(("name", "residual"), [(name, "label" if "descent" in name else "residual") for name in CASES])
def test_without_a_residual_the_answer_stays_where_it_is(name: str, residual: str) -> None:
    construction, algorithm = CASES[name]
    p = draw()
    iterates = ms.run(algorithm, p, steps=STEPS).predictions
    for step in range(STEPS):
        site = Site(layer=step * construction.layers_per_step, kind="resid_pre")
        stopped = Intervention(site=site, edit=clear(construction, residual))
        answers = construction.trace(p, interventions=[stopped]).predictions
        torch.testing.assert_close(answers, iterates[step], rtol=0, atol=1e-10)


def test_a_forgotten_direction_restarts_conjugate_gradient() -> None:
    """Without its memory it starts anew at the residual: two runs of the algorithm, one after the other."""
    construction, algorithm = CASES["conjugate gradient"]
    p = draw()
    forget = [
        Intervention(site=Site(layer=4, kind="resid_pre"), edit=clear_everywhere(construction, name))
        for name in ("direction", "su_last")
    ]
    first = ms.run(algorithm, p, steps=2)
    assert first.weights is not None
    rest = dataclasses.replace(p, ys=p.ys - (p.xs @ first.weights[2, ..., None])[..., 0])
    expected = first.predictions[2] + ms.run(algorithm, rest, steps=STEPS - 2).predictions[-1]
    answers = construction.trace(p, interventions=forget).predictions
    torch.testing.assert_close(answers, expected, rtol=0, atol=1e-9)
    assert float((answers - construction.trace(p).predictions).abs().max()) > 1e-3


def clear_everywhere(construction: Construction, name: str) -> Callable[[Tensor], Tensor]:
    where = construction.channels(5).slices[name]
    keep = torch.ones(construction.channels(5).width, dtype=torch.float64)
    keep[where] = 0
    return lambda stream: stream * keep


def test_an_intervention_that_raises_leaves_nothing_behind() -> None:
    construction, _ = CASES["conjugate gradient"]
    p = draw()
    before = construction.trace(p).predictions

    def fail(_: Tensor) -> Tensor:
        raise RuntimeError("told to fail")

    with pytest.raises(RuntimeError, match="told to fail"):
        construction.trace(p, interventions=[Intervention(site=construction.path[3], edit=fail)])
    assert torch.equal(construction.trace(p).predictions, before)


def test_what_a_network_cannot_be_asked_is_refused() -> None:
    construction, _ = CASES["gradient descent"]
    with pytest.raises(ValueError, match=r"site must be one of the subject's 20 sites; got blocks\.9\.hook_resid_post"):
        construction.trace(draw(), capture=[Site(layer=9, kind="resid_post")])
    with pytest.raises(
        ValueError, match=r"site must be in the residual stream to be read out; got blocks\.0\.hook_attn"
    ):
        construction.readout(torch.zeros(1, 1, 6), Site(layer=0, kind="attn_out"))
    with pytest.raises(ValueError, match=r"as wide as the residual stream .*got 3 channels\. Pass an activation that"):
        conjugate_gradient().readout(torch.zeros(1, 1, 3), Site(layer=0, kind="resid_post"))
    cut = Intervention(site=construction.path[0], edit=lambda stream: stream[..., 1:])
    with pytest.raises(ValueError, match=r"must keep the shape"):
        construction.trace(draw(), interventions=[cut])


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: gradient_descent(layers=0), r"layers must be a whole number of at least 1; got 0"),
        (lambda: gradient_descent(layers=2.0), r"layers must be a whole number of at least 1; got 2\.0"),
        (lambda: gradient_descent(layers=1001), r"layers must be at most 1000; got 1001\. Every layer"),
        (
            lambda: gradient_descent(step_size=0.0),
            r"step_size must be a finite number above 0; got 0\.0\. Gradient descent converges",
        ),
        (lambda: gradient_descent(step_size=-0.1), r"step_size must be a finite number above 0; got -0\.1"),
        (lambda: gradient_descent(step_size=float("nan")), r"step_size must be a finite number above 0; got nan"),
        (lambda: gradient_descent(step_size=float("inf")), r"step_size must be a finite number above 0; got inf"),
        (lambda: conjugate_gradient(iterations=0), r"iterations must be a whole number of at least 1; got 0"),
        (lambda: conjugate_gradient(iterations=10**9), r"iterations must be at most 1000; got 1000000000"),
        (lambda: data_space_conjugate_gradient(iterations=-1), r"iterations must be .* at least 1; got -1"),
        (lambda: data_space_conjugate_gradient(iterations=1001), r"iterations must be at most 1000; got 1001"),
        (lambda: data_space_conjugate_gradient(ridge=-0.5), r"ridge must be finite and at least 0; got -0\.5"),
        (lambda: data_space_conjugate_gradient(ridge=float("nan")), r"ridge must be finite and at least 0; got nan"),
    ],
)
def test_bad_options_are_refused(make: Callable[[], Construction], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


# ------------------------------------------------------------------------------------------- the untrained control


@case
def test_with_random_weights_it_is_finite_whatever_the_prompts(case: str) -> None:
    construction, _ = CASES[case]
    blank = construction.reinitialised(3)
    for scale in (1e-30, 1e-3, 1.0, 1e3, 1e30):
        p = draw(30.0)
        p = dataclasses.replace(p, xs=p.xs * scale, ys=p.ys * scale, queries=p.queries * scale)
        trace = blank.trace(p, capture=blank.sites)
        assert all(bool(value.isfinite().all()) for value in (trace.predictions, *trace.activations.values()))


@pytest.mark.parametrize("depth", [10, 200])
def test_with_random_weights_it_is_finite_at_any_depth(depth: int) -> None:
    p = draw(dim=2, examples=3)[:2]
    for blank in (
        gradient_descent(layers=depth).reinitialised(0),
        conjugate_gradient(iterations=depth // 2).reinitialised(0),
    ):
        assert bool(path(blank, p).isfinite().all())


@case
def test_with_random_weights_it_is_another_network_and_no_algorithm(case: str) -> None:
    construction, algorithm = CASES[case]
    p = draw()
    blank = construction.reinitialised(3)
    assert blank.name.endswith("random weights")
    assert blank.algorithm == "none"
    assert "length 1" in blank.not_attention
    assert (blank.sites, blank.path, blank.layers) == (construction.sites, construction.path, construction.layers)
    assert blank.channels(5) == construction.channels(5)
    answers = blank.trace(p).predictions
    assert torch.equal(answers, construction.reinitialised(3).trace(p).predictions)
    assert not torch.equal(answers, construction.reinitialised(4).trace(p).predictions)
    assert float(answers.std()) > 1e-3
    truth = ms.run(algorithm, p, steps=STEPS).predictions[-1]
    correlation = torch.corrcoef(torch.stack([answers.flatten(), truth.flatten()]))[0, 1]
    assert abs(float(correlation)) < 0.9
    torch.testing.assert_close(construction.trace(p).predictions, truth, rtol=0, atol=1e-10)  # itself unchanged


def test_a_token_of_zeros_stays_zero() -> None:
    p = draw()
    p = dataclasses.replace(p, queries=torch.zeros_like(p.queries))
    assert not gradient_descent().reinitialised(0).trace(p).predictions.any()

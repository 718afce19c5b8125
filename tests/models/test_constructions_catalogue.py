"""One table of hand-built networks: each runs its algorithm after every layer, and no other one."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save
from torch import Tensor

import mesascope as ms
from mesascope.models.constructions import Construction, conjugate_gradient
from mesascope.models.constructions.chebyshev import chebyshev_iteration
from mesascope.models.constructions.gd_plus_plus import gd_plus_plus
from mesascope.models.constructions.heavy_ball import heavy_ball
from mesascope.models.constructions.kernel_gradient_descent import kernel_gradient_descent
from mesascope.models.constructions.nesterov import nesterov
from mesascope.models.constructions.newton_schulz import newton_schulz
from mesascope.models.constructions.pipelined_conjugate_gradient import pipelined_conjugate_gradient
from mesascope.models.constructions.preconditioned_conjugate_gradient import preconditioned_conjugate_gradient
from mesascope.models.constructions.preconditioned_gradient_descent import diagonal, preconditioned_gradient_descent
from mesascope.models.constructions.preconditioned_richardson import preconditioned_richardson
from mesascope.models.constructions.primal_conjugate_gradient import primal_conjugate_gradient
from mesascope.models.constructions.primal_gradient_descent import primal_gradient_descent
from mesascope.models.constructions.ridge_gradient_descent import ridge_gradient_descent
from mesascope.models.constructions.spaced import padded, spaced, spaced_gradient_descent
from mesascope.tasks.covariance import Diagonal
from mesascope.tasks.inputs import Gaussian
from mesascope.types import Prompts, Subject

A = ms.algorithms
Reference = Callable[[Prompts, int], Tensor]


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network, what it must answer after each step (row 0: before the first), and how exactly.

    ``figure`` is the worst error that reference/theory.md found, relative to the largest answer where that is above 1;
    ``steps`` are the steps it stands for; ``ends``: the algorithm ends in as many steps as there are eigenvalues;
    ``forgives`` is a change that makes no difference: one scale of the kernel in an iteration of conjugate gradient,
    where every step is a quotient.
    """

    make: Callable[[int], Construction]
    reference: Reference
    figure: float
    steps: int = 30
    ends: bool = False
    forgives: str = ""


def by(algorithm: A.Algorithm, ridge: float = 0.0) -> Reference:
    return lambda p, steps: ms.run(algorithm, p, steps=steps, ridge=ridge).predictions


def improved_inputs(step_size: float, curvature: float) -> Reference:
    """GD++ in the inputs' first coordinates: w ← w − η TᵀT (Sw − b) and T ← (I − γ T S Tᵀ) T."""

    def answers(p: Prompts, steps: int) -> Tensor:
        problem = A.Problem.of(p)
        w, transform = torch.zeros_like(problem.moment), torch.eye(p.dim).double().expand_as(problem.gram)
        rows = [w]
        for _ in range(steps):
            gradient = (problem.gram @ w[..., None])[..., 0] - problem.moment
            w = w - step_size * (transform.mT @ transform @ gradient[..., None])[..., 0]
            transform = transform - curvature * transform @ problem.gram @ transform.mT @ transform
            rows.append(w)
        return torch.stack([(p.queries @ w[..., None])[..., 0] for w in rows])

    return answers


def functional(step_size: float, temperature: float, normalised: bool) -> Reference:
    """Gradient descent on the values of a function at the examples; the queries are read out by the same kernel."""

    def answers(p: Prompts, steps: int) -> Tensor:
        among, asked = ((x @ p.xs.mT / temperature).exp() for x in (p.xs, p.queries))
        among, asked = (k / (k.sum(-1, keepdim=True) if normalised else p.examples) for k in (among, asked))
        coefficients, rows = torch.zeros_like(p.ys), [torch.zeros_like(p.targets)]
        for _ in range(steps):  # f = Σᵢ a(·, xᵢ) cᵢ
            coefficients = coefficients + step_size * (p.ys - (among @ coefficients[..., None])[..., 0])
            rows.append((asked @ coefficients[..., None])[..., 0])
        return torch.stack(rows)

    return answers


def gaussian_kernel(bandwidth: float, ridge: float, step_size: float) -> Reference:
    """α ← α + η (D + λ)⁻¹ (y − (K + λ) α), from distances, with D the row sums of K."""

    def answers(p: Prompts, steps: int) -> Tensor:
        among, asked = (torch.exp(-torch.cdist(x, p.xs).square() / (2 * bandwidth**2)) for x in (p.xs, p.queries))
        system = among + ridge * torch.eye(p.examples).double()
        alpha, rows = torch.zeros_like(p.ys), [torch.zeros_like(p.targets)]
        for _ in range(steps):
            alpha = alpha + step_size * (p.ys - (system @ alpha[..., None])[..., 0]) / system.sum(-1)
            rows.append((asked @ alpha[..., None])[..., 0])
        return torch.stack(rows)

    return answers


CASES: dict[str, Case] = {
    "heavy ball": Case(
        make=lambda k: heavy_ball(layers=k, step_size=0.9, momentum=0.7),
        reference=by(A.HeavyBall(step_size=0.9, momentum=0.7)),
        figure=9e-13,
    ),
    "nesterov": Case(
        make=lambda k: nesterov(layers=k, step_size=0.9, momentum=0.7),
        reference=by(A.Nesterov(step_size=0.9, momentum=0.7)),
        figure=9e-13,
    ),
    "chebyshev": Case(
        make=lambda k: chebyshev_iteration(layers=k, smallest=1e-3, largest=1.0),
        reference=by(A.ChebyshevIteration(bounds=(1e-3, 1.0))),
        figure=1e-13,
        steps=20,
    ),
    "preconditioned gradient descent": Case(
        make=lambda k: preconditioned_gradient_descent(layers=k, step_size=0.9, condition=30.0),
        reference=lambda p, steps: by(
            A.PreconditionedGradientDescent(step_size=0.9, preconditioner=diagonal(p.dim, 30.0))
        )(p, steps),
        figure=3e-15,
    ),
    "Newton–Schulz": Case(
        make=lambda k: newton_schulz(iterations=k, scale=0.9),
        reference=by(A.NewtonSchulz(start="identity", scale=0.9)),
        figure=4e-13,
        steps=12,
    ),
    "GD++": Case(
        make=lambda k: gd_plus_plus(layers=k, step_size=0.9, curvature=0.3),
        reference=improved_inputs(step_size=0.9, curvature=0.3),
        figure=2e-15,
    ),
    "ridge by damping": Case(
        make=lambda k: ridge_gradient_descent(layers=k, step_size=0.9, ridge=0.7),
        reference=by(A.GradientDescent(step_size=0.9), ridge=0.7),
        figure=8e-15,
    ),
    "a step every third layer": Case(
        make=lambda k: spaced_gradient_descent(steps=k, step_size=0.9, every=3),
        reference=by(A.GradientDescent(step_size=0.9)),
        figure=8e-15,
    ),
    "idle layers first": Case(
        make=lambda k: padded(heavy_ball(layers=k, step_size=0.9, momentum=0.6), before=3),
        reference=by(A.HeavyBall(step_size=0.9, momentum=0.6)),
        figure=8e-15,
    ),
    "conjugate gradient, spaced": Case(
        make=lambda k: spaced(conjugate_gradient(iterations=k), 2),
        reference=by(A.ConjugateGradient()),
        figure=7e-13,
        steps=8,
        ends=True,
        forgives="head 0 of layer 5 times 1.001",
    ),
    "pipelined conjugate gradient": Case(
        make=lambda k: pipelined_conjugate_gradient(iterations=k),
        reference=by(A.ConjugateGradient()),
        figure=7e-11,
        steps=8,
        ends=True,
    ),
    "preconditioned conjugate gradient": Case(
        make=lambda k: preconditioned_conjugate_gradient(iterations=k, condition=3.0),
        reference=lambda p, steps: by(A.PreconditionedConjugateGradient(preconditioner=diagonal(p.dim, 3.0)))(p, steps),
        figure=7e-13,
        steps=8,
        ends=True,
        forgives="head 0 of layer 2 times 1.001",
    ),
    "primal conjugate gradient": Case(
        make=lambda k: primal_conjugate_gradient(iterations=k),
        reference=by(A.ConjugateGradient()),
        figure=2e-10,
        steps=8,
        ends=True,
    ),
    "primal gradient descent": Case(
        make=lambda k: primal_gradient_descent(layers=k, step_size=0.9),
        reference=by(A.GradientDescent(step_size=0.9)),
        figure=8e-15,
    ),
    "kernel gradient descent, softmax": Case(
        make=lambda k: kernel_gradient_descent(layers=k, step_size=0.9, temperature=1.5),
        reference=functional(step_size=0.9, temperature=1.5, normalised=True),
        figure=8e-15,
    ),
    "kernel gradient descent, exponentials": Case(
        make=lambda k: kernel_gradient_descent(layers=k, step_size=0.1, temperature=6.0, normalised=0),
        reference=functional(step_size=0.1, temperature=6.0, normalised=False),
        figure=8e-15,
    ),
    "preconditioned Richardson": Case(
        make=lambda k: preconditioned_richardson(steps=k, bandwidth=1.5, ridge=0.3, step_size=1.2),
        reference=gaussian_kernel(bandwidth=1.5, ridge=0.3, step_size=1.2),
        figure=8e-15,
    ),
}
case = pytest.mark.parametrize("name", CASES)


def normalised(p: Prompts) -> Prompts:
    """The same prompts, the inputs scaled so that the largest eigenvalue of every XᵀX/n is 1: no method diverges."""
    scale = torch.linalg.matrix_norm(p.xs, 2)[:, None, None] / p.examples**0.5
    return dataclasses.replace(p, xs=p.xs / scale, queries=p.queries / scale)


def draw(condition: float = 10.0, dim: int = 5, examples: int = 20, queries: int = 3, noise: float = 0.3) -> Prompts:
    """Prompts whose XᵀX/n has exactly this condition number, where there are examples enough."""
    covariance = Diagonal(condition=condition if dim > 1 else 1.0, rotate=dim > 1)
    inputs = Gaussian(covariance=covariance, exact=examples >= dim)
    task = ms.tasks.LinearRegression(dim=dim, examples=examples, queries=queries, noise=noise, inputs=inputs)
    return normalised(task.sample(16, seed=0))


def path(construction: Construction, p: Prompts) -> Tensor:
    """The network's own readout after every layer: (layer, batch, query)."""
    trace = construction.trace(p, capture=construction.path)
    answers = torch.stack([construction.readout(trace[site][:, p.examples :], site) for site in construction.path])
    assert torch.equal(answers[-1], trace.predictions)
    return answers


def expected(case: Case, p: Prompts, steps: int) -> Tensor:
    """What the readout after every layer must be: the last iterate that is complete."""
    built = case.make(steps)
    done = torch.arange(1, built.layers + 1) - built.layers_to_start
    return case.reference(p, steps)[done.clamp(min=0) // built.layers_per_step]


def error(case: Case, p: Prompts, steps: int, construction: Construction | None = None) -> float:
    """The worst difference after any layer, relative to the largest answer where that is above 1."""
    wanted = expected(case, p, steps)
    return float((path(construction or case.make(steps), p) - wanted).abs().max() / max(1.0, wanted.abs().max()))


@case
@pytest.mark.parametrize("condition", [1.0, 10.0, 1000.0])
@pytest.mark.parametrize(("dim", "examples"), [(1, 1), (5, 20), (8, 40)])
def test_every_layer_holds_its_algorithms_iterate(name: str, condition: float, dim: int, examples: int) -> None:
    most = {1.0: 1, 10.0: 5, 1000.0: 2}[condition]  # harder: rounding of either grows from there
    steps = min(CASES[name].steps, most, dim) if CASES[name].ends else CASES[name].steps
    assert error(CASES[name], draw(condition, dim, examples), steps) <= CASES[name].figure
    assert float(expected(CASES[name], draw(condition, dim, examples), steps)[-1].abs().max()) > 0.1


@case
@settings(max_examples=10)
@given(dim=st.integers(1, 7), examples=st.integers(1, 25), queries=st.integers(1, 4), seed=st.integers(0, 99))
def test_at_any_dimension_and_number_of_examples(name: str, dim: int, examples: int, queries: int, seed: int) -> None:
    task = ms.tasks.LinearRegression(dim=dim, examples=examples, queries=queries, noise=0.5)
    p = normalised(task.sample(8, seed=seed))
    spectrum = torch.linalg.svdvals(p.xs)[:, : min(dim, examples)]
    p = p[(spectrum[:, -1] > 0.2 * spectrum[:, 0]).nonzero()[:, 0]]  # κ below 25: it need not be hard as well
    if len(p):
        steps = max(1, min(dim, examples) - 1) if CASES[name].ends else 5
        assert error(CASES[name], p, steps) <= CASES[name].figure


def mutants(construction: Construction, dim: int) -> dict[str, Construction]:
    """Each head's output turned round, or a thousandth too large, once: in its second step.

    In the first some heads have nothing to read.
    """
    network, start, stride = construction.build(dim), construction.layers_to_start, construction.layers_per_step
    groups = [[i] for i in range(start)] + [list(range(start + i, construction.layers, stride)) for i in range(stride)]
    found = {}
    for group in groups:
        for at in range(len(network.layers[group[0]].heads)):
            for factor in (-1.0, 1.001):
                layers = list(network.layers)
                for i in group[1:2] or group:
                    heads = list(layers[i].heads)
                    if at < len(heads):
                        heads[at] = dataclasses.replace(heads[at], out=factor * heads[at].out)
                    layers[i] = dataclasses.replace(layers[i], heads=tuple(heads))
                wrong = dataclasses.replace(network, layers=tuple(layers))
                what = f"head {at} of layer {(group[1:2] or group)[0]} times {factor}"
                found[what] = dataclasses.replace(construction, build=lambda _, wrong=wrong: wrong)
    return found


@case
def test_a_wrong_sign_or_coefficient_is_seen(name: str) -> None:
    steps = 4
    p = draw(queries=4)
    seen = {
        what: error(CASES[name], p, steps, wrong) for what, wrong in mutants(CASES[name].make(steps), p.dim).items()
    }
    assert seen.pop(CASES[name].forgives, 0.0) < 1e-9
    assert min(seen.values()) > 1e-5, seen


@case
def test_it_says_what_it_is(name: str) -> None:
    construction = CASES[name].make(3)
    network = construction.build(5)
    assert isinstance(construction, Subject)
    assert len(network.layers) == construction.layers == 3 * construction.layers_per_step + construction.layers_to_start
    assert all(layer.gate is None for layer in network.layers) == (not construction.not_attention)
    assert construction.spec["options"] == dict(construction.options)
    known = {algorithm.name for algorithm in A.ALL}
    assert construction.algorithm in known | {"kernel-gradient-descent"}
    assert set(network.embed) <= set(network.channels.sizes)


@case
def test_its_weights_are_all_there_is(name: str) -> None:
    """Out to safetensors and back: the same answers, bit for bit, and none without a weight."""
    construction = CASES[name].make(3)
    p = draw()
    state = load(save(construction.state_dict(p.dim)))
    network = construction.build(p.dim)
    assert set(state) == set(construction.state_dict(p.dim))
    assert state["embed"].shape == (network.channels.width, p.dim + 4)
    back = dataclasses.replace(construction, build=lambda _: network.with_weights(state))
    assert torch.equal(path(back, p), path(construction, p))
    zero = {key: torch.zeros_like(value) if key == "readout" else value for key, value in state.items()}
    silent = dataclasses.replace(construction, build=lambda _: network.with_weights(zero))
    assert not silent.trace(p).predictions.any()


@case
def test_the_untrained_control_is_finite_and_another_network(name: str) -> None:
    construction = CASES[name].make(3)
    blank = construction.reinitialised(1)
    answers = path(blank, draw(queries=4))
    assert bool(answers.isfinite().all())
    assert not torch.allclose(answers, path(construction, draw(queries=4)), rtol=1e-3, atol=1e-3)

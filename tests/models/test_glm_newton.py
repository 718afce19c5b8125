"""The network for logistic and Poisson regression runs Newton's method, step by step."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

import mesascope as ms
from mesascope.algorithms import GLMNewton
from mesascope.algorithms.glm import GlmFamily, mean, variance
from mesascope.models.constructions import Construction, answer_outputs, glm_newton, several_outputs
from mesascope.seeds import generator
from mesascope.tasks import GeneralisedLinearRegression
from mesascope.types import Iterates, Prompts, Status

families = pytest.mark.parametrize("family", ["logistic", "poisson"])


def draw(family: GlmFamily, *, dim: int = 5, examples: int = 40, strength: float | None = None) -> Prompts:
    strength = strength or (1.0 if family == "logistic" else 0.5)
    task = GeneralisedLinearRegression(dim=dim, examples=examples, queries=4, family=family, strength=strength)
    return task.sample(16, seed=0)


def path(construction: Construction, p: Prompts) -> Tensor:
    """The network's own readout after every layer: (layer, batch, query)."""
    trace = construction.trace(p, capture=construction.path)
    return torch.stack([construction.readout(trace[site][:, p.examples :], site) for site in construction.path])


def every_step(construction: Construction, p: Prompts) -> Tensor:
    return path(construction, p)[construction.layers_per_step - 1 :: construction.layers_per_step]


@families
@pytest.mark.parametrize("inner", [2, 5])
@pytest.mark.parametrize("ridge", [0.0, 1.0])
@pytest.mark.parametrize("examples", [12, 40])
def test_every_step_is_newtons(family: GlmFamily, inner: int, ridge: float, examples: int) -> None:
    p, steps = draw(family, examples=examples), 4
    algorithm = GLMNewton(family=family, inner=inner)
    found = ms.run(algorithm, p, steps=steps, ridge=ridge)
    fine = found.status == Status.OK
    assert int(fine.sum()) >= 8
    answers = every_step(glm_newton(steps=steps, inner=inner, ridge=ridge, family=family), p)
    lost = rounding(algorithm, p, found, ridge)[fine]
    error = (answers - found.predictions[1:]).abs().amax((0, 2))[fine]
    assert bool((error <= 30 * lost + 1e-14).all()), (error, lost)
    assert float(lost.median()) < 1e-12
    assert float(found.predictions[1].abs().max()) > 0.3


def rounding(algorithm: GLMNewton, p: Prompts, found: Iterates, ridge: float) -> Tensor:
    """By prompt, how far the algorithm's answers move when the inputs are given in another basis: that is rounding only.

    Few examples make ill-conditioned systems, on which the last steps of conjugate gradient lose many digits; separable
    labels, which have no solution, more with every step.
    """
    bases = torch.linalg.qr(torch.randn(4, p.dim, p.dim, generator=generator(0, "bases"), dtype=torch.float64))[0]
    turned = (dataclasses.replace(p, xs=p.xs @ basis, queries=p.queries @ basis) for basis in bases)
    steps = len(found.predictions) - 1
    moved = [ms.run(algorithm, other, steps=steps, ridge=ridge).predictions - found.predictions for other in turned]
    return torch.stack(moved).abs().amax((0, 1, 3))


@families
def test_within_a_step_the_answer_is_that_of_fewer_inner_iterations(family: GlmFamily) -> None:
    p, inner = draw(family), 4
    answers = path(glm_newton(steps=2, inner=inner, family=family), p)
    per = 1 + 2 * inner
    for done in range(inner + 1):  # in the first step
        expected = 0 * answers[0]
        if done:
            expected = ms.run(GLMNewton(family=family, inner=done), p, steps=1, ridge=1.0).predictions[1]
        torch.testing.assert_close(answers[2 * done], expected, rtol=0, atol=1e-12)
    assert torch.equal(answers[per], answers[per - 1])  # a step begins without moving the answer


@families
def test_the_channels_hold_what_they_say(family: GlmFamily) -> None:
    p, ridge, inner = draw(family), 0.7, 3
    construction = glm_newton(steps=3, inner=inner, ridge=ridge, family=family)
    trace = construction.trace(p, capture=construction.path)
    weights = ms.run(GLMNewton(family=family, inner=inner), p, steps=3, ridge=ridge).weights
    assert weights is not None
    tokens = torch.cat([p.xs, p.queries], 1)
    for step in range(3):
        begun = construction.channels(5).split(trace[construction.path[step * construction.layers_per_step]])
        at = {name: value[..., 0] for name, value in begun.items() if name != "x"}
        eta = (tokens @ weights[step, ..., None])[..., 0]
        torch.testing.assert_close(at["answer"], eta, rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(at["curvature"], variance(family, eta), rtol=1e-9, atol=1e-11)
        w = torch.einsum("bnd,bn->bd", p.xs, at["coefficient"][:, :40]) / 40
        torch.testing.assert_close(w, weights[step], rtol=1e-9, atol=1e-11)
        descent = torch.einsum("bnd,bn->bd", p.xs, p.ys - mean(family, eta[:, :40])) / 40 - ridge / 40 * weights[step]
        r = torch.einsum("bnd,bn->bd", p.xs, at["residual"][:, :40]) / 40
        torch.testing.assert_close(r, descent, rtol=1e-8, atol=1e-11)
        for name in ("residual", "coefficient", "mixture"):
            assert not at[name][:, 40:].any()  # queries are learnt from by nobody
        pushed = construction.channels(5).split(trace[construction.path[step * construction.layers_per_step + 1]])
        u = (tokens @ r[..., None])[..., 0]
        torch.testing.assert_close(pushed["pushed"][..., 0], u, rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(pushed["weighted_pushed"][..., 0], u * at["curvature"], rtol=1e-9, atol=1e-12)


@families
def test_every_head_matters(family: GlmFamily) -> None:
    p, construction = draw(family, dim=3), glm_newton(steps=2, inner=3, family=family)
    right, network = construction.trace(p).predictions, construction.build(3)
    seen = {}
    for i in (1, 3, 4):  # the kernel, twice; the five inner products, where there is a last direction
        for j in range(len(network.layers[i].heads)):
            layers, heads = list(network.layers), list(network.layers[i].heads)
            heads[j] = dataclasses.replace(heads[j], out=1.01 * heads[j].out)
            layers[i] = dataclasses.replace(layers[i], heads=tuple(heads))
            wrong = dataclasses.replace(network, layers=tuple(layers))
            changed = dataclasses.replace(construction, build=lambda _, wrong=wrong: wrong)
            seen[i, j] = float((changed.trace(p).predictions - right).abs().max())
    assert len(seen) == 7
    assert min(seen.values()) > 1e-7, seen


def test_it_converges_to_the_solution_and_stays() -> None:
    p = draw("logistic")
    solution = ms.run(GLMNewton(ridge=1.0), p, steps=30).predictions[-1]
    answers = every_step(glm_newton(steps=10, inner=8), p)
    torch.testing.assert_close(answers[-1], solution, rtol=0, atol=1e-12)
    torch.testing.assert_close(answers[-2], solution, rtol=0, atol=1e-12)
    assert float((answers[0] - solution).abs().max()) > 1e-2


def test_it_says_what_it_is() -> None:
    construction = glm_newton(steps=2, inner=3, family="poisson")
    assert construction.layers == 2 * 7 == len(construction.build(4).layers)
    assert construction.layers_per_step == 7
    assert "derivative" in construction.not_attention
    assert construction.task == GeneralisedLinearRegression(family="poisson")
    assert construction.spec["task"]["type"] == "GeneralisedLinearRegression"  # type: ignore[index]
    assert set(construction.build(4).embed) <= set(construction.channels(4).sizes)
    blank = construction.reinitialised(0)
    assert bool(blank.trace(draw("poisson")).predictions.isfinite().all())


def test_several_outputs_are_as_many_regressions() -> None:
    p, plain = draw("logistic"), glm_newton(steps=2, inner=3)
    ys = torch.stack([p.ys, 1 - p.ys.roll(1, 1)], -1)
    together = answer_outputs(several_outputs(plain, 2), p.xs, ys, p.queries)
    alone = [plain.trace(dataclasses.replace(p, ys=ys[..., k])).predictions for k in range(2)]
    torch.testing.assert_close(together, torch.stack(alone, -1), rtol=0, atol=1e-12)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, r"steps must be a whole number of at least 1; got 0"),
        ({"inner": 0}, r"inner must be a whole number of at least 1; got 0"),
        ({"steps": 100}, r"steps times \(1 \+ 2 inner\) must be at most 1000; got 1100"),
        ({"ridge": -0.1}, r"ridge must be finite and at least 0; got -0\.1"),
        ({"family": "probit"}, r"family must be one of 'logistic', 'poisson'; got 'probit'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        glm_newton(**options)

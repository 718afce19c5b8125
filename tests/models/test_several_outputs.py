"""Several outputs: one network of m regressions answers what m networks of one regression would."""

import dataclasses
from collections.abc import Callable

import pytest
import torch

import mesascope as ms
from mesascope.instruments.identification import identify_path
from mesascope.models import constructions as c
from mesascope.models.constructions import Construction, answer_outputs, several_outputs
from mesascope.models.constructions.ordinary import as_transformer
from mesascope.types import Prompts, Site

MAKES: tuple[Callable[[], Construction], ...] = (
    c.gradient_descent,
    c.heavy_ball,
    c.nesterov,
    c.chebyshev_iteration,
    c.preconditioned_gradient_descent,
    c.ridge_gradient_descent,
    c.gd_plus_plus,
    c.newton_schulz,
    c.kernel_gradient_descent,
    c.spaced_gradient_descent,
    c.conjugate_gradient,
    lambda: c.data_space_conjugate_gradient(ridge=0.5),
    c.preconditioned_conjugate_gradient,
    c.primal_conjugate_gradient,
    c.pipelined_conjugate_gradient,
)
makes = pytest.mark.parametrize("make", MAKES)


def draw() -> Prompts:
    return ms.tasks.LinearRegression(dim=4, examples=12, queries=3, noise=0.3).sample(8, seed=0)


def labels(p: Prompts, outputs: int) -> torch.Tensor:
    """The prompt's own labels, then labels of other scales, noise and all."""
    other = torch.randn(*p.ys.shape, outputs - 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return torch.cat([p.ys[..., None], other * torch.logspace(-1, 1, outputs - 1).double()], -1)


@makes
def test_all_outputs_answer_as_many_networks_of_one_would(make: Callable[[], Construction]) -> None:
    p, plain = draw(), make()
    ys = labels(p, 3)
    together = answer_outputs(several_outputs(plain, 3), p.xs, ys, p.queries)
    alone = [plain.trace(dataclasses.replace(p, ys=ys[..., k])).predictions for k in range(3)]
    torch.testing.assert_close(together, torch.stack(alone, -1), rtol=1e-12, atol=1e-12)
    assert float((together[..., 0] - together[..., 1]).abs().max()) > 0.1


@makes
def test_as_a_subject_the_first_output_is_asked_and_the_others_solve_their_own(
    make: Callable[[], Construction],
) -> None:
    p, plain, outputs = draw(), make(), 3
    construction = several_outputs(plain, outputs, seed=5)
    others = construction.build(p.dim).others
    assert others is not None
    assert others.shape == (2, p.dim)
    a, b = (subject.trace(p, capture=subject.path) for subject in (plain, construction))
    torch.testing.assert_close(b.predictions, a.predictions, rtol=1e-12, atol=1e-12)
    narrow, wide = plain.channels(p.dim), construction.channels(p.dim)
    solved = [plain.trace(dataclasses.replace(p, ys=p.xs @ w), capture=plain.path) for w in others]
    for site in plain.path[:3]:  # before the solution, past which there is only rounding to compare
        held, first = wide.split(b[site][:, p.examples :]), narrow.split(a[site][:, p.examples :])
        for k, trace in enumerate(solved, 2):
            for name, value in narrow.split(trace[site][:, p.examples :]).items():
                torch.testing.assert_close(held[name], first[name], rtol=1e-12, atol=1e-12)
                torch.testing.assert_close(held.get(f"{name} {k}", held[name]), value, rtol=1e-12, atol=1e-12)
    for site in plain.path:
        answers = construction.readout(b[site][:, p.examples :], site)
        torch.testing.assert_close(answers, plain.readout(a[site][:, p.examples :], site), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "shared"),
    [
        (c.gradient_descent, {"x"}),
        (c.gd_plus_plus, {"x"}),
        (c.newton_schulz, {"x", "one", "z"}),
        (c.heavy_ball, {"x", "one"}),
        (c.ridge_gradient_descent, {"x", "one", "1/n"}),
        (c.conjugate_gradient, {"x", "example", "one"}),
        (c.primal_conjugate_gradient, {"x", "one"}),
    ],
)
def test_what_does_not_depend_on_labels_is_there_once(make: Callable[[], Construction], shared: set[str]) -> None:
    plain = make()
    names = set(several_outputs(plain, 2).channels(4).sizes)
    assert {name for name in plain.channels(4).sizes if f"{name} 2" not in names} == shared
    heads = [len(built.build(4).layers[0].heads) for built in (several_outputs(plain, m) for m in (1, 2, 3))]
    once = {"gd-plus-plus": 1, "newton-schulz": 5}.get(plain.name, 0)  # the heads that move the inputs
    assert [count - once for count in heads] == [m * (heads[0] - once) for m in (1, 2, 3)]


def test_the_other_regressions_come_from_the_seed_one_by_one() -> None:
    def others(outputs: int, seed: int) -> torch.Tensor:
        found = several_outputs(c.gradient_descent(), outputs, seed).build(5).others
        assert found is not None
        return found

    assert torch.equal(others(3, 0), others(4, 0)[:2])
    assert not torch.equal(others(3, 0), others(3, 1))
    assert others(1, 0).shape == (0, 5)
    assert float(others(100, 0).square().sum(-1).mean()) == pytest.approx(1.0, abs=0.3)


def test_one_output_is_the_construction_itself() -> None:
    p = draw()
    for make in (c.conjugate_gradient, c.heavy_ball):
        assert torch.equal(several_outputs(make(), 1).trace(p).predictions, make().trace(p).predictions)
        answers = answer_outputs(make(), p.xs, p.ys[..., None], p.queries)
        assert torch.equal(answers[..., 0], make().trace(p).predictions)


def test_clearing_one_outputs_residual_leaves_the_others_alone() -> None:
    p, construction = draw(), several_outputs(c.gradient_descent(), 2)
    where = construction.channels(p.dim).slices

    def cleared(name: str) -> torch.Tensor:
        def edit(stream: torch.Tensor) -> torch.Tensor:
            stream = stream.clone()
            stream[..., where[name]] = 0
            return stream

        site = Site(layer=0, kind="resid_pre")
        return construction.trace(p, interventions=[ms.Intervention(site=site, edit=edit)]).predictions

    assert torch.equal(cleared("label 2"), construction.trace(p).predictions)
    assert not cleared("label").any()


def test_its_weights_hold_every_outputs_label() -> None:
    construction, p = several_outputs(c.conjugate_gradient(iterations=2), 3), draw()
    network, state = construction.build(p.dim), construction.state_dict(p.dim)
    assert state["embed"].shape == (network.channels.width, p.dim + 4 + 2)
    assert state["embed"][network.channels.slices["residual 3"]].nonzero().tolist() == [[0, p.dim + 5]]
    back = dataclasses.replace(construction, build=lambda _: network.with_weights(state))
    assert torch.equal(back.trace(p).predictions, construction.trace(p).predictions)


@pytest.mark.parametrize(("name", "depth"), [("gradient-descent", "layers=4"), ("conjugate-gradient", "iterations=3")])
def test_its_path_is_still_named(name: str, depth: str) -> None:
    subject = ms.load(f"construction:{name}-several-outputs?outputs=3&{depth}")
    few = ("gradient-descent", "conjugate-gradient", "data-space-conjugate-gradient")
    (found,) = identify_path(subject, ms.tasks.LinearRegression(), seed=0, algorithms=few, prompts=40)
    assert (found.label, found.algorithms, found.readout) == ("identified", (name,), "own")
    assert found.scores[0].score == pytest.approx(1, abs=1e-6)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("fails", "message"),
    [
        (lambda p: several_outputs(c.gradient_descent(), 0), r"outputs must be a whole number of at least 1; got 0"),
        (lambda p: several_outputs(c.gradient_descent(), 101), r"outputs must be at most 100; got 101"),
        (
            lambda p: several_outputs(several_outputs(c.gradient_descent(), 2), 2),
            r"construction must have one output; gradient-descent has several already",
        ),
        (
            lambda p: answer_outputs(several_outputs(c.gradient_descent(), 3), p.xs, p.ys[..., None], p.queries),
            r"ys must have one label for each of the 3 outputs; got 1 per example",
        ),
        (
            lambda p: as_transformer(several_outputs(c.gradient_descent(), 2), 4, 12),
            r"construction must see all examples, have linear scores and start from x, the label",
        ),
    ],
)
def test_what_cannot_be_built_or_asked_is_refused(fails: Callable[[Prompts], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fails(draw())

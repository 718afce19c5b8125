"""Where a system is singular, what comes after the end of an iteration is rounding, and must not be answered."""

import dataclasses

import pytest
import torch
from torch import Tensor

from mesascope.algorithms import (
    Algorithm,
    ConjugateGradient,
    DataSpaceConjugateGradient,
    NewtonSchulz,
    PreconditionedConjugateGradient,
    Problem,
    run,
)
from mesascope.algorithms.rounding import curvature_is_rounding, rank, residual_is_rounding
from mesascope.types import Prompts, Status

OK, SOLVED, BREAKDOWN, _ = (int(s) for s in Status)
DIM = 5
MATRIX = torch.diag(torch.linspace(1, 3, DIM, dtype=torch.float64))
MEMBERS: tuple[Algorithm, ...] = (
    ConjugateGradient(),
    PreconditionedConjugateGradient(),
    PreconditionedConjugateGradient(preconditioner=MATRIX),
    DataSpaceConjugateGradient(),
    NewtonSchulz(),
)
EPS = torch.finfo(torch.float64).eps


def singular(make, kind: str) -> Prompts:
    """Prompts whose XᵀX has rank 3 of 5, and labels that are linear in the inputs."""
    p = make(batch=60, examples=3 if kind == "few" else 9, dim=DIM, noise=0.0)
    xs = p.xs.clone()
    if kind == "repeated":
        xs = xs[:, [0, 1, 2] * 3]
    if kind == "in a plane":
        xs[..., 3:] = xs[..., :2] - xs[..., 1:3]
    return dataclasses.replace(p, xs=xs, ys=(xs @ p.weights[..., None])[..., 0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", ["few", "repeated", "in a plane"])
@pytest.mark.parametrize("member", MEMBERS, ids=lambda m: f"{m.name} {type(getattr(m, 'preconditioner', '')).__name__}")
def test_on_a_singular_system_the_solution_is_held_in_any_units(make, member, kind, dtype):
    p = singular(make, kind)
    eigenvalues = torch.linalg.eigvalsh(p.xs.mT @ p.xs)
    mild = eigenvalues[:, -1] < 50 * eigenvalues[:, 2]
    assert mild.sum() >= 30
    fitted = []
    for inputs, labels in ((1.0, 1.0), (1e-3, 1e3), (1e3, 1e-3)):
        xs, ys = p.xs * inputs, p.ys * labels
        path = run(member, dataclasses.replace(p, xs=xs, ys=ys).to(dtype=dtype), 60)
        assert path.weights is not None
        assert (path.status[mild] == SOLVED).all()
        assert (path.stopped_at[mild] <= (30 if isinstance(member, NewtonSchulz) else 6)).all()
        held = path.weights[-1].double()
        for k in (30, 45):
            assert torch.equal(path.weights[k].double()[mild], held[mild])
        error = ((xs @ held[..., None])[..., 0] - ys).norm(dim=-1) / ys.norm(dim=-1)
        assert float(error[mild].max()) < 1e3 * torch.finfo(dtype).eps
        fitted.append(held[mild] * inputs / labels)
    size = fitted[0].norm(dim=-1, keepdim=True)
    for other in fitted[1:]:
        assert float(((other - fitted[0]) / size).abs().max()) < 1e4 * torch.finfo(dtype).eps
    if not isinstance(member, PreconditionedConjugateGradient):  # which ends at another solution
        least = (torch.linalg.pinv(p.xs) @ p.ys[..., None])[mild, :, 0]
        assert float(((fitted[0] - least) / size).abs().max()) < 1e4 * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_system_without_a_solution_is_a_breakdown_and_not_an_excursion(dtype, scale):
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(40, 6, 6, generator=generator, dtype=torch.float64)).Q
    gram = basis @ torch.diag(torch.tensor([0.0, 0.0, 1.0, 2.0, 3.0, 5.0], dtype=torch.float64)) @ basis.mT
    moment = torch.randn(40, 6, generator=generator, dtype=torch.float64)
    problem = Problem.from_gram((scale * (gram + gram.mT) / 2).to(dtype), (moment / scale).to(dtype))
    free = textbook(problem, 12)
    for member in (ConjugateGradient(), PreconditionedConjugateGradient(preconditioner=torch.eye(6))):
        path = run(member, problem, 12)
        assert path.weights is not None
        assert (path.status == BREAKDOWN).all() and (path.stopped_at <= 7).all()
        last = free.gather(0, (path.stopped_at - 1)[None, :, None].expand(1, -1, 6))[0]
        torch.testing.assert_close(path.weights[-1], last)
        assert float((free[-1].norm(dim=-1) / last.norm(dim=-1)).median()) > 1e3


def test_with_label_noise_data_space_conjugate_gradients_end_where_the_curvature_does(make):
    path = run(DataSpaceConjugateGradient(), make(batch=50, noise=1.0), 40)
    assert (path.status == BREAKDOWN).all() and (path.stopped_at <= 6).all()


def textbook(problem: Problem, steps: int) -> Tensor:
    """Conjugate gradients that never look at rounding: (step, batch, dim)."""
    x, r = torch.zeros_like(problem.moment), problem.moment
    p, energy, path = r, torch.linalg.vecdot(r, r), [x]
    for _ in range(steps):
        image = problem.apply(p)
        length = (energy / torch.linalg.vecdot(p, image))[:, None]
        x, r = torch.addcmul(x, length, p), torch.addcmul(r, length, image, value=-1)
        last, energy = energy, torch.linalg.vecdot(r, r)
        p = torch.addcmul(r, (energy / last)[:, None], p)
        path.append(x)
    return torch.stack(path)


@pytest.mark.parametrize(
    ("kappa", "dim", "steps"), [(1e2, 5, 14), (1e4, 5, 18), (1e6, 5, 26), (1e8, 5, 40), (1e8, 20, 300)]
)
def test_a_healthy_system_is_not_stopped_before_its_end(kappa, dim, steps):
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(50, dim, dim, generator=generator, dtype=torch.float64)).Q
    values = kappa ** -torch.linspace(0, 1, dim, dtype=torch.float64)
    gram = basis @ torch.diag(values) @ basis.mT
    gram = (gram + gram.mT) / 2
    solution = torch.randn(50, dim, generator=generator, dtype=torch.float64)
    problem = Problem.from_gram(gram, (gram @ solution[..., None])[..., 0])
    path, free = run(ConjugateGradient(), problem, steps), textbook(problem, steps)
    assert path.weights is not None
    assert (path.status == SOLVED).all() and (path.stopped_at >= dim).all()
    running = torch.arange(steps + 1)[:, None] <= path.stopped_at
    assert torch.equal(path.weights[running], free[running])
    # What going on would still change is what rounding the system itself changes.
    moved = (path.weights[-1] - free[-1]).norm(dim=-1) / free[-1].norm(dim=-1)
    assert float(moved.max()) < kappa * EPS
    lost, least = ((w - solution).norm(dim=-1).mean() for w in (path.weights[-1], free[-1]))
    assert float(lost) < 1.5 * float(least)


@pytest.mark.parametrize("scales", [(1.0, 1e-2, 1e-4), (1e3, 1.0, 1e-3)])
def test_coordinates_in_units_of_their_own_cost_jacobi_no_digits(make, scales):
    p = make(batch=50, dim=3, noise=0.0)
    xs = p.xs * torch.tensor(scales, dtype=torch.float64)
    path = run(PreconditionedConjugateGradient(), dataclasses.replace(p, xs=xs), 12)
    assert path.weights is not None and (path.status == SOLVED).all()
    found = path.weights[-1] * torch.tensor(scales, dtype=torch.float64)
    torch.testing.assert_close(found, p.weights, rtol=0, atol=1e-12)


def test_the_bounds_hold_for_any_scale_and_nothing_beyond_them_does():
    ones = torch.ones(3, dtype=torch.float64)
    for scale in (1e-100, 1.0, 1e100):
        at = torch.tensor([0.9, 1.1, 1e6], dtype=torch.float64) * 5 * EPS * scale
        assert residual_is_rounding(at, 2 * scale * ones, 3 * scale * ones).tolist() == [True, False, False]
        assert curvature_is_rounding(at, scale * ones, 5 * ones).tolist() == [True, False, False]
    assert not residual_is_rounding(ones, ones, ones * torch.inf).any()
    assert curvature_is_rounding(-ones, ones, ones).all()


def test_the_rank_is_that_of_torch(make):
    for kind, expected in (("few", 3), ("repeated", 3), ("in a plane", 3)):
        for scale in (1e-6, 1.0, 1e6):
            xs = scale * singular(make, kind).xs
            gram = xs.mT @ xs / xs.shape[1]
            found = rank(torch.linalg.eigvalsh(gram), xs.shape[1])
            assert torch.equal(found, torch.linalg.matrix_rank(gram, hermitian=True))
            assert (found == expected).all()
    assert rank(torch.zeros(2, 3)).tolist() == [0, 0]

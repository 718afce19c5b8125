"""What each algorithm says it implies is what it has: no more, no less."""

import dataclasses

import pytest
import torch

from mesascope.algorithms import (
    ALL,
    RBF,
    ChebyshevIteration,
    DataSpaceConjugateGradient,
    GradientDescent,
    HeavyBall,
    KernelRidge,
    NadarayaWatson,
    Nesterov,
    NewtonSchulz,
    PreconditionedConjugateGradient,
    PreconditionedGradientDescent,
    run,
)

MATRIX = torch.diag(torch.tensor([0.2, 1.0, 0.5, 0.3], dtype=torch.float64))
VARIANTS = (
    GradientDescent(step_size=0.1),
    HeavyBall(step_size=0.1, momentum=0.3),
    Nesterov(step_size=0.1, momentum=0.3),
    ChebyshevIteration(bounds=(0.1, 4.0)),
    NewtonSchulz(start="identity"),
    NewtonSchulz(scale=0.01),
    NewtonSchulz(scale="frobenius"),
    NewtonSchulz(start="identity", scale="trace"),
    PreconditionedGradientDescent(step_size=0.1, preconditioner=MATRIX),
    PreconditionedConjugateGradient(preconditioner=MATRIX),
    DataSpaceConjugateGradient(ridge=1.0),
    NadarayaWatson(kernel=RBF()),
    KernelRidge(ridge=0.01),
)


def gaps(algorithm, prompts):
    """How far, at the worst, each symmetry is broken over three steps."""
    generator = torch.Generator().manual_seed(1)

    def answers(changed):
        return run(algorithm, changed, 3, ridge=0.1).predictions

    def labelled(ys):
        return dataclasses.replace(prompts, ys=ys)

    other = torch.randn(prompts.ys.shape, generator=generator, dtype=torch.float64)
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=generator, dtype=torch.float64)).Q
    rotated = dataclasses.replace(prompts, xs=prompts.xs @ rotation, queries=prompts.queries @ rotation)
    order = torch.arange(12).roll(5)
    reordered = dataclasses.replace(prompts, xs=prompts.xs[:, order], ys=prompts.ys[:, order])
    base = answers(prompts)
    broken = {
        "additive": answers(labelled(prompts.ys + other)) - base - answers(labelled(other)),
        "homogeneous": answers(labelled(-3 * prompts.ys)) + 3 * base,
        "rotation": answers(rotated) - base,
        "permutation": answers(reordered) - base,
    }
    return {name: float(gap.abs().max()) for name, gap in broken.items()}


@pytest.mark.parametrize("algorithm", [*(member() for member in ALL), *VARIANTS], ids=lambda a: a.name)
def test_what_is_implied_holds_and_what_is_not_is_truly_broken(make, algorithm):
    for name, gap in gaps(algorithm, make(noise=1.0)).items():
        if name in algorithm.implies:
            assert gap < 1e-10, f"{name} is implied, and broken by {gap}"
        else:
            assert gap > 1e-2, f"{name} is not implied, and holds to {gap}"

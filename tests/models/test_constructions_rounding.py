"""Past the end of its iteration a hand-built network holds what its algorithm holds, also where the system is singular."""

import dataclasses
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import mesascope as ms
from mesascope.models.constructions import (
    Construction,
    conjugate_gradient,
    data_space_conjugate_gradient,
    pipelined_conjugate_gradient,
    preconditioned_conjugate_gradient,
    primal_conjugate_gradient,
)
from mesascope.types import Prompts, Status

STEPS = 10
NETWORKS: dict[str, tuple[Callable[..., Construction], float]] = {
    "conjugate gradient": (conjugate_gradient, 1e-8),
    "preconditioned": (preconditioned_conjugate_gradient, 1e-8),
    "data space": (data_space_conjugate_gradient, 1e-8),
    "primal": (primal_conjugate_gradient, 1e-8),
    "pipelined": (pipelined_conjugate_gradient, 1e-6),  # its recurrence ends 1e-10 below its start
}


def draw(kind: str) -> Prompts:
    examples = {"one example": 1, "three examples": 3, "four noisy examples": 4}.get(kind, 8)
    noise = 0.5 if "noisy" in kind else 0.0
    p = ms.tasks.LinearRegression(dim=5, examples=examples, queries=3, noise=noise).sample(100, seed=0)
    if "repeated" in kind:
        order = [0, 1, 2, 0, 1, 2, 0, 1]
        p = dataclasses.replace(p, xs=p.xs[:, order], ys=p.ys[:, order])
    return p


def every_step(network: Construction, p: Prompts) -> Tensor:
    """The network's own readout after each step of its algorithm: (step, batch, query)."""
    trace = network.trace(p, capture=network.path)
    path = torch.stack([network.readout(trace[site][:, p.examples :], site) for site in network.path])
    return path[network.layers_to_start + network.layers_per_step - 1 :: network.layers_per_step]


@pytest.mark.parametrize("kind", ["one example", "three examples", "four noisy examples", "three repeated, noisy"])
@pytest.mark.parametrize("name", NETWORKS)
def test_it_holds_what_its_algorithm_holds(name: str, kind: str) -> None:
    make, tolerance = NETWORKS[name]
    p, network = draw(kind), make(iterations=STEPS)
    assert network.holds is not None
    expected = ms.run(network.holds.algorithm(5), p, steps=STEPS)
    size = expected.predictions.abs().amax((0, 2))[:, None]
    difference = (every_step(network, p) - expected.predictions[1:]).abs() / size
    assert float(difference.max()) < tolerance
    assert (expected.status == Status.SOLVED).all()
    assert (expected.stopped_at <= 7).all()

"""Muon is torch's, whether products are formed in bfloat16 or in float32."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mesascope.training import muon
from mesascope.training.muon import Muon, orthogonal

SHAPES = ((8, 5), (5, 8), (6, 6), (8, 5))
"""Of matrices: tall, wide, square, and one that is alike."""


@pytest.fixture(params=[True, False], ids=["bfloat16", "float32"], autouse=True)
def products(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the products are formed in, whatever this machine has."""
    monkeypatch.setattr(muon, "multiplies_bfloat16", lambda device: request.param)


@pytest.mark.parametrize("shape", SHAPES[:3])
def test_the_factor_is_torchs(shape: tuple[int, int]) -> None:
    from torch.optim._muon import _zeropower_via_newtonschulz as theirs

    matrices = torch.randn((3, *shape), generator=torch.Generator().manual_seed(0))
    alone = torch.stack([theirs(m, (3.4445, -4.775, 2.0315), 5, 1e-7) for m in matrices])
    found = orthogonal(matrices)
    assert found.dtype == torch.bfloat16
    assert torch.allclose(found.float(), alone.float(), atol=0.02)


def test_a_matrix_of_zeros_stays() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 4, 3)), torch.zeros(1, 4, 3, dtype=torch.bfloat16))


def test_steps_are_torchs() -> None:
    def trained(kind: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> tuple[list[Tensor], dict[int, Any]]:
        draw = torch.Generator().manual_seed(0)
        parameters = [nn.Parameter(torch.randn(shape, generator=draw)) for shape in (*SHAPES, (3, 3))]
        optimiser = kind(parameters)
        for _ in range(4):
            for p in parameters[:-1]:  # the last has no gradient, and stays
                p.grad = torch.randn(p.shape, generator=draw)
            optimiser.step()
        return [p.detach() for p in parameters], optimiser.state_dict()["state"]

    ours, own = trained(lambda given: Muon(given, rate=0.01, decay=0.1))
    theirs, reference = trained(
        lambda given: torch.optim.Muon(given, lr=0.01, weight_decay=0.1, adjust_lr_fn="match_rms_adamw")
    )
    for mine, other in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, other, atol=4 * 0.01 * 0.02)  # four steps, each of a factor that bfloat16 rounds
    assert own.keys() == reference.keys() == {0, 1, 2, 3}
    assert all(torch.equal(own[i]["momentum_buffer"], reference[i]["momentum_buffer"]) for i in own)

"""Networks that are attention alone run in the ordinary transformer, on the same weights."""

from collections.abc import Callable

import pytest
import torch

import mesascope as ms
from mesascope.models.constructions import Construction, conjugate_gradient, gradient_descent
from mesascope.models.constructions.chebyshev import chebyshev_iteration
from mesascope.models.constructions.gd_plus_plus import gd_plus_plus
from mesascope.models.constructions.heavy_ball import heavy_ball
from mesascope.models.constructions.kernel_gradient_descent import kernel_gradient_descent
from mesascope.models.constructions.newton_schulz import newton_schulz
from mesascope.models.constructions.ordinary import as_transformer
from mesascope.models.constructions.preconditioned_gradient_descent import preconditioned_gradient_descent
from mesascope.models.constructions.ridge_gradient_descent import ridge_gradient_descent
from mesascope.models.constructions.spaced import spaced_gradient_descent
from mesascope.types import Site

ATTENTION = (
    gradient_descent,
    heavy_ball,
    chebyshev_iteration,
    preconditioned_gradient_descent,
    gd_plus_plus,
    newton_schulz,
    ridge_gradient_descent,
    spaced_gradient_descent,
)


@pytest.mark.parametrize("make", ATTENTION)
@pytest.mark.parametrize(("dim", "examples"), [(1, 3), (5, 20)])
def test_the_transformer_computes_the_same(make: Callable[[], Construction], dim: int, examples: int) -> None:
    construction = make()
    p = ms.tasks.LinearRegression(dim=dim, examples=examples, queries=3, noise=0.2).sample(16, seed=0)
    transformer = as_transformer(construction, dim, examples)
    wanted = construction.trace(p, capture=construction.path)
    width, streams = construction.channels(dim).width, {}

    def touch(site: Site, value: torch.Tensor) -> torch.Tensor:
        streams[site] = value
        return value

    with torch.no_grad():
        answers = transformer(p.xs, p.ys, p.queries)
        transformer(p.xs, p.ys, p.queries, touch=touch)
    torch.testing.assert_close(answers, wanted.predictions, rtol=1e-10, atol=1e-10)
    assert float(wanted.predictions.abs().max()) > 0.1
    for site in construction.path:
        torch.testing.assert_close(streams[site][..., :width], wanted[site], rtol=1e-10, atol=1e-10)


def test_a_changed_weight_changes_the_answers() -> None:
    p = ms.tasks.LinearRegression().sample(4, seed=0)
    transformer = as_transformer(gradient_descent(), 5, 20)
    with torch.no_grad():
        transformer.blocks[0].get_parameter("attention.out.weight").mul_(-1)
        difference = (transformer(p.xs, p.ys, p.queries) - gradient_descent().trace(p).predictions).abs().max()
    assert float(difference) > 1e-2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (conjugate_gradient, r"construction must have only attention; conjugate-gradient also has two divisions"),
        (
            kernel_gradient_descent,
            r"construction must see all examples, have linear scores .*kernel-gradient-descent does",
        ),
    ],
)
def test_what_no_transformer_can_run_is_refused(make: Callable[[], Construction], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        as_transformer(make(), 5, 20)

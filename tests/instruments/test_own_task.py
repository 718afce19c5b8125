"""Tasks of a user's own: what can be said of them is said, and what needs more is left out with its reason."""

from dataclasses import dataclass

import pytest
import torch

import mesascope as ms
from mesascope.instruments import NotApplicable, memorisation, patching, probes, spectrum, stress
from mesascope.instruments.identification import identify_path
from mesascope.instruments.identification.power import prompts_needed
from mesascope.instruments.invariance import invariances
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.seeds import generator
from mesascope.tasks import GeneralisedLinearRegression, LinearRegression
from mesascope.testing import check_task
from mesascope.types import LinearTask, PrescribableTask, Prompts, Task

CHUNK = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Sparse:
    """y = wᵀx, w with few coordinates that are not zero. The README's."""

    dim: int = 5
    examples: int = 20
    queries: int = 1
    nonzero: int = 2
    noise: float = 0.0

    @property
    def weight_variance(self) -> float:
        return self.nonzero / self.dim

    def sample(self, n, *, seed, stream="sample", start=0, dtype=torch.float64):
        drawn = [self._chunk(generator(seed, stream, c)) for c in range(start // CHUNK, (start + n - 1) // CHUNK + 1)]
        x, w = (torch.cat(parts)[start % CHUNK :][:n] for parts in zip(*drawn, strict=True))
        y = (x @ w[..., None])[..., 0]
        return Prompts(
            xs=x[:, : self.examples],
            ys=y[:, : self.examples],
            queries=x[:, self.examples :],
            targets=y[:, self.examples :],
            target_variance=w.square().sum(-1),
            weights=w,
        ).to(dtype=dtype)

    def _chunk(self, rng):
        x = torch.randn(CHUNK, self.examples + self.queries, self.dim, generator=rng, dtype=torch.float64)
        w = torch.randn(CHUNK, self.dim, generator=rng, dtype=torch.float64)
        order = torch.rand(CHUNK, self.dim, generator=rng).argsort(-1)
        return x, torch.where(order < self.nonzero, w, 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quadratic:
    """y = Σᵢ wᵢ (xᵢ² − 1)/√2: no linear function of x at all."""

    dim: int = 5
    examples: int = 20
    queries: int = 1

    def sample(self, n, *, seed, stream="sample", start=0, dtype=torch.float64):
        p = LinearRegression(dim=self.dim, examples=self.examples, queries=self.queries).sample(
            n, seed=seed, stream=stream, start=start
        )
        y, targets = ((x.square() - 1) @ p.weights[..., None] / 2**0.5 for x in (p.xs, p.queries))
        return Prompts(
            xs=p.xs,
            ys=y[..., 0],
            queries=p.queries,
            targets=targets[..., 0],
            target_variance=p.weights.square().sum(-1),
        ).to(dtype=dtype)


TASKS = {"sparse": Sparse(), "quadratic": Quadratic()}


@pytest.mark.parametrize("name", TASKS)
def test_they_keep_the_protocol(name):
    assert isinstance(TASKS[name], Task)
    assert not isinstance(TASKS[name], PrescribableTask)
    assert isinstance(TASKS[name], LinearTask) == (name == "sparse")
    check_task(TASKS[name])


@pytest.mark.parametrize(
    ("task", "build"),
    [(TASKS["sparse"], conjugate_gradient), (TASKS["quadratic"], lambda: gradient_descent(layers=3))],
    ids=TASKS,
)
def test_the_verdict_rests_on_training_and_says_so(task, build):
    built = build()
    verdict = ms.identify(built, task, prompts=60, algorithms=["gd", "cg", "newton"])
    assert (verdict.basis, verdict.discriminating) == ("training", None)
    assert verdict.label == "identified"
    assert verdict.algorithms == (built.algorithm,)
    assert f"rests on the training distribution alone: {type(task).__name__} is no linear task" in verdict.reason
    found = {m.coordinates["invariance"] for m in verdict.invariances}
    assert ("additive" in found) == isinstance(task, LinearTask)
    assert {"homogeneous", "rotation", "permutation"} <= found
    [answer] = identify_path(built, task, prompts=60, algorithms=["gd", "cg", "newton"])
    assert answer.algorithms == verdict.algorithms


def test_what_needs_a_linear_task_is_skipped_with_its_reason():
    record = ms.examine(gradient_descent(layers=2), Quadratic(), profile="smoke")
    assert set(record.skipped) == {"spectrum", "patching", "attention", "stress", "metrics"}
    for name in ("spectrum", "stress"):
        assert "Quadratic has no noise, no weight_variance, no inputs, no query_inputs" in record.skipped[name]
    assert "no latent weights" in record.skipped["patching"]
    assert "a gradient step does not help" in record.skipped["metrics"]
    seen = {m.instrument for m in record.measurements}
    assert {"readout", "probes", "causal", "ablation", "invariance"} <= seen
    assert {m.coordinates["target"] for m in record.measurements if m.instrument == "probes"} == {"Xᵀy/n", "XᵀX/n"}


def test_a_linear_task_without_a_spectrum_keeps_the_rest():
    record = ms.examine(gradient_descent(layers=2), Sparse(), profile="smoke")
    assert set(record.skipped) == {"spectrum", "attention", "stress"}
    for name in ("spectrum", "stress"):
        assert "Sparse has no inputs, no query_inputs" in record.skipped[name]


@pytest.mark.parametrize(
    "ask",
    [
        lambda s, t: spectrum.spectral_response(s, t, prompts=20),
        lambda s, t: stress.stress(s, t, n=8),
        lambda s, t: patching.patching(s, t, n=8),
        lambda s, t: probes.linear_probes(s, t, fit=8, score=8, targets={"w": probes.TARGETS["w"]}),
        lambda s, t: memorisation.memorisation(s, t, n=8),
        lambda s, t: prompts_needed("cg", "gd", t),
    ],
    ids=["spectrum", "stress", "patching", "the probe for w", "memorisation", "prompts needed"],
)
def test_each_instrument_says_what_it_needs(ask):
    with pytest.raises(NotApplicable, match=r"linear task|no latent weights") as said:
        ask(gradient_descent(layers=2), Quadratic())
    assert "\n" not in str(said.value)


def test_generalised_regression_is_a_task_that_is_not_linear():
    task = GeneralisedLinearRegression()
    assert isinstance(task, Task)
    assert not isinstance(task, LinearTask)
    found = invariances(gradient_descent(layers=2), task, prompts=20)
    assert [m.coordinates["invariance"] for m in found] == ["homogeneous", "rotation", "permutation"]

"""Tasks of a user's own: what can be said of them is said, and what needs more is left out with its reason."""

import dataclasses
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import pytest
import torch

import mesascope as ms
from mesascope import examination
from mesascope.instruments import NotApplicable
from mesascope.instruments.behaving import memorisation, stress
from mesascope.instruments.behaving.invariance import invariances
from mesascope.instruments.identification import identify_path
from mesascope.instruments.identification.power import prompts_needed
from mesascope.instruments.identification.prompts import discriminating
from mesascope.instruments.intervening import patching
from mesascope.instruments.reading import probes
from mesascope.instruments.spectral import spectrum
from mesascope.models.constructions import conjugate_gradient, gradient_descent
from mesascope.models.transformer import TransformerConfig
from mesascope.tasks import GeneralisedLinearRegression, LinearRegression
from mesascope.testing import Violation, check_task
from mesascope.training import Curriculum, TrainingSpec, train
from mesascope.types import Domain, LinearTask, PrescribableTask, Prompts, Task
from mesascope.zoo.references import default_task

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "my_task.py"


def documented() -> ModuleType:
    """The module with a task of a user's own that the documentation shows."""
    module = sys.modules["my_task"] = ModuleType("my_task")
    exec(compile(EXAMPLE.read_text(encoding="utf-8"), str(EXAMPLE), "exec"), vars(module))
    return module


Sparse = documented().Sparse


@dataclass(frozen=True, kw_only=True)
class Known(Sparse):
    """The same, which says that it is linear."""

    noise: float = 0.0

    @property
    def weight_variance(self) -> float:
        return self.nonzero / self.dim


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


TASKS = {"sparse": Sparse(), "known": Known(), "quadratic": Quadratic()}


@pytest.mark.parametrize("name", TASKS)
def test_they_keep_the_protocol(name):
    assert isinstance(TASKS[name], Task)
    assert not isinstance(TASKS[name], PrescribableTask)
    assert isinstance(TASKS[name], LinearTask) == (name == "known")
    check_task(TASKS[name])


@pytest.mark.parametrize(
    ("task", "build"),
    [
        (TASKS["sparse"], conjugate_gradient),
        (TASKS["known"], lambda: gradient_descent(layers=3)),
        (TASKS["quadratic"], lambda: gradient_descent(layers=3)),
    ],
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


@pytest.fixture
def briefly(monkeypatch):
    """An examination without the instruments that take longest, which need no more than the verdict does."""
    kept = tuple(i for i in examination.EXAMINED if i.name not in ("explanation", "path identification"))
    monkeypatch.setattr(examination, "EXAMINED", kept)


@pytest.mark.usefixtures("briefly")
def test_what_needs_a_linear_task_is_skipped_with_its_reason():
    record = ms.examine(gradient_descent(layers=2), Quadratic(), profile="smoke")
    assert set(record.skipped) == {"spectrum", "patching", "attention", "sinks", "stress", "metrics", "over training"}
    for name in ("spectrum", "stress"):
        assert "Quadratic has no noise, no weight_variance, no inputs, no query_inputs" in record.skipped[name]
    assert "no latent weights" in record.skipped["patching"]
    assert "a gradient step does not help" in record.skipped["metrics"]
    seen = {m.instrument for m in record.measurements}
    assert {"readout", "probes", "causal", "ablation", "invariance"} <= seen
    assert {m.coordinates["target"] for m in record.measurements if m.instrument == "probes"} == {"Xᵀy/n", "XᵀX/n"}


@pytest.mark.usefixtures("briefly")
def test_a_linear_task_without_a_spectrum_keeps_the_rest():
    record = ms.examine(gradient_descent(layers=2), Sparse(), profile="smoke")
    assert set(record.skipped) == {"spectrum", "attention", "sinks", "stress", "over training"}
    for name in ("spectrum", "stress"):
        assert "Sparse has no noise, no weight_variance, no inputs, no query_inputs" in record.skipped[name]
    assert "another spectrum" in record.skipped["spectrum"]
    with pytest.raises(NotApplicable, match="Known has no inputs, no query_inputs"):
        stress.stress(gradient_descent(layers=2), Known())


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
    assert [m.coordinates["invariance"] for m in found] == ["rotation", "permutation"]


def test_a_network_is_trained_on_it_and_loaded_again(tmp_path):
    model = TransformerConfig(dim=2, examples=3, layers=1, width=8, heads=2, feedforward=8)
    spec = TrainingSpec(
        name="own", task=Quadratic(dim=2, examples=3), model=model, steps=6, batch=8, checkpoint_every=3
    )
    out = train(spec, tmp_path / "run", progress=False)
    assert train(spec, out, resume=True, progress=False) == out
    loaded = ms.load(str(out))
    assert loaded.spec["task"]["type"] == "Quadratic"
    assert ms.identify(loaded, spec.task, prompts=20, algorithms=["gd"]).basis == "training"
    with pytest.raises(
        ValueError, match=r"was trained on 'Quadratic', which is not a task of mesascope\. State the task"
    ):
        default_task(loaded)
    with pytest.raises(ValueError, match="curriculum needs a linear task"):
        replace(spec, curriculum=Curriculum())


def test_what_is_no_task_cannot_be_trained_on(unchecked):
    with pytest.raises(ValueError, match="task must satisfy the protocol"):
        TrainingSpec(name="none", task=None)


def test_training_on_sparse_weights_can_have_a_curriculum(tmp_path):
    model = TransformerConfig(dim=3, examples=3, layers=1, width=8, heads=2, feedforward=8)
    spec = TrainingSpec(
        name="sparse", task=Known(dim=3, examples=3), model=model, steps=3, batch=8, curriculum=Curriculum(start=2)
    )
    assert (train(spec, tmp_path / "run", progress=False) / "model.json").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: dataclasses.replace(p, weights=2 * p.weights), "away from wᵀx"),
        (lambda p: dataclasses.replace(p, weights=None), "prompts have no weights"),
        (
            lambda p: dataclasses.replace(p, ys=p.ys + 0.3),
            "the labels' noise has standard deviation 0.3, and noise is 0",
        ),
        (
            lambda p: dataclasses.replace(
                p,
                weights=2 * p.weights,
                ys=2 * p.ys,
                targets=2 * p.targets,
                target_variance=4 * p.target_variance,
            ),
            "and weight_variance is 0.4",
        ),
    ],
)
def test_a_task_that_says_wrong_things_of_its_labels_is_told(change, words):
    @dataclass(frozen=True, kw_only=True)
    class Wrong(Known):
        def sample(self, n, **options):
            return change(Known.sample(self, n, **options))

    with pytest.raises(Violation, match="prompts with latent weights w have targets") as told:
        check_task(Wrong())
    assert words in str(told.value)


def test_inputs_that_are_no_distribution_cannot_be_exchanged():
    @dataclass(frozen=True, kw_only=True)
    class Named(Known):
        inputs: str = "normal"
        query_inputs: str | None = None

    with pytest.raises(NotApplicable, match="Named has other inputs"):
        stress.stress(gradient_descent(layers=2), Named())
    assert discriminating(Named(), Domain()) is None

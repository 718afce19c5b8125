"""What must be the same on another device as on the CPU: ``python same.py PART``. Ends with an error where it is not.

Numbers are the same up to rounding, since torch orders some sums otherwise for another device.
"""

import importlib.util
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pretended import DEVICE, NAME, Pretended
from torch import Tensor

import mesascope as ms
from mesascope.algorithms import ALL, GENERALISED, run
from mesascope.instruments.attending.number_attention import number_attention
from mesascope.instruments.catalogue import INSTRUMENTS
from mesascope.instruments.explaining import instrument as explaining
from mesascope.instruments.explaining import over_training
from mesascope.instruments.intervening import head_ablation, truncation
from mesascope.instruments.intervening.number_mlp import number_mlp
from mesascope.instruments.intervening.number_patching import number_patching
from mesascope.instruments.reading import induction
from mesascope.instruments.reading.logit_difference import logit_difference
from mesascope.models.language.pythia import PythiaConfig
from mesascope.models.subject import TransformerSubject
from mesascope.models.transformer import Transformer, TransformerConfig
from mesascope.records import checkpoint as checkpoints
from mesascope.regressors import REGRESSORS, Regressor, ScikitRegressor, TunedRegressor
from mesascope.tasks import DigitRegression, GeneralisedLinearRegression, LinearRegression
from mesascope.testing.comparison import distance, rounding
from mesascope.training import Corpus, Curriculum, LanguageSpec, TrainingSpec, muon, regression, train, train_together
from mesascope.training.regularisers import Regularisers
from mesascope.types import Measurement, Subject

APART = 1e-3
"""How far measures, losses and trained networks' answers may be apart: rounding, and what comes of it."""
TINY = 1e-6
"""Below this a measure is nothing but rounding."""
LONG = (explaining.INSTRUMENT, over_training.INSTRUMENT)
"""Instruments that take many seconds on any model; what they compute with, algorithms and networks, is tested by itself."""

TASK = LinearRegression(dim=3, examples=10)
DIGITS = DigitRegression(examples=5)
BRIEF = TrainingSpec(
    name="brief",
    task=LinearRegression(dim=3, examples=5, noise=0.1),
    model=TransformerConfig(dim=3, examples=5, layers=2, width=16, heads=2, feedforward=16),
    steps=6,
    batch=16,
    checkpoint_every=3,
    log_every=1,
    learning_rate=3e-3,
    clip=1.0,
)
NETWORK = TransformerConfig(dim=3, examples=10, layers=2, width=16, heads=2, feedforward=32)


def refused() -> None:
    """The device is one: what a GPU refuses, it refuses, and what a GPU takes, it takes."""
    here, there = torch.ones(3), torch.ones(3, device=DEVICE)
    refusals: dict[str, Callable[[], Any]] = {
        "a sum": lambda: there + here,
        "a sum in place": lambda: here.add_(there),
        "a stack": lambda: torch.stack([here, there]),
        "a choice": lambda: torch.where(here > 0, there, 0.0),
        "an index from there": lambda: here[there > 0],
        "numpy": lambda: there.numpy(),
        "a generator from here": lambda: torch.rand(3, generator=torch.Generator(), device=DEVICE),
        "a shape changed in place": lambda: there.clone().resize_(5),
    }
    for name, operation in refusals.items():
        try:
            operation()
        except (RuntimeError, NotImplementedError):
            continue
        raise AssertionError(f"{name} was not refused")
    assert_same(here[here > 0], there[here > 0])
    assert_same(here * 2, there * torch.tensor(2.0))
    assert_same(torch.arange(4), torch.arange(4, device=NAME))
    assert type(here.clone().copy_(there)) is type(there.cpu()) is Tensor
    slope = torch.ones(3, device=DEVICE, requires_grad=True)
    (slope**3).sum().backward()
    assert_same(torch.full((3,), 3.0), slope.grad)


def networks() -> None:
    """Answers and activations of networks of different architectures."""
    for changes in (
        {},
        {"mask": "prefix", "activation": "relu", "final_norm": True},
        {"mask": "full", "tokens": "pairs", "attention": "linear", "norm": False},
        {"answers": "everywhere", "sink": True, "layer_scale": True, "head_dims": ((0,), (1, 2))},
    ):
        here, there = (_network(where, **changes) for where in ("cpu", NAME))
        prompts = TASK.sample(4, seed=0)
        for moved in (prompts, prompts.to(DEVICE)):
            one, other = here.trace(prompts, capture=here.sites), there.trace(moved, capture=there.sites)
            assert_same(one.predictions, other.predictions)
            for site in here.sites:
                assert_same(one[site], other[site], site)
        silent = ms.Intervention(site=here.path[0], edit=torch.zeros_like)
        assert_same(*(each.trace(prompts, interventions=[silent]).predictions for each in (here, there)))
        assert_same(*(each.reinitialised(1).trace(prompts).predictions for each in (here, there)))


def algorithms() -> None:
    """Every algorithm, on prompts that are there."""
    for members, task in ((ALL, TASK), (GENERALISED, GeneralisedLinearRegression(dim=3, examples=10))):
        prompts = task.sample(4, seed=0)
        for member in members:
            here, there = (run(member(), each, steps=4).predictions for each in (prompts, prompts.to(DEVICE)))
            assert_same(here, there, member.name)


def regressors() -> None:
    """Every regressor, on prompts that are there; of those that scikit-learn fits, which all go one way, the first."""
    prompts = LinearRegression(dim=2, examples=6, queries=2).sample(2, seed=0)
    fitted = [name for name, each in REGRESSORS.items() if _by_scikit_learn(each)]
    for name, regressor in REGRESSORS.items():
        if name in fitted[1:]:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # six examples are few for some
            assert_same(*(regressor.predict(each, seed=0) for each in (prompts, prompts.to(DEVICE))), name)


def _by_scikit_learn(regressor: Regressor) -> bool:
    tuned = isinstance(regressor, TunedRegressor)
    return isinstance(regressor.choices[0] if tuned else regressor, ScikitRegressor)


def instruments() -> None:
    """Instruments, of a transformer that is there."""
    for each in INSTRUMENTS:
        if each not in LONG:
            sizes = {name: min(size, 16) for name, size in each.sizes["smoke"].items()}
            assert_measures_same(
                each.name, lambda where, m=each.measure, s=sizes: m(_network(where), TASK, seed=0, **s)
            )


def language() -> None:
    """Language models of every family, and what is measured of them alone."""
    tiny = _tiny()
    prompts = DIGITS.sample(3, seed=0)
    for kind in tiny.MODELS:
        here, there = (_written(tiny, kind, where).trace(prompts) for where in ("cpu", NAME))
        assert_same(here.predictions, there.predictions, kind)
    pair = ("knn-1-distance", "mean")
    found: dict[str, Callable[[Subject], tuple[Measurement, ...]]] = {
        "logit difference": lambda subject: logit_difference(subject, DIGITS, n=6, pairs=[pair], split=True),
        "number patching": lambda subject: number_patching(subject, DIGITS, n=12, pair=pair),
        "number attention": lambda subject: number_attention(subject, DIGITS, n=4),
        "number mlp": lambda subject: number_mlp(subject, DIGITS, n=4),
    }
    for each in (induction.INSTRUMENT, truncation.INSTRUMENT, head_ablation.INSTRUMENT):
        sizes = {name: min(size, 6) for name, size in each.sizes["smoke"].items()}
        found[each.name] = lambda subject, m=each.measure, s=sizes: m(subject, DIGITS, **s)
    for name, measure in found.items():
        assert_measures_same(name, lambda where, m=measure: m(_written(tiny, "gpt2", where)))


def identification() -> None:
    """A verdict, of a network that is there."""
    here, there = (
        ms.identify(_network(where), TASK, algorithms=["gradient-descent", "conjugate-gradient"], prompts=30)
        for where in ("cpu", NAME)
    )
    assert (here.label, here.algorithms, here.basis) == (there.label, there.algorithms, there.basis), (here, there)


def training() -> None:
    """Trainings: alone and together, of different architectures, and resumed."""
    regression.EVALUATION_PROMPTS = 64
    muon.multiplies_bfloat16 = lambda device: False  # where it does, numbers are rounded otherwise
    variant = _changed(BRIEF, sink=True, layer_scale=True, dropout=0.1)
    pairs: dict[str, Sequence[TrainingSpec]] = {
        "adam": [BRIEF, replace(BRIEF, seed=1, learning_rate=1e-3)],
        "muon": [replace(BRIEF, optimiser="muon", seed=seed) for seed in (0, 1)],
        "everywhere": [
            replace(_changed(BRIEF, answers="everywhere"), supervision="everywhere", seed=seed) for seed in (0, 1)
        ],
        "variant": [
            replace(variant, regularisers=Regularisers(orthogonality=0.1)),
            replace(variant, regularisers=Regularisers(diversity=0.1)),
        ],
        "masked heads": [replace(_changed(BRIEF, head_dims=((0,), (1, 2))), seed=seed) for seed in (0, 1)],
        "counts": [replace(BRIEF, task=GeneralisedLinearRegression(dim=3, examples=5), seed=seed) for seed in (0, 1)],
    }
    for specs in pairs.values():
        with tempfile.TemporaryDirectory() as folder:
            runs = {where: [Path(folder) / where / str(i) for i in range(len(specs))] for where in ("cpu", NAME)}
            for where, directories in runs.items():
                train(specs[0], Path(folder) / where / "alone", device=where, progress=False)
                lost = train_together(dict(zip(directories, specs, strict=True)), device=where, progress=False)
                assert not lost, lost
            assert_runs_same(specs[0], Path(folder) / "cpu" / "alone", Path(folder) / NAME / "alone")
            for spec, one, other in zip(specs, runs["cpu"], runs[NAME], strict=True):
                assert_runs_same(spec, one, other)
    growing = replace(BRIEF, optimiser="muon", curriculum=Curriculum(below=0.999, window=2, patience=4))
    passages = LanguageSpec(
        name="passages",
        corpus=Corpus(pairs=6),
        model=PythiaConfig(layers=1, width=16, heads=2),
        steps=6,
        batch=8,
        optimiser="muon",
        checkpoint_every=3,
    )
    for spec in (growing, passages):
        with tempfile.TemporaryDirectory() as folder:
            here, there, resumed = (Path(folder) / name for name in ("here", "there", "resumed"))
            train(spec, here, progress=False)
            train(spec, there, device=NAME, progress=False)
            assert_runs_same(spec, here, there)
            assert checkpoints.read(there / "model").extra["provenance"]["hardware"]["device"] == NAME
            shutil.copytree(here, resumed, ignore=shutil.ignore_patterns("model.*", "step-00000006*"))
            train(spec, resumed, device=NAME, resume=True, progress=False)
            assert_runs_same(spec, here, resumed)  # which was begun on the CPU


def assert_same(here: Tensor, there: Tensor | None, what: object = "") -> None:
    """Check that a tensor is on the device and has the numbers of the one on the CPU."""
    assert isinstance(there, Pretended), f"{what}: {type(there).__name__} is not on {NAME}"
    assert (apart := distance(here, there.held)) <= rounding([here]), f"{what}: {apart:.2g} apart"


def assert_measures_same(name: str, measure: Callable[[str], tuple[Measurement, ...]]) -> None:
    """Check that an instrument gives the same measurements, intervals and controls of a model on either device."""
    try:
        here, there = measure("cpu"), measure(NAME)
    except RuntimeError as error:
        raise AssertionError(f"{name}: {error}") from error
    assert len(here) == len(there), name
    for one, other in zip(here, there, strict=True):
        where = (name, one.quantity, one.coordinates)
        assert (one.quantity, one.coordinates) == (other.quantity, other.coordinates), where
        assert [control.name for control in one.controls] == [control.name for control in other.controls], where
        numbers = [
            [number for held in (m, *m.controls) for number in (held.value, *(held.interval or ()))]
            for m in (one, other)
        ]
        apart = distance(*map(torch.tensor, numbers))
        assert apart <= APART or max(map(abs, numbers[0])) < TINY, (*where, *numbers)


def assert_runs_same(spec: TrainingSpec | LanguageSpec, here: Path, there: Path) -> None:
    """Check that two runs have the same losses, the same files of weights, and networks that give the same answers."""
    losses = [
        [line["loss"] for line in map(json.loads, (run / "metrics.jsonl").read_text().splitlines())]
        for run in (here, there)
    ]
    assert distance(*map(torch.tensor, losses)) <= APART, (spec.name, *losses)
    files, others = (sorted(str(path.relative_to(run)) for path in run.rglob("*.safetensors")) for run in (here, there))
    assert files == others, spec.name
    prompts = (spec.task if isinstance(spec, TrainingSpec) else DIGITS).sample(16, seed=1)
    answers = [ms.load(str(run)).trace(prompts).predictions for run in (here, there)]
    assert (apart := distance(*answers)) <= APART, (spec.name, apart)


def _network(where: str, **changes: Any) -> TransformerSubject:
    return TransformerSubject(name="tiny", model=Transformer(replace(NETWORK, **changes), seed=3).to(where))


def _changed(spec: TrainingSpec, **changes: Any) -> TrainingSpec:
    return replace(spec, model=replace(spec.model, **changes))


def _tiny() -> Any:
    """The tests' tiny language models."""
    path = Path(__file__).parents[1] / "models" / "language" / "conftest.py"
    spec = importlib.util.spec_from_file_location("tiny", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _written(tiny: Any, kind: str, where: str) -> Any:
    subject = tiny.tiny_subject(kind)
    subject.network.model.to(where)
    return subject


PARTS = (refused, networks, algorithms, regressors, instruments, language, identification, training)

if __name__ == "__main__":
    torch.set_num_threads(1)
    {part.__name__: part for part in PARTS}[sys.argv[1]]()

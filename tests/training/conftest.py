"""A run that takes a fraction of a second."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mesascope.models.transformer import TransformerConfig
from mesascope.records.lines import read_lines
from mesascope.records.store import TEMPORARY
from mesascope.tasks import Gaussian, LinearRegression
from mesascope.training import Curriculum, TrainingSpec, loop, regression

TINY = TrainingSpec(
    name="tiny",
    task=LinearRegression(dim=2, examples=3, noise=0.1, inputs=Gaussian()),
    model=TransformerConfig(dim=2, examples=3, layers=2, width=8, heads=2, feedforward=8),
    steps=60,
    batch=32,
    checkpoint_every=11,
    log_every=7,
    learning_rate=1e-2,
)

# A model so small never gets far below what answering zero gives: here the luck of a window decides, and so every bit
# of what was noted down before a stop.
CLIMBING = TrainingSpec(
    name="climbing",
    task=LinearRegression(dim=3, examples=3, noise=0.1),
    model=TransformerConfig(dim=3, examples=3, layers=2, width=8, heads=2, feedforward=8),
    steps=40,
    batch=32,
    learning_rate=1e-2,
    optimiser="muon",
    curriculum=Curriculum(below=0.999, window=4, patience=12),
    checkpoint_every=11,
    log_every=1,
)


@contextlib.contextmanager
def quick_and_alike() -> Iterator[None]:
    """One thread, as the processes that are killed have, and a small evaluation at the end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(regression, "EVALUATION_PROMPTS", 512)
        yield
    torch.set_num_threads(threads)


@pytest.fixture(autouse=True)
def _quick_and_alike() -> Iterator[None]:
    with quick_and_alike():
        yield


@pytest.fixture
def tiny() -> TrainingSpec:
    return TINY


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny run, never disturbed: what all others must equal bit for bit."""
    with quick_and_alike():
        return loop.train(TINY, tmp_path_factory.mktemp("runs") / "uninterrupted", progress=False)


@pytest.fixture
def climbing() -> TrainingSpec:
    return CLIMBING


@pytest.fixture(scope="session")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same of a run with a curriculum and two optimisers (Muon has Adam beside it), which passes through all its stages."""
    with quick_and_alike():
        return loop.train(CLIMBING, tmp_path_factory.mktemp("runs") / "climbed", progress=False)


@pytest.fixture
def metrics() -> Callable[[Path], list[dict[str, Any]]]:
    """Reads a run's lines of metrics, but for what the clock says."""

    def read(run: Path) -> list[dict[str, Any]]:
        lines = read_lines(run / "metrics.jsonl")
        return [{k: v for k, v in line.items() if k != "steps_per_second"} for line in lines]

    return read


@pytest.fixture
def ends_alike(uninterrupted: Path, metrics: Callable[[Path], list[dict[str, Any]]]) -> Callable[[Path], None]:
    """Checks that a tiny run ended as the undisturbed one did: weights, optimiser, metrics, and nothing left over."""

    def check(run: Path) -> None:
        for name in ("model.safetensors", f"checkpoints/step-{TINY.steps:08d}.safetensors"):
            assert (run / name).read_bytes() == (uninterrupted / name).read_bytes(), name
        assert metrics(run) == metrics(uninterrupted)
        first, second = (json.loads((r / "model.json").read_text())["extra"]["query_mse"] for r in (run, uninterrupted))
        assert first == second
        assert not [p for p in run.rglob(".*") if p.name.endswith(TEMPORARY)]

    return check

"""The networks of source C's controlled experiments: what each differs in, and the specification that makes it.

The source prints two numbers of parameters, 8,801 and 9,989. They are those of attention alone, with LayerNorm before it, tokens
that are pairs, and no position embeddings; the deeper network has a sink token and one scale per block besides. What the source
leaves open (optimiser, learning rate, batch, strengths of regularisers) is ours, and the same for all networks of an experiment.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import torch

from mesascope.models import TransformerConfig
from mesascope.seeds import generator
from mesascope.studies.networks import Recorded
from mesascope.tasks import BalancedRegression, Eigenvalues, Gaussian, LinearRegression
from mesascope.training import TrainingSpec
from mesascope.training.regularisers import Regularisers
from mesascope.types import Scalar

BANDS = (10.0, 10.0, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01)
"""Eigenvalues of the inputs' covariance: four bands of two."""
WIDE = (100.0, 100.0, 1.0, 1.0, 0.01, 0.01, 0.0001, 0.0001)
BY_BAND = ((0, 1), (2, 3), (4, 5), (6, 7))
BASELINE, DEPTH, SINK, SCALE, ORTHOGONAL, FULL = (
    "baseline", "depth", "depth and sink", "depth and layer scale", "depth and orthogonality", "full"
)  # fmt: skip
SPECTRAL, RANDOM, REDUNDANT, DIVERSE, ORACLE = (
    "spectral mask",
    "random mask",
    "redundant mask",
    "diversity",
    "oracle mask",
)
STRENGTH = 0.1
"""Of the orthogonality term in the loss."""
BARE = TransformerConfig(tokens="pairs", feedforward=0, positions=False, heads=2)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(Recorded):
    """One network of an experiment; the source's sizes are small enough for a laptop.

    Attributes:
        experiment: the study's name, which is also that of the record with what was measured of its networks.
        variant: what it differs in.
        group: what it is compared within: all networks of an experiment with one dimension, or one configuration.
    """

    experiment: str
    variant: str
    group: str

    @property
    def record(self) -> str:
        """The experiment's record."""
        return self.experiment

    def label(self) -> dict[str, Scalar]:
        """The coordinates of its measurements."""
        return {"variant": self.variant, "group": self.group, "seed": self.seed}


def _cell(experiment: str, spec: TrainingSpec, seed: int, variant: str, group: str = "all") -> Cell:
    words = "-".join(part.replace(" ", "-") for part in (experiment, variant, group, f"seed-{seed}") if part != "all")
    return Cell(
        experiment=experiment, variant=variant, group=group, seed=seed, spec=replace(spec, name=words, seed=seed)
    )


def _trained(task: LinearRegression, model: TransformerConfig, steps: int, batch: int = 16) -> TrainingSpec:
    return TrainingSpec(
        name="",
        task=task,
        model=replace(model, dim=task.dim, examples=task.examples),
        steps=steps,
        batch=batch,
        learning_rate=3e-3,
        clip=1.0,
        checkpoint_every=steps,
        log_every=100,
    )


def _variants(spec: TrainingSpec) -> dict[str, TrainingSpec]:
    """The shallow and the deep network of sections 9.5 and 9.5.1, and the deep one's variants."""
    shallow = replace(spec, model=replace(spec.model, layers=2, width=32))
    deep = replace(spec, model=replace(spec.model, layers=4, width=24))
    orthogonal = Regularisers(orthogonality=STRENGTH)
    return {
        BASELINE: shallow,
        DEPTH: deep,
        SINK: replace(deep, model=replace(deep.model, sink=True)),
        SCALE: replace(deep, model=replace(deep.model, layer_scale=True)),
        ORTHOGONAL: replace(deep, regularisers=orthogonal),
        FULL: replace(deep, model=replace(deep.model, sink=True, layer_scale=True), regularisers=orthogonal),
    }


def controlled_ablation(seeds: int = 6) -> tuple[Cell, ...]:
    """Section 9.5.1: six variants in three dimensions, without LayerNorm."""
    return tuple(
        _cell("controlled-ablation", spec, seed, variant, f"{dim} dimensions")
        for dim in (4, 8, 16)
        for variant, spec in _variants(
            _trained(LinearRegression(dim=dim, examples=12, weights="standard"), replace(BARE, norm=False), 2000)
        ).items()
        for seed in range(seeds)
    )


def guided_architecture(seeds: int = 10) -> tuple[Cell, ...]:
    """Section 9.5: the shallow network against the guided one, and against depth alone; with LayerNorm and dropout."""
    spec = _trained(LinearRegression(dim=4, examples=12), replace(BARE, dropout=0.1), 2000)
    return tuple(
        _cell("guided-architecture", each, seed, variant)
        for variant, each in _variants(spec).items()
        if variant in (BASELINE, DEPTH, FULL)
        for seed in range(seeds)
    )


def _banded(
    layers: int, width: int, heads: int, eigenvalues: tuple[float, ...] = BANDS
) -> tuple[LinearRegression, TransformerConfig]:
    inputs = Gaussian(covariance=Eigenvalues(values=eigenvalues))
    task = LinearRegression(dim=len(eigenvalues), examples=16, weights="standard", inputs=inputs)
    return task, replace(BARE, dim=task.dim, layers=layers, width=width, heads=heads, norm=False)


def _pairs_at_random(seed: int) -> tuple[tuple[int, ...], ...]:
    """Two dimensions for each of four heads: a random partition in which no pair is a band."""
    rng = generator(seed, "controlled/random mask")
    while True:
        order = torch.randperm(8, generator=rng).tolist()
        found = tuple(tuple(sorted(order[i : i + 2])) for i in range(0, 8, 2))
        if not set(found) & set(BY_BAND):
            return found


def spectral_heads(seeds: int = 10) -> tuple[Cell, ...]:
    """Section 9.1: one layer of attention, whose heads' keys read all dimensions, a band each, random ones, or the same."""
    task, model = _banded(1, 32, 4)
    masks = {
        BASELINE: lambda seed: (tuple(range(8)),) * 4,
        SPECTRAL: lambda seed: BY_BAND,
        RANDOM: _pairs_at_random,
        REDUNDANT: lambda seed: (BY_BAND[0],) * 4,
    }
    return tuple(
        _cell("spectral-heads", _trained(task, replace(model, head_dims=mask(seed)), 3000, 64), seed, variant)
        for variant, mask in masks.items()
        for seed in range(seeds)
    )


def training_dynamics(seeds: int = 10) -> tuple[Cell, ...]:
    """Section 9.2: the network of section 9.1 without masks, for 20,000 steps, with a checkpoint every 2,000."""
    spec = replace(_trained(*_banded(1, 32, 4), 20_000, 64), checkpoint_every=2000)
    return tuple(_cell("training-dynamics", spec, seed, BASELINE) for seed in range(seeds))


CONFIGURATIONS: Mapping[str, tuple[int, int, float, tuple[float, ...]]] = {
    "tiny_strong": (16, 4, 1.0, BANDS),
    "small_strong": (32, 4, 1.0, BANDS),
    "small_medium": (32, 4, 0.5, BANDS),
    "small_weak": (32, 4, 0.1, BANDS),
    "base_strong": (64, 4, 1.0, BANDS),
    "wide_spectrum": (32, 4, 0.5, WIDE),
    "8heads_tiny": (32, 8, 1.0, BANDS),
}
"""Width, heads, strength of the diversity term, eigenvalues. Source C prints six of its seven; ``small_weak`` is ours: the
source says that the strength 0.1 was among them."""
BALANCED = "balanced"


def diversity(seeds: int = 5, balanced: int = 10) -> tuple[Cell, ...]:
    """Section 9.6: seven configurations with and without the diversity term, and the balanced task with oracle masks besides."""
    found = []
    for name, (width, heads, strength, eigenvalues) in CONFIGURATIONS.items():
        task, model = _banded(2, width, heads, eigenvalues)
        plain = _trained(task, replace(model, norm=True), 2000)
        for variant, of in ((BASELINE, 0.0), (DIVERSE, strength)):
            spec = replace(plain, regularisers=Regularisers(diversity=of))
            found += [_cell("diversity", spec, seed, variant, name) for seed in range(seeds)]
    task, model = _banded(2, 64, 4)
    task = BalancedRegression(
        dim=task.dim, examples=task.examples, weights="standard", inputs=task.inputs, variances=BANDS
    )
    for variant, dims, strength in (
        (BASELINE, (tuple(range(8)),) * 4, 0.0),
        (DIVERSE, (tuple(range(8)),) * 4, 1.0),
        (ORACLE, BY_BAND, 0.0),
    ):
        spec = _trained(task, replace(model, norm=True, head_dims=dims), 2000)
        spec = replace(spec, regularisers=Regularisers(diversity=strength))
        found += [_cell("diversity", spec, seed, variant, BALANCED) for seed in range(balanced)]
    return tuple(found)

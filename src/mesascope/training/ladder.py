"""The ladder: language models of three sizes, trained alike, small enough to be trained here."""

from mesascope.models.language.pythia import PythiaConfig
from mesascope.training.corpus import Corpus
from mesascope.training.language import LanguageSpec

SIZES = {"small": (2, 64, 2), "medium": (3, 96, 3), "large": (4, 128, 4)}
"""Layers, width and heads: 0.1, 0.3 and 0.8 million parameters."""
SEEDS = (42, 100)


def rung(size: str, *, seed: int = SEEDS[0], shuffled: bool = False) -> LanguageSpec:
    """The specification of one model: Muon, 4,096 steps of 64 passages, a checkpoint every 128 steps.

    Args:
        size: one of `SIZES`.
        seed: of weights and data.
        shuffled: train on shuffled labels, the negative control.
    """
    layers, width, heads = SIZES[size]
    corpus = Corpus(shuffled=shuffled)
    last = "" if seed == SEEDS[0] else f"-seed-{seed}"
    return LanguageSpec(
        name=f"ladder-{size}{'-shuffled' if shuffled else ''}{last}",
        corpus=corpus,
        model=PythiaConfig(layers=layers, width=width, heads=heads, context=corpus.length),
        steps=4096,
        batch=64,
        optimiser="muon",
        learning_rate=3e-3,
        clip=1.0,
        schedule="cosine",
        warmup=0.05,
        checkpoint_every=128,
        seed=seed,
    )


LADDER = {
    spec.name: spec
    for spec in (*(rung(size, seed=seed) for size in SIZES for seed in SEEDS), rung("small", shuffled=True))
}
"""All models of the ladder, by name: three sizes with two seeds, and the smallest on shuffled labels."""

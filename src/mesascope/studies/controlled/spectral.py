"""Do heads help that are forced to look at one band of the spectrum each? Source C, section 9.1."""

from collections.abc import Sequence

from mesascope.studies.bench import Bench
from mesascope.studies.controlled.comparing import (
    MSE,
    against_description,
    error,
    explained,
    means,
    over_networks,
    powers,
    relative,
)
from mesascope.studies.controlled.networks import BASELINE, RANDOM, REDUNDANT, SPECTRAL, spectral_heads
from mesascope.studies.rules import Derived, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement

CELLS = spectral_heads()
NAMES = {BASELINE: "baseline", SPECTRAL: "spectral_mask", RANDOM: "random_mask", REDUNDANT: "redundant"}
MASKS = (SPECTRAL, RANDOM, REDUNDANT)
COMPARISONS = 5


def _over(variant: str, less: str) -> Derived:
    return relative(MSE, variant, less, comparisons=COMPARISONS)


CONTRASTS = (*(_over(mask, BASELINE) for mask in MASKS), *(_over(SPECTRAL, other) for other in (RANDOM, REDUNDANT)))


def _printed(variant: str) -> str:
    return f"spectral_heads/mse/{NAMES[variant]}"


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (means(found), *against_description(found))


STUDY = Study(
    name="spectral-heads",
    source="C",
    title="Do heads help that are forced to look at one band of the spectrum each?",
    measures=(*error(CELLS), *explained(CELLS)),
    claims=(
        *(
            sourced(
                f"The error with the variant '{variant}' is the printed one, within a factor of 1.25.",
                over_networks(where(MSE.quantity, variant=variant)).near(published("C")[_printed(variant)], 1.25),
                published=(_printed(variant),),
            )
            for variant in NAMES
        ),
        *(
            sourced(
                f"The network with the {mask} is worse than the one without a mask.",
                _over(mask, BASELINE).between(low=0.0),
                published=(_printed(mask), _printed(BASELINE)),
            )
            for mask in MASKS
        ),
        own(
            "A mask by bands is not better than one at random.",
            _over(SPECTRAL, RANDOM).between(low=0.0),
        ),
        own(
            "It matters that all dimensions are read by some head: heads that all read the same band are worse than heads with a "
            "band each.",
            _over(SPECTRAL, REDUNDANT).between(high=0.0),
        ),
    ),
    figures=_figures,
    notes=lambda found, bench: powers(found, CONTRASTS),
    departures=(
        "One seed in the source, ten here. The source prints steps, batch and sizes; Adam (OneCycle up to 0.003, gradients "
        "clipped at norm 1), 16 examples in a prompt, w ~ N(0, I), no LayerNorm and no MLP are ours.",
        "The network without a mask has a mask of all dimensions, so that all forty train as one batched program. Random masks "
        "are a random partition into pairs of which none is a band, another for each seed.",
    ),
)

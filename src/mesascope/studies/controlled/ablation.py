"""Which part of a theory-guided architecture helps? Source C's controlled ablation, without LayerNorm."""

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
from mesascope.studies.controlled.networks import BASELINE, DEPTH, FULL, ORTHOGONAL, SCALE, SINK, controlled_ablation
from mesascope.studies.rules import Derived, Where, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement

DIMS = (4, 8, 16)
CELLS = controlled_ablation()
NAMES = {
    BASELINE: "baseline",
    DEPTH: "depth",
    SINK: "sink",
    SCALE: "layer_scale",
    ORTHOGONAL: "orthogonality",
    FULL: "full",
}
COMPARISONS = 6 * len(DIMS)
"""Differences that are judged: all `CONTRASTS`, in each dimension."""
SAME = 0.05
"""A relative difference within this is none."""
RECOVERED = "recovered penalty"


def _group(dim: int) -> str:
    return f"{dim} dimensions"


def _over(variant: str, less: str, *dims: int) -> Derived:
    of = where(MSE.quantity, group=[_group(dim) for dim in dims or DIMS])
    return relative(of, variant, less, comparisons=COMPARISONS)


CONTRASTS = (
    _over(DEPTH, BASELINE),
    *(_over(variant, DEPTH) for variant in (SINK, SCALE, ORTHOGONAL, FULL)),
    _over(FULL, BASELINE),
)


def _recovered(found: Sequence[Measurement]) -> list[str]:
    """The share that the full network recovers: by the source's formula, and of the penalty itself."""
    said = []
    for dim in DIMS:
        mean = {
            m.coordinates["variant"]: m.value
            for m in over_networks(where(MSE.quantity, group=_group(dim))).among(found)
        }
        if {BASELINE, DEPTH, FULL} <= set(mean):
            gain, penalty = mean[DEPTH] - mean[FULL], mean[DEPTH] - mean[BASELINE]
            of = (
                f"{gain / penalty:.0%} of the penalty of depth"
                if penalty > 0
                else "there is no penalty of depth to recover"
            )
            said.append(
                f"{_group(dim)}: the full network is better than depth alone by {gain / mean[DEPTH]:.0%} of the error of depth "
                f"alone, which is the source's formula; {of}."
            )
    return said


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (means(found), *against_description(found))


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    return (*_recovered(found), *powers(found, CONTRASTS))


def _printed(variant: str) -> tuple[str, ...]:
    return tuple(f"controlled_ablation/{NAMES[variant]}/{i}" for i in range(len(DIMS)))


def _mean(variant: str, dim: int) -> Where:
    return where(MSE.quantity, variant=variant, group=_group(dim))


STUDY = Study(
    name="controlled-ablation",
    source="C",
    title="Do a sink, layer scales or orthogonal heads help a deep network without LayerNorm?",
    measures=(*error(CELLS), *explained([cell for cell in CELLS if cell.group == _group(8)])),
    claims=(
        *(
            sourced(
                f"The error of the variant '{variant}' is the printed one in 4, 8 and 16 dimensions, within a factor of 1.25.",
                *(
                    over_networks(_mean(variant, dim)).near(published("C")[path], 1.25)
                    for dim, path in zip(DIMS, _printed(variant), strict=True)
                ),
                published=_printed(variant),
            )
            for variant in NAMES
        ),
        sourced(
            "Without LayerNorm the deep and narrow network is worse than the shallow and wide one in every dimension.",
            _over(DEPTH, BASELINE).between(low=0.0),
            published=(*_printed(DEPTH), *_printed(BASELINE)),
        ),
        sourced(
            "A learnable layer scale lowers the deep network's error in every dimension.",
            _over(SCALE, DEPTH).between(high=0.0),
            published=_printed(SCALE),
        ),
        sourced(
            "A sink token lowers the deep network's error in 4 and 8 dimensions, and not in 16.",
            _over(SINK, DEPTH, 4, 8).between(high=0.0),
            _over(SINK, DEPTH, 16).between(low=0.0),
            published=_printed(SINK),
        ),
        sourced(
            f"Orthogonal heads make no difference: less than {SAME:.0%} of the error.",
            _over(ORTHOGONAL, DEPTH).between(-SAME, SAME),
            published=_printed(ORTHOGONAL),
        ),
        sourced(
            "The full network is better than depth alone in every dimension.",
            _over(FULL, DEPTH).between(high=0.0),
            published=_printed(FULL),
        ),
        own(
            "What the parts recover does not make up for depth: the full network is worse than the shallow one in every "
            "dimension.",
            _over(FULL, BASELINE).between(low=0.0),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source prints neither optimiser, learning rate, batch nor steps: ours is Adam (OneCycle up to 0.003, gradients "
        "clipped at norm 1), 2,000 steps of 16 prompts of 12 examples, w ~ N(0, I), no noise, and 0.1 for the orthogonality "
        "term. Printed errors therefore depend on what is ours, and the order of the variants is what can be compared.",
        "The two printed numbers of parameters, 8,801 and 9,989, are those of attention alone on pair tokens without position "
        "embeddings; so the networks here have no MLP.",
        "Recovery of 28, 20 and 5 % in the source is of the error of depth alone; of the penalty itself its own figures give 61, "
        "44 and 25 %.",
    ),
)

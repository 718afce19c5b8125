"""Is an architecture that follows the theory better than a plain one of its size? Source C, section 9.5."""

from collections.abc import Sequence

from mesascope.instruments.attending import sinks
from mesascope.instruments.behaving import errors
from mesascope.instruments.reading import scales
from mesascope.studies.bench import Bench
from mesascope.studies.controlled.comparing import (
    against_description,
    along,
    explained,
    growth,
    means,
    over_networks,
    powers,
    relative,
)
from mesascope.studies.controlled.networks import BASELINE, DEPTH, FULL, Cell, guided_architecture
from mesascope.studies.measure import Measure, each
from mesascope.studies.rules import Derived, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement, adjusted

CELLS = guided_architecture()
GUIDED = [cell for cell in CELLS if cell.variant == FULL]
FIRST = [cell for cell in CELLS if cell.seed == 0]
LENGTHS = (5, 8, 12)
"""Examples in a prompt; the networks are trained on twelve."""
COMPARISONS = 2 * len(LENGTHS)
PRINTED = published("C")
NAMES = {BASELINE: "baseline", FULL: "guided"}


def _errors(examples: int) -> tuple[Measure, ...]:
    return each(
        CELLS,
        errors.NAME,
        lambda cell: {**cell.label(), "examples": examples},
        smoke=FIRST,
        prompts={"n": 1024},
        task=adjusted(CELLS[0].task, examples=examples),
    )


def _over(variant: str, less: str) -> Derived:
    return relative(where(errors.MSE), variant, less, comparisons=COMPARISONS)


CONTRASTS = (_over(FULL, BASELINE), _over(FULL, DEPTH))


def _by_layer(found: Sequence[Measurement], of: str, name: str, title: str, axis: str) -> Figure:
    return along(over_networks(where(of, variant=FULL)).among(found), "layer", name=name, title=title, axis=axis)


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    return (
        means(found, where(errors.MSE), by="examples"),
        _by_layer(found, sinks.SINK.name, "sink-by-layer", "Attention to the sink token", "share of attention"),
        _by_layer(found, scales.SCALE, "scale-by-layer", "Layer scales", "scale"),
        *against_description(found, where(errors.MSE, examples=12)),
    )


STUDY = Study(
    name="guided-architecture",
    source="C",
    title="Is a network that follows the theory better than a plain one of its size, and why?",
    measures=(
        *(measure for examples in LENGTHS for measure in _errors(examples)),
        *each(GUIDED, sinks.NAME, Cell.label, smoke=FIRST, prompts={"n": 64}),
        *each(GUIDED, scales.NAME, Cell.label, smoke=FIRST, prompts={}),
        *explained(CELLS),
    ),
    claims=(
        *(
            sourced(
                f"The {NAMES[variant]} network's error is the printed one, within a factor of 1.25.",
                over_networks(where(errors.MSE, variant=variant, examples=12)).near(
                    PRINTED[f"theory_guided/{NAMES[variant]}/mse"], 1.25
                ),
                published=(f"theory_guided/{NAMES[variant]}/mse",),
            )
            for variant in NAMES
        ),
        sourced(
            "The guided network's error is lower than the plain one's, with 5, 8 and 12 examples.",
            _over(FULL, BASELINE).between(high=0.0),
            published=tuple(f"theory_guided/by_context/{n}/{i}" for n in LENGTHS for i in range(2)),
        ),
        sourced(
            "Attention to the sink token grows from layer to layer.",
            growth(sinks.SINK.name, FULL).between(low=0.0),
            published=tuple(f"theory_guided/sink/{i}" for i in range(4)),
        ),
        sourced(
            "The learnt scales are below one.",
            over_networks(where(scales.SCALE, variant=FULL)).between(high=1.0),
            published=tuple(f"theory_guided/layer_scale/{i}" for i in range(4)),
        ),
        sourced(
            "The scales fall from layer to layer.",
            growth(scales.SCALE, FULL).between(high=0.0),
            published=tuple(f"theory_guided/layer_scale/{i}" for i in range(4)),
        ),
        own(
            "It is not depth alone: the guided network is better than a plain one of its depth and width.",
            _over(FULL, DEPTH).between(high=0.0),
        ),
    ),
    figures=_figures,
    notes=lambda found, bench: powers(found, CONTRASTS),
    departures=(
        "The source trains on 4,000 tasks, and does not print optimiser, batch or loss: ours is Adam (OneCycle up to 0.003, "
        "gradients clipped at norm 1), 2,000 steps of 16 fresh prompts with 12 examples, the loss at the query, dropout of 0.1 "
        "on what each layer adds, 0.1 for the orthogonality term. With 5 and 8 examples the networks answer prompts shorter than "
        "in training.",
        "That scales fall is a claim of the source whose rule was written after they had been looked at.",
        "The source has one network of each kind; here there are ten, and a third kind, of the guided one's depth without its "
        "parts.",
    ),
)

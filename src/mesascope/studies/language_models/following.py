"""What the studies over training share: what is measured at each checkpoint, curves as rows, features of curves as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

from mesascope.instruments.attending import sinks
from mesascope.instruments.reading import induction, refinement
from mesascope.instruments.reading.induction import ANSWER, SURPRISAL
from mesascope.instruments.reading.refinement import FALL, OTHERS, POOLED
from mesascope.studies.language_models.networks import FOLLOWED, FORECAST, SHUFFLED, SMALL
from mesascope.studies.language_models.sequences import CHARACTERS, LENGTH, blocks
from mesascope.studies.language_models.trajectories import Feature, read
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import lines, only
from mesascope.studies.rules import Where, known, where
from mesascope.tasks import Alternation, AssociativeRecall, RepeatedBlocks, SequenceTask
from mesascope.types import Figure, Measurement, Scalar, bounds

SLOPE, _, SIGN = POOLED
BY_DEPTH = "rank correlation of depth and accuracy"
HERE = (*SMALL, SHUFFLED)
"""The models of the ladder that are followed."""
BLOCKS, RECALL, TURNS = "blocks", "recall", "alternation"
OF_LADDER: dict[str, SequenceTask] = {
    BLOCKS: blocks(SHUFFLED),
    RECALL: AssociativeRecall(vocabulary=CHARACTERS, pairs=10),
    TURNS: Alternation(vocabulary=CHARACTERS),
}
OF_OTHERS: dict[str, SequenceTask] = {BLOCKS: RepeatedBlocks(length=LENGTH), RECALL: AssociativeRecall(vocabulary=128)}
N, SEQUENCES = 512, 64
"""Prompts, and sequences, at every checkpoint, on a laptop."""


def refined(name: str, reference: str = "") -> Measure:
    """The errors after every layer, and updates against residuals, at every checkpoint of a model."""
    kept = (where(FALL), where(BY_DEPTH), where(SIGN), where(SLOPE))
    return _at_every_checkpoint(refinement.NAME, name, reference, prompts={"n": N}, options={"queries": 1}, kept=kept)


def attended(name: str, reference: str = "") -> Measure:
    """Attention sinks at every checkpoint of a model."""
    return _at_every_checkpoint(sinks.NAME, name, reference, prompts={"n": SEQUENCES}, kept=(where(sinks.GROWTH),))


def asked(name: str, sequences: str, *more: Where, reference: str = "") -> Measure:
    """The accuracy of the answers to sequences of symbols at every checkpoint of a model."""
    task = (OF_OTHERS if name in (*FOLLOWED, *FORECAST) else OF_LADDER)[sequences]
    return _at_every_checkpoint(
        induction.NAME,
        name,
        reference,
        more={"sequences": sequences},
        prompts={"n": SEQUENCES},
        options={"sequences": task},
        kept=(where(ANSWER), *more),
    )


def everything(name: str, reference: str) -> tuple[Measure, ...]:
    """All of this, of a model of the ladder."""
    return (
        refined(name, reference),
        attended(name, reference),
        *(asked(name, sequences, reference=reference) for sequences in OF_LADDER),
    )


def _at_every_checkpoint(
    instrument: str, name: str, reference: str, *, more: Mapping[str, Scalar] | None = None, **given: Any
) -> Measure:
    return Measure(
        instrument=instrument,
        network=reference or FOLLOWED.get(name, name),
        label={"network": name, **(more or {})},
        over_training=True,
        at_smoke=name == SMALL[0],
        **given,
    )


def curves(found: Sequence[Measurement], of: Where, null: str = OTHERS) -> tuple[dict[str, Scalar], ...]:
    """A quantity over training, with its null, by network."""
    return tuple(
        {
            "network": m.coordinates["network"],
            "step": max(1, int(m.coordinates["step"])),  # type: ignore[arg-type]
            "of": what,
            "value": shown.value,
            **bounds(shown.interval),
        }
        for m in of.among(found)
        if "step" in m.coordinates
        for what, shown in (("the model", m), (null, known(m, null)))
    )


def over_training(name: str, title: str, caption: str, rows: Sequence[Mapping[str, Scalar]], axis: str) -> Figure:
    """The picture of `curves`: one panel for each network.

    Args:
        name, title, caption: of the picture.
        rows: from `curves`.
        axis: what the values are, with their unit.
    """
    return lines(
        name=name,
        section="Over training",
        title=title,
        caption=caption,
        rows=tuple(rows),
        x="step",
        y="value",
        series="of",
        facet="network",
        titles={"step": "training step", "value": axis},
        log=("x",),
    )


def features(
    found: Sequence[Measurement], of: Where, wanted: Sequence[Feature], null: str = OTHERS
) -> tuple[dict[str, Scalar], ...]:
    """Features of a quantity's curve, one row for each network and feature, beside those of its null."""
    held = [m for m in of.among(found) if "step" in m.coordinates]
    rows: list[dict[str, Scalar]] = []
    for network in dict.fromkeys(m.coordinates["network"] for m in held):
        curve = only(held, network=network)
        for feature in wanted:
            for m in read(curve, feature, null):
                beside = next((c.value for c in m.controls if c.name == null), None)
                row = {"network": network, "quantity": held[0].quantity, "feature": feature.name, "value": m.value}
                rows.append({**row, **bounds(m.interval), "control": beside})
    return tuple(rows)


__all__ = (
    "BLOCKS", "BY_DEPTH", "FALL", "HERE", "RECALL", "SIGN", "SLOPE", "SURPRISAL", "TURNS",
    "asked", "attended", "curves", "everything", "features", "over_training", "refined",
)  # fmt: skip

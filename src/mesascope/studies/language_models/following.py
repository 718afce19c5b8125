"""What the studies over training share: one measure per network, its curves as rows, its features as a table."""

from collections.abc import Mapping, Sequence

from mesascope.instruments.reading import refinement
from mesascope.instruments.reading.refinement import FALL, OTHERS, POOLED
from mesascope.studies.language_models.networks import FOLLOWED, SHUFFLED, SMALL
from mesascope.studies.language_models.trajectories import Feature, read
from mesascope.studies.measure import Measure
from mesascope.studies.pictures import only
from mesascope.studies.rules import known, where
from mesascope.types import Measurement, Scalar, bounds

SLOPE, _, SIGN = POOLED
BY_DEPTH = "rank correlation of depth and accuracy"
TRAINED_HERE = (*SMALL, SHUFFLED)
PROMPTS = 512
"""Prompts at every checkpoint, on a laptop."""
KEPT = (where(FALL), where(BY_DEPTH), where(SIGN), where(SLOPE))


def followed(names: Sequence[str] = tuple(FOLLOWED)) -> tuple[Measure, ...]:
    """The errors after every layer at every checkpoint, of the ladder and of published models."""
    references: Mapping[str, str] = {**{name: name for name in TRAINED_HERE}, **{name: FOLLOWED[name] for name in names}}
    return tuple(
        Measure(
            instrument=refinement.NAME,
            network=reference,
            label={"network": name},
            prompts={"n": PROMPTS},
            options={"queries": 1},
            kept=KEPT,
            over_training=True,
            at_smoke=name in (SMALL[0], SHUFFLED),
        )
        for name, reference in references.items()
    )


def curves(found: Sequence[Measurement], quantity: str) -> tuple[dict[str, Scalar], ...]:
    """A quantity over training, with its null, by network."""
    return tuple(
        {
            "network": m.coordinates["network"],
            "step": max(1, int(m.coordinates["step"] or 0)),
            "targets": targets,
            "value": shown.value,
            **bounds(shown.interval),
        }
        for m in only(found, quantity=quantity)
        if "step" in m.coordinates
        for targets, shown in (("its own", m), (OTHERS, known(m, OTHERS)))
    )


def features(found: Sequence[Measurement], quantity: str, wanted: Sequence[Feature]) -> tuple[dict[str, Scalar], ...]:
    """Features of a quantity's curve, one row for each network and feature, with interval and controls."""
    networks = dict.fromkeys(m.coordinates["network"] for m in only(found, quantity=quantity))
    rows: list[dict[str, Scalar]] = []
    for network in networks:
        curve = [m for m in only(found, quantity=quantity, network=network) if "step" in m.coordinates]
        for feature in wanted:
            for m in read(curve, feature, OTHERS):
                controls = {c.kind if c.name != OTHERS else OTHERS: c.value for c in m.controls}
                rows.append(
                    {
                        "network": network,
                        "what": feature.name,
                        "value": m.value,
                        **bounds(m.interval),
                        OTHERS: controls.get(OTHERS),
                    }
                )
    return tuple(rows)

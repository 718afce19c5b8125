"""Does refinement decay when training goes on, and its direction with it?"""

from collections.abc import Sequence

from mesascope.instruments.reading.refinement import FALL, OTHERS
from mesascope.studies.bench import Bench
from mesascope.studies.language_models.following import SIGN, SLOPE, curves, features, followed
from mesascope.studies.language_models.networks import FOLLOWED, SMALL
from mesascope.studies.language_models.trajectories import DECAY, FINAL, PEAK, PEAK_STEP, feature, read, together
from mesascope.studies.pictures import lines, only, table
from mesascope.studies.rules import where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement

READ = ("OLMo-2-1B", "OLMo-2-7B", "Pythia-1.4B", "Pythia-1B", "Pythia-160M")
"""The models for which source C prints peak, final value and decay."""
MOST = 0.05
"""Share of the peak that may be lost where nothing decays."""
WITHIN = 0.1
"""How far from a published share of decay one may lie."""
TOGETHER = "correlation of sign agreement and slope over training"


def _printed(name: str, place: int) -> float:
    return published("C")[f"life_cycle/{name}/{place}"]


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    pictures = tuple(
        lines(
            name=name,
            section="Over training",
            title=title,
            caption="With 95 % intervals, beside the same with another prompt's targets.",
            rows=curves(found, quantity),
            x="step",
            y="value",
            series="targets",
            facet="network",
            titles={"step": "training step", "value": axis},
            log=("x",),
        )
        for name, title, quantity, axis in (
            ("magnitude", "Magnitude: by how much the layers lower the error", FALL.name, "fall of the error, digits"),
            ("direction", "Direction: how often updates have the residual's sign", SIGN.name, "sign agreement"),
        )
    )
    wanted = (PEAK, PEAK_STEP, FINAL, DECAY)
    rows = tuple(
        {"quantity": quantity, **row}
        for quantity in (FALL.name, SIGN.name)
        for row in features(found, quantity, wanted)
    )
    described = table(
        name="decay",
        section="Over training",
        title="Peak, final value, and the share that is lost",
        caption="The largest of several noisy values is too large by itself, so a share that is lost after the peak counts only "
        "beyond what noise alone gives; that stands with the evidence.",
        rows=rows,
    )
    return (*pictures, described)


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    notes = []
    for network in dict.fromkeys(str(m.coordinates["network"]) for m in only(found, quantity=FALL.name)):
        for name in (FALL.name, SIGN.name):
            for m in read(where(name, network=network).among(found), DECAY, OTHERS):
                (noise,) = (c for c in m.controls if "noise" in c.name)
                notes.append(f"{network}: {name} loses {m.value:.1%} after its peak; noise alone gives {noise.value:.1%}.")
    return tuple(notes)


STUDY = Study(
    name="life-cycle",
    source="C",
    title="Does refinement decay when training goes on, while its direction stays?",
    measures=followed(READ),
    claims=(
        *(
            sourced(
                f"In {name} error reduction peaks at {_printed(name, 0):g} digits and ends at {_printed(name, 1):g}, a loss of "
                f"{-_printed(name, 2):.0%}, while sign agreement loses {-_printed(name, 3):.0%}.",
                feature(where(FALL, network=name), PEAK, OTHERS).near(_printed(name, 0), 1.25),
                feature(where(FALL, network=name), FINAL, OTHERS).near(_printed(name, 1), 1.25),
                feature(where(FALL, network=name), DECAY, OTHERS).between(
                    -_printed(name, 2) - WITHIN, -_printed(name, 2) + WITHIN
                ),
                feature(where(SIGN, network=name), DECAY, OTHERS).between(
                    -_printed(name, 3) - WITHIN, -_printed(name, 3) + WITHIN
                ),
                published=tuple(f"life_cycle/{name}/{i}" for i in range(4)),
            )
            for name in READ
        ),
        own(
            f"In the smallest models of the ladder nothing decays within 4,096 steps: at most {MOST:.0%} of the peak is lost, of the "
            "magnitude and of the direction.",
            *(feature(where(q, network=name), DECAY, OTHERS).between(high=MOST) for name in SMALL for q in (FALL, SIGN)),
        ),
        own(
            "Direction and magnitude are not two things there: over training, sign agreement and slope rise together (rank "
            "correlation of at least 0.7).",
            *(
                together(f"{TOGETHER}, {name}", where(SIGN, network=name), where(SLOPE, network=name)).between(low=0.7)
                for name in SMALL
            ),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "Source C prints decay as a share of the peak; so does this, with the sign turned round. Its curves are means of three "
        "seeds of prompts and a dozen checkpoints; peaks of noisy curves are too large, which the control shows.",
        f"Published values get a factor of 1.25, published shares ±{WITHIN:g}. Our rules were written before sign agreement and slope "
        "of all layers together had been looked at over training.",
    ),
)

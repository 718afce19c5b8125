"""How many prompts a probe needs before "not decodable" means anything: cos(w) by the size of the fitting set, by depth."""

from collections.abc import Sequence

from mesascope.instruments.reading import probes
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import Network
from mesascope.studies.pictures import lines, only
from mesascope.studies.rules import Where, known, where
from mesascope.studies.study import Study, own
from mesascope.studies.trained_regressors.probed import ALONE
from mesascope.types import Figure, Measurement, Scalar, Site, bounds

NETWORKS = tuple(Network(layers=layers, seed=seed) for layers in (2, 3, 4, 6) for seed in (42, 100))
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
FEW, MANY = 128, 4096
PLANTED = "target written in"


def _measure(network: Network, size: int) -> Measure:
    """The probe for w at the query after the last sub-layer, fitted on ``size`` prompts of one query each."""
    last = Site(layer=network.layers - 1, kind="resid_post")
    return Measure(
        instrument=probes.NAME,
        network=network,
        label={"network": network.name, "layers": network.layers, "seed": network.seed, "prompts": size},
        prompts={"score": 512},
        options={"fit": size, "queries": 1, "targets": {"w": probes.TARGETS["w"]}, "sites": (last,)},
        at_smoke=network == NETWORKS[0] and size in SIZES[:2],
    )


def _cosine(layers: int, prompts: int) -> Where:
    return where(probes.COSINE, layers=layers, prompts=prompts)


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    rows: list[dict[str, Scalar]] = []
    for m in only(found, quantity=probes.COSINE.name):
        at: dict[str, Scalar] = {"seed": f"seed {m.coordinates['seed']}", "prompts": m.coordinates["prompts"]}
        rows.append({**at, "probe of": f"{m.coordinates['layers']} layers", "cosine": m.value, **bounds(m.interval)})
        if m.coordinates["layers"] == 2:
            rows += [{**at, "probe of": c, "cosine": known(m, c).value} for c in (ALONE, PLANTED)]
    figure = lines(
        name="probe-size",
        section="Probes",
        title="What a probe finds of w, by the number of prompts that it is fitted on",
        caption="Cosine between a ridge probe's prediction at the query after the last sub-layer and w, both centred, on "
        "held-out prompts. The width of the stream is 128: below that a probe has more coefficients than prompts.",
        rows=tuple(rows),
        x="prompts",
        y="cosine",
        series="probe of",
        facet="seed",
        titles={"prompts": "prompts that the probe is fitted on"},
        log=("x",),
    )
    return (figure,)


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    courses: dict[Scalar, list[str]] = {}
    for m in only(found, quantity=probes.COSINE.name):
        course = courses.setdefault(m.coordinates["network"], [])
        course.append(f"{m.value:.2f} ({m.coordinates['prompts']} prompts)")
    return tuple(f"{network}: cos(w) {', '.join(course)}." for network, course in courses.items())


STUDY = Study(
    name="probe-size",
    title="Is w gone from deeper networks, or was the probe fitted on too few prompts?",
    measures=tuple(_measure(network, size) for network in NETWORKS for size in SIZES),
    claims=(
        own(
            "A probe fitted on 128 prompts finds w after two layers, and next to nothing of it after four.",
            _cosine(2, FEW).between(low=0.5),
            _cosine(4, FEW).between(high=0.2),
        ),
        own(
            "A probe fitted on 4,096 prompts finds a good part of w after four layers too.",
            _cosine(2, MANY).between(low=0.7),
            _cosine(4, MANY).between(low=0.4),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source does not say how many prompts its probes are fitted on. Both rules were written after a look at the networks "
        "of seed 42 with four queries per prompt; here each prompt has one, and other seeds are measured where they ship.",
    ),
)

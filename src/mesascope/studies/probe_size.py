"""How many prompts a probe needs before "not decodable" means anything: cos(w) by the size of the fitting set, by depth."""

from collections.abc import Sequence

from mesascope.instruments import probes
from mesascope.studies.measure import Between, known, labelled
from mesascope.studies.networks import Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.types import Figure, Measurement, Scalar, Site, bounds

NETWORKS = tuple(Network(layers=layers, seed=seed) for layers in (2, 3, 4, 6) for seed in (42, 100))
SIZES = (64, 128, 256, 512, 1024, 2048, 4096)
SCORED = 512
FEW, MANY = 128, 4096
COSINE, W = probes.COSINE.name, "w"
ALONE, PLANTED = "Xᵀy alone", "target written in"


def run(session: Session) -> Found:
    """The probe for w at the query after the last sub-layer, fitted on ever more prompts of one query each."""
    smoke = session.profile == "smoke"
    networks = session.shipped(NETWORKS[:1] if smoke else NETWORKS)
    found: list[Measurement] = []
    for network in networks:
        for size in SIZES[:2] if smoke else SIZES:
            measured = session.keep(
                f"probes {network.name} {size}",
                lambda network=network, size=size: probes.linear_probes(
                    session.network(network),
                    network.task,
                    seed=session.seed,
                    fit=size,
                    score=session.prompts(SCORED),
                    queries=1,
                    targets={W: probes.TARGETS[W]},
                    sites=[Site(layer=network.layers - 1, kind="resid_post")],
                ),
            )
            found += labelled(measured, network=network.name, layers=network.layers, seed=network.seed, prompts=size)

    def cosines(layers: int, size: int) -> tuple[Measurement, ...]:
        at = (COSINE, layers, size)
        return tuple(m for m in found if (m.quantity, m.coordinates["layers"], m.coordinates["prompts"]) == at)

    return Found(
        evidence={f"cos(w), {n} layers, {size} prompts": cosines(n, size) for n in (2, 4) for size in (FEW, MANY)},
        measurements=tuple(found),
        figures=(_figure(found),),
        notes=_notes(found, networks),
    )


def _figure(found: Sequence[Measurement]) -> Figure:
    rows: list[dict[str, Scalar]] = []
    for m in found:
        if m.quantity != COSINE:
            continue
        where: dict[str, Scalar] = {"seed": f"seed {m.coordinates['seed']}", "prompts": m.coordinates["prompts"]}
        rows.append({**where, "probe of": f"{m.coordinates['layers']} layers", "cosine": m.value, **bounds(m.interval)})
        if m.coordinates["layers"] == 2:
            for name in (ALONE, PLANTED):
                rows.append({**where, "probe of": name, "cosine": known(m, name).value})
    return Figure(
        name="probe-size",
        section="Probes",
        title="What a probe finds of w, by the number of prompts that it is fitted on",
        caption="Cosine between a ridge probe's prediction at the query after the last sub-layer and w, both centred, on "
        "held-out prompts. The width of the stream is 128: below that a probe has more coefficients than prompts.",
        kind="lines",
        rows=tuple(rows),
        x="prompts",
        y="cosine",
        series="probe of",
        facet="seed",
        low="low",
        high="high",
        titles={"prompts": "prompts that the probe is fitted on"},
        log=("x",),
    )


def _notes(found: Sequence[Measurement], networks: Sequence[Network]) -> tuple[str, ...]:
    def course(network: Network) -> str:
        here = [m for m in found if m.quantity == COSINE and m.coordinates["network"] == network.name]
        return ", ".join(f"{m.value:.2f} ({m.coordinates['prompts']} prompts)" for m in here)

    return tuple(f"{network.name}: cos(w) {course(network)}." for network in networks)


STUDY = Study(
    name="probe-size",
    title="Is w gone from deeper networks, or was the probe fitted on too few prompts?",
    claims=(
        Claim(
            own=True,
            text="A probe fitted on 128 prompts finds w after two layers and next to nothing of it after four.",
            accept={
                f"cos(w), 2 layers, {FEW} prompts": Between(low=0.5),
                f"cos(w), 4 layers, {FEW} prompts": Between(high=0.2),
            },
        ),
        Claim(
            own=True,
            text="Fitted on 4,096 prompts, it finds a good part of w after four layers too.",
            accept={
                f"cos(w), 2 layers, {MANY} prompts": Between(low=0.7),
                f"cos(w), 4 layers, {MANY} prompts": Between(low=0.4),
            },
        ),
    ),
    run=run,
    departures=(
        "The source does not say how many prompts its probes are fitted on. Both rules were written after a look at the networks "
        "of seed 42 with four queries a prompt; here each prompt has one, and other seeds join where they ship.",
    ),
)

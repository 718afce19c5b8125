"""What a two-layer network writes down, where, and from which token on: source B's linear probes, and its streaming question."""

import dataclasses
from collections.abc import Mapping

from mesascope.instruments import probes, streaming
from mesascope.instruments.applicability import latent_weights
from mesascope.instruments.collect import Reading
from mesascope.studies.measure import Between, labelled, pick
from mesascope.studies.networks import TWO_LAYERS
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.types import Measurement, Site

NETWORKS = TWO_LAYERS
W, MOMENT, GRAM, INVERSE, BEYOND = "w", "Xᵀy/n", "XᵀX/n", "(XᵀX+I)⁻¹", "w beyond Xᵀy"
TARGETS: Mapping[str, probes.Target] = {
    W: latent_weights,
    MOMENT: probes.moment,
    GRAM: probes.gram,
    INVERSE: probes.inverse_gram(1.0),
    BEYOND: probes.beyond_moment,
}
POOLED: Reading = "label mean"
SUMS: Mapping[str, probes.Target] = {name: TARGETS[name] for name in (W, MOMENT, GRAM)}
FIRST_ATTENTION, FIRST_MLP = Site(layer=0, kind="resid_mid"), Site(layer=0, kind="resid_post")
SECOND_ATTENTION, SECOND_MLP = Site(layer=1, kind="resid_mid"), Site(layer=1, kind="resid_post")
BEFORE = (Site(layer=0, kind="resid_pre"), FIRST_ATTENTION, FIRST_MLP)
AFTER = (SECOND_ATTENTION, SECOND_MLP)
PREFIXES = (5, 10, 20)


def run(session: Session) -> Found:
    """Probes at the query, pooled over labels and over all of the context, and along the context, for both seeds."""
    found: list[Measurement] = []
    fit, score = session.prompts(1024), session.prompts(512)
    smoke = session.profile == "smoke"
    told = PREFIXES[-1:] if smoke else PREFIXES
    prefixes = told if smoke else (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20)
    readings: dict[Reading, Mapping[str, probes.Target]] = {"query": TARGETS, POOLED: SUMS}
    if not smoke:
        readings["context mean"] = SUMS
    for network in NETWORKS:
        for reading, targets in readings.items():
            measured = session.keep(
                f"probes {network.name} {reading}",
                lambda network=network, reading=reading, targets=targets: probes.linear_probes(
                    session.network(network),
                    network.task,
                    seed=session.seed,
                    fit=fit,
                    score=score,
                    targets=targets,
                    reading=reading,
                ),
            )
            found += labelled(measured, network=network.name)
        measured = session.keep(
            f"streaming {network.name}",
            lambda network=network: streaming.streaming(
                session.network(network), network.task, seed=session.seed, fit=fit, score=score, examples=prefixes
            ),
        )
        found += labelled(measured, network=network.name)

    def cosines(target: str, sites: tuple[Site, ...], reading: Reading = "query") -> tuple[Measurement, ...]:
        return tuple(
            pick(
                found,
                probes.COSINE.name,
                site=str(site),
                target=target,
                network=network.name,
                **{"read at": reading},
            )
            for network in NETWORKS
            for site in sites
        )

    def running(quantity: str, target: str, sites: tuple[Site, ...]) -> tuple[Measurement, ...]:
        return tuple(
            pick(found, quantity, site=str(site), target=target, network=network.name, example=k)
            for network in NETWORKS
            for site in sites
            for k in told
        )

    first = [m for m in found if m.coordinates["network"] == NETWORKS[0].name]
    at_query = [m for m in first if m.coordinates.get("read at") == "query"]
    pooled = [m for m in first if m.coordinates.get("read at") == POOLED]
    along = [m for m in first if m.coordinates["site"] in (str(FIRST_MLP), str(SECOND_ATTENTION))]
    return Found(
        evidence={
            "w at the query after the second attention": cosines(W, (SECOND_ATTENTION,)),
            "Xᵀy at the query after the second attention": cosines(MOMENT, (SECOND_ATTENTION,)),
            "w and Xᵀy at the query before it": cosines(W, BEFORE) + cosines(MOMENT, BEFORE),
            "w and Xᵀy at the query from it on": cosines(W, AFTER) + cosines(MOMENT, AFTER),
            "XᵀX and its inverse at the query": cosines(GRAM, BEFORE + AFTER) + cosines(INVERSE, BEFORE + AFTER),
            "w beyond Xᵀy at the query after the second attention": cosines(BEYOND, (SECOND_ATTENTION,)),
            "Xᵀy pooled over the labels after the first attention": cosines(MOMENT, (FIRST_ATTENTION,), POOLED),
            "Xᵀy pooled over the labels after the first MLP": cosines(MOMENT, (FIRST_MLP,), POOLED),
            "a prefix's Xᵀy in the first layer, above the own example's": running(
                streaming.ABOVE.name, "Xₖᵀyₖ/k", (FIRST_ATTENTION, FIRST_MLP)
            ),
            "a prefix's Xᵀy at its label after the second attention": running(
                streaming.COSINE.name, "Xₖᵀyₖ/k", (SECOND_ATTENTION,)
            ),
        },
        measurements=tuple(found),
        figures=(
            dataclasses.replace(
                probes.figure(at_query), title=f"What is linearly decodable at the query: {NETWORKS[0].name}"
            ),
            dataclasses.replace(
                streaming.figure(along), title=f"What the k-th label holds of the first k examples: {NETWORKS[0].name}"
            ),
            dataclasses.replace(
                probes.figure(pooled),
                name="probes-pooled",
                title=f"What is linearly decodable from the mean over the labels: {NETWORKS[0].name}",
            ),
        ),
        notes=_notes(found),
    )


def _notes(found: list[Measurement]) -> tuple[str, ...]:
    def said(target: str, site: Site, reading: Reading, control: str = "") -> str:
        """A cosine of both networks, or of a control of the first."""
        each = [
            pick(found, probes.COSINE.name, site=str(site), target=target, network=n.name, **{"read at": reading})
            for n in NETWORKS
        ]
        if control:
            return f"{next(c.value for c in each[0].controls if c.name == control):.2f}"
        return " and ".join(f"{m.value:.2f}" for m in each)

    after: tuple[Site, Reading] = (SECOND_ATTENTION, "query")
    alone = "Xᵀy alone"
    return (
        f"Xᵀy alone, which needs no network, points to w with cosine {said(W, *after, alone)}; the networks' streams at the "
        f"query after the second attention with {said(W, *after)}. A cosine of 0.89 for w is therefore no sign of more than "
        f"Xᵀy. What tells is the rest of w: cosine {said(BEYOND, *after)}, where Xᵀy alone has "
        f"{said(BEYOND, *after, alone)}.",
        f"XᵀX: cosine {said(GRAM, *after)} at the query after the second attention, where an untrained network has "
        f"{said(GRAM, *after, 'untrained network')}: attention averages its inputs anyhow. In the mean "
        f"over the labels after the first MLP: {said(GRAM, FIRST_MLP, POOLED)} (an untrained network: "
        f"{said(GRAM, FIRST_MLP, POOLED, 'untrained network')}).",
        f"Xᵀy in the mean over the labels: {said(MOMENT, FIRST_ATTENTION, POOLED)} after the first attention, "
        f"{said(MOMENT, FIRST_MLP, POOLED)} after the first MLP (an untrained network: "
        f"{said(MOMENT, FIRST_MLP, POOLED, 'untrained network')}).",
    )


_DEPTH_TWO = ("depth_probe_cos/2/w/0", "depth_probe_cos/2/xty/0")

STUDY = Study(
    name="two-layer-probes",
    title="What does a two-layer network write down, and where?",
    claims=(
        Claim(
            text="Right after the second attention w and Xᵀy are linearly decodable at the query, as well as published.",
            published=_DEPTH_TWO,
            accept={
                "w at the query after the second attention": Between(low=0.84, high=0.94),
                "Xᵀy at the query after the second attention": Between(low=0.89, high=0.99),
            },
            needs=dict.fromkeys(NETWORKS, 0.0018),
        ),
        Claim(
            text="They emerge sharply: hardly decodable at the query before the second attention, and from it on they are.",
            published=_DEPTH_TWO,
            accept={
                "w and Xᵀy at the query before it": Between(high=0.2),
                "w and Xᵀy at the query from it on": Between(low=0.8),
            },
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            text="Neither XᵀX nor the inverse (XᵀX + λI)⁻¹ is decodable at the query after any sub-layer.",
            accept={"XᵀX and its inverse at the query": Between(high=0.3)},
        ),
        Claim(
            own=True,
            text="The query's stream holds more of w than Xᵀy says: what is left of w after its best multiple of Xᵀy.",
            accept={"w beyond Xᵀy at the query after the second attention": Between(low=0.2)},
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            own=True,
            text="The first MLP makes the products yₖxₖ: Xᵀy is decodable from the mean over the labels after it, and is "
            "not before.",
            accept={
                "Xᵀy pooled over the labels after the first attention": Between(high=0.5),
                "Xᵀy pooled over the labels after the first MLP": Between(low=0.8),
            },
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            own=True,
            text="Nothing is summed up before the second attention: in the first layer a label holds no more of its "
            "prefix's Xₖᵀyₖ than its own example says.",
            accept={"a prefix's Xᵀy in the first layer, above the own example's": Between(high=0.1)},
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            own=True,
            text="Streaming, which the source left open: the second attention leaves at every label the Xₖᵀyₖ of its prefix, "
            "as it leaves that of the whole context at the query.",
            accept={"a prefix's Xᵀy at its label after the second attention": Between(low=0.8)},
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
    ),
    run=run,
    departures=(
        "The source gives neither its probes' regulariser nor split nor controls, and no λ for the inverse: here ridge with "
        "the penalty chosen on held-out prompts, scored on others, targets centred, four controls a probe, λ = 1.",
        "The source's cosines by depth name no sub-layer; its text says 'right after L1's attention', which is where ours are.",
        "The source probed for w along the context. Without noise a prefix of five examples or more fixes w itself, so the "
        "rules here are about the prefix's Xₖᵀyₖ; both are in the figure. In a two-layer network nothing reads a label's "
        "stream after the second attention, whatever is found there.",
    ),
)

"""What a two-layer network writes down, where, and from which token on: source B's linear probes, and its streaming question."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mesascope.instruments.asking.applicability import latent_weights
from mesascope.instruments.asking.collect import Position
from mesascope.instruments.reading import probes, streaming
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import TWO_LAYERS, Network
from mesascope.studies.pictures import only, titled
from mesascope.studies.rules import Where, known, where
from mesascope.studies.study import Study, own, sourced
from mesascope.studies.trained_regressors.probed import ALONE, MOMENT, W
from mesascope.types import Figure, Measurement, Site

FIRST = TWO_LAYERS[0].name
GRAM, INVERSE, BEYOND = "XᵀX/n", "(XᵀX+I)⁻¹", "w beyond Xᵀy"
SUMS: Mapping[str, probes.Target] = {W: latent_weights, MOMENT: probes.moment, GRAM: probes.gram}
TARGETS: Mapping[str, probes.Target] = {**SUMS, INVERSE: probes.InverseGram(ridge=1.0), BEYOND: probes.beyond_moment}
POOLED: Position = "label mean"
READINGS: Mapping[Position, Mapping[str, probes.Target]] = {"query": TARGETS, POOLED: SUMS, "context mean": SUMS}
BEFORE = tuple(str(Site(layer=0, kind=kind)) for kind in ("resid_pre", "resid_mid", "resid_post"))
AFTER = tuple(str(Site(layer=1, kind=kind)) for kind in ("resid_mid", "resid_post"))
_, FIRST_ATTENTION, FIRST_MLP = BEFORE
SECOND_ATTENTION, _ = AFTER
PREFIXES = (5, 10, 20)
ALONG = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 18, 20)


def _measures(network: Network) -> tuple[Measure, ...]:
    """Probes at the query, pooled over labels and over all of the context, and along the context."""
    label, sizes = {"network": network.name}, {"fit": 1024, "score": 512}
    return (
        *(
            Measure(
                instrument=probes.NAME,
                network=network,
                label={**label, "read at": reading},
                prompts=sizes,
                options={"targets": targets, "reading": reading},
                at_smoke=reading != "context mean",
            )
            for reading, targets in READINGS.items()
        ),
        Measure(instrument=streaming.NAME, network=network, label=label, prompts=sizes, options={"examples": ALONG}),
    )


def _cosine(target: str, *sites: str, reading: Position = "query") -> Where:
    return where(probes.COSINE, target=target, site=sites, **{"read at": reading})


def _running(quantity: object, *sites: str) -> Where:
    return where(quantity, target="Xₖᵀyₖ/k", site=sites, example=PREFIXES)


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    first = only(found, network=FIRST)
    along = [m for m in first if m.coordinates["site"] in (FIRST_MLP, SECOND_ATTENTION)]
    at_query, pooled = (probes.figure(only(first, **{"read at": reading})) for reading in ("query", POOLED))
    return (
        titled(at_query, f"What is linearly decodable at the query: {FIRST}"),
        titled(streaming.figure(along), f"What the k-th label holds of the first k examples: {FIRST}"),
        replace(
            pooled, name="probes-pooled", title=f"What is linearly decodable from the mean over the labels: {FIRST}"
        ),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    def said(target: str, site: str, reading: Position, control: str = "") -> str:
        """A cosine of both networks, or of a control of the first."""
        each = _cosine(target, site, reading=reading).among(found)
        return f"{known(each[0], control).value:.2f}" if control else " and ".join(f"{m.value:.2f}" for m in each)

    after: tuple[str, Position] = (SECOND_ATTENTION, "query")
    return (
        f"Xᵀy alone, which needs no network, points to w with cosine {said(W, *after, ALONE)}; the networks' streams at the "
        f"query after the second attention with {said(W, *after)}. A cosine of 0.89 for w is therefore no sign of more than Xᵀy. "
        f"What tells is the rest of w: cosine {said(BEYOND, *after)}, where Xᵀy alone has {said(BEYOND, *after, ALONE)}.",
        f"XᵀX: cosine {said(GRAM, *after)} at the query after the second attention, where an untrained network has "
        f"{said(GRAM, *after, 'untrained network')}: attention averages its inputs anyhow. In the mean over the labels after the "
        f"first MLP: {said(GRAM, FIRST_MLP, POOLED)} (an untrained network: "
        f"{said(GRAM, FIRST_MLP, POOLED, 'untrained network')}).",
        f"Xᵀy in the mean over the labels: {said(MOMENT, FIRST_ATTENTION, POOLED)} after the first attention, "
        f"{said(MOMENT, FIRST_MLP, POOLED)} after the first MLP (an untrained network: "
        f"{said(MOMENT, FIRST_MLP, POOLED, 'untrained network')}).",
    )


_NEEDS = dict.fromkeys(TWO_LAYERS, 0.01)
_DEPTH_TWO = ("depth_probe_cos/2/w/0", "depth_probe_cos/2/xty/0")

STUDY = Study(
    name="two-layer-probes",
    title="What does a two-layer network write down, and where?",
    measures=tuple(measure for network in TWO_LAYERS for measure in _measures(network)),
    claims=(
        sourced(
            "Right after the second attention w and Xᵀy are linearly decodable at the query, as well as published.",
            _cosine(W, SECOND_ATTENTION).between(0.84, 0.94),
            _cosine(MOMENT, SECOND_ATTENTION).between(0.89, 0.99),
            published=_DEPTH_TWO,
            needs=dict.fromkeys(TWO_LAYERS, 0.0018),
        ),
        sourced(
            "w and Xᵀy emerge sharply: they are hardly decodable at the query before the second attention, and are from it on.",
            _cosine(W, *BEFORE).between(high=0.2),
            _cosine(MOMENT, *BEFORE).between(high=0.2),
            _cosine(W, *AFTER).between(low=0.8),
            _cosine(MOMENT, *AFTER).between(low=0.8),
            published=_DEPTH_TWO,
            needs=_NEEDS,
        ),
        sourced(
            "Neither XᵀX nor the inverse (XᵀX + λI)⁻¹ is decodable at the query after any sub-layer.",
            _cosine(GRAM, *BEFORE, *AFTER).between(high=0.3),
            _cosine(INVERSE, *BEFORE, *AFTER).between(high=0.3),
        ),
        own(
            "The query's stream holds more of w than Xᵀy says: part of what is left of w after the best multiple of Xᵀy is "
            "decodable.",
            _cosine(BEYOND, SECOND_ATTENTION).between(low=0.2),
            needs=_NEEDS,
        ),
        own(
            "The first MLP makes the products yₖxₖ: Xᵀy is decodable from the mean over the labels after it, and is not before.",
            _cosine(MOMENT, FIRST_ATTENTION, reading=POOLED).between(high=0.5),
            _cosine(MOMENT, FIRST_MLP, reading=POOLED).between(low=0.8),
            needs=_NEEDS,
        ),
        own(
            "Nothing is summed up before the second attention: in the first layer a label holds no more of its prefix's Xₖᵀyₖ "
            "than its own example says.",
            _running(streaming.ABOVE, FIRST_ATTENTION, FIRST_MLP).between(high=0.1),
            needs=_NEEDS,
        ),
        own(
            "Streaming, which the source left open: the second attention leaves at every label the Xₖᵀyₖ of its prefix, as it "
            "leaves that of the whole context at the query.",
            _running(streaming.COSINE, SECOND_ATTENTION).between(low=0.8),
            needs=_NEEDS,
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source gives neither its probes' regulariser nor split nor controls, and no λ for the inverse: here ridge with the "
        "penalty chosen on held-out prompts, scored on others, targets centred, four controls per probe, λ = 1.",
        "The source's cosines by depth name no sub-layer; its text says 'right after L1's attention', which is where ours are.",
        "The source probed for w along the context. Without noise a prefix of five examples or more fixes w itself, so the rules "
        "here are about the prefix's Xₖᵀyₖ; both are in the figure. In a two-layer network nothing reads a label's stream after "
        "the second attention, whatever is found there.",
    ),
)

"""What the first layer of a two-layer network does: does it pair each example's input with its label, and no more?"""

from collections.abc import Sequence

from mesascope.instruments.attending import copying, mixing
from mesascope.instruments.intervening import ablation
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import TWO_LAYERS, Network
from mesascope.studies.pictures import only, titled
from mesascope.studies.rules import Derived, pick, where
from mesascope.studies.study import Study, own, published, sourced
from mesascope.types import Figure, Measurement, Site

HEADS = range(4)
FIRST = TWO_LAYERS[0].name
OUTPUT, AFTER = str(Site(layer=0, kind="z")), str(Site(layer=0, kind="resid_post"))
_FACTORS = tuple(f"L0_single_head_zero_ablation_mse_factor/{i}" for i in (0, 1))
_SOURCE_ERROR = "patching_two_layers_n200/embedding/to_recipient"  # of the network that the source takes apart
_NEEDS = dict.fromkeys(TWO_LAYERS, 0.01)


def _measures(network: Network) -> tuple[Measure, ...]:
    """Attention and value path of each head, what a label's stream depends on, and each head taken out."""
    zero, label = {"queries": 4, "methods": ("zero",)}, {"network": network.name}
    return (
        Measure(instrument=copying.NAME, network=network, label=label, prompts={"n": 512}),
        Measure(instrument=mixing.NAME, network=network, label=label, prompts={"n": 256}),
        Measure(instrument=ablation.NAME, network=network, label=label, prompts={"n": 256}, options=zero),
    )


def _ranked(found: Sequence[Measurement], network: Network) -> list[int]:
    """The heads, ordered by how much of a label's attention goes to its own input, most first."""
    return sorted(HEADS, key=lambda head: -pick(found, copying.ON_OWN.name, network=network.name, head=head).value)


def _two(quantity: str, *, others: bool = False) -> Derived:
    """A quantity of the two heads with most attention on the label's own input, or of the other two."""
    place = slice(2, None) if others else slice(2)
    return Derived(
        words=f"{quantity}, {'the other heads' if others else 'the two heads with most attention on the own input'}",
        of=lambda found: tuple(
            pick(found, quantity, network=network.name, head=head)
            for network in TWO_LAYERS
            for head in _ranked(found, network)[place]
        ),
    )


_ADDED = where(ablation.DIFFERENCE, site=OUTPUT, head=HEADS)


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    first = only(found, network=FIRST)
    return (
        titled(copying.figure(first), f"From an example's input to its label: {FIRST}"),
        titled(mixing.figure(first), f"Whose tokens a label's stream depends on: {FIRST}"),
        titled(ablation.figure(only(first, site=OUTPUT)), f"How much worse without each head of layer 0: {FIRST}"),
    )


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    error = published("B")[_SOURCE_ERROR]
    low, high = (bound(m.value for m in _ADDED.among(found)) / error + 1 for bound in (min, max))
    return (
        *(_heads(found, network) for network in TWO_LAYERS),
        f"A factor is over the network's own error. In a network with the source's error of {error:g} the errors that our heads' "
        f"removal adds would be factors from {low:.0f} to {high:.0f}.",
    )


def _heads(found: Sequence[Measurement], network: Network) -> str:
    def of(quantity: str, head: int) -> float:
        return pick(found, quantity, network=network.name, head=head).value

    listed = "; ".join(
        f"head {head}: {of(copying.ON_OWN.name, head):.2f} of the attention, alignment {of(copying.ALIGNED, head):+.2f} (−1 is "
        f"minus the identity), {of(copying.INSIDE, head):.2f} of the map inside the inputs' subspace"
        for head in _ranked(found, network)
    )
    return f"{network.name}, from a label's own input, the head with most attention there first. {listed}."


STUDY = Study(
    name="first-layer-copying",
    title="Does the first layer copy each input to its label, and no more?",
    measures=tuple(measure for network in TWO_LAYERS for measure in _measures(network)),
    claims=(
        sourced(
            "In two of the four heads of the first layer, each label attends almost entirely to its own input; in the other two "
            "heads it does not.",
            _two(copying.ON_OWN.name).between(low=0.9),
            _two(copying.ON_OWN.name, others=True).between(high=0.5),
            needs=_NEEDS,
        ),
        sourced(
            "The value path of the two heads that attend to the own input is approximately the identity: what arrives is a "
            "multiple of what was sent.",
            _two(copying.ALIGNED).between(low=0.8),
            _two(copying.MULTIPLE.name).between(low=0.5),
            needs=_NEEDS,
        ),
        own(
            "What the first attention adds at a label is a linear map of the label's own input, whether or not this map is the "
            "identity.",
            where(copying.LINEAR, head=copying.ALL).between(low=0.8),
            needs=_NEEDS,
        ),
        sourced(
            "Each example is paired by itself: after the first layer a label's stream does not depend on other examples.",
            where(mixing.SHARE, site=AFTER, exchanged=mixing.OTHERS).between(high=0.05),
            needs=_NEEDS,
        ),
        sourced(
            "Setting the output of any one head of the first layer to zero multiplies the error 46- to 801-fold.",
            where(ablation.FACTOR, site=OUTPUT, head=HEADS).between(low=46, high=801),
            published=_FACTORS,
            needs=dict.fromkeys(TWO_LAYERS, 0.0018),
        ),
        own(
            "Setting any one head of the first layer to zero adds as much error as in the source's network: 46 and 801 times its "
            "0.0009, less that error itself, are 0.04 and 0.72.",
            _ADDED.between(low=0.04, high=0.72),
            needs=_NEEDS,
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source does not say how it found the V-projection to be near the identity. Here the map from a label's own input to "
        "what the head adds there is measured: alignment tr M/(√d‖M‖) inside the inputs' subspace, and the share of the variance "
        "that the best multiple of what was sent explains, outside it too.",
        "The source infers the absence of mixing from attention patterns. Here other examples are exchanged, and the label's "
        "stream either moves or does not, which is evidence whatever the patterns are.",
        "Factors of an ablation grow as the network's own error falls; the error added does not, so there is a rule for each.",
    ),
)

"""What the first layer of a two-layer network does: does it pair each example's input with its label, and no more?"""

import dataclasses

from mesascope.instruments import ablation, copying, mixing
from mesascope.studies.measure import Between, labelled, pick
from mesascope.studies.networks import TWO_LAYERS, Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study, published
from mesascope.types import Measurement, Scalar, Site

NETWORKS = TWO_LAYERS
HEADS = range(4)
AFTER = Site(layer=0, kind="resid_post")
_FACTORS = tuple(f"L0_single_head_zero_ablation_mse_factor/{i}" for i in (0, 1))
_SOURCE_ERROR = "patching_two_layers_n200/embedding/to_recipient"  # of the network that the source takes apart


def run(session: Session) -> Found:
    """Attention and value path of each head, what a label's stream depends on, and each head taken out, for both seeds."""
    found: list[Measurement] = []
    for network in NETWORKS:
        instruments = {
            copying.NAME: lambda s, t: copying.copying(s, t, seed=session.seed, n=session.prompts(512)),
            mixing.NAME: lambda s, t: mixing.mixing(s, t, seed=session.seed, n=session.prompts(256)),
            ablation.NAME: lambda s, t: ablation.ablations(
                s, t, seed=session.seed, n=session.prompts(256), queries=4, methods=("zero",)
            ),
        }
        for name, measure in instruments.items():
            measured = session.keep(
                f"{name} {network.name}",
                lambda network=network, measure=measure: measure(session.network(network), network.task),
            )
            found += labelled(measured, network=network.name)

    def of(quantity: str, network: Network, head: Scalar, **more: Scalar) -> Measurement:
        return pick(found, quantity, network=network.name, head=head, **more)

    def ranked(network: Network) -> list[int]:
        """Heads by how much of a label's attention goes to its own input, most first."""
        return sorted(HEADS, key=lambda head: -of(copying.ON_OWN.name, network, head).value)

    def copying_heads(quantity: str, place: slice) -> tuple[Measurement, ...]:
        return tuple(of(quantity, network, head) for network in NETWORKS for head in ranked(network)[place])

    def without_a_head(quantity: str) -> tuple[Measurement, ...]:
        z = str(Site(layer=0, kind="z"))
        return tuple(of(quantity, network, head, site=z) for network in NETWORKS for head in HEADS)

    mixed = tuple(
        pick(found, mixing.SHARE.name, network=network.name, site=str(AFTER), exchanged=mixing.OTHERS)
        for network in NETWORKS
    )
    factors, differences = without_a_head(ablation.FACTOR.name), without_a_head(ablation.DIFFERENCE.name)
    first = [m for m in found if m.coordinates["network"] == NETWORKS[0].name]
    taken_out = [m for m in first if m.coordinates["site"] == str(Site(layer=0, kind="z"))]
    return Found(
        evidence={
            "attention on the own input, the two heads with most": copying_heads(copying.ON_OWN.name, slice(0, 2)),
            "attention on the own input, the other heads": copying_heads(copying.ON_OWN.name, slice(2, None)),
            "alignment of the two heads' maps with the identity": copying_heads(copying.ALIGNED, slice(0, 2)),
            "R² of a multiple of the own input, the two heads": copying_heads(copying.MULTIPLE.name, slice(0, 2)),
            "R² of a linear map of the own input, all heads": tuple(
                of(copying.LINEAR.name, network, copying.ALL) for network in NETWORKS
            ),
            "share of other examples in a label's stream after the first layer": mixed,
            "MSE factor without a head": factors,
            "MSE added without a head": differences,
        },
        measurements=tuple(found),
        figures=(
            dataclasses.replace(
                copying.figure(first), title=f"From an example's input to its label: {NETWORKS[0].name}"
            ),
            dataclasses.replace(
                mixing.figure(first), title=f"Whose tokens a label's stream depends on: {NETWORKS[0].name}"
            ),
            dataclasses.replace(
                ablation.figure(taken_out), title=f"How much worse without each head of layer 0: {NETWORKS[0].name}"
            ),
        ),
        notes=(
            *(_heads(network, ranked(network), found) for network in NETWORKS),
            _rescaled(differences),
        ),
    )


def _heads(network: Network, ranked: list[int], found: list[Measurement]) -> str:
    def of(quantity: str, head: int) -> float:
        return pick(found, quantity, network=network.name, head=head).value

    listed = "; ".join(
        f"head {head}: {of(copying.ON_OWN.name, head):.2f} of the attention, alignment {of(copying.ALIGNED, head):+.2f} "
        f"(−1 is minus the identity), {of(copying.INSIDE, head):.2f} of the map inside the inputs' subspace"
        for head in ranked
    )
    return f"{network.name}, from a label's own input, the head with most attention there first. {listed}."


def _rescaled(differences: tuple[Measurement, ...]) -> str:
    """The factors that the same added errors would be in a network as well trained as the source's."""
    error = published("B")[_SOURCE_ERROR]
    low, high = (bound(m.value for m in differences) / error + 1 for bound in (min, max))
    return (
        f"A factor is over the network's own error. In a network with the source's error of {error:g} the errors that our "
        f"heads' removal adds would be factors from {low:.0f} to {high:.0f}."
    )


STUDY = Study(
    name="first-layer-copying",
    title="Does the first layer copy each input to its label, and no more?",
    claims=(
        Claim(
            text="In two of the four heads of the first layer each label attends almost entirely to its own input; in the "
            "others it does not.",
            accept={
                "attention on the own input, the two heads with most": Between(low=0.9),
                "attention on the own input, the other heads": Between(high=0.5),
            },
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            text="Those two heads' value path is approximately the identity: what arrives is a multiple of what was sent.",
            accept={
                "alignment of the two heads' maps with the identity": Between(low=0.8),
                "R² of a multiple of the own input, the two heads": Between(low=0.5),
            },
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            own=True,
            text="Whichever map it is, what the first attention adds at a label is a linear map of the own input.",
            accept={"R² of a linear map of the own input, all heads": Between(low=0.8)},
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            text="Each example is paired by itself: after the first layer a label's stream does not depend on other examples.",
            accept={"share of other examples in a label's stream after the first layer": Between(high=0.05)},
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
        Claim(
            text="Setting the output of any one head of the first layer to zero multiplies the error 46- to 801-fold.",
            published=_FACTORS,
            accept={"MSE factor without a head": Between(low=46, high=801)},
            needs=dict.fromkeys(NETWORKS, 0.0018),
        ),
        Claim(
            own=True,
            text="It adds as much error as in the source's network: 46 and 801 times its 0.0009, less that itself, are 0.04 "
            "and 0.72.",
            accept={"MSE added without a head": Between(low=0.04, high=0.72)},
            needs=dict.fromkeys(NETWORKS, 0.01),
        ),
    ),
    run=run,
    departures=(
        "The source does not say how it found the V-projection to be near the identity. Here the map from a label's own "
        "input to what the head adds there is measured: alignment tr M/(√d‖M‖) inside the inputs' subspace, and the share "
        "of the variance that the best multiple of what was sent explains, outside it too.",
        "The source infers the absence of mixing from attention patterns. Here other examples are exchanged and the "
        "label's stream is seen to move or not, which is so whatever the patterns.",
        "Factors of an ablation grow as the network's own error falls; the error added does not, so there is a rule for each.",
    ),
)

"""Where the answer arrives in a two-layer network: source B's table of patch locations."""

import dataclasses

from mesascope.instruments import patching
from mesascope.studies.networks import TWO_LAYERS
from mesascope.studies.session import Session
from mesascope.studies.study import Between, Claim, Found, Study, labelled, pick
from mesascope.types import Measurement, Site

NETWORKS = TWO_LAYERS
PAIRS = 200
BEFORE = (Site(layer=0, kind="resid_pre"), Site(layer=0, kind="resid_mid"), Site(layer=0, kind="resid_post"))
AFTER = (Site(layer=1, kind="resid_mid"), Site(layer=1, kind="resid_post"))


def run(session: Session) -> Found:
    """Donor into recipient at every sub-layer, at the query and at all other positions, for both seeds."""
    found: list[Measurement] = []
    for network in NETWORKS:
        measured = session.keep(
            f"patching {network.name}",
            lambda network=network: patching.patching(
                session.network(network), network.task, seed=session.seed, n=session.prompts(PAIRS), queries=1
            ),
        )
        found += labelled(measured, network=network.name)

    def transfer(sites: tuple[Site, ...], positions: str) -> tuple[Measurement, ...]:
        where = [(str(site), network.name) for network in NETWORKS for site in sites]
        return tuple(
            pick(found, patching.TRANSFER.name, site=site, network=network, positions=positions)
            for site, network in where
        )

    first = [m for m in found if m.coordinates["network"] == NETWORKS[0].name]
    figure = patching.figure(first)
    return Found(
        evidence={
            "transfer at the query before the second attention": transfer(BEFORE, "query"),
            "transfer at the query after it": transfer(AFTER, "query"),
            "transfer at the context after the first layer": transfer(BEFORE[2:], "context"),
            "transfer at the context after the second attention": transfer(AFTER, "context"),
        },
        measurements=tuple(found),
        figures=(dataclasses.replace(figure, title=f"Whose answer comes out: {NETWORKS[0].name}"),),
    )


_TABLE = "patching_two_layers_n200"

STUDY = Study(
    name="two-layer-patching",
    title="Where does the answer arrive in a two-layer network?",
    claims=(
        Claim(
            text="Before the second attention, patching the query's stream leaves the recipient's answer as it was.",
            published=tuple(
                f"{_TABLE}/{site}/{to}"
                for site in ("embedding", "L0_attn", "L0_mlp")
                for to in ("to_donor", "to_recipient")
            ),
            accept={"transfer at the query before the second attention": Between(low=-0.1, high=0.1)},
        ),
        Claim(
            text="From the second attention on, patching the query's stream makes the answer the donor's.",
            published=tuple(
                f"{_TABLE}/{site}/{to}" for site in ("L1_attn", "L1_mlp") for to in ("to_donor", "to_recipient")
            ),
            accept={"transfer at the query after it": Between(low=0.9, high=1.1)},
        ),
        Claim(
            own=True,
            text="What the answer needs waits at the examples' positions until the second attention fetches it, and is read "
            "nowhere else after.",
            accept={
                "transfer at the context after the first layer": Between(low=0.9, high=1.1),
                "transfer at the context after the second attention": Between(low=-0.01, high=0.01),
            },
        ),
    ),
    run=run,
    departures=(
        "The source judges by the mean squared error to either side's answer; the rule here is the transfer, the share of the "
        "way from the recipient's own answer to the donor's, which does not depend on how well the network is trained. Both "
        "errors are in the figure.",
    ),
)

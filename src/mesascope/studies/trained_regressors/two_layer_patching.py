"""Where the answer arrives in a two-layer network: source B's table of patch locations."""

from mesascope.instruments.intervening import patching
from mesascope.studies.measure import each
from mesascope.studies.networks import TWO_LAYERS
from mesascope.studies.pictures import only, titled
from mesascope.studies.rules import Where, where
from mesascope.studies.study import Study, own, sourced

BEFORE = ("blocks.0.hook_resid_pre", "blocks.0.hook_resid_mid", "blocks.0.hook_resid_post")
AFTER = ("blocks.1.hook_resid_mid", "blocks.1.hook_resid_post")
FIRST = TWO_LAYERS[0].name


def _transfer(sites: tuple[str, ...], positions: str) -> Where:
    return where(patching.TRANSFER, site=sites, positions=positions)


def _printed(*sites: str) -> tuple[str, ...]:
    return tuple(f"patching_two_layers_n200/{site}/{to}" for site in sites for to in ("to_donor", "to_recipient"))


STUDY = Study(
    name="two-layer-patching",
    title="Where does the answer arrive in a two-layer network?",
    measures=each(TWO_LAYERS, patching.NAME, lambda n: {"network": n.name}, prompts={"n": 200}, options={"queries": 1}),
    claims=(
        sourced(
            "Before the second attention, patching the query's stream leaves the recipient's answer as it was.",
            _transfer(BEFORE, "query").between(-0.1, 0.1),
            published=_printed("embedding", "L0_attn", "L0_mlp"),
        ),
        sourced(
            "From the second attention on, patching the query's stream makes the answer the donor's.",
            _transfer(AFTER, "query").between(0.9, 1.1),
            published=_printed("L1_attn", "L1_mlp"),
        ),
        own(
            "What the answer needs waits at the examples' positions until the second attention fetches it, and is not read there "
            "afterwards.",
            _transfer(BEFORE[2:], "context").between(0.9, 1.1),
            _transfer(AFTER, "context").between(-0.01, 0.01),
        ),
    ),
    figures=lambda found, _: (titled(patching.figure(only(found, network=FIRST)), f"Whose answer comes out: {FIRST}"),),
    departures=(
        "The source judges by the mean squared error to either side's answer; the rule here is the transfer, the share of the "
        "way from the recipient's own answer to the donor's, which does not depend on how well the network is trained. Both "
        "errors are in the figure.",
    ),
)

"""What the second attention of a two-layer network computes, and what its deviation from uniform encodes."""

from collections.abc import Sequence

from mesascope.instruments.attending import attention, attention_content
from mesascope.instruments.attending.uniform_attention import UNIFORM
from mesascope.studies.bench import Bench
from mesascope.studies.measure import Measure
from mesascope.studies.networks import TWO_LAYERS, Network
from mesascope.studies.pictures import only, titled
from mesascope.studies.rules import pick, where
from mesascope.studies.study import Study, own, sourced
from mesascope.types import Figure, Measurement, Site

FIRST = TWO_LAYERS[0]
PATTERN = Site(layer=1, kind="pattern")
FEW = attention_content.few(attention_content.FEW)


def _measures(network: Network) -> tuple[Measure, ...]:
    """Entropy and uniform replacement, then the regression of log attention."""
    label, kept, smoke = {"network": network.name}, (where(site=str(PATTERN)),), network == FIRST
    return (
        Measure(instrument=attention.NAME, network=network, label=label, prompts={"n": 256}, kept=kept, at_smoke=smoke),
        Measure(
            instrument=attention_content.NAME,
            network=network,
            label=label,
            prompts={"fit": 384, "score": 384},
            options={"site": PATTERN},
            kept=kept,
            at_smoke=smoke,
        ),
    )


def _figures(found: Sequence[Measurement], bench: Bench) -> tuple[Figure, ...]:
    first = only(found, network=FIRST.name)
    pictures = (attention_content.damage_figure(first), attention_content.figure(first))
    return tuple(titled(figure, f"{figure.title}: {FIRST.name}") for figure in pictures)


def _notes(found: Sequence[Measurement], bench: Bench) -> tuple[str, ...]:
    parts = [(network, only(found, network=network.name)) for network in TWO_LAYERS]
    return tuple(note for network, here in parts if here for note in _told(network.name, here, bench.error(network)))


def _told(name: str, here: Sequence[Measurement], error: float) -> tuple[str, ...]:
    """What came out for one network, in sentences."""
    factors = [
        f"{pick(here, UNIFORM.name, head='all', over=over).value:.0f} over {over}"
        for over in ("all visible tokens", "visible labels")
    ]
    undone = {
        str(m.coordinates["features"]): m.value
        for m in only(here, quantity=attention_content.UNDONE.name)
        if not str(m.coordinates["features"]).startswith(("all", "best"))
    }
    single = sorted(
        (f for f in undone if f not in ("the model's own", attention_content.FLAT, attention_content.UNIFORM)),
        key=lambda f: -undone[f],
    )
    notes = [
        f"{name}: mean squared error {error:.2g}; uniform attention multiplies it by {' and by '.join(factors)}. Such a factor "
        "grows as one over the error of the intact network."
    ]
    if single:
        several = pick(here, attention_content.UNDONE.name, features=attention_content.ALL).value
        free = pick(here, attention_content.UNDONE.name, features=attention_content.EVERY).value
        best, second = single[:2]
        notes.append(
            f"{name}: of single features, {best} undoes most of the damage of flat attention ({undone[best]:.0%}), then {second} "
            f"({undone[second]:.0%}); all features together undo {several:.0%}, and with forms that single out directions "
            f"{free:.0%}."
        )
    return tuple(notes)


_NEEDS = dict.fromkeys(TWO_LAYERS, 0.0012)

STUDY = Study(
    name="second-attention",
    title="What does the second attention compute, and what does its deviation from uniform encode?",
    measures=tuple(measure for network in TWO_LAYERS for measure in _measures(network)),
    claims=(
        sourced(
            "The second attention is nearly uniform over the examples: the entropy of each head is 0.98 of its maximum, give or "
            "take 0.03.",
            where(attention.ENTROPY_OF_LABELS, rows="query").between(0.95, 1.0),
            published=("L1_attention_entropy_fraction_of_max",),
            needs=_NEEDS,
        ),
        sourced(
            "All the same, the answer depends on the shape of the second attention: exactly uniform attention makes the error "
            "more than a hundred times larger, and brings it to 1.1 within a factor of three, which is what a factor of 1202 "
            "means at an error of 0.0009.",
            where(UNIFORM, head="all", over="all visible tokens").between(low=100),
            where(attention_content.MSE, features=attention_content.UNIFORM).between(0.36, 3.3),
            published=("L1_attention_uniform_mse_factor",),
            needs=_NEEDS,
        ),
        own(
            "What the deviation from uniform encodes can be named: norms, inner products with the query, labels, residuals, "
            "leverage and position explain 80 % of each head's log attention to the labels.",
            where(attention_content.R2, features=attention_content.ALL, tokens="label").between(low=0.8),
        ),
        own(
            "The network uses these features: attention predicted from norms, inner products, labels, residuals, leverage and "
            "position undoes nine tenths of the damage of flat attention.",
            where(attention_content.UNDONE, features=attention_content.ALL).between(low=0.9),
        ),
        own(
            f"Few features are enough for half of it: the best {attention_content.FEW} undo half of the damage of flat "
            "attention.",
            where(attention_content.UNDONE, features=FEW).between(low=0.5),
        ),
    ),
    figures=_figures,
    notes=_notes,
    departures=(
        "The source gives one entropy share, over the 20 examples, and does not say how heads are put together; here every head "
        "has to lie within the rule, over the labels. The share over all visible tokens is among the measurements.",
        "The source does not say over which tokens its uniform attention spreads. The claim is judged by attention that is "
        "uniform over all visible tokens; attention that is uniform over the labels alone stands beside it.",
        "Flat attention, with which fitted attention is compared, keeps each head's weight on all labels, on all inputs and on "
        "the query together, and spreads it evenly within each.",
    ),
)

"""What the second attention of a two-layer network computes, and what its deviation from uniform encodes."""

import dataclasses

from mesascope.instruments import attention, attention_content
from mesascope.instruments.uniform_attention import UNIFORM
from mesascope.studies.measure import Between, labelled, pick
from mesascope.studies.networks import TWO_LAYERS, Network
from mesascope.studies.session import Session
from mesascope.studies.study import Claim, Found, Study
from mesascope.types import Measurement, Site

NETWORKS = TWO_LAYERS
PATTERN = Site(layer=1, kind="pattern")
FEW = attention_content.few(attention_content.FEW)


def run(session: Session) -> Found:
    """Entropy and uniform replacement, then the regression of log attention, for both seeds."""
    networks = NETWORKS[:1] if session.profile == "smoke" else NETWORKS
    found: list[Measurement] = []
    for network in networks:
        subject = session.network(network)
        known = session.keep(
            f"attention {network.name}",
            lambda network=network, subject=subject: attention.attention(
                subject, network.task, seed=session.seed, n=session.prompts(256)
            ),
        )
        known += session.keep(
            f"content {network.name}",
            lambda network=network, subject=subject: attention_content.attention_content(
                subject,
                network.task,
                site=PATTERN,
                seed=session.seed,
                fit=session.prompts(384),
                score=session.prompts(384),
            ),
        )
        found += labelled([m for m in known if m.coordinates["site"] == str(PATTERN)], network=network.name)

    def every(quantity: str, **where: str) -> tuple[Measurement, ...]:
        """At all heads of all networks."""
        return tuple(
            m for m in found if m.quantity == quantity and all(m.coordinates.get(k) == v for k, v in where.items())
        )

    def once(quantity: str, **where: str) -> tuple[Measurement, ...]:
        return tuple(pick(found, quantity, network=network.name, **where) for network in networks)

    first = [m for m in found if m.coordinates["network"] == NETWORKS[0].name]
    pictures = [attention_content.damage_figure(first), attention_content.figure(first)]
    return Found(
        evidence={
            "entropy share over the labels": every(attention.ENTROPY_OF_LABELS.name, rows="query"),
            "factor, uniform over all visible tokens": once(UNIFORM.name, head="all", over="all visible tokens"),
            "error, uniform over all visible tokens": once(
                attention_content.MSE.name, features=attention_content.UNIFORM
            ),
            "R² of log attention on all features": every(
                attention_content.R2.name, features=attention_content.ALL, tokens="label"
            ),
            "damage undone by all features": once(attention_content.UNDONE.name, features=attention_content.ALL),
            "damage undone by the best few": once(attention_content.UNDONE.name, features=FEW),
        },
        measurements=tuple(found),
        figures=tuple(dataclasses.replace(f, title=f"{f.title}: {NETWORKS[0].name}") for f in pictures),
        notes=tuple(note for network in networks for note in _notes(found, network, session)),
    )


def _notes(found: list[Measurement], network: Network, session: Session) -> tuple[str, ...]:
    """What came out for one network, in sentences."""
    name = network.name
    here = [m for m in found if m.coordinates["network"] == name]
    factors = [
        f"{pick(here, UNIFORM.name, head='all', over=over).value:.0f} over {over}"
        for over in ("all visible tokens", "visible labels")
    ]
    undone = {
        str(m.coordinates["features"]): m.value
        for m in here
        if m.quantity == attention_content.UNDONE.name
        and not str(m.coordinates["features"]).startswith(("all", "best"))
    }
    single = sorted(
        (f for f in undone if f not in ("the model's own", attention_content.FLAT, attention_content.UNIFORM)),
        key=lambda f: -undone[f],
    )
    notes = [
        f"{name}: mean squared error {session.error(network):.2g}; uniform attention multiplies it by "
        f"{' and by '.join(factors)}. "
        "Such a factor grows as one over the error of the intact network."
    ]
    if single:
        several = pick(here, attention_content.UNDONE.name, features=attention_content.ALL).value
        free = pick(here, attention_content.UNDONE.name, features=attention_content.EVERY).value
        best, second = single[:2]
        notes.append(
            f"{name}: of single features, {best} undoes most of the damage of flat attention ({undone[best]:.0%}), "
            f"then {second} "
            f"({undone[second]:.0%}); all features together undo {several:.0%}, and with forms that single out "
            f"directions "
            f"{free:.0%}."
        )
    return tuple(notes)


_NEEDS = {network: 0.0012 for network in NETWORKS}

STUDY = Study(
    name="second-attention",
    title="What does the second attention compute, and what does its deviation from uniform encode?",
    claims=(
        Claim(
            text="The second attention is nearly uniform over the examples: the entropy of each head is 0.98 of its "
            "maximum, "
            "to 0.03.",
            published=("L1_attention_entropy_fraction_of_max",),
            accept={"entropy share over the labels": Between(low=0.95, high=1.0)},
            needs=_NEEDS,
        ),
        Claim(
            text="All the same its shape is what the answer lives on: exactly uniform, it makes the error more than "
            "a hundred times "
            "larger, to within a factor of three of the 1.1 that a factor of 1202 means at an error of 0.0009.",
            published=("L1_attention_uniform_mse_factor",),
            accept={
                "factor, uniform over all visible tokens": Between(low=100),
                "error, uniform over all visible tokens": Between(low=0.36, high=3.3),
            },
            needs=_NEEDS,
        ),
        Claim(
            own=True,
            text="What the deviation from uniform encodes can be named: norms, inner products with the query, "
            "labels, residuals, "
            "leverage and position explain 80 % of each head's log attention to the labels.",
            accept={"R² of log attention on all features": Between(low=0.8)},
        ),
        Claim(
            own=True,
            text="And it is what the network uses: attention predicted from these features undoes nine tenths of "
            "the damage of "
            "flat attention.",
            accept={"damage undone by all features": Between(low=0.9)},
        ),
        Claim(
            own=True,
            text=f"Few of them do: the best {attention_content.FEW} undo half of the damage.",
            accept={"damage undone by the best few": Between(low=0.5)},
        ),
    ),
    run=run,
    departures=(
        "The source gives one entropy share, over the 20 examples, and does not say how heads are put together; "
        "here every "
        "head has to lie within the rule, over the labels. The share over all visible tokens is among the "
        "measurements.",
        "The source does not say over which tokens its uniform attention spreads; judged is that over all visible "
        "tokens, "
        "that over the labels alone stands beside it.",
        "Flat attention, with which fitted attention is compared, keeps each head's weight on all labels, on all "
        "inputs and "
        "on the query together, and spreads it evenly within each.",
    ),
)

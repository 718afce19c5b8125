"""Activation patching: put a donor's activation into a recipient's pass and see whose answer comes out.

Donor and recipient show different examples and ask the same queries. Where patching the query's stream turns the answer
into the donor's, what the answer needs has arrived there; where patching the context's does, it is still on its way.

Source: the two-to-eight-layer study, its table of patch locations (query position, one query a pair).
Departs from source: the context's positions too, several queries a pair, and errors over the target's variance beside
mean squared ones.
"""

import dataclasses
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from mesascope.instruments.asking.applicability import latent_weights, residual_sites
from mesascope.instruments.asking.tokens import asked
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.intervening.interventions import Positions, replace
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, normalised_error, ratio, squared_error
from mesascope.types import Figure, Intervention, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted

NAME = "patching"
TO_DONOR = Quantity(name="MSE to the donor's answers", unit="y²")
TO_RECIPIENT = Quantity(name="MSE to the recipient's answers", unit="y²")
TO_DONOR_NORMALISED = Quantity(name="normalised error to the donor's answers")
TO_RECIPIENT_NORMALISED = Quantity(name="normalised error to the recipient's answers")
TRANSFER = Quantity(name="transfer", combine=ratio)
POSITIONS: tuple[Positions, ...] = ("query", "context")

SELF = "patched with itself"
EVERYTHING = "everything patched at the first site"
NOTHING = 1e-6
"""Answers that differ by less than this share of them (root mean squares) are the same."""
ALIKE = "donor and recipient get the same answers, so that there is nothing to transfer"


def pairs(task: Task, n: int, *, seed: int = 0, queries: int = 8) -> tuple[Prompts, Prompts]:
    """Donors and recipients: different contexts, the donors' queries, the right answers to them on both sides.

    Raises:
        NotApplicable: the task has no latent weights, so the recipients' answers to the donors' queries are unknown.
    """
    many = adjusted(task, queries=queries)
    donors = many.sample(n, seed=seed, stream=f"{NAME}/donor")
    recipients = many.sample(n, seed=seed, stream=f"{NAME}/recipient")
    answers = torch.einsum("bqd,bd->bq", donors.queries, latent_weights(recipients))
    return donors, dataclasses.replace(recipients, queries=donors.queries, targets=answers)


def patching(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 200,
    queries: int = 8,
    batch: int = 64,
) -> tuple[Measurement, ...]:
    """Whose answer comes out when the donor's residual stream is put in, for every sub-layer, at query or context.

    Errors are against the right answers on either side, as mean squares and over the variance of the target. The
    *transfer* is Σ(patched − recipient's)(donor's − recipient's)/Σ(donor's − recipient's)² over the model's own
    answers: 0 where nothing changed, 1 where it answers as for the donor; not a number where both get the same answers.

    Controls. Positive: everything patched at the first site, which makes the pass the donor's own. Negative: the same
    site patched with the recipient's own stream at all positions, which changes nothing, to the bit.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts and the resampling.
        n: pairs.
        queries: queries a pair.
        batch: pairs traced at a time; changes no result.

    Raises:
        NotApplicable: the subject has no residual stream, or the task no latent weights.
    """
    sites = residual_sites(subject)
    donors, recipients = pairs(task, n, seed=seed, queries=queries)
    parts = [_patched(subject, donors[i : i + batch], recipients[i : i + batch], sites) for i in range(0, n, batch)]
    answers = {key: torch.cat([part[key] for part in parts]) for key in parts[0]}
    draws = bootstrap.weights(n, seed=seed, strata=recipients.strata)
    donor, recipient = answers["", "donor"], answers["", "recipient"]
    alike = (donor - recipient).square().mean() <= NOTHING**2 * recipient.square().mean()
    degenerate = {EVERYTHING: ALIKE, SELF: ALIKE} if alike else {}
    known = {key: _sums(value, answers, donors, recipients) for key, value in answers.items()}
    found: list[Measurement] = []
    for site in sites:
        for positions in POSITIONS:
            for quantity, sums in known[str(site), positions].items():
                found.append(
                    measure(
                        NAME,
                        quantity,
                        sums,
                        draws,
                        coordinates={"site": str(site), "positions": positions},
                        positive={EVERYTHING: known["", "donor into recipient"][quantity]},
                        negative={SELF: known[str(site), "self"][quantity]},
                        degenerate=degenerate if quantity is TRANSFER else {},
                    )
                )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The table of patch locations."""
    rows: dict[tuple[Scalar, Scalar], dict[str, Scalar]] = {}
    for m in measurements:
        if m.instrument == NAME:
            row = rows.setdefault((m.coordinates["positions"], m.coordinates["site"]), dict(m.coordinates))
            row[m.quantity] = m.value
    for row in rows.values():
        share = row.get(TRANSFER.name)
        if isinstance(share, float):
            row["answer"] = "donor's" if share > 0.9 else "recipient's" if share < 0.1 else "between"
    return Figure(
        name="patching",
        section="Patching",
        title="Whose answer comes out",
        caption="A donor's residual stream in a recipient's pass: same queries, different examples. Transfer is 0 "
        "where nothing changed and 1 where the model answers as for the donor.",
        kind="table",
        rows=tuple(
            {k: v for k, v in row.items() if k != "positions"} | {"patched": row["positions"]} for row in rows.values()
        ),
        facet="patched",
    )


def _patched(
    subject: Subject, donors: Prompts, recipients: Prompts, sites: Sequence[Site]
) -> dict[tuple[str, str], Tensor]:
    """The answers of every patched pass of a batch, by (site, positions); and those of the unpatched ones.

    Every pass captures all sites: a model may take another (and differently rounded) way where fewer are looked at.
    """
    queries = asked(subject, donors)
    donor = subject.trace(donors, capture=sites)
    recipient = subject.trace(recipients, capture=sites)

    def run(interventions: Sequence[Intervention]) -> Tensor:
        return subject.trace(recipients, capture=sites, interventions=interventions).predictions.double().cpu()

    out = {
        ("", "donor"): donor.predictions.double().cpu(),
        ("", "recipient"): recipient.predictions.double().cpu(),
        ("", "donor into recipient"): run([replace(sites[0], donor[sites[0]])]),
    }
    for site in sites:
        for positions in POSITIONS:
            out[str(site), positions] = run([replace(site, donor[site], positions=positions, queries=queries)])
        out[str(site), "self"] = run([replace(site, recipient[site])])
    return out


def _sums(
    patched: Tensor, answers: Mapping[tuple[str, str], Tensor], donors: Prompts, recipients: Prompts
) -> dict[Quantity, Tensor]:
    moved, apart = patched - answers["", "recipient"], answers["", "donor"] - answers["", "recipient"]
    return {
        TO_DONOR: squared_error(patched, donors),
        TO_RECIPIENT: squared_error(patched, recipients),
        TO_DONOR_NORMALISED: normalised_error(patched, donors),
        TO_RECIPIENT_NORMALISED: normalised_error(patched, recipients),
        TRANSFER: torch.stack([(moved * apart).mean(-1), apart.square().mean(-1)], -1),
    }


INSTRUMENT = Instrument(
    name=NAME,
    question="Where does the answer arrive: whose comes out if one prompt's stream is put into another?",
    measure=patching,
    needs="a residual stream",
    quantities=(
        "MSE to the donor's answers",
        "MSE to the recipient's answers",
        "normalised error to the donor's answers",
        "normalised error to the recipient's answers",
        "transfer",
    ),
    coordinates=(
        "positions",
        "site",
    ),
    sizes=sizes(n=(24, 200, 800)),
    figure=figure,
    expected=(
        Expected(quantity=TRANSFER.name, control=SELF, words="0 exactly", holds=lambda v: v == 0),
        Expected(quantity=TRANSFER.name, control=EVERYTHING, words="1 within 0.001", holds=lambda v: abs(v - 1) < 1e-3),
    ),
)

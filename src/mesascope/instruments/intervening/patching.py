"""Activation patching: put a donor's activation into a recipient's forward pass and see whose answer comes out.

Donor and recipient show different examples and ask the same queries. If patching the residual stream at the query turns the
answer into the donor's, the information that the answer needs has reached the query by then; if patching the context does, it
is still in the context.

Source: the two-to-eight-layer study, its table of patch locations (query position, one query per pair).
Departs from source: the context's positions are patched too, each pair has several queries, and errors are measured over the
target's variance as well as plain.
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
from mesascope.instruments.statistics.scores import Quantity, left_out, measure, normalised_error, ratio, squared_error
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
"""Donors' and recipients' answers that differ by less than this share of their root mean square count as the same."""
ALIKE = "donor and recipient get the same answers, so that there is nothing to transfer"


def pairs(task: Task, n: int, *, seed: int = 0, queries: int = 8) -> tuple[Prompts, Prompts]:
    """Donors and recipients with different contexts and the donors' queries, each with its own targets for these queries.

    Args:
        task: where the prompts come from.
        n: number of pairs.
        seed: of the prompts.
        queries: queries per pair.

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
    """Whose answer comes out when the donor's residual stream is put in, after every sub-layer, at query or context.

    Errors of the patched answers are measured against the donor's and against the recipient's targets, as mean squared
    errors and over the variance of the target. The *transfer* compares the model's own answers:
    Σ(patched − recipient's)(donor's − recipient's)/Σ(donor's − recipient's)². It is 0 where nothing changed, 1 where the
    model answers as for the donor, and NaN where donor and recipient get the same answers.

    Controls. Positive: everything patched at the first site, which turns the pass into the donor's own. Negative: the
    recipient's own residual stream put in at all positions of the same site, which leaves the answers exactly as they are.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts and the resampling.
        n: number of pairs.
        queries: queries per pair.
        batch: number of pairs per pass; it does not change the results.

    Raises:
        NotApplicable: the subject has no residual stream, or the task has no latent weights.
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
                measured = measure(
                    NAME,
                    quantity,
                    sums,
                    draws,
                    coordinates={"site": str(site), "positions": positions},
                    positive={EVERYTHING: known["", "donor into recipient"][quantity]},
                    negative={SELF: known[str(site), "self"][quantity]},
                )
                found.append(left_out(measured, degenerate) if quantity is TRANSFER else measured)
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
        caption="A donor's residual stream is put into a recipient's forward pass: same queries, different examples. Transfer "
        "is 0 where nothing changed and 1 where the model answers as for the donor.",
        kind="table",
        rows=tuple(
            {k: v for k, v in row.items() if k != "positions"} | {"patched": row["positions"]} for row in rows.values()
        ),
        facet="patched",
    )


def _patched(
    subject: Subject, donors: Prompts, recipients: Prompts, sites: Sequence[Site]
) -> dict[tuple[str, str], Tensor]:
    """The answers of a batch, patched by site and positions, and unpatched (with an empty site).

    Every pass captures all sites, so that all take the same path through the model and round alike.
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
    question="After which layer has the information for the answer reached the query?",
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

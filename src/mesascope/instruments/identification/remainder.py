"""What the best candidate leaves: noise, or something that the problem explains? And what it has besides the largest step.

Two measures, both shares of the subject's variance. *Repeated*: ask again with slightly moved queries, in another
order; what is left of the subject both times is a function of the problem, noise is not. It needs no guess at the
function, and a network without noise that is not the candidate cannot hide from it. *Regressed*: how much of the
remainder a held-out regression on the spectral channels and on the other candidates' iterates explains; it says of what
kind the remainder is, and misses what is not linear in those.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.spectral.channels import SpectralChannels, features, knots
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import CLIP, discrepancy

EXPLAINED = 0.02
"""Share of the subject's variance above which what is explained means that the candidate is not what the subject does.
An absolute share, not a p-value: with enough prompts everything is significant."""
REPEATED = 0.005
"""The same for what comes back when the same is asked again, where the lower end of its 95 % interval counts. Chosen on
calibration panel T: subjects that run a candidate leave nothing, up to noise, and the nearest others leave 1 %."""
KNOTS = 8


def repeated_share(
    first: Float[Tensor, "layer batch query"],
    second: Float[Tensor, "layer batch query"],
    subject: Float[Tensor, "layer batch query"],
    units: Float[Tensor, "layer batch"],
    informative: Bool[Tensor, "layer batch"],
    draws: Float[Tensor, "repeat batch"],
) -> tuple[float, tuple[float, float]]:
    """Share of the subject's variance that the candidate leaves both times: the mean product of both remainders, with its
    95 % interval.

    Args:
        first, second: the remainders at the queries and at the moved queries.
        subject: its answers, for the size.
        units: what squared errors are divided by.
        informative: layers and prompts that count.
        draws: of the bootstrap.
    """
    product = torch.nan_to_num((first * second).mean(-1) / units).clamp(-CLIP, CLIP)
    size = discrepancy(subject, torch.zeros_like(subject), units)
    sums = torch.stack([(product * informative).sum(0), (size * informative).sum(0)], -1)
    return bootstrap.estimate(sums, lambda m: torch.where(m[:, 1] > 0, m[:, 0] / m[:, 1], 0.0), draws)


def beside_the_largest(
    subject: Float[Tensor, "layer batch query"],
    again: Float[Tensor, "layer batch query"],
    candidate: Float[Tensor, "layer batch query"],
    candidate_again: Float[Tensor, "layer batch query"],
    units: Float[Tensor, "layer batch"],
    draws: Float[Tensor, "repeat batch"],
) -> tuple[float, tuple[float, float]]:
    """How much of the layers' changes the candidate explains, the layer that changes the answers most left out; its interval.

    1 less what it leaves of the answers after the other layers, over what these layers change; of both, only what comes back
    at the moved queries counts, so that noise takes no part. Below 0 it errs by more than it is to explain. NaN where the
    other layers change nothing. A method that does all its steps in one layer, and whose first iterates are small, would
    otherwise match a subject whose first layers say next to nothing.

    Args:
        subject, candidate: answers at the queries.
        again, candidate_again: at the moved queries.
        units: what squared errors are divided by.
        draws: of the bootstrap.
    """

    def size(first: Float[Tensor, "layer batch query"], second: Float[Tensor, "layer batch query"]) -> Tensor:
        return torch.nan_to_num((first * second).mean(-1) / units).clamp(-CLIP, CLIP)

    changes = size(torch.diff(subject, dim=0, prepend=subject[:1] * 0), torch.diff(again, dim=0, prepend=again[:1] * 0))
    others = torch.arange(len(subject)) != changes.mean(-1).argmax()
    left = size(subject - candidate, again - candidate_again)
    sums = torch.stack([left[others].sum(0), changes[others].sum(0)], -1)
    return bootstrap.estimate(sums, lambda m: 1 - m[:, 0] / m[:, 1], draws)


def explained_share(
    fitting: tuple[Float[Tensor, "layer batch query"], Float[Tensor, "layer batch query"], Tensor, Tensor],
    scoring: tuple[Float[Tensor, "layer batch query"], Float[Tensor, "layer batch query"], Tensor, Tensor],
    fitting_regressors: Float[Tensor, "candidate layer batch query"],
    scoring_regressors: Float[Tensor, "candidate layer batch query"],
    fitting_channels: SpectralChannels,
    scoring_channels: SpectralChannels,
) -> float:
    """Share of the subject's variance, over all layers, that a held-out regression of the remainder explains.

    The remainder (subject minus best candidate) is regressed, layer by layer, on the prompt's spectral channels and on all
    candidates' iterates; fitted on one half of the prompts, scored on the other. Noise is unrelated to the problem and
    gives about 0.

    Args:
        fitting, scoring: for each half (subject, best candidate, units of squared errors, informative layers × prompts).
        fitting_regressors, scoring_regressors: the candidates' predictions.
        fitting_channels, scoring_channels: the prompts' channels.
    """
    positive = fitting_channels.eigenvalues[fitting_channels.eigenvalues > 0]
    at = knots(float(positive.quantile(0.02)), float(positive.quantile(0.98)) * 1.001, KNOTS)
    fit_basis, score_basis = features(fitting_channels, at), features(scoring_channels, at)
    saved = total = 0.0
    for layer in range(len(fitting[0])):
        rows, left = _design(fitting, layer, fit_basis, fitting_regressors)
        beta = torch.linalg.solve(rows.T @ rows + _damping(rows), rows.T @ left[:, None])
        held, rest = _design(scoring, layer, score_basis, scoring_regressors)
        subject, _, units, informative = scoring
        queries = subject.shape[-1]
        before = _per_prompt(rest, queries)
        after = _per_prompt(rest - (held @ beta)[:, 0], queries)
        saved += float((before - after).sum())
        size = discrepancy(subject[layer], torch.zeros_like(subject[layer]), units[layer])
        total += float(size[informative[layer]].sum())
    return saved / total if total else 0.0


def _design(
    half: tuple[Tensor, Tensor, Tensor, Tensor], layer: int, basis: Tensor, regressors: Tensor
) -> tuple[Float[Tensor, "row feature"], Float[Tensor, " row"]]:
    """Rows (prompt, query) of regressors and remainder, both over the root of the unit of squared errors."""
    subject, best, units, informative = half
    keep = informative[layer]
    scale = units[layer][keep].rsqrt()[:, None, None]
    columns = torch.cat([basis, regressors[:, layer].permute(1, 2, 0)], -1)[keep] * scale
    left = (subject[layer] - best[layer])[keep] * scale[..., 0]
    limit = CLIP**0.5 * 4  # a diverged candidate must not decide the regression
    return torch.nan_to_num(columns, nan=0.0).clamp(-limit, limit).flatten(0, 1), torch.nan_to_num(left).flatten()


def _damping(rows: Tensor) -> Tensor:
    gram = rows.T @ rows
    return torch.eye(len(gram), dtype=gram.dtype) * (1e-8 * gram.diagonal().mean() + 1e-300)


def _per_prompt(values: Tensor, queries: int) -> Tensor:
    return values.unflatten(0, (-1, queries)).square().mean(-1).clamp(max=CLIP)


def switching_gain(
    subject: Float[Tensor, "layer batch query"],
    candidates: Float[Tensor, "candidate layer batch query"],
    best: int,
    units: Float[Tensor, "layer batch"],
    informative: Bool[Tensor, "layer batch"],
) -> tuple[float, float, tuple[int, int]]:
    """What letting each prompt choose between two candidates would gain over the best one, what that one leaves, and which two.

    Shares of the subject's variance. The choice is made on every other query and scored on the rest, so that noise, which
    favours one candidate here and another there, gains nothing; a subject that runs one algorithm on some prompts and
    another on others gains a lot.
    """

    def loss(path: Tensor, queries: slice) -> Tensor:
        return (discrepancy(subject[..., queries], path[..., queries], units) * informative).sum(0)

    chosen_by, judged_by = (
        torch.stack([loss(path, queries) for path in candidates]) for queries in (slice(0, None, 2), slice(1, None, 2))
    )
    size = float((discrepancy(subject, torch.zeros_like(subject), units) * informative).sum(0).mean())
    if not size:
        return 0.0, 0.0, (best, best)
    second = chosen_by[:, None] > chosen_by  # (first, second, batch): whether the second of a pair is chosen
    left = torch.where(second, judged_by, judged_by[:, None]).mean(-1) / size
    alone, pair = float(judged_by[best].mean()) / size, int(left.argmin())
    return alone - float(left.min()), alone, (pair // len(candidates), pair % len(candidates))

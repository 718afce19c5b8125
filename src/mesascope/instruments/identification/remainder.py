"""The remainder: is what the best candidate leaves of the subject's answers noise, or is it determined by the problem?

Two measures answer this, both shares of the subject's variance. *Repeated*: the prompts are asked again with slightly moved
queries and in another order. The part of the remainder that is the same both times is a function of the problem; noise is
not. This needs no guess at the function and finds any difference from the candidate in a network without noise. *Regressed*:
the share that a held-out regression on the spectral channels and the candidates' iterates explains. It shows of what kind the
remainder is, but misses everything that is not linear in these.

Two more functions compare the candidate with other explanations: `beside_the_largest` and `switching_gain`.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.spectral.channels import SpectralChannels, features, knots
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import CLIP, Compared, discrepancy, errors

EXPLAINED = 0.02
"""The share of the subject's variance above which an explained remainder means that the subject does not run the candidate. It
is an absolute share, not a p-value, since with enough prompts every difference is significant."""
REPEATED = 0.005
"""The same limit for the repeated remainder, where the lower end of its 95 % interval counts. It was chosen on calibration panel
T: subjects that run a candidate leave nothing, up to noise, and the nearest others leave 1 %."""
KNOTS = 8


def repeated_share(
    left: tuple[Float[Tensor, "layer batch query"], Float[Tensor, "layer batch query"]],
    subject: Float[Tensor, "layer batch query"],
    units: Float[Tensor, "layer batch"],
    informative: Bool[Tensor, "layer batch"],
    draws: Float[Tensor, "repeat batch"],
) -> tuple[float, tuple[float, float]]:
    """The share of the subject's variance that is repeated: the mean product of both remainders, with its 95 % interval.

    Args:
        left: the remainders at the queries and at the moved queries.
        subject: the subject's answers, whose size is the unit.
        units: the divisors of squared errors.
        informative: the layers and prompts that count.
        draws: from `bootstrap.weights`.
    """
    product = torch.nan_to_num((left[0] * left[1]).mean(-1) / units).clamp(-CLIP, CLIP)
    size = discrepancy(subject, torch.zeros_like(subject), units)
    sums = torch.stack([(product * informative).sum(0), (size * informative).sum(0)], -1)
    return bootstrap.estimate(sums, lambda m: torch.where(m[:, 1] > 0, m[:, 0] / m[:, 1], 0.0), draws)


def beside_the_largest(
    shown: tuple[Float[Tensor, "layer batch query"], Float[Tensor, "layer batch query"]],
    left: tuple[Float[Tensor, "layer batch query"], Float[Tensor, "layer batch query"]],
    units: Float[Tensor, "layer batch"],
    draws: Float[Tensor, "repeat batch"],
) -> tuple[float, tuple[float, float]]:
    """The share of the layers' changes that the candidate explains, without the layer that changes the answers most.

    It is 1 − (the candidate's remainder after the other layers)/(the changes that these layers make). Both are measured as
    mean products between queries and moved queries, so that noise does not count. The share is below 0 if the remainder is
    larger than the changes, and NaN if the other layers change nothing. Without this test, a method whose first iterates are
    small and that takes all its steps in one layer would match a subject whose first layers hardly change the answer.

    Args:
        shown: the subject's answers at the queries and at the moved queries.
        left: the candidate's remainders at both.
        units: the divisors of squared errors.
        draws: from `bootstrap.weights`.

    Returns:
        The share, and its 95 % interval.
    """

    def size(first: Float[Tensor, "layer batch query"], second: Float[Tensor, "layer batch query"]) -> Tensor:
        return torch.nan_to_num((first * second).mean(-1) / units).clamp(-CLIP, CLIP)

    changes = size(*(torch.diff(answers, dim=0, prepend=answers[:1] * 0) for answers in shown))
    others = torch.arange(len(changes)) != changes.mean(-1).argmax()
    sums = torch.stack([size(*left)[others].sum(0), changes[others].sum(0)], -1)
    return bootstrap.estimate(sums, lambda m: 1 - m[:, 0] / m[:, 1], draws)


def explained_share(
    fitting: tuple[Float[Tensor, "layer batch query"], Float[Tensor, "layer batch query"], Tensor, Tensor],
    scoring: tuple[Float[Tensor, "layer batch query"], Float[Tensor, "layer batch query"], Tensor, Tensor],
    fitting_regressors: Float[Tensor, "candidate layer batch query"],
    scoring_regressors: Float[Tensor, "candidate layer batch query"],
    fitting_channels: SpectralChannels,
    scoring_channels: SpectralChannels,
) -> float:
    """The share of the subject's variance, over all layers, that a held-out regression of the remainder explains.

    The remainder (subject minus best candidate) is regressed, layer by layer, on the prompt's spectral channels and on all
    candidates' iterates, fitted on one half of the prompts and scored on the other. Noise is unrelated to the problem, so
    its share is about 0.

    Args:
        fitting, scoring: for each half (subject, best candidate, units of squared errors, informative layers × prompts).
        fitting_regressors, scoring_regressors: the candidates' predictions on each half.
        fitting_channels, scoring_channels: the spectral channels of each half.
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
    """Regressors and remainder, one row per prompt and query, both divided by the root of the unit of squared errors."""
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
    compared: Compared,
    again: Compared | None,
    shown: Float[Tensor, "layer batch query"],
    best: int,
    units: Float[Tensor, "layer batch"],
    informative: Bool[Tensor, "layer batch"],
) -> tuple[float, float, tuple[int, int]]:
    """The gain over the best candidate if each prompt may choose between two candidates.

    The choice is made on every other query and scored on the rest. So noise, which favours different candidates at different
    queries, gives no gain, but a subject that runs one algorithm on some prompts and another on others gives a large one.

    Args:
        compared: the subject's answers as read for each candidate, and the candidates'.
        again: the same where it is asked again, where readouts are fitted (see `discrepancy.errors`).
        shown: the answers whose size is the unit.
        best: the index of the best candidate.
        units, informative: the divisors of squared errors, and the layers and prompts that count.

    Returns:
        The gain, what the best candidate leaves (both as shares of the subject's variance), and the best two candidates.
    """

    def loss(queries: slice) -> Tensor:
        subject, candidates = (each[..., queries] for each in compared)
        there = None if again is None else (again[0][..., queries], again[1][..., queries])
        return (errors(subject, candidates, units, there) * informative).sum(1)

    chosen_by, judged_by = loss(slice(0, None, 2)), loss(slice(1, None, 2))
    size = float((discrepancy(shown, torch.zeros_like(shown), units) * informative).sum(0).mean())
    if not size:
        return 0.0, 0.0, (best, best)
    second = chosen_by[:, None] > chosen_by  # (first, second, batch): whether the second of a pair is chosen
    left = torch.where(second, judged_by, judged_by[:, None]).mean(-1) / size
    alone, pair = float(judged_by[best].mean()) / size, int(left.argmin())
    return alone - float(left.min()), alone, (pair // len(judged_by), pair % len(judged_by))

"""Which polynomial in the Gram matrix describes a subject's answers, and whether its coefficients are the same for all prompts.

The Krylov terms of a prompt are K_j = x_qᵀ(XᵀX/n)ʲXᵀy/n. One step of gradient descent is a multiple of K₀ ("Xᵀy times a
scalar"), k steps are a combination of K₀ … K_{k−1} with fixed coefficients, and conjugate gradient is a combination whose
coefficients depend on the prompt. So the held-out R² of the answers on K₀ … K_k shows how often a subject has applied XᵀX.
Two limits stand above all degrees: the best filter of the eigenvalues that is the same for all prompts, and the best weights
for each single prompt. What even the latter leave unexplained is not linear in the query.
"""

import dataclasses
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, LeastSquares, run
from mesascope.instruments.asking.applicability import untrained
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.spectral.channels import SpectralChannels, features, knots
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.regression import ridge_fits
from mesascope.instruments.statistics.scores import Quantity, explained, measure, partners
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted

DEGREES = 4
"""Number of degrees, from 0 on."""
NAME = "krylov"
R2 = Quantity(name="R² of the answers", combine=explained)
FIXED, OWN = "the same for all prompts", "each prompt's own"
FILTER, LINEAR = "any filter of the eigenvalues", "any weights"
ANSWERS = "final answers"
KNOTS = 14
STEP = 0.3  # step size of the planted gradient descent
_SMALL = 1e-10  # singular values below this share of the largest count as zero


def krylov_terms(prompts: Prompts, count: int) -> Float[Tensor, "batch query term"]:
    """K_0 … K_{count−1} at every query, in float64."""
    p = prompts.to(dtype=torch.float64)
    gram, power = p.xs.mT @ p.xs / p.examples, p.xs.mT @ p.ys[..., None] / p.examples
    powers = [power]
    for _ in range(count - 1):
        powers.append(gram @ powers[-1])
    return p.queries @ torch.cat(powers, -1)


def krylov(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    fit: int = 512,
    score: int = 512,
    queries: int = 16,
    sites: Sequence[Site] = (),
) -> tuple[Measurement, ...]:
    """Held-out R² of the answers on Krylov terms up to each degree, with fixed and with per-prompt coefficients.

    Fixed coefficients are fitted on other prompts and scored on all queries; a prompt's own coefficients are fitted on half
    of its queries and scored on the other half. R² is 1 − Σ(answer − fit)²/Σ(answer − mean)². The limits beside the degrees
    are any filter of the eigenvalues (linear interpolation in log λ) for fixed coefficients, and any weights for each
    prompt's own.

    Controls. Positive: an algorithm of exactly this form (gradient descent with as many steps as there are terms, least
    squares for the two limits). Negative: the terms of another prompt (for any weights, its queries), and the untrained
    network.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        fit, score: numbers of prompts to fit on and to score on.
        queries: queries per prompt.
        sites: residual-stream sites; what the subject's readout gives there is examined beside the final answers.

    Raises:
        ValueError: half of the queries are too few to determine a prompt's own coefficients.
    """
    if queries // 2 < max(DEGREES, task.dim):
        raise ValueError(
            f"queries must be at least twice the coefficients ({max(DEGREES, task.dim)}); got {queries}. Ask more: one "
            "half of the queries is used to fit, the other to score."
        )
    many = adjusted(task, queries=queries)
    splits = [many.sample(n, seed=seed, stream=f"{NAME}/{use}") for n, use in ((fit, "fit"), (score, "score"))]
    draws = bootstrap.weights(score, seed=seed, strata=splits[1].strata)
    found: list[Measurement] = []
    forms, wrong = _forms(splits), _forms([_others(p) for p in splits])
    wrong[LINEAR, OWN] = [p.queries[partners(p)].double() for p in splits]
    answers = _answers(subject, splits, sites)
    fresh = untrained(subject, seed)
    blank = {} if fresh is None else _answers(fresh, splits, sites)
    for (form, scope), basis in forms.items():
        planted = _sums(_planted(splits, form), basis, scope)
        for name, given in answers.items():
            negative = {"another prompt's terms": _sums(given, wrong[form, scope], scope)}
            if name in blank:
                negative["untrained network"] = _sums(blank[name], basis, scope)
            found.append(
                measure(
                    NAME,
                    R2,
                    _sums(given, basis, scope),
                    draws,
                    coordinates={"answers": name, "form": form, "coefficients": scope},
                    positive={"an algorithm of this form": planted},
                    negative=negative,
                )
            )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """What each form leaves unexplained, one panel for the final answers and for each site."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME:
            low, high = m.interval or (m.value, m.value)
            rows.append({**m.coordinates, "unexplained": 1 - m.value, "low": 1 - high, "high": 1 - low})
    return Figure(
        name="krylov",
        section="Krylov forms",
        title="Which polynomial in XᵀX describes the answers",
        caption="Share of the answers' variance that the best combination of x_qᵀ(XᵀX/n)ʲXᵀy/n up to each degree leaves "
        "unexplained: on held-out prompts for coefficients that are the same for all prompts, on held-out queries for each "
        "prompt's own. The limits of the two are any filter of the eigenvalues and any weights.",
        kind="lines",
        rows=tuple(rows),
        x="form",
        y="unexplained",
        series="coefficients",
        facet="answers",
        low="low",
        high="high",
        log=("y",),
    )


def _forms(splits: Sequence[Prompts]) -> dict[tuple[str, str], list[Tensor]]:
    """The features of every form on both splits, by the form and the scope of its coefficients."""
    terms = [krylov_terms(p, DEGREES) for p in splits]
    forms = {(f"degree {k}", scope): [t[..., : k + 1] for t in terms] for k in range(DEGREES) for scope in (FIXED, OWN)}
    channels = [SpectralChannels.of(p.to(dtype=torch.float64)) for p in splits]
    seen = channels[0].eigenvalues[channels[0].eigenvalues > 0]
    low, high = seen.quantile(torch.tensor([0.01, 0.99], dtype=seen.dtype)).tolist()
    grid = knots(low, high * (1 + 1e-9) if high > low else 2 * high, KNOTS)
    forms[FILTER, FIXED] = [features(c, grid) for c in channels]
    forms[LINEAR, OWN] = [p.queries.double() for p in splits]
    return forms


def _others(prompts: Prompts) -> Prompts:
    """These queries with the contexts of other prompts."""
    other = partners(prompts)
    return dataclasses.replace(prompts, xs=prompts.xs[other], ys=prompts.ys[other])


def _answers(subject: Subject, splits: Sequence[Prompts], sites: Sequence[Site]) -> dict[str, list[Tensor]]:
    seen = [at_queries(subject, p, sites) for p in splits]
    return {ANSWERS: [s[0] for s in seen]} | {
        str(site): [subject.readout(s[1][site], site).double().cpu() for s in seen] for site in sites
    }


def _planted(splits: Sequence[Prompts], form: str) -> list[Tensor]:
    if form in (FILTER, LINEAR):
        return [run(LeastSquares(), p).predictions[-1] for p in splits]
    steps = int(form.split()[-1]) + 1
    return [run(GradientDescent(step_size=STEP), p, steps).predictions[-1] for p in splits]


def _sums(answers: Sequence[Tensor], basis: Sequence[Tensor], scope: str) -> Tensor:
    """Squared error and squared distance from the mean answer, one row per prompt."""
    mean = answers[0].mean()
    if scope == FIXED:
        guess = ridge_fits(basis[0], {"answers": answers[0][..., None]})["answers"].guess(basis[1])[..., 0]
        truth = answers[1]
    else:
        half = answers[1].shape[1] // 2
        shown, held = basis[1][:, :half], basis[1][:, half:]
        weights = torch.linalg.pinv(shown, rtol=_SMALL) @ answers[1][:, :half, None]
        guess, truth = (held @ weights)[..., 0], answers[1][:, half:]
    return torch.stack([(truth - guess).square().mean(-1), (truth - mean).square().mean(-1)], -1)


INSTRUMENT = Instrument(
    name=NAME,
    question="Do its answers lie in a Krylov subspace of XᵀX and Xᵀy, and of which order?",
    measure=krylov,
    quantities=("R² of the answers",),
    coordinates=(
        "answers",
        "coefficients",
        "form",
    ),
    sizes=sizes(fit=(64, 512, 1024), score=(32, 256, 1024)),
    figure=figure,
)

__all__ = (
    "INSTRUMENT",
    "ANSWERS",
    "FILTER",
    "FIXED",
    "LINEAR",
    "NAME",
    "OWN",
    "R2",
    "figure",
    "krylov",
    "krylov_terms",
)

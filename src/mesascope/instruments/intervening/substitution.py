"""What an MLP does, by what can take its place: skip it, then fit ever richer functions of what it was given.

The *skipped answer* is the model's own readout of the residual stream before a layer's MLP. Each substitute is a linear
combination of named features, fitted on other prompts. The one that does as well as the MLP names what the MLP computes;
those that do not, say what it is not.

Source: the two-to-eight-layer study, its table of corrections (scalar, affine and quadratic in the skipped answer, mean
squared error against the truth).
Departs from source: substitutes are scored on prompts that they were not fitted on, and fitted to the model's own answers
too; the richer ones are ours.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.spectral.krylov import krylov_terms
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.regression import ridge_fits
from mesascope.instruments.statistics.scores import Quantity, correlation, explained, measure, moments, partners
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted, bounds

NAME = "substitution"
SKIPPED, SCALAR, ACTUAL = "MLP skipped", "scalar", "the MLP itself"
TRUTH, MODEL = "truth", "the model's answers"
WRITTEN, OTHERS, UNTRAINED = "the answer among the features", "another prompt's features", "untrained network"
SPLINE_KNOTS = 24
COMPONENTS = 16
TERMS = 4


MSE = Quantity(name="MSE", unit="y²")
CLOSED = Quantity(name="gap closed", combine=explained)
CORRELATION = Quantity(name="correlation", combine=correlation)
ALPHA = Quantity(name="best scalar", combine=lambda means: means[:, 0] / means[:, 1])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skipped:
    """What is known before a layer's MLP.

    Attributes:
        prompts: the problems.
        stream: the residual stream at the queries.
        answer: the model's own readout of it.
        final: the model's answers, MLP included.
    """

    prompts: Prompts
    stream: Float[Tensor, "batch query width"]
    answer: Float[Tensor, "batch query"]
    final: Float[Tensor, "batch query"]


def skip(subject: Subject, prompts: Prompts, layer: int) -> Skipped:
    """Run the subject and read it out before a layer's MLP."""
    site = Site(layer=layer, kind="resid_mid")
    final, seen = at_queries(subject, prompts, [site])
    answer = subject.readout(seen[site], site).double().cpu()
    return Skipped(prompts=prompts.to(dtype=torch.float64), stream=seen[site].double(), answer=answer, final=final)


def substitution(
    subject: Subject,
    task: Task,
    *,
    layer: int | None = None,
    seed: int = 0,
    fit: int = 1024,
    score: int = 512,
    queries: int = 8,
) -> tuple[Measurement, ...]:
    """How well each substitute for a layer's MLP answers, beside skipping it and the MLP itself.

    Each is fitted twice, to the truth and to the model's answers, and its mean squared error is against what it was fitted
    to. The *gap closed* is 1 − error/error of the scalar: 0 for what a factor does, 1 for what the MLP does (to the model's
    answers). The substitutes, with s the skipped answer:

    - ``scalar`` αs, ``affine``, ``quadratic``, ``any function`` of s (linear splines, 24 knots);
    - s times a quadratic function of ‖x_q‖², of tr(XᵀX)/n, of ‖y‖²/n, of all three, of the stream's reciprocal norm (a
      LayerNorm's), and s times a linear function of XᵀX's entries;
    - s and the Krylov terms x_qᵀ(XᵀX/n)ʲXᵀy/n, j < 4, with fixed coefficients;
    - the stream: affine; affine in the stream over its norm; affine and quadratic in its 16 leading components.

    Controls. Positive: the features with the answer among them. Negative: the features of another prompt, and the untrained
    network's.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        layer: whose MLP; the last by default. The own readout of an earlier layer is a logit lens.
        seed: of the prompts, the untrained weights and the resampling.
        fit, score: prompts to fit on and to score on.
        queries: queries a prompt.

    Raises:
        NotApplicable: the layer shows no residual stream between attention and MLP.
    """
    if layer is None:
        layer = max((site.layer for site in subject.sites), default=0)
    if Site(layer=layer, kind="resid_mid") not in subject.sites:
        raise NotApplicable(f"{subject.name} has no residual stream before an MLP in layer {layer} (resid_mid).")
    many = adjusted(task, queries=queries)
    prompts = [many.sample(n, seed=seed, stream=f"{NAME}/{use}") for n, use in ((fit, "fit"), (score, "score"))]
    draws = bootstrap.weights(score, seed=seed, strata=prompts[1].strata)
    seen = [skip(subject, p, layer) for p in prompts]
    fresh = untrained(subject, seed)
    blank = None if fresh is None else [skip(fresh, p, layer) for p in prompts]
    targets = {TRUTH: [s.prompts.targets for s in seen], MODEL: [s.final for s in seen]}
    errors = _errors(seen, targets)
    strangers = _errors([_paired(s) for s in seen], targets)
    strangers = {key: {OTHERS: error} for key, error in strangers.items()}
    if blank is not None:
        for key, error in _errors(blank, targets).items():
            strangers[key][UNTRAINED] = error
    written = _errors(seen, targets, written=True)

    found = list(_skipped(seen[1], None if blank is None else blank[1], draws, layer))
    for (name, goal), error in errors.items():
        for quantity in (MSE, CLOSED):
            scalar = errors[SCALAR, goal]

            def sums(case: Tensor, quantity: Quantity = quantity, scalar: Tensor = scalar) -> Tensor:
                return case if quantity is MSE else torch.stack([case, scalar], -1)

            found.append(
                measure(
                    NAME,
                    quantity,
                    sums(error),
                    draws,
                    coordinates={"layer": layer, "substitute": name, "fitted to": goal},
                    positive={WRITTEN: sums(written[name, goal])},
                    negative={control: sums(case) for control, case in strangers[name, goal].items()},
                )
            )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Every substitute's error, beside those of skipping the MLP and of the MLP itself."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if (
            m.instrument == NAME and m.quantity == MSE.name and m.value > 0
        ):  # the MLP itself against its own answers is 0
            where = {"substitute": m.coordinates["substitute"], "error against": m.coordinates["fitted to"]}
            rows.append({**where, "MSE": m.value, **bounds(m.interval)})
    return Figure(
        name="substitution",
        section="Substitution",
        title="What can take the MLP's place",
        caption="Mean squared error on held-out prompts of functions of what the MLP was given, fitted to the truth or to the "
        "model's own answers and scored against the same. The skipped answer s is the model's own readout before the MLP.",
        kind="bars",
        rows=tuple(sorted(rows, key=lambda row: row["substitute"] == ACTUAL)),
        x="substitute",
        y="MSE",
        series="error against",
        low="low",
        high="high",
        log=("y",),
    )


def substitutes(fitting: Skipped, view: Skipped) -> dict[str, Float[Tensor, "batch query feature"]]:
    """The features of every substitute but the scalar, by name; whatever they take from data is from ``fitting``."""
    s, p, stream = view.answer[..., None], view.prompts, view.stream
    gram = p.xs.mT @ p.xs / p.examples
    upper = gram[:, *torch.triu_indices(p.dim, p.dim)][:, None].expand(-1, s.shape[1], -1)
    norm = p.queries.square().sum(-1, keepdim=True)
    trace = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None].expand_as(norm)
    labels = p.ys.square().mean(-1)[:, None, None].expand_as(norm)
    lengths = stream.std(-1, correction=0, keepdim=True)
    inverse = torch.where(lengths > 0, 1 / lengths, torch.zeros_like(lengths))
    rows = fitting.stream.flatten(0, 1)
    centre = rows.mean(0)
    directions = torch.linalg.eigh((rows - centre).T @ (rows - centre)).eigenvectors[:, -COMPONENTS:]
    return {
        "affine": s,
        "quadratic": torch.cat([s, s.square()], -1),
        "any function of s": _hats(s, fitting.answer),
        "s times a function of ‖x_q‖²": _times(s, norm),
        "s times a function of tr(XᵀX)/n": _times(s, trace),
        "s times a function of ‖y‖²/n": _times(s, labels),
        "s times a function of all three": _times(s, torch.cat([norm, trace, labels], -1)),
        "s times a function of the stream's norm": _times(s, inverse),
        "s times a linear function of XᵀX": torch.cat([s, s * upper], -1),
        "s and Krylov terms": torch.cat([s, krylov_terms(p, TERMS)], -1),
        "affine in the stream": stream,
        "affine in the stream over its norm": stream * inverse,
        "quadratic in the stream": torch.cat([stream, _products((stream - centre) @ directions)], -1),
    }


def _errors(
    seen: Sequence[Skipped], targets: Mapping[str, Sequence[Tensor]], *, written: bool = False
) -> dict[tuple[str, str], Float[Tensor, " batch"]]:
    """Each prompt's squared error by (substitute, what it was fitted to); with ``written``, with the answers as features."""
    out: dict[tuple[str, str], Tensor] = {}
    for goal, both in targets.items():
        s, last, final = (*both, both[1]) if written else (seen[0].answer, seen[1].answer, seen[1].final)
        square = s.square().sum()
        alpha = (s * both[0]).sum() / square if square > 0 else square
        out[SKIPPED, goal] = _squared(last, both[1])
        out[SCALAR, goal] = _squared(alpha * last, both[1])
        out[ACTUAL, goal] = _squared(final, both[1])
    bases = [substitutes(seen[0], view) for view in seen]
    if written:
        extra = [torch.stack([both[i] for both in targets.values()], -1) for i in (0, 1)]
        bases = [{k: torch.cat([f, e], -1) for k, f in b.items()} for b, e in zip(bases, extra, strict=True)]
    for name, basis in bases[0].items():
        fits = ridge_fits(basis, {goal: both[0][..., None] for goal, both in targets.items()})
        for goal, both in targets.items():
            out[name, goal] = _squared(fits[goal].guess(bases[1][name])[..., 0], both[1])
    return out


def _skipped(view: Skipped, blank: Skipped | None, draws: Tensor, layer: int) -> list[Measurement]:
    """How the skipped answer goes with the truth, and the factor that would mend it."""
    truth, final = view.prompts.targets, view.final
    found: list[Measurement] = []
    for goal, target in {TRUTH: truth, MODEL: final}.items():
        other = target[partners(view.prompts)]
        for quantity, sums in ((CORRELATION, moments), (ALPHA, _scale_sums)):
            negative = {"another prompt's answer": sums(view.answer, other)}
            if blank is not None and bool(blank.answer.square().mean() > 0):
                negative[UNTRAINED] = sums(blank.answer, target)
            found.append(
                measure(
                    NAME,
                    quantity,
                    sums(view.answer, target),
                    draws,
                    coordinates={"layer": layer, "substitute": SKIPPED, "fitted to": goal},
                    positive={"the answer itself": sums(target, target)},
                    negative=negative,
                )
            )
    return found


def _scale_sums(a: Tensor, b: Tensor) -> Tensor:
    return torch.stack([(a * b).mean(-1), a.square().mean(-1)], -1)


def _squared(answers: Tensor, truth: Tensor) -> Tensor:
    return (answers - truth).square().mean(-1)


def _paired(view: Skipped) -> Skipped:
    """What is known of other prompts, in these prompts' places."""
    other = partners(view.prompts)
    return Skipped(
        prompts=view.prompts[other], stream=view.stream[other], answer=view.answer[other], final=view.final[other]
    )


def _times(s: Tensor, factors: Tensor) -> Tensor:
    """s, and s times every monomial of degree one and two of the factors."""
    return torch.cat([s, s * factors, s * _products(factors)], -1)


def _products(values: Tensor) -> Tensor:
    """All products of two of the values."""
    row, column = torch.triu_indices(values.shape[-1], values.shape[-1])
    return values[..., row] * values[..., column]


def _hats(s: Tensor, fitting: Tensor) -> Tensor:
    """Linear splines with knots at quantiles of the fitting prompts' skipped answers, and straight beyond the ends."""
    knots = fitting.flatten().quantile(torch.linspace(0.005, 0.995, SPLINE_KNOTS, dtype=fitting.dtype))
    return torch.cat([s, (s - knots).clamp(min=0)], -1)


INSTRUMENT = Instrument(
    name=NAME,
    question="What can a layer's MLP be replaced with, so that the answers stay?",
    measure=substitution,
    needs="MLPs that can be edited",
    quantities=(
        "MSE",
        "best scalar",
        "correlation",
        "gap closed",
    ),
    coordinates=(
        "fitted to",
        "layer",
        "substitute",
    ),
    sizes=sizes(fit=(64, 512, 1024), score=(32, 256, 1024)),
    figure=figure,
)

__all__ = (
"INSTRUMENT",     "ACTUAL", "ALPHA", "CLOSED", "CORRELATION", "MODEL", "MSE", "NAME", "SCALAR", "SKIPPED", "TRUTH", "Skipped",
    "figure", "skip", "substitutes", "substitution",
)  # fmt: skip

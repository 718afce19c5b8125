"""Substitution: find out what an MLP computes by skipping it and fitting simple functions of its input in its place.

The *skipped answer* is the model's own readout of the residual stream before a layer's MLP. Each substitute is a linear
combination of named features, fitted on other prompts. A substitute that does as well as the MLP shows what the MLP computes;
one that does not is excluded.

Source: the two-to-eight-layer study, its table of corrections (scalar, affine and quadratic in the skipped answer, mean
squared error against the truth).
Departs from source: substitutes are scored on held-out prompts and are also fitted to the model's own answers; the other
features are new.
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
    """The state of a forward pass before a layer's MLP.

    Attributes:
        prompts: the prompts, in float64.
        stream: the residual stream at the queries.
        answer: the skipped answer, the model's own readout of ``stream``.
        final: the model's final answers.
    """

    prompts: Prompts
    stream: Float[Tensor, "batch query width"]
    answer: Float[Tensor, "batch query"]
    final: Float[Tensor, "batch query"]


def skip(subject: Subject, prompts: Prompts, layer: int) -> Skipped:
    """Run the subject and read its residual stream out before a layer's MLP."""
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
    """The errors of substitutes for a layer's MLP, of skipping the MLP, and of the MLP itself.

    Each substitute is fitted twice, to the truth and to the model's answers, and its mean squared error is measured against
    the same. The *gap closed* is 1 − error/(error of the scalar): 0 for a substitute no better than the scalar, 1 for one
    without error (against the model's answers: for one that answers exactly as the model). With s the skipped answer, the
    substitutes are:

    - functions of s: ``scalar`` αs, ``affine``, ``quadratic``, and ``any function`` (linear splines with 24 knots);
    - s times a quadratic function of ‖x_q‖², of tr(XᵀX)/n, of ‖y‖²/n, of all three, or of the stream's reciprocal norm (as
      in a LayerNorm), and s times a linear function of the entries of XᵀX;
    - linear combinations of s and the Krylov terms x_qᵀ(XᵀX/n)ʲXᵀy/n, j < 4, with coefficients that are the same for all
      prompts;
    - functions of the stream: affine; affine in the stream over its norm; affine plus quadratic in its 16 leading
      principal components.

    The correlation of the skipped answer with the truth and with the model's answers, and the best scalar α, are measured too.

    Controls. Positive: the substitute with the answer itself as a feature. Negative: the features of another prompt, and
    those of the untrained network.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        layer: the layer whose MLP is examined; the last by default. For an earlier layer, the readout is a logit lens.
        seed: of the prompts, the untrained weights and the resampling.
        fit, score: numbers of prompts to fit on and to score on.
        queries: queries per prompt.

    Raises:
        NotApplicable: the layer has no residual-stream site between attention and MLP.
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
    """The errors of all substitutes, of skipping the MLP, and of the MLP itself."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if (
            m.instrument == NAME and m.quantity == MSE.name and m.value > 0
        ):  # the model's error against its own answers is 0
            where = {"substitute": m.coordinates["substitute"], "error against": m.coordinates["fitted to"]}
            rows.append({**where, "MSE": m.value, **bounds(m.interval)})
    return Figure(
        name="substitution",
        section="Substitution",
        title="What can replace the MLP",
        caption="Mean squared error, on held-out prompts, of functions of the MLP's input that are fitted to the truth or to the "
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
    """The features of every substitute but the scalar, by name.

    Args:
        fitting: the prompts from which spline knots and principal components are computed.
        view: the prompts whose features are returned.
    """
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
    """Each prompt's squared error, by substitute and what it was fitted to; with ``written``, the answers are features too."""
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
    """The skipped answer's correlation with the truth and the model's answers, and the scalar that fits it best to each."""
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
    """The state of other prompts in these prompts' places."""
    other = partners(view.prompts)
    return Skipped(
        prompts=view.prompts[other], stream=view.stream[other], answer=view.answer[other], final=view.final[other]
    )


def _times(s: Tensor, factors: Tensor) -> Tensor:
    """s, and s times every monomial of degree one and two of the factors."""
    return torch.cat([s, s * factors, s * _products(factors)], -1)


def _products(values: Tensor) -> Tensor:
    """All products of two values, squares included."""
    row, column = torch.triu_indices(values.shape[-1], values.shape[-1])
    return values[..., row] * values[..., column]


def _hats(s: Tensor, fitting: Tensor) -> Tensor:
    """A basis of linear splines, with knots at quantiles of the fitting prompts' skipped answers and linear beyond them."""
    knots = fitting.flatten().quantile(torch.linspace(0.005, 0.995, SPLINE_KNOTS, dtype=fitting.dtype))
    return torch.cat([s, (s - knots).clamp(min=0)], -1)


INSTRUMENT = Instrument(
    name=NAME,
    question="Which simple function can replace a layer's MLP without changing the answers?",
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

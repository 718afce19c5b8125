"""An explanation: every class measured on one distribution, which of them holds, the filter, its name, and the layers."""

from mesascope.instruments.explaining.asked import Asked
from mesascope.instruments.explaining.classes import LayerFit, Spectra, diagonal, filters, own_polynomial, polynomial
from mesascope.instruments.explaining.fitting import fit_function
from mesascope.instruments.explaining.functions import GRADIENT_FLOW, SCALED_FLOW
from mesascope.instruments.explaining.rungs import (
    of_labels,
    of_labels_and_query,
    of_query,
    of_smoother,
)
from mesascope.instruments.explaining.shares import ORDER, Shares, narrowest
from mesascope.instruments.statistics.discrepancy import CLIP
from mesascope.types import Explanation, LayerFilter, RungKind


def explain(asked: Asked, words: str) -> Explanation:
    """The explanation of a subject's answers on one distribution.

    Args:
        asked: the answers.
        words: the distribution, in words.
    """
    shares = Shares.of(asked)
    ceiling, _ = shares.share(shares.noise)
    if why := _unusable(asked):
        return _nothing(asked, words, ceiling, why)
    spectra = Spectra.of(asked)
    fitted = LayerFit.of(spectra, len(asked.paths.scoring) - 1, asked)
    narrow, functions = filters(spectra, fitted, asked, shares)
    wide = [of_query(asked), of_labels(asked), of_labels_and_query(asked), diagonal(spectra, fitted, asked)]
    wide += [left for left in [own_polynomial(asked, shares)] if left is not None]
    missing: dict[str, str] = {}
    if fitted.good(shares) or any(shares.rung(left).holds for left in wide[2:]):
        missing["smoother"] = "not looked for, because the answers are linear in the query"
    else:
        wide.append(of_smoother(asked))
    lefts = sorted([*wide, *(left for left, _ in narrow)], key=lambda left: ORDER.index(left.kind))
    holding = {left.kind: holds for left, holds in narrow}
    rungs = [shares.rung(left, holds=holding.get(left.kind)) for left in lefts]
    chosen = narrowest(lefts, [rung.holds for rung in rungs], shares)
    return Explanation(
        distribution=words,
        rung=None if chosen is None else chosen.kind,
        rungs=tuple(reversed(rungs)),
        ceiling=ceiling,
        filter=fitted.points,
        functions=functions,
        layers=tuple(_layer(spectra, layer, asked) for layer in range(len(asked.paths.scoring))),
        readout=asked.paths.readout,
        n=len(asked.scoring),
        missing=missing,
    )


def _layer(spectra: Spectra, layer: int, asked: Asked) -> LayerFilter:
    fitted = LayerFit.of(spectra, layer, asked)
    if float(fitted.scored.size.mean()) <= NOTHING:
        none = (0.0, 0.0)
        return LayerFilter(layer=layer + 1, share=0.0, interval=none, time=0.0, time_interval=none, flow_share=0.0)
    own = asked.paths.readout == "own" or layer == len(asked.paths.scoring) - 1
    family = GRADIENT_FLOW if own else SCALED_FLOW
    flow = fit_function(family, fitted.quadratic, spectra.unit, asked.fitting_draws)
    shares = Shares(answers=fitted.scored.size.clamp(max=CLIP), noise=fitted.errors * 0, draws=asked.draws)
    share, interval = shares.share(fitted.errors)
    return LayerFilter(
        layer=layer + 1,
        share=share,
        interval=interval,
        time=flow.values[0],
        time_interval=flow.intervals[0],
        flow_share=shares.share(fitted.scored.errors(flow.gains(fitted.scored.eigenvalues)))[0],
    )


def _unusable(asked: Asked) -> str:
    """Why answers cannot be explained, or nothing."""
    broken = 1 - float(asked.answers.isfinite().all(-1).double().mean())
    if broken > MOST_BROKEN:
        return f"its answers are not finite on {broken:.0%} of the prompts"
    if float(asked.answers.nan_to_num().square().mean()) <= NOTHING * float(asked.scoring.targets.square().mean()):
        return "its answers are zero, whatever it is shown"
    return ""


MOST_BROKEN = 0.05
"""Largest share of prompts whose answers are not finite."""
NOTHING = 1e-8
"""Mean square below which answers are none, as a share of the targets'."""


def _nothing(asked: Asked, words: str, ceiling: float, why: str) -> Explanation:
    return Explanation(
        distribution=words,
        rung=None,
        rungs=(),
        ceiling=ceiling,
        filter=(),
        functions=(),
        layers=(),
        readout=asked.paths.readout,
        n=len(asked.scoring),
        missing=dict.fromkeys(ORDER, why),
    )


def share_of(asked: Asked, kind: RungKind) -> tuple[float, tuple[float, float]]:
    """The share of the answers that one class explains, and its interval; nothing else is computed."""
    shares = Shares.of(asked)
    simple = {
        "query alone": of_query,
        "labels": of_labels,
        "labels and query": of_labels_and_query,
        "smoother": of_smoother,
    }
    if kind in simple:
        return shares.share(simple[kind](asked).errors)
    if kind == "own polynomial":
        left = own_polynomial(asked, shares)
        return shares.share(shares.answers if left is None else left.errors)
    spectra = Spectra.of(asked)
    fitted = LayerFit.of(spectra, len(asked.paths.scoring) - 1, asked)
    if kind in ("diagonal", "filter"):
        return shares.share(fitted.errors if kind == "filter" else diagonal(spectra, fitted, asked).errors)
    if kind == "polynomial":
        return shares.share(polynomial(spectra, fitted, shares)[0].errors)
    narrow, _ = filters(spectra, fitted, asked, shares)
    return shares.share(next(left.errors for left, _ in narrow if left.kind == kind))


__all__ = ("explain", "share_of")

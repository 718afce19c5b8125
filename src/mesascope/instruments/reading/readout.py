"""Which answer can be read after each sub-layer: with the model's own readout, and with a fitted linear one.

The model's own readout expects the last layer's residual stream and can be meaningless at earlier layers. The fitted one
shows what can be read linearly, whether or not the model reads it. Both are measured.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.instruments.asking.applicability import residual_sites, untrained
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.regression import LinearFit, ridge_fits
from mesascope.instruments.statistics.scores import Quantity, measure, partners, r_squared
from mesascope.seeds import generator
from mesascope.types import Figure, Measurement, Prompts, Scalar, Site, Subject, Task, adjusted, bounds

NAME = "readout"
ERROR = Quantity(name="normalised error")
R2 = Quantity(name="R²", combine=r_squared)
OTHERS = "another prompt's targets"
WRITTEN = "answer written in"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LinearReadout:
    """A linear readout of the residual stream at the queries."""

    fit: LinearFit

    def predict(self, activation: Float[Tensor, "batch query width"]) -> Float[Tensor, "batch query"]:
        """The answers, in float64 on the CPU."""
        return self.fit.predict(activation)[..., 0]


def fit_readouts(
    activations: Mapping[Site, Float[Tensor, "batch query width"]],
    targets: Float[Tensor, "batch query"],
    *,
    scale: Float[Tensor, " batch"] | None = None,
) -> dict[Site, LinearReadout]:
    """A readout for each site, fitted by ridge regression; the penalty is chosen on a quarter of the prompts.

    Args:
        activations: the residual stream at the query positions.
        targets: what to read out.
        scale: the divisor of each prompt's squared error, such as its target variance; 1 by default.

    Raises:
        ValueError: there are fewer than four prompts.
    """
    weights = None if scale is None else 1 / scale
    return {
        site: LinearReadout(fit=ridge_fits(activation, {"answer": targets[..., None]}, weights)["answer"])
        for site, activation in activations.items()
    }


def readouts(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    fit: int = 512,
    score: int = 512,
    queries: int = 8,
) -> tuple[Measurement, ...]:
    """Error and R² of both readouts after every sub-layer, on held-out prompts.

    The normalised error is the mean over prompts of the mean over queries of (ŷ − y)²/V_p, where V_p is the variance of the
    prompt's target; R² pools all queries.

    Controls. Negative: the untrained network; the targets of another prompt of the same stratum, for the fitted readout in
    fitting and in scoring. Positive: for the model's own readout, its answers at the last site scored against the model's
    predictions (error 0 and R² 1, up to rounding); for the fitted readout, the activations with the answer written in along
    a random direction. Where an activation is not finite, the fitted readout answers the mean.

    Args:
        subject: what to examine.
        task: where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        fit, score: numbers of prompts to fit on and to score on.
        queries: queries per prompt.

    Raises:
        NotApplicable: the subject has no residual stream.
    """
    sites = residual_sites(subject)
    many = adjusted(task, queries=queries)
    fitting = many.sample(fit, seed=seed, stream=f"{NAME}/fit")
    scoring = many.sample(score, seed=seed, stream=f"{NAME}/score")
    draws = bootstrap.weights(score, seed=seed, strata=scoring.strata)
    predictions, after = at_queries(subject, scoring, sites)
    _, before = at_queries(subject, fitting, sites)
    answers = _answers(subject, before, after, fitting, scoring)
    reference = None
    if (fresh := untrained(subject, seed)) is not None:
        at_fit, at_score = (at_queries(fresh, p, sites)[1] for p in (fitting, scoring))
        reference = _answers(fresh, at_fit, at_score, fitting, scoring)
    paired = _paired(scoring)
    mispaired = _fitted(before, after, _paired(fitting))
    last = subject.path[-1]
    own_last = subject.readout(
        at_queries(subject, scoring, [last])[1][last] if last not in after else after[last], last
    )
    # Scored against the predictions in place of the targets, but still divided by the targets' variance.
    itself = {quantity: _sums(quantity, own_last, scoring, predictions) for quantity in (ERROR, R2)}
    planted = _fitted(_plant(before, fitting, seed), _plant(after, scoring, seed), fitting)

    found: list[Measurement] = []
    for site in sites:
        for readout in ("own", "fitted"):
            for quantity in (ERROR, R2):
                wrong = answers["own"][site] if readout == "own" else mispaired[site]
                negative = {OTHERS: _sums(quantity, wrong, paired)}
                if reference is not None:
                    negative["untrained network"] = _sums(quantity, reference[readout][site], scoring)
                if readout == "own":
                    positive = {"last site against the predictions": itself[quantity]}
                else:
                    positive = {WRITTEN: _sums(quantity, planted[site], scoring)}
                found.append(
                    measure(
                        NAME,
                        quantity,
                        _sums(quantity, answers[readout][site], scoring),
                        draws,
                        coordinates={"site": str(site), "readout": readout},
                        positive=positive,
                        negative=negative,
                    )
                )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Error by depth for both readouts, with the fitted readout's negative controls."""
    rows: list[dict[str, Scalar]] = []
    planted = [c.value for m in measurements if m.quantity == ERROR.name for c in m.controls if c.name == WRITTEN]
    for m in measurements:
        if m.instrument != NAME or m.quantity != ERROR.name:
            continue
        shown = [(f"{m.coordinates['readout']} readout", m.value, m.interval)]
        if m.coordinates["readout"] == "fitted":
            shown += [(f"fitted, {c.name}", c.value, c.interval) for c in m.controls if c.kind == "negative"]
        for name, value, interval in shown:
            rows.append({"site": m.coordinates["site"], "readout": name, "error": value, **bounds(interval)})
    return Figure(
        name="readout",
        section="Readouts",
        title="Which answer can be read after each sub-layer",
        caption="Squared error over the target's variance, on held-out prompts; answering zero has error 1. The fitted "
        "readout is one ridge regression per site; the model's own readout expects the last site. Positive control, off scale: "
        f"where the answer is written in, the fitted readout errs by at most {max(planted, default=0):.1g}.",
        kind="lines",
        rows=tuple(sorted(rows, key=lambda row: row["readout"] != "fitted readout")),
        x="site",
        y="error",
        series="readout",
        low="low",
        high="high",
        titles={"error": "normalised error", "site": "after"},
        log=("y",),
    )


def _answers(
    subject: Subject, before: Mapping[Site, Tensor], after: Mapping[Site, Tensor], fitting: Prompts, scoring: Prompts
) -> dict[str, dict[Site, Tensor]]:
    own = {site: subject.readout(activation, site).double().cpu() for site, activation in after.items()}
    return {"own": own, "fitted": _fitted(before, after, fitting)}


def _fitted(before: Mapping[Site, Tensor], after: Mapping[Site, Tensor], fitting: Prompts) -> dict[Site, Tensor]:
    fits = fit_readouts(before, fitting.targets, scale=fitting.target_variance)
    return {site: fits[site].fit.guess(activation)[..., 0] for site, activation in after.items()}


def _paired(prompts: Prompts) -> Prompts:
    """The prompts with other prompts' targets."""
    other = partners(prompts)
    return replace(prompts, targets=prompts.targets[other], target_variance=prompts.target_variance[other])


def _plant(activations: Mapping[Site, Tensor], prompts: Prompts, seed: int) -> dict[Site, Tensor]:
    out: dict[Site, Tensor] = {}
    for site, activation in activations.items():
        rng = generator(seed, f"{NAME}/planted")
        direction = torch.randn(activation.shape[-1] + 1, generator=rng, dtype=torch.float64)
        wider = torch.nn.functional.pad(activation.double(), (0, 1))  # room, should the stream be full
        out[site] = wider + prompts.targets.double().cpu()[..., None] * direction
    return out


def _sums(quantity: Quantity, answers: Tensor, prompts: Prompts, truth: Tensor | None = None) -> Tensor:
    truth = (prompts.targets if truth is None else truth).double().cpu()
    error = (answers.double().cpu() - truth).square().mean(-1)
    if quantity is ERROR:
        return error / prompts.target_variance.double().cpu()
    return torch.stack([error, truth.mean(-1), truth.square().mean(-1)], -1)


INSTRUMENT = Instrument(
    name=NAME,
    question="How much of the answer can its own readout, and a fitted one, read after each layer?",
    measure=readouts,
    quantities=(
        "R²",
        "normalised error",
    ),
    coordinates=(
        "readout",
        "site",
    ),
    sizes=sizes(fit=(64, 512, 2048), score=(64, 512, 2048)),
    figure=figure,
)

"""How fast each prompt's error falls with depth, and whether it falls faster where the curvature of the prompt's loss is larger.

One step of gradient descent with step size η on the squared error of examples x with curvature a = Σx² multiplies the error
by 1 − ηa. If a layer takes such a step, then the *local rate* (what one layer leaves of the residual, 1 − α) and the *global
rate* (the decay of the error over all layers) agree, and both are lower for prompts of larger curvature.

That the two rates agree is partly algebra: both are made of the same answers and targets. So every number is also measured with
another prompt's targets, which the subject cannot know, and stated as what is left beyond that.
"""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.reading.refinement import FRESH, OTHERS, SHOWN, by_layer, shown_label, slope
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import correlation, moments
from mesascope.models.language import LanguageSubject, Template, with_template
from mesascope.seeds import generator
from mesascope.types import Control, Figure, Measurement, Prompts, Subject, Task, adjusted

NAME = "curvature"
ALIKE, DESCENT, SHUFFLED = (
    "the same share of the residual at every layer",
    "gradient descent on every prompt's own curvature",
    "another prompt's curvature",
)
STEADY = 0.1
"""The share of the residual that each layer takes away in one positive control, and in the other on average over curvatures."""
SMALLEST = 1e-6
"""Errors below this share of the target's standard deviation are rounding and count as this, so that their logarithm exists."""
EQUAL = 1e-9
"""Rates, ranks, and curvatures over their mean, that differ by less than this are equal."""
OWN, AGAIN = "its own", "the targets of a third prompt"
RATE, RATIO, SHARE = "rate of contraction per layer", "local rate over global rate", "share of prompts that contract"
PEARSON, SPEARMAN = "correlation of rate and curvature", "rank correlation of rate and curvature"
BEYOND = ", beyond another prompt's targets"
RATES: tuple[Literal["local", "global"], ...] = ("local", "global")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Rates:
    """The rates of all prompts.

    Attributes:
        steps: means over a prompt's layers and queries of residual, update, their squares and their product (`moments`).
        local: 1 − Σ update·residual / Σ residual² over a prompt's layers and queries; through the origin, because a prompt alone
            has too few layers for an intercept.
        decay: the logarithm of the global rate: the slope, over layers, of the logarithm of the root mean square error of a
            prompt's queries.
    """

    steps: Float[Tensor, "batch moment"]
    local: Float[Tensor, " batch"]
    decay: Float[Tensor, " batch"]


Weights = Float[Tensor, "repeat batch"]
"""The share of every prompt in a mean: one row per repetition of the bootstrap; rows sum to 1."""
Statistic = Callable[[Weights, Rates, Float[Tensor, " batch"]], Float[Tensor, " repeat"]]


def curvatures(prompts: Prompts) -> Float[Tensor, " batch"]:
    """Σ‖x‖² over a prompt's examples: with one input the second derivative of its squared error, else the trace of XᵀX."""
    return prompts.xs.double().cpu().square().sum((-2, -1))


def rates(
    answers: Float[Tensor, "layer batch query"],
    targets: Float[Tensor, "batch query"],
    scale: Float[Tensor, " batch"],
) -> Rates:
    """Every prompt's rates.

    Args:
        answers: before the first layer and after every layer.
        targets: of the queries.
        scale: the standard deviation of each prompt's target.
    """
    residuals = targets - answers
    before, updates = (part.movedim(0, 1).flatten(1) for part in (residuals[:-1], answers.diff(dim=0)))
    squares = before.square().sum(-1)
    along = (updates * before).sum(-1) / squares.clamp_min(torch.finfo(torch.float64).tiny)
    errors = residuals.square().mean(-1).sqrt()
    depth = torch.arange(len(answers), dtype=torch.float64) - (len(answers) - 1) / 2
    logs = torch.maximum(errors, SMALLEST * scale).log()
    return Rates(steps=moments(before, updates), local=1 - along, decay=(depth / depth.square().sum()) @ logs)


def mean_ranks(weights: Weights, values: Float[Tensor, " batch"]) -> Float[Tensor, "repeat batch"]:
    """The rank of every value in each weighted sample, from 0 to 1; equal values share the mean of their ranks."""
    _, group = values.unique(return_inverse=True)
    held = torch.zeros(len(weights), int(group.max()) + 1, dtype=weights.dtype).index_add_(1, group, weights)
    return (held.cumsum(1) - held / 2)[:, group]


def correlated(weights: Weights, a: Tensor, b: Tensor) -> Float[Tensor, " repeat"]:
    """Pearson's correlation in each weighted sample; 0 where one of the two is the same for all prompts."""
    a, b = (part - (part.mean(-1, keepdim=True)) for part in (a, b))
    means = torch.stack([(weights * part).sum(1) for part in (a, b, a * a, b * b, a * b)], -1)
    spread = means[:, 2:4] - means[:, :2].square()
    return torch.where((spread > EQUAL**2).all(1), correlation(means), 0.0)


def _local(weights: Weights, of: Rates, curvature: Tensor) -> Tensor:
    return 1 - slope(weights @ of.steps)


def _global(weights: Weights, of: Rates, curvature: Tensor) -> Tensor:
    return (weights @ of.decay).exp()


def _ratio(weights: Weights, of: Rates, curvature: Tensor) -> Tensor:
    return _local(weights, of, curvature) / _global(weights, of, curvature)


def _of(of: Rates, which: str) -> Tensor:
    """Every prompt's rate, without differences that are rounding."""
    return (of.local if which == "local" else of.decay.exp()).div(EQUAL).round() * EQUAL


def _share(which: str, weights: Weights, of: Rates, curvature: Tensor) -> Tensor:
    return weights @ (_of(of, which).abs() < 1).double()


def _pearson(which: str, weights: Weights, of: Rates, curvature: Tensor) -> Tensor:
    return correlated(weights, _of(of, which), curvature / curvature.mean())


def _spearman(which: str, weights: Weights, of: Rates, curvature: Tensor) -> Tensor:
    return correlated(weights, mean_ranks(weights, _of(of, which)), mean_ranks(weights, curvature))


def _statistics(vary: bool) -> list[tuple[str, dict[str, str], Statistic]]:
    """Every quantity with its coordinates; those of the curvature only where it differs from prompt to prompt."""
    pooled: dict[str, Statistic] = {"local": _local, "global": _global}
    each = {SHARE: _share, **({PEARSON: _pearson, SPEARMAN: _spearman} if vary else {})}
    return [
        *((RATE, {"rate": which}, pooled[which]) for which in RATES),
        (RATIO, {}, _ratio),
        *((name, {"rate": which}, functools.partial(of, which)) for name, of in each.items() for which in RATES),
    ]


def strangers(prompts: Prompts, seed: int) -> Int[Tensor, " batch"]:
    """For each prompt the index of another one of its stratum, at random: prompts of some tasks take turns, so neighbours differ.

    The only prompt of a stratum is paired with itself.
    """
    strata = torch.zeros(len(prompts), dtype=torch.long) if prompts.strata is None else prompts.strata.cpu()
    drawn = torch.randperm(len(prompts), generator=generator(seed, NAME))
    order = drawn[strata[drawn].argsort(stable=True)]
    other = torch.empty_like(order)
    for part in order.split(strata.unique(return_counts=True)[1].tolist()):
        other[part] = part.roll(-1)
    return other


def curvature(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 512, queries: int = 8, template: Template | None = None
) -> tuple[Measurement, ...]:
    """Rates by which the error falls from layer to layer, and their correlation with the prompts' curvature.

    Answers are those of the subject's own readout. Of all prompts together: the local rate 1 − α, where α is the slope, with an
    intercept, of all updates on the residuals before them; the global rate, exp of the mean slope of a prompt's log error over
    layers; and their ratio. Of each prompt: both rates (`Rates`), whether they are below 1, and their correlation with Σx².

    Each is given as it is, and as what is left of it beyond the same with another prompt's targets.

    Controls. Positive: from the subject's first answers on, every layer takes away a tenth of the residual (both rates 0.9), or
    descends with a step size that is the same for all prompts (rates fall with the curvature: both correlations −1). Negative:
    the targets of another prompt of the same stratum; for each query the label of an example, where labels are targets; another
    prompt's curvature; the untrained network.

    Args:
        subject: what to examine.
        task: where the prompts come from; one whose Σx² varies, such as `DigitRegression` with ``spreads``, says most. Where all
            curvatures are equal, the correlations are left out.
        seed: of the prompts, the untrained weights, the pairing and the resampling.
        n: number of prompts.
        queries: queries per prompt.
        template: how a language model's prompts are written, in place of its own way; numbers of two digits need another.

    Raises:
        ValueError: a template for a subject that reads no text, or one that its tokenizer cannot express.
        NotApplicable: the subject has a single readout, so that no layer can be compared with the one before.

    Source: source C, section 8.4, finding 4.
    Departs from source: the circular part is taken away; errors are pooled over the queries of a prompt before the logarithm; its
        correlation's rate is not said to be local or global, so both are given.
    """
    subject = subject if template is None else _rewritten(subject, template)
    prompts = adjusted(task, queries=queries).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    answers = by_layer(subject, prompts)
    if len(answers) < 2:
        raise NotApplicable(f"{subject.name} has one readout, and rates need answers before and after a layer.")
    fresh = untrained(subject, seed)
    drawn = None if fresh is None else by_layer(fresh, prompts)
    cases = _cases(prompts, answers, drawn, shown_label(prompts, task, seed), seed)
    curved = cases[OWN][1]
    varied = bool(curved.amax() - curved.amin() > EQUAL * curved.mean())
    even = torch.full((1, n), 1 / n, dtype=torch.float64)
    shares = torch.cat([even, draws / draws.sum(1, keepdim=True)])

    def measured(quantity: str, where: Mapping[str, str], found: Mapping[str, Tensor]) -> Measurement:
        values = {name: _with_interval(v) for name, v in found.items()}
        value, interval = values.pop(OWN)
        controls = tuple(
            Control(kind="positive" if name in (ALIKE, DESCENT) else "negative", name=name, value=v, interval=bounds)
            for name, (v, bounds) in values.items()
        )
        return Measurement(
            instrument=NAME,
            quantity=quantity,
            value=value,
            interval=interval,
            n=n,
            unit="1",
            coordinates=dict(where),
            controls=controls,
        )

    found: list[Measurement] = []
    for quantity, where, of in _statistics(varied):
        by_case = {name: of(shares, *case) for name, case in cases.items() if _says(name, quantity)}
        null, again = by_case[OTHERS], by_case.pop(AGAIN)
        beyond = {OWN: by_case[OWN] - null, OTHERS: again - null}
        found += [measured(quantity, where, by_case), measured(quantity + BEYOND, where, beyond)]
    return tuple(found)


def _rewritten(subject: Subject, template: Template) -> Subject:
    """The same language model with prompts written in another way."""
    if not isinstance(subject, LanguageSubject):
        raise ValueError(
            f"template must be None for a subject that reads no text; got one for {subject.name}. Leave it out."
        )
    return with_template(subject, template)


def _cases(
    prompts: Prompts,
    answers: Float[Tensor, "layer batch query"],
    drawn: Float[Tensor, "layer batch query"] | None,
    label: Float[Tensor, "batch query"] | None,
    seed: int,
) -> dict[str, tuple[Rates, Float[Tensor, " batch"]]]:
    """The rates and curvatures of the subject and of its controls."""
    curvature, other = curvatures(prompts), strangers(prompts, seed)
    targets, scale = prompts.targets.double().cpu(), prompts.target_variance.double().cpu().sqrt()
    first = targets - answers[0]
    start = first + torch.copysign(scale[:, None], first)  # nowhere zero

    def planted(left: Float[Tensor, " batch"]) -> Rates:
        depth = torch.arange(len(answers), dtype=torch.float64)[:, None, None]
        return rates(targets - left[:, None] ** depth * start, targets, scale)

    own = rates(answers, targets, scale)
    found = {
        OWN: (own, curvature),
        ALIKE: (planted(torch.full_like(curvature, 1 - STEADY)), curvature),
        DESCENT: (planted(1 - STEADY * curvature / curvature.max()), curvature),
        OTHERS: (rates(answers, targets[other], scale[other]), curvature),
        AGAIN: (rates(answers, targets[other[other]], scale[other[other]]), curvature),
        SHUFFLED: (own, curvature[other]),
    }
    if label is not None:
        found[SHOWN] = (rates(answers, label, scale), curvature)
    if drawn is not None:
        found[FRESH] = (rates(drawn, targets, scale), curvature)
    return found


def _says(control: str, quantity: str) -> bool:
    """Whether a control's value is known, or chance, for a quantity."""
    if quantity in (PEARSON, SPEARMAN):
        return control != ALIKE
    return control not in (DESCENT, SHUFFLED)


def _with_interval(of: Float[Tensor, " repeat"]) -> tuple[float, tuple[float, float] | None]:
    """The value of all prompts, which comes first, and its interval from the repetitions after it."""
    value, bounds = float(of[0]), bootstrap.interval(of[1:])
    return value, bounds if all(map(math.isfinite, (value, *bounds))) else None


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Correlations of the rates with the curvature, beside the controls."""
    rows: list[Mapping[str, object]] = []
    for m in measurements:
        if m.quantity in (PEARSON, SPEARMAN):
            for name, value, interval in (
                (OWN, m.value, m.interval),
                *((c.name, c.value, c.interval) for c in m.controls),
            ):
                low, high = interval or (None, None)
                where = {"rate": m.coordinates["rate"], "quantity": m.quantity, "of": name}
                rows.append({**where, "value": value, "low": low, "high": high})
    return Figure(
        name="curvature",
        section="From layer to layer",
        title="Does the error fall faster where the curvature is larger?",
        caption="Correlation over prompts of the rate by which the error falls with Σx² of the examples. Gradient descent with "
        "one step size gives −1. Where another prompt's targets give as much, the layers know nothing of the curvature.",
        kind="bars",
        rows=tuple(rows),  # type: ignore[arg-type]
        x="rate",
        y="value",
        low="low",
        high="high",
        series="of",
        facet="quantity",
    )


def _within(known: float) -> Callable[[float], bool]:
    return lambda value: abs(value - known) < 1e-6


QUANTITIES = (RATE, RATIO, SHARE, PEARSON, SPEARMAN)
KNOWN = {
    (RATE, ALIKE): 1 - STEADY,
    (RATIO, ALIKE): 1.0,
    (SHARE, ALIKE): 1.0,
    (PEARSON, DESCENT): -1.0,
    (SPEARMAN, DESCENT): -1.0,
}
INSTRUMENT = Instrument(
    name=NAME,
    question="Does the error of a prompt fall faster where the curvature of its loss is larger?",
    measure=curvature,
    needs="a subject with a residual stream and a readout of its own",
    quantities=(*QUANTITIES, *(name + BEYOND for name in QUANTITIES)),
    coordinates=("rate",),
    values={"rate": RATES},
    sizes=sizes(n=(32, 512, 2048)),
    figure=figure,
    expected=tuple(
        Expected(quantity=quantity, control=control, words=f"{value:g}", holds=_within(value))
        for (quantity, control), value in KNOWN.items()
    ),
)

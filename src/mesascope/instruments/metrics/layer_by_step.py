"""Layer ℓ against step ℓ: a published score of how well named solvers match a network, and the same question asked better.

The published score is R² about the identity between the answer that a newly fitted linear readout takes from the stream
after layer ℓ and a solver's answer after step ℓ, clipped at 0 and averaged over layers, then over condition numbers κ with
weights log₁₀ max(κ, 1.1). It has three faults. Its denominator is the variance of what the readout says, so that a layer
that says little scores 0 whatever it does. Where layer and step have both solved the problem they agree, whatever took them
there. And a readout that is fitted to the targets rescales what a layer holds, which a solver's answer is not.

`PROGRESS` mends this: squared errors in units of each prompt's target variance, relative to what answering zero leaves;
only where the solvers differ by more than 1 %; and the solver's answers after each step are scaled by the one factor that
predicts the targets best, as a readout scales what it finds. The last layer is the subject's own answer.

Source: A, its comparison of algorithms.
Departs from source: its readouts are trained by Adam for 3,000 steps; here they are ridge regressions in closed form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.collect import at_queries
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.metrics.named_solvers import CG, SOLVERS, solutions
from mesascope.instruments.reading.readout import fit_readouts
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import discrepancy, telling_apart
from mesascope.instruments.statistics.scores import Quantity, explained, measure, partners, ratio
from mesascope.tasks import Diagonal
from mesascope.types import (
    Control,
    Figure,
    Measurement,
    Prompts,
    Scalar,
    Subject,
    Task,
    adjusted,
    bounds,
    is_prescribable,
)

NAME = "layer by step"
R2, R2_LAYER, HALF = "R², as published", "R² of a layer, as published", "half-width, as published"
PROGRESS = "progress to the step"
AHEAD = "progress beyond conjugate gradient's"
SCORE = Quantity(name=PROGRESS, combine=explained)
LEAD = Quantity(name=AHEAD, combine=ratio)
ITSELF, OTHERS, UNTRAINED = "the solver itself, read as layers are", "another prompt's steps", "untrained network"
ALL = "all"
RIDGE, QUERIES, REPEATS = 0.1, 8, 200
Answers = Float[Tensor, "layer batch query"]
Pair = tuple[Answers, Answers]
"""What layers say, and what steps say."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Read:
    """Answers after each layer, by both kinds of readouts.

    Attributes:
        plain: from readouts that minimise the plain squared error over all prompts, at the last layer too.
        fair: from readouts that weigh each prompt by the inverse of its target's variance; the subject's own at the last.
    """

    plain: Answers
    fair: Answers


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bench:
    """What all solvers are compared on.

    Attributes:
        fitting, scoring: the prompts.
        members: which prompts have which κ, by name.
        weights: the weight of each κ, which sum to 1.
        draws: resampling weights of the prompts.
    """

    fitting: Prompts
    scoring: Prompts
    members: Mapping[str, Bool[Tensor, " batch"]]
    weights: Mapping[str, float]
    draws: Float[Tensor, "repeat batch"]


def layer_by_step(
    subject: Subject, task: Task, *, seed: int = 0, fit: int = 1024, score: int = 1000
) -> tuple[Measurement, ...]:
    """Both scores of every solver in `named_solvers.SOLVERS`, for each condition number and for all together.

    Controls. Positive: the solver itself, scaled at each step as a fitted readout would, for progress by a readout that is
    fitted on the other prompts; the published R² of it is below 1 at its first steps. Negative: the solver's steps on another
    prompt with the same κ, and the untrained network.

    Args:
        subject: what to examine.
        task: linear regression whose inputs have one of several condition numbers, see `Diagonal`.
        seed: of the prompts, the untrained weights and the resampling.
        fit, score: numbers of prompts to fit readouts on and to score on.

    Raises:
        NotApplicable: the subject has no layers to read, or the task states no condition numbers.
    """
    if not subject.path:
        raise NotApplicable(f"{subject.name} shows no layers (its path is empty).")
    bench = _bench(task, seed, fit, score)
    layers = len(subject.path)
    held, tuned = (solutions(p, bench.fitting, layers, ridge=RIDGE) for p in (bench.scoring, bench.fitting))
    read = _read(subject, bench)
    fresh = untrained(subject, seed + 1)
    idle = None if fresh is None else _read(fresh, bench)
    plain, fair = (
        {name: held[name] * _factors(tuned[name], bench.fitting, fair=kind) for name in SOLVERS}
        for kind in (False, True)
    )
    other, variance = partners(bench.scoring), bench.scoring.target_variance
    apart = telling_apart(torch.stack([fair[name] for name in SOLVERS]), variance).double()
    found: list[Measurement] = []
    for name in SOLVERS:
        cases = {ITSELF: (plain[name], held[name]), OTHERS: (read.plain, held[name][:, other])}
        again = held[name] * _factors(held[name], bench.scoring, fair=True)
        shares = {ITSELF: (again, fair[name]), OTHERS: (read.fair, fair[name][:, other])}
        if idle is not None:
            cases[UNTRAINED], shares[UNTRAINED] = (idle.plain, held[name]), (idle.fair, fair[name])
        found += _published(name, (read.plain, held[name]), cases, bench)
        found += _progress(name, (read.fair, fair[name]), shares, apart, bench)
        if name != CG:
            found.append(_ahead(name, fair, read.fair, apart, bench))
    return tuple(found)


def _bench(task: Task, seed: int, fit: int, score: int) -> _Bench:
    if not is_prescribable(task) or not isinstance(task.inputs.covariance, Diagonal):
        raise NotApplicable(
            "weights by condition number need linear regression whose inputs have a Diagonal covariance."
        )
    asked = adjusted(task, queries=QUERIES)
    fitting, scoring = (
        asked.sample(n, seed=seed, stream=f"{NAME}/{use}") for use, n in (("fit", fit), ("score", score))
    )
    conditions = torch.tensor(task.inputs.covariance.conditions, dtype=torch.float64)
    share = conditions.clamp(min=1.1).log10()
    names, strata = scoring.stratum_names, scoring.strata
    assert strata is not None, "our tasks say each prompt's stratum"
    return _Bench(
        fitting=fitting,
        scoring=scoring,
        members={name: strata == k for k, name in enumerate(names)},
        weights=dict(zip(names, (share / share.sum()).tolist(), strict=True)),
        draws=bootstrap.weights(score, seed=seed, strata=strata),
    )


def _read(subject: Subject, bench: _Bench) -> _Read:
    _, before = at_queries(subject, bench.fitting, subject.path)
    said, after = at_queries(subject, bench.scoring, subject.path)
    plain, fair = (
        {
            site: r.fit.guess(after[site])[..., 0]
            for site, r in fit_readouts(before, bench.fitting.targets, scale=s).items()
        }
        for s in (None, bench.fitting.target_variance)
    )
    return _Read(plain=torch.stack(list(plain.values())), fair=torch.stack([*list(fair.values())[:-1], said]))


def _factors(steps: Answers, prompts: Prompts, *, fair: bool) -> Float[Tensor, "layer 1 1"]:
    """The factor with which each step's answers predict the targets best; ``fair`` weighs errors as fair readouts do."""
    weight = 1 / prompts.target_variance[:, None] if fair else torch.ones_like(prompts.target_variance[:, None])
    across, size = ((steps * other * weight).sum((-1, -2)) for other in (prompts.targets, steps))
    return torch.where(size > 0, across / size.clamp(min=1e-300), 1.0)[:, None, None]


Table = Float[Tensor, "condition row layer"]
"""R² by κ and layer: of all prompts in the first row, and of one bootstrap repetition in each further row."""


def _r_squared(pair: Pair, bench: _Bench) -> Table:
    """R² = 1 − Σ(m − a)²/Σ(m − m̄)², clipped at 0: m is what the layer says, a what the step says, at the first query."""
    said, step = (answers[..., 0] for answers in pair)
    sums = torch.stack([(said - step).square(), said, said.square()])
    tables = []
    for inside in bench.members.values():
        draws = torch.cat([torch.ones_like(bench.draws[:1, inside]), bench.draws[:, inside]])
        left, mean, square = torch.einsum("rb,slb->srl", draws / draws.sum(1, keepdim=True), sums[..., inside])
        tables.append((1 - left / (square - mean.square()).clamp(min=1e-300)).clamp(min=0))
    return torch.stack(tables)


def _published(name: str, subject: Pair, cases: Mapping[str, Pair], bench: _Bench) -> list[Measurement]:
    """The published score for each κ and for all, its half-width, and that of each layer."""
    tables = {case: _r_squared(pair, bench) for case, pair in {"": subject, **cases}.items()}
    weights = torch.tensor(list(bench.weights.values()), dtype=torch.float64)

    def measured(quantity: str, of: Callable[[Table], Float[Tensor, " row"]], **coordinates: Scalar) -> Measurement:
        said = {case: of(table) for case, table in tables.items()}
        value, interval = _value(said[""])
        controls = tuple(
            Control(kind=_kind(case), name=case, value=_value(rows)[0], interval=_value(rows)[1])
            for case, rows in said.items()
            if case
        )
        return Measurement(
            instrument=NAME,
            quantity=quantity,
            value=value,
            interval=interval,
            n=len(bench.scoring),
            coordinates={"solver": name, **coordinates},
            controls=controls,
        )

    def half(table: Table) -> Float[Tensor, " 1"]:
        return (weights @ (1.96 * table[:, 1 : REPEATS + 1].std(1, correction=0)).mean(-1))[None]

    return [
        measured(R2, lambda t: torch.einsum("c,crl->r", weights, t) / t.shape[-1], condition=ALL),
        *(measured(R2, lambda t, k=k: t[k].mean(-1), condition=name) for k, name in enumerate(bench.weights)),
        measured(HALF, half, condition=ALL),
        *(
            measured(R2_LAYER, lambda t, at=layer: weights @ t[..., at], layer=layer + 1)
            for layer in range(len(subject[0]))
        ),
    ]


def _value(rows: Float[Tensor, " row"]) -> tuple[float, tuple[float, float] | None]:
    """The first row, and the interval of the others, if there are any."""
    return float(rows[0]), bootstrap.interval(rows[1:]) if len(rows) > 1 else None


def _kind(case: str) -> Literal["positive", "negative"]:
    return "positive" if case == ITSELF else "negative"


def _progress(
    name: str, subject: Pair, cases: Mapping[str, Pair], apart: Float[Tensor, "layer batch"], bench: _Bench
) -> list[Measurement]:
    """The share of what answering zero leaves that the solver's steps explain, for each κ and for all."""
    variance = bench.scoring.target_variance

    def sums(pair: Pair) -> Float[Tensor, "batch statistic"]:
        left, nothing = (discrepancy(pair[0], other, variance) for other in (pair[1], torch.zeros_like(pair[0])))
        return torch.stack([(left * apart).sum(0), (nothing * apart).sum(0)], -1)

    said = {case: sums(pair) for case, pair in {"": subject, **cases}.items()}
    everybody = torch.ones_like(variance, dtype=torch.bool)
    found = []
    for condition, inside in {ALL: everybody, **bench.members}.items():
        of = {case: rows[inside] for case, rows in said.items()}
        found.append(
            measure(
                NAME,
                SCORE,
                of[""],
                bench.draws[:, inside],
                coordinates={"solver": name, "condition": condition},
                positive={case: rows for case, rows in of.items() if case == ITSELF},
                negative={case: rows for case, rows in of.items() if case not in ("", ITSELF)},
            )
        )
    return found


def _ahead(
    name: str, steps: Mapping[str, Answers], layers: Answers, apart: Float[Tensor, "layer batch"], bench: _Bench
) -> Measurement:
    """By how much a solver's progress exceeds that of conjugate gradient, prompt by prompt, so that the interval is narrow.

    Controls: the same of subjects that are exactly this solver (positive) or conjugate gradient (negative).
    """
    variance = bench.scoring.target_variance

    def sums(said: Answers) -> Float[Tensor, "batch statistic"]:
        right, other, nothing = (
            (discrepancy(said, step, variance) * apart).sum(0)
            for step in (steps[name], steps[CG], torch.zeros_like(said))
        )
        return torch.stack([other - right, nothing], -1)

    return measure(
        NAME,
        LEAD,
        sums(layers),
        bench.draws,
        coordinates={"solver": name, "condition": ALL},
        positive={"the solver itself": sums(steps[name])},
        negative={"conjugate gradient itself": sums(steps[CG])},
    )


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Both scores of every solver, with the controls of the published one."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == NAME and m.coordinates.get("condition") == ALL and m.quantity in (R2, PROGRESS):
            shown = {c.name: c.value for c in m.controls}
            rows.append(
                {
                    "score": m.quantity,
                    "solver": m.coordinates["solver"],
                    "value": m.value,
                    **bounds(m.interval),
                    **shown,
                }
            )
    return Figure(
        name="layer-by-step",
        section="Metrics from the literature",
        title="How well layer ℓ matches step ℓ of named solvers",
        caption="R² by the source's definition, and progress: the share of what answering zero leaves that the solver's "
        "steps, each scaled as a fitted readout would, explain of the layers' answers. The R² of a solver with itself is below 1 "
        "because a fitted readout rescales early steps.",
        kind="table",
        rows=tuple(rows),
        facet="score",
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="How well does layer ℓ match step ℓ of named solvers, by a published score and by progress?",
    measure=layer_by_step,
    needs="linear regression whose inputs have one of several condition numbers",
    quantities=(R2, R2_LAYER, HALF, PROGRESS, AHEAD),
    coordinates=("solver", "condition", "layer"),
    values={"solver": SOLVERS},
    sizes=sizes(fit=(128, 1024, 4096), score=(120, 1000, 4000)),
    figure=figure,
    expected=(
        Expected(quantity=PROGRESS, control=ITSELF, words="at least 0.99", holds=lambda v: v >= 0.99),
        Expected(quantity=PROGRESS, control=OTHERS, words="at most 0.3", holds=lambda v: v <= 0.3),
    ),
)

__all__ = ("AHEAD", "HALF", "INSTRUMENT", "NAME", "PROGRESS", "R2", "R2_LAYER", "layer_by_step")

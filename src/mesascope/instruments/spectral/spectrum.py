"""The spectral response: which share of each eigenvector of XᵀX/n a prediction has resolved, layer by layer.

For every method of the form ŷ = x_qᵀ g(XᵀX/n) Xᵀy/n the prediction is Σᵢ f(λᵢ)·cᵢ
(`mesascope.instruments.spectral.channels`), so f is the solution of one linear regression of a subject's answers on its
prompts' channel shares, grouped by log λ. This assumes nothing about the algorithm but that form, and the held-out R² shows
whether the form holds: R² is below 1 where the filter adapts to each prompt (Krylov methods), and near 0 where there is no
such filter.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, Problem, run
from mesascope.instruments.asking.applicability import NotApplicable, prescribable, untrained
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.reading.paths import Splits, paths
from mesascope.instruments.spectral.channels import SpectralChannels, features, knots, response
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import explained, partners
from mesascope.tasks import Gaussian, LogUniform
from mesascope.types import (
    Control,
    Figure,
    Measurement,
    PrescribableTask,
    Prompts,
    Scalar,
    Subject,
    Task,
    adjusted,
    bounds,
)

LOW, HIGH, KNOTS = 0.02, 3.0, 14
PLANTED = GradientDescent(step_size=0.3)
PLANTED_STEPS = 4
COVERED = (0.01, 0.99)
"""The quantiles of a task's own eigenvalues between which the response is estimated."""
NOTHING = 1e-6
"""Answers whose root mean square is below this share of the target's standard deviation count as zero and have no R²."""


def balanced(task: PrescribableTask) -> PrescribableTask:
    """The task with log-uniform eigenvalues and isotropic queries, so that every scale of eigenvalues has equal energy.

    The response to a direction without energy would be undetermined.
    """
    spectrum = Gaussian(covariance=LogUniform(low=LOW, high=HIGH, rotate=True), exact=True)
    return adjusted(task, inputs=spectrum, query_inputs=Gaussian(), queries=8)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Half:
    """Half of the prompts, with their spectral features divided by the targets' standard deviations."""

    prompts: Prompts
    basis: Float[Tensor, "batch query knot"]

    @classmethod
    def of(cls, prompts: Prompts, at: Float[Tensor, " knot"]) -> "_Half":
        scale = prompts.target_variance.rsqrt()[:, None, None]
        return cls(prompts=prompts, basis=features(SpectralChannels.of(prompts), at) * scale)

    def scaled(self, answers: Float[Tensor, "*layer batch query"]) -> Float[Tensor, "*layer batch query"]:
        return answers * self.prompts.target_variance.rsqrt()[:, None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Design:
    """On which prompts the response is estimated, and where.

    Attributes:
        task: where the prompts come from.
        at: the eigenvalues.
        planted: gradient descent whose steps suit these eigenvalues.
    """

    task: PrescribableTask
    at: Float[Tensor, " knot"]
    planted: GradientDescent

    @classmethod
    def of(cls, task: PrescribableTask, prompts: int, *, seed: int, own: bool) -> "_Design":
        """Balanced prompts; or the task's ``own``, whose eigenvalues are taken from a sample."""
        if not own:
            return cls(task=balanced(task), at=grid(), planted=PLANTED)
        task = adjusted(task, queries=8)
        seen = SpectralChannels.of(task.sample(prompts, seed=seed, stream="spectrum/fit")).eigenvalues.flatten()
        low, high = torch.quantile(seen, torch.tensor(COVERED, dtype=torch.float64)).tolist()
        return cls(task=task, at=knots(low, high, KNOTS), planted=GradientDescent(step_size=0.9 / high))


def grid() -> Float[Tensor, " knot"]:
    """The eigenvalues at which the response is estimated on balanced prompts."""
    return knots(LOW, HIGH, KNOTS)


def spectral_response(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    prompts: int = 400,
    readout: Literal["auto", "own", "fitted"] = "auto",
    own: bool = False,
) -> tuple[Measurement, ...]:
    """f at fourteen eigenvalues after each layer, and the held-out R² of the form itself.

    The interval of f is a bootstrap interval over prompts, widened on both sides by the error of linear interpolation between
    the knots, which is estimated from f's second differences. A fitted readout is fitted to prompts used for nothing else.

    Controls of R². Positive: gradient descent, whose f is known. Negative: the subject's answers with another prompt's
    channels, and the untrained subject. Control of f: the largest error, over the knots, that the same regression makes on
    gradient descent. Where a layer answers 0, there is nothing to describe: R² is NaN, and its negative controls say nothing.

    Args:
        subject: what to examine.
        task: its training distribution; dimension, number of examples and noise are kept, the inputs are replaced.
        seed: of the prompts.
        prompts: number of prompts in each half (one half to estimate f, one to score R²).
        readout: see `mesascope.instruments.reading.paths`.
        own: estimate f on the task's own prompts, between the first and the last hundredth of their eigenvalues, in place of
            prompts with log-uniform eigenvalues from 0.02 to 3 and isotropic queries.

    Raises:
        NotApplicable: there are fewer examples than dimensions, or the task's inputs cannot be given another spectrum.
    """
    task = prescribable(task, "the spectral response needs")
    if task.examples < task.dim:
        raise NotApplicable(f"exact spectra need examples >= dim; the task has {task.examples} and {task.dim}.")
    design = _Design.of(task, prompts, seed=seed, own=own)
    task = design.task
    fit, score = (
        _Half.of(task.sample(prompts, seed=seed, stream=f"spectrum/{name}"), design.at) for name in ("fit", "score")
    )
    draws = bootstrap.weights(prompts, seed=seed)

    def reading() -> tuple[Prompts, Prompts]:
        read = task.sample(prompts, seed=seed, stream="spectrum/read")
        return read, read

    splits = Splits(fitting=fit.prompts, scoring=score.prompts, again=score.prompts[:1], reading=reading)
    path = paths(subject, splits, seed=seed, readout=readout)
    fresh = untrained(subject, seed + 1)
    idle = None if fresh is None else paths(fresh, splits, seed=seed, readout=path.readout)
    known = _planted(fit, score, draws, design)
    found: list[Measurement] = []
    for layer, site in enumerate(subject.path):
        f, replicates = _estimate(fit, path.fitting[layer], draws)
        where: dict[str, Scalar] = {"layer": layer + 1, "site": str(site), "readout": path.readout}
        other = _r_squared(replace_basis(score, partners(score.prompts)), path.scoring[layer], f, draws)[0]
        negative = {"another prompt's channels": (other, _mute(score, path.scoring[layer]))}
        if idle is not None:
            idle_f, _ = _estimate(fit, idle.fitting[layer], draws)
            value = _r_squared(score, idle.scoring[layer], idle_f, draws)[0]
            negative["untrained network"] = (value, _mute(score, idle.scoring[layer]))
        r2, interval = _r_squared(score, path.scoring[layer], f, draws)
        found.append(
            Measurement(
                instrument="spectrum",
                quantity="R² of a spectral form",
                value=r2,
                interval=interval,
                n=prompts,
                coordinates=where,
                controls=(
                    Control(kind="positive", name="planted gradient descent", value=known.r2),
                    *(
                        Control(kind="negative", name=name, value=value, degenerate=why)
                        for name, (value, why) in negative.items()
                    ),
                ),
            )
        )
        found += _at_knots(f, replicates, prompts, where, known)
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Planted:
    """What the same regression finds for gradient descent: its R², and the largest error of its filter over the knots ``at``."""

    r2: float
    error: float
    at: Float[Tensor, " knot"]


def _planted(fit: _Half, score: _Half, draws: Tensor, design: _Design) -> _Planted:
    answers = [run(design.planted, Problem.of(half.prompts), PLANTED_STEPS).predictions[-1] for half in (fit, score)]
    f, _ = _estimate(fit, answers[0], draws)
    error = float((f - response(design.planted, design.at, PLANTED_STEPS)[-1]).abs().max())
    return _Planted(r2=_r_squared(score, answers[1], f, draws)[0], error=error, at=design.at)


def _at_knots(
    f: Float[Tensor, " knot"], replicates: Tensor, n: int, where: Mapping[str, Scalar], known: _Planted
) -> list[Measurement]:
    """The filter at each knot, with its interval."""
    found, off = [], _off(f)
    for index, eigenvalue in enumerate(known.at.tolist()):
        low, high = bootstrap.interval(replicates[:, index])
        found.append(
            Measurement(
                instrument="spectrum",
                quantity="response",
                value=float(f[index]),
                interval=(low - float(off[index]), high + float(off[index])),
                n=n,
                unit="share resolved",
                coordinates={**where, "eigenvalue": eigenvalue},
                controls=(
                    Control(kind="positive", name="largest error on planted gradient descent", value=known.error),
                ),
            )
        )
    return found


def _mute(half: _Half, answers: Float[Tensor, "batch query"]) -> str:
    """The reason why these answers have no R²; empty if they have one."""
    size = float(half.scaled(answers).square().mean().sqrt())
    if not math.isfinite(size):
        return "the answer is NaN or infinite there"
    return "" if size > NOTHING else "the answer is 0 there, which every form describes"


def replace_basis(half: _Half, order: Tensor) -> _Half:
    """The same prompts with the channels of others, for answers against another prompt's channels."""
    return _Half(prompts=half.prompts, basis=half.basis[order])


def figure(measurements: Sequence[Measurement], curves: Mapping[str, Float[Tensor, "layer knot"]]) -> Figure:
    """The response by layer, with the candidates' curves at the same eigenvalues."""
    rows: list[dict[str, Scalar]] = []
    for m in measurements:
        if m.instrument == "spectrum" and m.quantity == "response":
            rows.append(
                {
                    "layer": m.coordinates["layer"],
                    "eigenvalue": m.coordinates["eigenvalue"],
                    "who": "subject",
                    "response": m.value,
                    **bounds(m.interval),
                    "n": m.n,
                }
            )
    for name, curve in curves.items():
        for layer, values in enumerate(curve.tolist()):
            rows += [
                {"layer": layer + 1, "eigenvalue": e, "who": name, "response": v, "low": None, "high": None, "n": None}
                for e, v in zip(grid().tolist(), values, strict=True)
            ]
    r2 = [m for m in measurements if m.instrument == "spectrum" and m.quantity.startswith("R²")]
    text = ", ".join(
        f"{'no answer yet' if math.isnan(m.value) else f'{m.value:.3f}'} after layer {m.coordinates['layer']}"
        for m in r2
    )
    return Figure(
        name="spectral-response",
        section="Spectral response",
        title="Which share of each eigenvector of XᵀX/n is resolved",
        caption="1 is what least squares does, 0 means that the answer does not use the direction yet. The band is a 95 % "
        "bootstrap interval over prompts, widened by the error of interpolation between eigenvalues. The curve describes the "
        "subject as well as one filter for all prompts explains its answers on held-out prompts, by R²: "
        f"{text}. Candidates' curves have the coefficients fitted for the verdict.",
        kind="lines",
        rows=tuple(rows),
        x="eigenvalue",
        y="response",
        series="who",
        facet="layer",
        low="low",
        high="high",
        titles={"eigenvalue": "eigenvalue of XᵀX/n", "response": "share resolved", "who": "curve"},
        log=("x",),
    )


def _estimate(
    half: _Half, answers: Float[Tensor, "batch query"], draws: Float[Tensor, "repeat batch"]
) -> tuple[Float[Tensor, " knot"], Float[Tensor, "repeat knot"]]:
    """f at the knots and its bootstrap replicates, from normal equations, which are sums over prompts."""
    gram = half.basis.mT @ half.basis
    slope = (half.basis.mT @ half.scaled(answers)[..., None])[..., 0]
    damping = 1e-9 * torch.eye(gram.shape[-1], dtype=torch.float64) * gram.mean(0).diagonal().mean()
    value = torch.linalg.solve(gram.mean(0) + damping, slope.mean(0))
    many = (draws @ gram.flatten(1)).unflatten(1, gram.shape[1:]) / len(gram)
    return value, torch.linalg.solve(many + damping, draws @ slope / len(gram))


def _off(f: Float[Tensor, " knot"]) -> Float[Tensor, " knot"]:
    """The error of linear interpolation between the knots, if f is a parabola there: an eighth of its second difference.

    Each knot gets the largest error of itself and its neighbours; second differences are extrapolated linearly at the ends.
    """
    second = f.diff(n=2)
    ends = 2 * second[[0, -1]] - second[[1, -2]]
    second = torch.cat([ends[:1], ends[:1], second, ends[1:], ends[1:]]).abs()
    return second.unfold(0, 3, 1).amax(-1) / 8


def _r_squared(
    half: _Half, answers: Float[Tensor, "batch query"], f: Float[Tensor, " knot"], draws: Float[Tensor, "repeat batch"]
) -> tuple[float, tuple[float, float] | None]:
    """R² and its interval; NaN and no interval for answers that have no R²."""
    if _mute(half, answers):
        return math.nan, None
    scaled = half.scaled(answers)
    left = (scaled - half.basis @ f).square().mean(-1)
    return bootstrap.estimate(torch.stack([left, scaled.square().mean(-1)], -1), explained, draws)


INSTRUMENT = Instrument(
    name="spectrum",
    question="How far is each eigenvector of XᵀX resolved after each layer, and does such a filter explain the answers?",
    measure=spectral_response,
    needs="at least as many examples as dimensions, and inputs whose spectrum can be prescribed",
    quantities=(
        "R² of a spectral form",
        "response",
    ),
    coordinates=(
        "eigenvalue",
        "layer",
        "readout",
        "site",
    ),
    sizes=sizes(prompts=(80, 400, 1600)),
    expected=(
        Expected(
            quantity="R² of a spectral form",
            control="planted gradient descent",
            words="at least 0.99",
            holds=lambda v: v >= 0.99,
        ),
        Expected(
            quantity="R² of a spectral form",
            control="another prompt's channels",
            words="at most 0.3",
            holds=lambda v: v <= 0.3,
        ),
        Expected(
            quantity="response",
            control="largest error on planted gradient descent",
            words="at most 0.1",
            holds=lambda v: v <= 0.1,
        ),
    ),
)

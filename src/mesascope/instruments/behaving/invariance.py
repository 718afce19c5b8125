"""Invariances of the predictions: they are cheap to test, and each that is broken excludes whole families of algorithms.

Each test compares two predictions that are equal for every algorithm with the invariance. Except for ``homogeneous``, the
transformed prompts are as likely as the original ones if the training distribution is an isotropic Gaussian.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import GradientDescent, LastLabel, run
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.asking.lines import fewer
from mesascope.instruments.instrument import Expected, Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.seeds import generator
from mesascope.tasks.covariance import rotations
from mesascope.types import (
    Control,
    Figure,
    LinearTask,
    Measurement,
    Prompts,
    Subject,
    Task,
    glm_family,
    weight_deviation,
)

INVARIANCES = ("additive", "homogeneous", "rotation", "permutation")
WORDS = {
    "additive": "labels of two functions on the same inputs, added and divided by √2",
    "homogeneous": "labels doubled",
    "rotation": "inputs and queries rotated together",
    "permutation": "examples in another order",
}
Predict = Callable[[Prompts], Float[Tensor, "batch query"]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Case:
    """A test of one invariance.

    Attributes:
        prompts: the batches of prompts to run; the last one holds the transformed prompts.
        expected: from the predictions for all batches but the last, what an invariant learner predicts for the last.
        breaks: a learner that breaks the invariance for any number of dimensions and examples and in any unit. Its
            violation does not shrink as they grow; that of a learner that is only slightly uneven would.
    """

    prompts: tuple[Prompts, ...]
    expected: Callable[[list[Tensor]], Tensor]
    breaks: Predict


def invariances(subject: Subject, task: Task, *, seed: int = 0, prompts: int = 256) -> tuple[Measurement, ...]:
    """How far the subject breaks each invariance; 0 is invariant.

    The violation is the mean over a prompt's queries of the squared difference between prediction and expectation, divided
    by V_p, the variance of the prompt's target, clipped at 4, and averaged over prompts.

    Controls. Negative: gradient descent, which has all four invariances (0 up to rounding). Positive: a learner that breaks
    the invariance on purpose (from the absolute values of Xᵀy for ``additive``, squared labels with their signs for
    ``homogeneous``, the query's first coordinate alone for ``rotation``, the last label for ``permutation``). With a single
    example there is no other order, so the control of ``permutation`` says nothing.

    ``additive`` needs labels of another function on the same inputs, so it is left out for tasks not known to be linear.
    ``homogeneous`` is left out too where labels are binary or counts, since twice such a label is none. A subject that reads
    numbers as text is asked about ``permutation`` alone.

    Args:
        subject: what to examine.
        task: the distribution of prompts.
        seed: of prompts and transformations.
        prompts: number of prompts; a quarter of them for a subject that reads text.
    """
    prompts = fewer(subject, prompts)
    cases = _cases(task, seed, prompts, written=subject.domain.written)
    draws = bootstrap.weights(prompts, seed=seed, strata=cases["permutation"].prompts[0].strata)
    unit = cases["permutation"].prompts[0].xs.square().mean()  # mean square of the inputs
    found = []
    for name, case in cases.items():
        violation = _violation(lambda p: answers(subject, p), case)
        value, interval = bootstrap.estimate(violation[:, None], lambda m: m[:, 0], draws)
        kept = _violation(lambda p: run(GradientDescent(step_size=0.2 / float(unit)), p, steps=3).predictions[-1], case)
        broken = _violation(case.breaks, case)
        alone = "a single example has no other order" if name == "permutation" and task.examples == 1 else ""
        found.append(
            Measurement(
                instrument="invariance",
                quantity="violation",
                value=value,
                interval=interval,
                n=prompts,
                unit="share of the target's variance",
                coordinates={"invariance": name, "transformation": WORDS[name]},
                controls=(
                    Control(kind="negative", name="gradient descent", value=float(kept.mean())),
                    Control(
                        kind="positive", name="a learner that breaks it", value=float(broken.mean()), degenerate=alone
                    ),
                ),
            )
        )
    return tuple(found)


def figure(measurements: Sequence[Measurement]) -> Figure:
    """The violations as a table."""
    rows = tuple(
        {
            "invariance": m.coordinates["invariance"],
            "transformation": m.coordinates["transformation"],
            "violation": m.value,
            "low": m.interval[0] if m.interval else None,
            "high": m.interval[1] if m.interval else None,
            **{c.name: c.value for c in m.controls},
        }
        for m in measurements
        if m.instrument == "invariance"
    )
    return Figure(
        name="invariance",
        section="Invariances",
        title="Which invariances the predictions have",
        caption="Mean squared difference between a prediction and what an invariant learner would predict, over the target's "
        "variance, with 95 % intervals. Gradient descent has all four invariances; the learner in the last column breaks the "
        "row's invariance on purpose.",
        kind="table",
        rows=rows,
        low="low",
        high="high",
        y="violation",
    )


def _violation(predict: Predict, case: _Case) -> Float[Tensor, " batch"]:
    *given, asked = [predict(p) for p in case.prompts]
    variance = case.prompts[-1].target_variance
    return ((asked - case.expected(given)).square().mean(-1) / variance).clamp(max=4)


def _cases(task: Task, seed: int, count: int, *, written: bool) -> dict[str, _Case]:
    base = task.sample(count, seed=seed, stream="invariance")
    rng = generator(seed, "invariance/transformations")
    turn = rotations(count, task.dim, rng)
    order = torch.rand(count, task.examples, generator=rng).argsort(-1)
    other = _other_function(task, base, rng) if isinstance(task, LinearTask) else None
    doubled = replace(base, ys=2 * base.ys, target_variance=4 * base.target_variance)
    rotated = replace(base, xs=base.xs @ turn, queries=base.queries @ turn)
    shuffled = replace(base, xs=base.xs.gather(1, order[..., None].expand_as(base.xs)), ys=base.ys.gather(1, order))
    label, size = base.ys.square().mean().sqrt(), base.xs.square().mean()

    def correlate(p: Prompts, labels: Tensor) -> Tensor:
        return (labels[:, None] @ p.xs)[:, 0] / (p.examples * size)

    def answer(p: Prompts, weights: Tensor) -> Tensor:
        return (p.queries @ weights[..., None])[..., 0]

    cases: dict[str, _Case] = {}
    if other is not None:
        cases["additive"] = _Case(
            prompts=(base, other, replace(base, ys=(base.ys + other.ys) / 2**0.5)),
            expected=lambda given: (given[0] + given[1]) / 2**0.5,
            breaks=lambda p: answer(p, correlate(p, p.ys).abs()),
        )
    if glm_family(task) is None and not written:
        cases["homogeneous"] = _Case(
            prompts=(base, doubled),
            expected=lambda given: 2 * given[0],
            breaks=lambda p: answer(p, correlate(p, p.ys * p.ys.abs() / label)),
        )
    if not written:
        cases["rotation"] = _Case(
            prompts=(base, rotated),
            expected=lambda given: given[0],
            breaks=lambda p: p.queries[..., 0] / size.sqrt() * p.ys.square().mean(-1, keepdim=True).sqrt(),
        )
    cases["permutation"] = _Case(
        prompts=(base, shuffled),
        expected=lambda given: given[0],
        breaks=lambda p: run(LastLabel(), p).predictions[1],
    )
    return cases


def _other_function(task: LinearTask, prompts: Prompts, rng: torch.Generator) -> Prompts:
    """The same inputs with the labels of other weights, drawn from the prior."""
    second = torch.randn(len(prompts), task.dim, generator=rng, dtype=torch.float64) * weight_deviation(task)
    noise = task.noise * torch.randn(prompts.ys.shape, generator=rng, dtype=torch.float64)
    return replace(prompts, ys=(prompts.xs @ second[..., None])[..., 0] + noise, weights=second)


INSTRUMENT = Instrument(
    name="invariance",
    question="Do its answers change as they should when the problem is rotated, reordered or rescaled?",
    measure=invariances,
    quantities=("violation",),
    coordinates=(
        "invariance",
        "transformation",
    ),
    sizes=sizes(prompts=(60, 300, 1200)),
    figure=figure,
    expected=(
        Expected(
            quantity="violation", control="gradient descent", words="0 within 1e-9", holds=lambda v: abs(v) < 1e-9
        ),
        Expected(
            quantity="violation", control="a learner that breaks it", words="above 0.05", holds=lambda v: v > 0.05
        ),
    ),
)

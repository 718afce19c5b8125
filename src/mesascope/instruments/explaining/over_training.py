"""What a network computes at the checkpoints of its training: label, class, time of gradient flow and error, step by step."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mesascope.algorithms import LeastSquares, run
from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.collect import answers
from mesascope.instruments.asking.lines import as_lines
from mesascope.instruments.explaining.asked import ask
from mesascope.instruments.explaining.controls import Known, flow_and_filter, time_of
from mesascope.instruments.explaining.explanation import explain
from mesascope.instruments.identification.following import SCORE, UNTRAINED, follow
from mesascope.instruments.identification.prompts import discriminating, training
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, normalised_error
from mesascope.types import Control, Explanation, Figure, Measurement, Scalar, Subject, Task, bounds, history

NAME = "over training"
TIME, FILTER, NEAREST = "time of gradient flow", "share explained by one filter", "score of the nearest candidate"
ERROR = Quantity(name="normalised error")
MOST = 8
"""Checkpoints that are looked at, at most: evenly many of them, the first and the last included."""
FLOOR = -0.5  # of shares that are drawn


def over_training(
    subject: Subject, task: Task, *, seed: int = 0, n: int = 100, candidates: Sequence[str] | None = None
) -> tuple[Measurement, ...]:
    """Follow a network over the checkpoints of its training, on the prompts that decide, its error on its training task.

    Every measurement says at which ``step`` it was taken, which ``label`` and ``nearest`` candidate the path had there, and which
    ``class`` of explanation held.

    Controls. Positive: a planted gradient flow, whose time is known, and a planted filter; hand-built networks for the score;
    least squares for the error. Negative: the untrained network.

    Args:
        subject: a network with checkpoints.
        task: what it was trained on.
        seed: of prompts and resampling.
        n: number of prompts in each half.
        candidates: names of candidate algorithms; by default all.

    Raises:
        NotApplicable: there are no checkpoints of the subject's training.
    """
    known = history(subject)
    if len(known) < 2:
        raise NotApplicable(f"there are no checkpoints of the training of {subject.name}.")
    subject, task = as_lines(subject, asked := task)
    where = discriminating(task, subject.domain) or training(task)
    prompts = task.sample(n, seed=seed, stream=f"{NAME}/error")
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    twin = untrained(subject, seed)

    def explained(each: Subject) -> Explanation:
        return explain(ask(each, where.task, seed=seed, prompts=n), where.words)

    flow, bump = flow_and_filter(where.task, seed=seed, prompts=n)
    idle = None if twin is None else explained(twin)
    worst = None if twin is None else normalised_error(answers(twin, prompts), prompts)
    best = normalised_error(run(LeastSquares(), prompts).predictions[-1], prompts)
    found: list[Measurement] = []
    for step in spread(sorted(known)):
        there, _ = as_lines(known[step](), asked)
        followed = follow(there, task, seed=seed, n=n, candidates=candidates, idle={UNTRAINED: subject})
        score = next(m for m in followed if m.quantity == SCORE)
        described = explained(there)
        at: dict[str, Scalar] = {name: score.coordinates[name] for name in ("label", "nearest")}
        at = {"step": step, **at, "class": described.rung or "none"}
        found += [
            _measurement(TIME, time_of(described), at, n, flow=flow, idle=idle and time_of(idle)),
            _measurement(FILTER, _filter(described), at, n, filter=bump, idle=idle and _filter(idle)),
            replace(score, instrument=NAME, quantity=NEAREST, coordinates=at),
            measure(
                NAME,
                ERROR,
                normalised_error(answers(there, prompts), prompts),
                draws,
                coordinates=at,
                positive={"least squares": best},
                negative={} if worst is None else {UNTRAINED: worst},
            ),
        ]
    return tuple(found)


def spread(steps: Sequence[int]) -> list[int]:
    """At most `MOST` of the steps, evenly many apart, the first and the last among them."""
    return sorted({steps[round(i * (len(steps) - 1) / (MOST - 1))] for i in range(MOST)})


def _filter(explanation: Explanation) -> Known:
    rung = explanation.of("filter")
    return (0.0, (0.0, 0.0)) if rung is None else (rung.share, rung.interval)


def _measurement(
    quantity: str, value: Known, at: Mapping[str, Scalar], n: int, *, idle: Known | None, **sure: Known
) -> Measurement:
    controls = [
        Control(kind="positive", name=f"planted {name}", value=known, interval=interval)
        for name, (known, interval) in sure.items()
    ]
    if idle is not None:
        controls.append(Control(kind="negative", name=UNTRAINED, value=idle[0], interval=idle[1]))
    return Measurement(
        instrument=NAME,
        quantity=quantity,
        value=value[0],
        interval=value[1],
        n=n,
        coordinates=dict(at),
        controls=tuple(controls),
    )


def figure(measurements: Sequence[Measurement]) -> Figure:
    """Share of one filter, score of the nearest candidate and error by training step, with label, class and time to each mark."""
    times = {m.coordinates["step"]: m.value for m in measurements if m.quantity == TIME}
    rows = tuple(
        {
            **m.coordinates,
            "what": m.quantity,
            "share": max(m.value, FLOOR),
            **{name: max(value, FLOOR) for name, value in bounds(m.interval).items() if value is not None},
            "t": times.get(m.coordinates["step"]),
        }
        for m in measurements
        if m.instrument == NAME and m.quantity != TIME
    )
    return Figure(
        name="over-training",
        section="Over training",
        title="What it computes, over its training",
        caption="Share of the answers that one filter explains and the score of the nearest candidate, on the prompts that "
        f"decide; the error on training prompts, over the target's variance. Values below {FLOOR:g} are drawn there. A mark says "
        "the verdict's label, the nearest candidate, the class that holds and the time t of the nearest gradient flow.",
        kind="lines",
        rows=rows,
        x="step",
        y="share",
        series="what",
        low="low",
        high="high",
        titles={"step": "training step", "what": ""},
        log=("x",),
    )


INSTRUMENT = Instrument(
    name=NAME,
    question="What does it compute at each checkpoint of its training, and when does that form?",
    measure=over_training,
    needs="checkpoints of the subject's training",
    quantities=(TIME, FILTER, NEAREST, ERROR.name),
    coordinates=("step", "label", "nearest", "class"),
    sizes=sizes(n=(24, 100, 300)),
    figure=figure,
)

__all__ = ("INSTRUMENT", "NAME", "figure", "over_training")

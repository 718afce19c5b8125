"""Power: how often two candidates are distinguished, by prediction noise and number of prompts."""

import torch

from mesascope.calibration.counting import share
from mesascope.instruments.identification.families import BY_NAME, SHORT
from mesascope.instruments.identification.path_fitting import fit_path
from mesascope.instruments.identification.prompts import standard
from mesascope.instruments.identification.runner import Runner
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.discrepancy import confidence_set, losses, noisy, telling_apart
from mesascope.seeds import generator
from mesascope.types import Control, Figure, Measurement

PAIRS = (
    ("conjugate-gradient", "preconditioned-conjugate-gradient"),
    ("conjugate-gradient", "data-space-conjugate-gradient"),
    ("nesterov", "heavy-ball"),
    ("gradient-descent", "newton-schulz:identity"),
)
"""Pairs of the candidate that a subject follows, and another with which it might be confused."""
NOISES = (0.0, 0.05, 0.2, 1.0)
COUNTS = (10, 30, 100, 300, 1000)
POOL, FITTING, LAYERS = 5000, 96, 5
COEFFICIENTS = {"step_size": 0.12, "momentum": 0.8, "scale": 0.15}
"""Coefficients of the followed candidate; the momentum is large enough that both accelerated methods differ in five steps."""


def power_curves(*, seed: int = 0, repetitions: int = 200) -> tuple[Measurement, ...]:
    """How often the confidence set keeps the followed candidate and drops the other candidate, which is fitted to it.

    Each repetition draws prompts from a pool of 5,000 discriminating prompts. The interval is Clopper–Pearson's.

    Controls. Negative: how often the set drops the followed candidate; by construction of the set, at most one time in
    twenty. Positive: how often a prediction of zero is dropped.

    Args:
        seed: the seed of the pool, the noise and the draws.
        repetitions: number of repetitions for every pair, noise and number of prompts.
    """
    distribution = standard()
    pool = Runner(distribution.task.sample(POOL, seed=seed, stream="power curves/pool"))
    fitting = Runner(distribution.task.sample(FITTING, seed=seed, stream="power curves/fitting"))
    draws = {count: bootstrap.weights(count, seed=seed) for count in COUNTS}
    found = []
    for number, (followed, other) in enumerate(PAIRS):
        pair = _pair(followed, other, fitting, pool)
        rng = generator(seed, "power curves/draws", number)
        variance = pool.prompts.target_variance
        for noise in NOISES:
            subject = noisy(pair[0], noise, variance, rng)
            candidates = torch.cat([pair, torch.zeros_like(pair[:1])])
            apart = telling_apart(pair, variance)
            whole = losses(subject, candidates, variance, apart if bool(apart.any()) else torch.ones_like(apart))
            for count in COUNTS:
                sets = [
                    confidence_set(whole.on(torch.randperm(POOL, generator=rng)[:count]), [0, 1, 2], draws[count])
                    for _ in range(repetitions)
                ]
                value, interval = share(sum(kept == [0] for kept in sets), repetitions)
                lost, _ = share(sum(0 not in kept for kept in sets), repetitions)
                dropped, _ = share(sum(2 not in kept for kept in sets), repetitions)
                found.append(
                    Measurement(
                        instrument="power",
                        quantity="share of repetitions that tell them apart",
                        value=value,
                        interval=interval,
                        n=repetitions,
                        coordinates={"subject": followed, "against": other, "noise": noise, "prompts": count},
                        controls=(
                            Control(kind="negative", name="the followed candidate is lost", value=lost),
                            Control(kind="positive", name="answering zero is dropped", value=dropped),
                        ),
                    )
                )
    return tuple(found)


def figure(measurements: tuple[Measurement, ...]) -> Figure:
    """A figure of power against the number of prompts, with one line per share of noise."""
    rows = tuple(
        {
            "pair": f"{_short(m, 'subject')} against {_short(m, 'against')}",
            "noise": f"{m.coordinates['noise']:g}",
            "prompts": m.coordinates["prompts"],
            "power": m.value,
            "low": m.interval[0] if m.interval else None,
            "high": m.interval[1] if m.interval else None,
        }
        for m in measurements
        if m.instrument == "power"
    )
    return Figure(
        name="power",
        section="Power",
        title="How often two candidates are told apart",
        caption="A subject follows the first candidate over five layers; the second is fitted to it. Prediction noise is a share "
        "of the target's variance, and is added after every layer. Bands are Clopper–Pearson 95 %.",
        kind="lines",
        rows=rows,
        x="prompts",
        y="power",
        series="noise",
        facet="pair",
        low="low",
        high="high",
        log=("x",),
        titles={"noise": "prediction noise", "power": "told apart"},
    )


def _short(measurement: Measurement, role: str) -> str:
    """A candidate's short name if it has one, which fits above a panel."""
    name = str(measurement.coordinates[role])
    return next((short for short, long in SHORT.items() if long == name), name)


def _pair(followed: str, other: str, fitting: Runner, pool: Runner) -> torch.Tensor:
    """The paths of both candidates on the pool: (candidate, layer, batch, query)."""
    family = BY_NAME[followed]
    values = tuple(COEFFICIENTS[c.name] for c in family.coefficients)
    fit = fit_path(BY_NAME[other], fitting, fitting.predictions(family, values, LAYERS)[1:])
    return torch.stack([pool.predictions(family, values, LAYERS)[1:], fit.answers(pool)])

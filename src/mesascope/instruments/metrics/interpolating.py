"""The interpolation test: do two linear-attention layers give the same answers because their weights hold the same algorithm?

If two networks only give similar answers, the mean of their weights usually answers badly. If they hold the same algorithm in
the same way, up to what the architecture leaves free, the mean of their weights holds it too.

Source: von Oswald et al. 2023, §3.
"""

import torch
from torch import Tensor

from mesascope.instruments.metrics.linear_attention import LinearAttention
from mesascope.instruments.metrics.panel import NAME
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.scores import Quantity, measure, normalised_error, ratio
from mesascope.types import Measurement, Task

RATIO = Quantity(name="half-way error over the ends'", combine=ratio)
GAUGE = -3.0
"""In the controls, W_KQ is multiplied and W_PV divided by this factor, which leaves the network's answers unchanged."""


def halfway(first: LinearAttention, second: LinearAttention) -> LinearAttention:
    """The network whose weights are the mean of both networks' weights, after these are brought into one gauge.

    Raises:
        ValueError: the dimensions differ, or a network always answers zero.
    """
    return _mean(*_one_gauge(first, second))


def _mean(first: LinearAttention, second: LinearAttention) -> LinearAttention:
    name = f"half-way from {first.name} to {second.name}"
    return LinearAttention(name=name, kq=(first.kq + second.kq) / 2, pv=(first.pv + second.pv) / 2)


def _one_gauge(first: LinearAttention, second: LinearAttention) -> tuple[LinearAttention, LinearAttention]:
    """Both networks balanced, with the sign of the second chosen closest to the first."""
    if first.kq.shape != second.kq.shape:
        raise ValueError(
            f"second must have first's dimension {first.kq.shape[1]}; got {second.kq.shape[1]}. Build both for one task."
        )
    first, second = first.balanced(), second.balanced()
    if float((first.kq * second.kq).sum() + first.pv @ second.pv) < 0:
        second = second.scaled(-1.0)
    return first, second


def interpolation(
    first: LinearAttention, second: LinearAttention, task: Task, *, seed: int = 0, n: int = 1024
) -> tuple[Measurement, ...]:
    """The normalised error of the network half-way between two, over the mean of their errors: about 1 or less if they agree.

    Controls. Positive: the network half-way between the first and itself in another gauge, over the first's error, which is
    1. Negative: half-way between the two in different gauges, after one product of the second is multiplied by −3 and the
    other divided by it, which leaves the second's answers unchanged.

    Args:
        first, second: networks of the task's dimension.
        task: where the prompts come from.
        seed: of the prompts and the resampling.
        n: number of prompts.

    Raises:
        ValueError: the dimensions differ, or a network always answers zero.
    """
    if first.kq.shape[1] != task.dim:
        raise ValueError(
            f"first must have the task's dimension {task.dim}; got {first.kq.shape[1]}. Build it for the task."
        )
    prompts = task.sample(n, seed=seed, stream=f"{NAME}/interpolation")

    one, other = _one_gauge(first, second)

    def error(network: LinearAttention) -> Tensor:
        return normalised_error(network.answers(prompts), prompts)

    ends = (error(first) + error(second)) / 2
    itself = torch.stack([error(halfway(first, first.scaled(GAUGE))), error(first)], -1)
    as_is = torch.stack([error(_mean(one, other.scaled(GAUGE))), ends], -1)
    found = measure(
        NAME,
        RATIO,
        torch.stack([error(_mean(one, other)), ends], -1),
        bootstrap.weights(n, seed=seed, strata=prompts.strata),
        coordinates={"first": first.name, "second": second.name, "source": "von Oswald et al. 2023"},
        positive={"the first and itself, in another gauge": itself},
        negative={"in different gauges": as_is},
    )
    return (found,)

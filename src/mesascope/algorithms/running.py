"""The driver that runs any algorithm."""

import dataclasses
import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mesascope.algorithms.algorithm import Algorithm, State
from mesascope.algorithms.problem import Problem
from mesascope.types import Iterates, Prompts, Status

MAX_STEPS = 100_000
_OK, _BREAKDOWN, _DIVERGED = (
    int(Status.OK),
    int(Status.BREAKDOWN),
    int(Status.DIVERGED),
)  # comparing with an int is faster
CHUNK_BYTES = 4 << 20  # of matrices processed at a time: they fit into a cache, and the cost per call stays small


def run(
    algorithm: Algorithm,
    prompts: Prompts | Problem,
    steps: int = 1,
    *,
    ridge: float = 0.0,
    dtype: torch.dtype | None = None,
) -> Iterates:
    """Every iterate of an algorithm on a batch of prompts, without early stopping.

    Args:
        algorithm: any member of `mesascope.algorithms`.
        prompts: the prompts, or the problem made from them.
        steps: number of steps; closed forms give their answer from step 1 on.
        ridge: λ of XᵀX + λI, for all algorithms that solve this system.
        dtype: precision of the computation; by default that of the prompts.

    Raises:
        ValueError: steps is not an integer from 0 to 100,000; a ridge or dtype is given with a `Problem`, which has
            its own; or the algorithm cannot run on the problem.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or not 0 <= steps <= MAX_STEPS:
        raise ValueError(
            f"steps must be an integer from 0 to {MAX_STEPS}; got {steps}. Every iterate is kept: ask only for the steps "
            "that you compare with."
        )
    if isinstance(prompts, Problem):
        if ridge or dtype is not None:
            raise ValueError(
                f"ridge and dtype must be left out with a Problem, which has its own; got ridge={ridge}, "
                f"dtype={dtype}. Pass the prompts, or build the problem with Problem.of(prompts.to(dtype=…), ridge)."
            )
        problem = prompts
    else:
        problem = Problem.of(prompts if dtype is None else prompts.to(dtype=dtype), ridge)
    batch, size = len(problem), _chunk(problem)
    predictions = problem.queries.new_empty(steps + 1, batch, problem.queries.shape[1])
    weights: Tensor | None = None
    status = torch.zeros(batch, dtype=torch.long, device=predictions.device)
    stopped_at = torch.full_like(status, -1)
    for start in range(0, batch, size):
        chunk = slice(start, start + size)
        part = problem if size >= batch else problem[chunk]
        member, statuses = _of_chunk(algorithm, chunk, batch), []
        first = member.init(part)
        unit = member.unit(part, first)
        if unit is not None:
            part = part.in_units(unit)
            first = member.init(part)
        for step, state in enumerate(_states(member, part, first, steps)):
            statuses.append(state.status)
            if state.weights is not None:
                if weights is None:
                    weights = problem.moment.new_empty(steps + 1, *problem.moment.shape)
                weights[step, chunk] = state.weights
            else:
                assert state.predictions is not None, f"{algorithm.name} holds neither weights nor predictions"
                predictions[step, chunk] = state.predictions
        reached = len(statuses)
        kept = [values[:reached, chunk] for values in (predictions, weights) if values is not None]
        if unit is not None:
            kept[-1].mul_(unit)
        if weights is not None and kept[0].numel():
            kept[0].copy_(torch.einsum("sbd,bqd->sbq", kept[1], part.queries))
        events = _events(torch.stack(statuses), kept)
        if bool(events.any()):
            status[chunk], stopped_at[chunk] = _first(events)
            _settle(kept, status[chunk], stopped_at[chunk])
        for values in (predictions, weights) if reached <= steps else ():  # all ended: repeat the last iterate
            if values is not None:
                values[reached:, chunk] = values[reached - 1, chunk]
    return Iterates(predictions=predictions, weights=weights, status=status, stopped_at=stopped_at)


def _chunk(problem: Problem) -> int:
    """Number of prompts processed at a time: on a CPU as many as the cache holds, on other devices all."""
    if problem.gram.device.type != "cpu":
        return max(len(problem), 1)
    return max(1, CHUNK_BYTES // (problem.gram.element_size() * problem.gram.shape[-1] ** 2))


def _of_chunk(algorithm: Algorithm, chunk: slice, batch: int) -> Algorithm:
    """The algorithm for a chunk of the prompts: coefficients of shape (batch, 1), one number per prompt, are sliced."""

    def cut(value: object) -> object:
        if isinstance(value, tuple):
            return tuple(cut(part) for part in value)
        return value[chunk] if isinstance(value, Tensor) and value.shape == (batch, 1) else value

    fields = {f.name: getattr(algorithm, f.name) for f in dataclasses.fields(algorithm)}
    changed = {name: cut(value) for name, value in fields.items() if isinstance(value, Tensor | tuple)}
    return dataclasses.replace(algorithm, **changed) if changed else algorithm


def _states(algorithm: Algorithm, problem: Problem, state: State, steps: int) -> Iterator[State]:
    """The states one by one, so that memory in the cache is reused. It stops when all prompts have ended."""
    yield state
    for _ in range(steps):
        if state.ended:
            return
        state = algorithm.step(problem, state)
        yield state


def _events(
    status: Int[Tensor, "step batch"], kept: Sequence[Float[Tensor, "step batch _"]]
) -> Int[Tensor, "step batch"]:
    """The algorithm's statuses, with DIVERGED instead of OK where a value is not finite."""
    for values in kept:
        # The sum is a quicker test. If only the sum overflows, the full test below finds nothing.
        if not math.isfinite(float(values.sum())):
            lost = (status == _OK) & ~values.isfinite().all(-1)
            status = status.masked_fill(lost, int(Status.DIVERGED))
    return status


def _first(events: Int[Tensor, "step batch"]) -> tuple[Int[Tensor, " batch"], Int[Tensor, " batch"]]:
    """The first event of each prompt and its step, or OK and -1."""
    stopped, first = (events != _OK).long().max(0)  # max gives the first of equal values
    return events.gather(0, first[None])[0], torch.where(stopped > 0, first, -1)


def _settle(
    kept: Sequence[Float[Tensor, "step batch _"]], status: Int[Tensor, " batch"], stopped_at: Int[Tensor, " batch"]
) -> None:
    """From ``stopped_at`` on, repeat in place the final iterate: the solution, or the last iterate before a breakdown.

    After a divergence there is no final iterate, and all later values are NaN.
    """
    steps = len(kept[0])
    held = torch.where(stopped_at < 0, steps, stopped_at - (status == _BREAKDOWN).long()).clamp(min=0)
    first = int(held.amin())
    index = torch.minimum(torch.arange(first, steps, device=held.device)[:, None], held)[..., None]
    lost = status == _DIVERGED
    for values in kept:
        values[first:] = values.gather(0, index.expand(-1, -1, values.shape[-1]))
        if bool(lost.any()):
            over = lost & (torch.arange(steps, device=held.device)[:, None] >= stopped_at)
            values.masked_fill_(over[..., None], float("nan"))

"""`check_task`: whether a task's prompts are sound."""

import itertools
import json
from typing import cast

import torch
from torch import Tensor

from mesascope.records.codec import from_json, to_json
from mesascope.testing.comparison import tensors
from mesascope.testing.faults import Inspection
from mesascope.types import LimitedTask, LinearTask, PooledTask, Prompts, Task, with_queries

COUNT, CUTS = 300, (0, 5, 130, 257, 300)  # more than the 256 that mesascope's tasks draw at a time; arbitrary cuts
LATER = 1024  # a multiple of any likely number of prompts drawn at a time
DRAWS, SIGMAS = 4000, 5.0

SAMPLES = "sample(n, seed=...) gives n Prompts of the task's dim, examples and queries, finite, in double precision"
REPEATS = "the same seed gives the same numbers, bit for bit"
SPLITS = "numbers do not depend on how a sample is split: prompt i is the same in every call"
DIFFERS = "seeds, streams and prompts are independent of one another"
PRECISION = "dtype= sets the precision, and rounds the same numbers"
GLOBAL = "sampling does not use the global random generator"
VARIANCE = "target_variance is the variance of a prompt's target over the query distribution"
LATENT = (
    "prompts with latent weights w have targets wᵀx; in a linear task, labels are wᵀx plus noise of the stated size, and in a "
    "task with a pool, w is one of its vectors"
)
JSON = "a task can be written as JSON and read back"


def check_task(task: object, *, seed: int = 0) -> None:
    """Check that a task keeps the promises of `mesascope.types.Task`, and of the optional protocols that it satisfies.

    Its samples must depend only on (seed, stream, prompt number), and the labels must agree with the stated weights, noise and
    variances.

    Args:
        task: a frozen dataclass with the fields ``dim``, ``examples`` and ``queries``, and the method
            ``sample(n, *, seed, stream, start, dtype)``.
        seed: the seed of the sample.

    Raises:
        Violation: it breaks promises. The message lists all of them: what was promised, what was observed, and how to
            fix it.
    """
    report = Inspection(type(task).__name__, "a task")
    params = getattr(task, "__dataclass_params__", None)
    if params is None or not params.frozen:
        remedy = "write @dataclass(frozen=True, slots=True, kw_only=True) above the class"
        report.broken("it is a frozen dataclass of its own configuration", f"{type(task).__name__} is not one", remedy)
    for name in ("dim", "examples", "queries"):
        if not isinstance(getattr(task, name, None), int):
            remedy = "make dim, examples and queries fields: instruments set the number of queries that they need"
            report.broken("dim, examples and queries are whole numbers", f"{name} is not one", remedy)
    if not callable(getattr(task, "sample", None)):
        report.broken(SAMPLES, "there is no sample", "give it a method sample(n, *, seed, stream, start, dtype)")
    report.close(early=True)
    task = cast(Task, task)
    state = torch.get_rng_state()
    with report.keeping(SAMPLES, "take n, and seed=, stream=, start= and dtype= by name"):
        _check_sample(task, task.sample(COUNT, seed=seed), report)
    report.close(early=True)
    prompts = task.sample(COUNT, seed=seed)
    for promise, remedy, check in (
        (REPEATS, "draw from generator(seed, stream, step)", _check_repeats),
        (SPLITS, "draw in chunks of a fixed size, each from its own generator, and slice the chunks", _check_splits),
        (DIFFERS, "make a generator from seed and stream, and step it with the chunk's number", _check_differs),
        (PRECISION, "draw in float64, and convert at the end", _check_precision),
        (
            VARIANCE,
            "for a target linear in the query, return wᵀ Σ w, with Σ the queries' covariance",
            _check_variance,
        ),
        (LATENT, "leave weights out of the prompts if answers are not a linear function of the query", _check_latent),
        (JSON, "use fields of plain types, or of frozen dataclasses with annotations", _check_json),
    ):
        with report.keeping(promise, remedy):
            if fault := check(task, prompts, seed):
                report.broken(promise, fault, remedy)
    if not torch.equal(state, torch.get_rng_state()):
        report.broken(GLOBAL, "its state changed", "draw from mesascope.seeds.generator(seed, stream, step)")
    report.close()


def _check_sample(task: Task, prompts: object, report: Inspection) -> None:
    remedy = "return mesascope.types.Prompts"
    if not isinstance(prompts, Prompts):
        report.broken(SAMPLES, f"a {type(prompts).__name__}", remedy)
        return
    got = (len(prompts), prompts.examples, prompts.dim, prompts.queries.shape[1])
    if got != (expected := (COUNT, task.examples, task.dim, task.queries)):
        report.broken(SAMPLES, f"(prompts, examples, dim, queries) = {got}, not {expected}", remedy)
    if prompts.xs.dtype != torch.float64:
        report.broken(
            SAMPLES, f"{prompts.xs.dtype}", "make float64 the default; subjects convert to their own precision"
        )


def _check_repeats(task: Task, prompts: Prompts, seed: int) -> str:
    if apart := _apart(prompts, task.sample(COUNT, seed=seed)):
        return f"two samples differ in {apart}"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        apart = _apart(prompts, task.sample(COUNT, seed=seed))
    return f"with another state of the global generator {apart} differ" if apart else ""


def _check_splits(task: Task, prompts: Prompts, seed: int) -> str:
    for first, last in itertools.pairwise(CUTS):
        part = task.sample(last - first, seed=seed, start=first)
        if apart := _apart(prompts[first:last], part):
            return f"prompts {first} to {last} of {COUNT}, sampled alone, differ in {apart}"
    return ""


def _check_differs(task: Task, prompts: Prompts, seed: int) -> str:
    for words, other in (
        ("another seed", task.sample(COUNT, seed=seed + 1)),
        ("another stream", task.sample(COUNT, seed=seed, stream="testing")),
        ("later prompts", task.sample(COUNT, seed=seed, start=LATER)),
    ):
        if same := _shared(prompts, other):
            return f"{words}: the same {same}"
    shifted = prompts[torch.arange(COUNT).roll(1)]
    if same := _shared(prompts, shifted):
        return f"neighbouring prompts: the same {same}"
    count = min(task.examples, task.queries)
    return (
        "queries are examples of their own context" if _equal(prompts.xs[:, :count], prompts.queries[:, :count]) else ""
    )


def _check_precision(task: Task, prompts: Prompts, seed: int) -> str:
    single = task.sample(COUNT, seed=seed, dtype=torch.float32)
    if single.xs.dtype != torch.float32:
        return f"{single.xs.dtype} for dtype=torch.float32"
    apart = _apart(prompts.to(dtype=torch.float32), single)
    return f"{apart} are other numbers in single precision" if apart else ""


def _check_variance(task: Task, prompts: Prompts, seed: int) -> str:
    every = isinstance(task, LimitedTask)  # then all queries that there are
    many = with_queries(task, DRAWS).sample(8, seed=seed)
    deviation = (many.targets - many.targets.mean(-1, keepdim=True)).square() / many.target_variance[:, None]
    ratio = deviation.mean(-1) * (1 if every else DRAWS / (DRAWS - 1))
    error = deviation.std(-1) * (0 if every else DRAWS**-0.5)
    off = (ratio - 1).abs() > SIGMAS * error + 1e-3
    if not bool(off.any()):
        return ""
    worst = int(((ratio - 1).abs() / error).argmax())
    return (
        f"over {many.queries.shape[1]} queries the target of prompt {worst} varies by {float(ratio[worst]):.3g} times its "
        f"target_variance (standard error {float(error[worst]):.2g})"
    )


def _check_latent(task: Task, prompts: Prompts, seed: int) -> str:
    if prompts.weights is None:
        return "a linear task's prompts have no weights" if isinstance(task, LinearTask) else ""
    answers = (prompts.queries @ prompts.weights[..., None])[..., 0]
    scale = float(prompts.target_variance.mean().sqrt())
    if (off := float((answers - prompts.targets).abs().max())) > 1e-9 * scale:
        return f"a target is {off:.2g} away from wᵀx"
    if not isinstance(task, LinearTask):
        return ""
    left = (prompts.ys - (prompts.xs @ prompts.weights[..., None])[..., 0]).square()
    error = SIGMAS * float(left.mean(-1).std()) / COUNT**0.5 + (1e-9 * scale) ** 2
    if abs(float(left.mean()) - task.noise**2) > error:
        return f"the labels' noise has standard deviation {float(left.mean()) ** 0.5:.3g}, and noise is {task.noise:g}"
    if isinstance(task, PooledTask):
        apart = torch.cdist(prompts.weights, task.vectors).amin(-1)
        return "" if float(apart.max()) < 1e-6 * scale else "the weights of a prompt are not in the task's vectors"
    squares = prompts.weights.square().mean(-1)
    variance, error = float(squares.mean()), SIGMAS * float(squares.std()) / COUNT**0.5
    if abs(variance - task.weight_variance) > error:
        return f"coordinates of w have variance {variance:.3g}, and weight_variance is {task.weight_variance:.3g}"
    return ""


def _check_json(task: Task, prompts: Prompts, seed: int) -> str:
    again = from_json(type(task), json.loads(json.dumps(to_json(task))))
    return "" if again == task else f"{again!r} came back"


def _apart(a: Prompts, b: Prompts) -> str:
    """The fields in which two samples differ, in words; empty if there are none."""
    left, right = tensors(a), tensors(b)
    return ", ".join(
        n for n in {**left, **right} if n not in left or n not in right or not torch.equal(left[n], right[n])
    )


def _shared(a: Prompts, b: Prompts) -> str:
    """The fields in which two samples are equal, in words; empty if there are none."""
    left, right = tensors(a), tensors(b)
    return ", ".join(n for n in ("xs", "queries", "weights") if n in left and n in right and _equal(left[n], right[n]))


def _equal(left: Tensor, right: Tensor) -> bool:
    """Whether nearly all prompts have the same numbers. If inputs are ±1, single prompts can be equal by chance."""
    return float((left == right).flatten(1).all(-1).double().mean()) > 0.9

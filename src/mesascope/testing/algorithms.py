"""`check_algorithm`: whether a learner can serve as a reference for comparisons."""

import dataclasses
import re
from collections.abc import Callable, Mapping
from typing import Literal, cast

import torch
from torch import Tensor

from mesascope.algorithms import Algorithm, Invariance, Problem, run
from mesascope.algorithms.algorithm import INVARIANCES
from mesascope.seeds import generator
from mesascope.tasks.covariance import rotations
from mesascope.testing.comparison import changed, copy, distance, rounding
from mesascope.testing.faults import Inspection, describe
from mesascope.testing.viewing import ORDINARY
from mesascope.types import Iterates, Prompts, Status, Task, adjusted

STEPS = 3
SINGLE = 2e-3  # allowed difference of single precision, as a share of the largest value, on well-conditioned prompts

RUNS = "run(algorithm, prompts) works on ordinary prompts"
STATES = "a state holds weights (batch, dim) or predictions (batch, query) in the problem's precision, and one status per prompt"
START = "iterate 0 is the zero predictor"
STATUS = "the status is correct: it is a Status, and all prompts that are not DIVERGED have finite predictions"


def check_algorithm(algorithm: type[Algorithm] | Algorithm | object, task: Task = ORDINARY, *, seed: int = 0) -> None:
    """Check that a reference learner keeps the promises of `mesascope.algorithms.Algorithm`.

    Args:
        algorithm: the learner, or its class, which is then instantiated without arguments. Coefficients must be valid for
            any number of prompts: one number for all, or a rule.
        task: the source of well-conditioned test prompts; needed if the learner is made for a certain dimension.
        seed: the seed of the prompts.

    Raises:
        Violation: it breaks promises. The message lists all of them: what was promised, what was observed, and how to
            fix it.
    """
    kind = algorithm if isinstance(algorithm, type) else type(algorithm)
    report = Inspection(str(getattr(algorithm, "name", kind.__name__)), "an algorithm")
    _check_class(kind, report)
    with report.keeping("it can be made", "give every field a default, or pass an instance instead of the class"):
        algorithm = kind() if isinstance(algorithm, type) else algorithm
        dataclasses.replace(algorithm)  # pyright: ignore[reportArgumentType, reportCallIssue]
    report.close(early=True)
    learner = _Learner(
        algorithm=cast(Algorithm, algorithm),
        prompts=adjusted(task, queries=max(task.queries, 3)).sample(6, seed=seed, stream="testing"),
        report=report,
    )
    with report.keeping(RUNS, "see the original error above"):
        _check_states(learner)
        _check_iterates(learner, learner.run(learner.prompts))
    report.close(early=True)
    for check in (_check_sameness, _check_precision, _check_invariances, _check_breakdowns):
        with report.keeping(RUNS, "see the original error above"):
            check(learner)
    report.close()


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Learner:
    algorithm: Algorithm
    prompts: Prompts
    report: Inspection

    def run(self, prompts: Prompts, steps: int = STEPS) -> Iterates:
        """The iterates on a copy of the prompts, which the run must not change."""
        given = copy(prompts)
        found = run(self.algorithm, given, steps)
        if fields := changed(prompts, given):
            remedy = (
                "return new tensors from init and step; operations that end in an underscore, and +=, write in place"
            )
            self.report.broken("a run does not change the prompts", f"it wrote into {', '.join(fields)}", remedy)
        return found

    def same(self, promise: str, expected: Tensor, found: Tensor, what: str, remedy: str, within: float = 0.0) -> None:
        """Record a fault unless two results are equal up to rounding."""
        within = within or rounding([expected])
        if (apart := distance(expected, found)) > within:
            size = f"a difference of {apart:.2g} of the largest value; rounding explains {within:.1g}"
            self.report.broken(promise, f"{what}: {size}", remedy)


def _check_class(kind: type, report: Inspection) -> None:
    params = getattr(kind, "__dataclass_params__", None)
    if params is None or "__dataclass_params__" not in vars(kind) or not params.frozen:
        remedy = "write @dataclass(frozen=True, slots=True, kw_only=True) above the class"
        report.broken("it is a frozen dataclass of its own configuration", f"{kind.__name__} is not one", remedy)
    if not issubclass(kind, Algorithm):
        report.broken(
            "it is an Algorithm", f"{kind.__name__} is not one", "derive it from mesascope.algorithms.Algorithm"
        )
    name = getattr(kind, "name", None)
    if not isinstance(name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        report.broken(
            "its name is in kebab-case, as on the command line",
            f"it is {name!r}" if isinstance(name, str | None) else "the class itself has none",
            'write name: ClassVar[str] = "my-algorithm"',
        )
    implies = getattr(kind, "implies", None)
    if not isinstance(implies, frozenset) or not implies <= INVARIANCES:
        known = ", ".join(sorted(INVARIANCES))
        report.broken("implies is a frozenset of invariances", f"it is {implies!r}", f"choose among {known}")


def _check_states(learner: _Learner) -> None:
    """Check shapes and precision of states, which `run` would silently broadcast or convert."""
    for dtype in (torch.float64, torch.float32):
        p = copy(learner.prompts).to(dtype=dtype)
        problem = Problem.of(p)
        state = learner.algorithm.init(problem)
        for step in range(3):
            held, shape = (state.weights, (len(p), p.dim))
            if held is None:
                held, shape = state.predictions, tuple(p.targets.shape)
            if held is None or tuple(held.shape) != shape or held.dtype != dtype:
                what = "neither" if held is None else f"{tuple(held.shape)} in {held.dtype}"
                remedy = "make new tensors like the problem's: zeros_like(problem.moment), new_zeros, .to(problem.gram)"
                learner.report.broken(STATES, f"{what} after {step} steps, not {shape} in {dtype}", remedy)
            if tuple(state.status.shape) != (len(p),) or state.status.is_floating_point():
                remedy = "give every prompt a Status, as whole numbers"
                learner.report.broken(STATES, f"a status of {tuple(state.status.shape)}, {state.status.dtype}", remedy)
            state = learner.algorithm.step(problem, state)


def _check_iterates(learner: _Learner, found: Iterates) -> None:
    """Check what must hold for any run on ordinary prompts."""
    report = learner.report
    for words, values in (("predictions", found.predictions), ("weights", found.weights)):
        if values is not None and not bool((values[0] == 0).all()):
            remedy = "start from zero: comparisons count progress from the zero predictor"
            report.broken(START, f"{words} of up to {float(values[0].abs().max()):.2g}", remedy)
    bad = sorted({_status(value) for value in found.status.tolist()} - {"OK", "SOLVED"})
    if bad:
        remedy = "check the step sizes and divisions; only prompts without an answer may have a status other than OK"
        report.broken("ordinary, well-conditioned prompts end well", f"status {', '.join(bad)}", remedy)
    _check_status(learner, found, "ordinary prompts")


def _check_status(learner: _Learner, found: Iterates, case: str) -> None:
    """Check that predictions and status are consistent."""
    report = learner.report
    remedy = "set each prompt's Status in the state, and do not replace NaN"
    known = {int(status) for status in Status}
    for prompt, status in enumerate(found.status.tolist()):
        where = f"{case}, prompt {prompt}, status {_status(status)}"
        if status not in known:
            report.broken(STATUS, f"{where}, which is not a Status", remedy)
        if status != Status.DIVERGED and not bool(found.predictions[:, prompt].isfinite().all()):
            report.broken(STATUS, f"{where}, and predictions that are NaN or infinite", remedy)


def _check_sameness(learner: _Learner) -> None:
    """Check that batches, steps, queries and repetition do not change the numbers."""
    p = learner.prompts
    plain = learner.run(p).predictions
    promise, remedy = (
        "running again gives the same numbers",
        "keep everything that changes in the state, never in the algorithm",
    )
    if distance(plain, learner.run(p).predictions) > 0:
        learner.report.broken(promise, "a second run differs", remedy)
    promise = "iterate k is the same however many steps follow"
    remedy = "let a step depend only on the problem and the state"
    for steps in (0, STEPS + 3):
        found, most = learner.run(p, steps).predictions, min(steps, STEPS) + 1
        if distance(plain[:most], found[:most]) > 0:
            learner.report.broken(promise, f"a run of {steps} steps differs from one of {STEPS}", remedy)
    promise = "an iterate does not depend on the other prompts of the batch"
    remedy = "reduce only over a prompt's own axes; do not stop all prompts early"
    with learner.report.keeping(promise, remedy):
        alone = torch.cat([learner.run(p[i : i + 1]).predictions for i in range(len(p))], 1)
        learner.same(promise, plain, alone, "prompts one by one", remedy)
    promise = "a query is answered from the examples alone, never from another query"
    with learner.report.keeping(promise, remedy):
        one = dataclasses.replace(p, queries=p.queries[:, 1:2], targets=p.targets[:, 1:2])
        learner.same(promise, plain[:, :, 1:2], learner.run(one).predictions, "query 1 asked alone", remedy)


def _check_precision(learner: _Learner) -> None:
    promise = "it computes in the precision of the prompts, and single precision agrees with double"
    remedy = "make new tensors like the problem's (zeros_like, new_zeros, .to(problem.gram)); avoid cancellation"
    with learner.report.keeping(promise, remedy):
        double = learner.run(learner.prompts).predictions
        single = learner.run(learner.prompts.to(dtype=torch.float32)).predictions
        learner.same(promise, double, single.double(), "single against double precision", remedy, SINGLE)


def _check_invariances(learner: _Learner) -> None:
    p = learner.prompts
    rng = generator(0, "testing/invariances")
    other = torch.randn(p.ys.shape, generator=rng, dtype=torch.float64).to(p.ys)
    turn = rotations(1, p.dim, rng)[0].to(p.xs)
    order = torch.arange(p.examples).roll(p.examples // 2)

    def answers(**changes: Tensor) -> Tensor:
        return learner.run(dataclasses.replace(p, **changes)).predictions

    plain = answers()
    cases: Mapping[Invariance, Callable[[], tuple[Tensor, Tensor]]] = {
        "additive": lambda: (plain + answers(ys=other), answers(ys=p.ys + other)),
        "homogeneous": lambda: (-3 * plain, answers(ys=-3 * p.ys)),
        "rotation": lambda: (plain, answers(xs=p.xs @ turn, queries=p.queries @ turn)),
        "permutation": lambda: (plain, answers(xs=p.xs[:, order], ys=p.ys[:, order])),
    }
    promise = "it has the invariances that it implies"
    words: Mapping[Literal["additive", "homogeneous", "rotation", "permutation"], str] = {
        "additive": "labels added",
        "homogeneous": "labels times -3",
        "rotation": "inputs and queries rotated together",
        "permutation": "examples in another order",
    }
    for name in sorted(learner.algorithm.implies):
        remedy = f"take {name!r} out of implies, or look for what breaks it"
        with learner.report.keeping(promise, remedy, name):
            expected, found = cases[name]()
            learner.same(promise, expected, found, f"{name} ({words[name]})", remedy)


def _check_breakdowns(learner: _Learner) -> None:
    """Check prompts without a good answer: no exception, a correct status, and no effect on other prompts."""
    p, report = learner.prompts, learner.report
    xs, ys = p.xs.clone(), p.ys.clone()
    names = {1: "zero labels", 2: "one input repeated", 3: "zero inputs", 4: "a coordinate that is always zero"}
    ys[1] = 0
    xs[2] = xs[2, :1]
    xs[3] = 0
    xs[4, :, 0] = 0
    degenerate = dataclasses.replace(p, xs=xs, ys=ys)
    steps = p.dim + 3  # past the end of a Krylov iteration
    promise = "degenerate prompts raise no exception: their status reports the outcome"
    remedy = "use solvers that report failures (solve_ex, cholesky_ex, pinv), and set the Status of the failed prompts"
    cases = {
        "a batch with zero labels, repeated, zero and constant inputs": degenerate,
        "a single example": dataclasses.replace(p, xs=p.xs[:, :1], ys=p.ys[:, :1]),
        "fewer examples than dimensions": dataclasses.replace(p, xs=p.xs[:, : p.dim - 1], ys=p.ys[:, : p.dim - 1]),
    }
    for words, prompts in cases.items():
        for dtype in (torch.float64, torch.float32):
            if not prompts.examples:
                continue
            try:
                found = learner.run(prompts.to(dtype=dtype), steps)
            except Exception as error:
                report.broken(promise, f"{words} raised {describe(error)}", remedy)
                continue
            _check_status(learner, found, f"{words} ({dtype})")
            if prompts is degenerate and dtype == torch.float64:
                _check_degenerate(learner, found, names, steps)


def _check_degenerate(learner: _Learner, found: Iterates, names: Mapping[int, str], steps: int) -> None:
    promise, remedy = "a degenerate prompt has no effect on its neighbours", "reduce only over a prompt's own axes"
    well = torch.tensor([i for i in range(len(learner.prompts)) if i not in names])
    expected = learner.run(learner.prompts, steps).predictions[:, well]
    learner.same(promise, expected, found.predictions[:, well], "beside degenerate ones", remedy)
    if "homogeneous" in learner.algorithm.implies and not bool((found.predictions[:, 1].nan_to_num() == 0).all()):
        largest = float(found.predictions[:, 1].abs().max())
        remedy = "take 'homogeneous' out of implies, or answer zero where all labels are zero"
        learner.report.broken("it has the invariances that it implies", f"{largest:.2g} from zero labels", remedy)


def _status(value: int) -> str:
    return Status(value).name if value in {int(s) for s in Status} else str(value)

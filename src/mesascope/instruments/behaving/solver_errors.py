"""Held-out error of a subject by several readouts, beside gradient descent and conjugate gradient on either system.

A readout that is fitted anew on few prompts has an error of its own, which is not the network's: with p channels and m prompts
it multiplies what no readout can explain by about 1/(1 − p/m). So a plain readout is fitted on several numbers of prompts, and
the subject's own readout and one with a chosen penalty stand beside it.
"""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from mesascope.algorithms import Ridge, run
from mesascope.instruments.asking.applicability import NotApplicable, untrained
from mesascope.instruments.asking.collect import answers, at_queries
from mesascope.instruments.instrument import Instrument, sizes
from mesascope.instruments.reading.iterates import Solver
from mesascope.instruments.reading.readout import fit_readouts
from mesascope.instruments.statistics import bootstrap
from mesascope.instruments.statistics.regression import plain_weights
from mesascope.instruments.statistics.scores import Quantity, measure, ratio, squared_error
from mesascope.records.checks import check_count
from mesascope.types import LinearTask, Measurement, Prompts, Subject, Task, adjusted

NAME = "solver errors"
MSE = Quantity(name="MSE", unit="y²")
OVER = Quantity(name="MSE over another's", combine=ratio)
OWN, CHOSEN = "own readout", "fitted readout"
BAYES = "ridge at the Bayes-optimal λ"
QUERIES = 8  # of a prompt: errors at single queries are heavy-tailed
SOLVERS = tuple(
    Solver(method=method, space=space, ridge=0.1)
    for method in ("conjugate gradient", "gradient descent")
    for space in ("feature", "data")
)


def plain(prompts: int) -> str:
    """What the answers of a plain readout are called that was fitted on so many prompts."""
    return f"plain readout, fitted on {prompts} prompts"


def single(solver: Solver) -> str:
    """What a solver's answers in single precision are called."""
    return f"{solver.name}, single precision"


def solver_errors(
    subject: Subject,
    task: Task,
    *,
    seed: int = 0,
    n: int = 512,
    fit: int = 1024,
    solvers: Sequence[Solver] = SOLVERS,
    fits: Sequence[int] = (),
) -> tuple[Measurement, ...]:
    """Mean squared error at the queries of every readout and solver, and the ratio of every readout's to all others'.

    Every solver takes as many steps as the subject has layers. Ratios are paired: resampling draws the same prompts for both.

    Controls. Positive: ridge at λ = σ²/(variance of a weight), the best that is linear in the labels, and for a ratio the other
    over itself, which is 1. Negative: answering zero, and the untrained network.

    Args:
        subject: what to examine.
        task: a linear task, where the prompts come from.
        seed: of the prompts, the untrained weights and the resampling.
        n: number of prompts.
        fit: number of prompts that the readout with a chosen penalty is fitted on.
        solvers: what to compare with; conjugate gradient in data space also in single precision, which it suffers from.
        fits: the numbers of prompts that plain readouts are fitted on (one query each, penalty 0.001, no intercept).

    Raises:
        NotApplicable: the task is not linear, or the subject has no stream that could be read.
        ValueError: a number in ``fits`` below 1.
    """
    for number in fits:
        check_count("fits", number)
    if not isinstance(task, LinearTask):
        raise NotApplicable(
            f"the errors of solvers need a linear task with a prior of its weights; got {type(task).__name__}."
        )
    prompts = adjusted(task, queries=QUERIES).sample(n, seed=seed, stream=NAME)
    draws = bootstrap.weights(n, seed=seed, strata=prompts.strata)
    readouts = {
        name: squared_error(a, prompts) for name, a in _readouts(subject, task, prompts, seed, fit, fits).items()
    }
    others = {name: squared_error(a, prompts) for name, a in _solved(prompts, solvers, len(subject.path)).items()}
    best = squared_error(run(Ridge(ridge=task.noise**2 / task.weight_variance), prompts).predictions[1], prompts)
    negative = {"answering zero": squared_error(torch.zeros_like(prompts.targets), prompts)}
    if (fresh := untrained(subject, seed)) is not None:
        negative["untrained network"] = squared_error(answers(fresh, prompts), prompts)
    everything = {**readouts, **others, BAYES: best}
    found = [
        measure(NAME, MSE, sums, draws, coordinates={"answers": name}, positive={BAYES: best}, negative=negative)
        for name, sums in everything.items()
    ]
    for name, sums in readouts.items():
        for over, theirs in ((o, t) for o, t in everything.items() if o != name):
            found.append(
                measure(
                    NAME,
                    OVER,
                    torch.stack([sums, theirs], -1),
                    draws,
                    coordinates={"answers": name, "over": over},
                    positive={"the other over itself": torch.stack([theirs, theirs], -1)},
                    negative={c: torch.stack([each, theirs], -1) for c, each in negative.items()},
                )
            )
    return tuple(found)


def _readouts(
    subject: Subject, task: Task, prompts: Prompts, seed: int, fit: int, fits: Sequence[int]
) -> dict[str, Float[Tensor, "batch query"]]:
    """The answers by the subject's own readout and by all fitted ones, from the stream after the last layer."""
    last = subject.path[-1]
    own, held = at_queries(subject, prompts, [last])
    fitting = adjusted(task, queries=QUERIES).sample(fit, seed=seed, stream=f"{NAME}/fit")
    _, before = at_queries(subject, fitting, [last])
    chosen = fit_readouts(before, fitting.targets, scale=fitting.target_variance)[last]
    found = {OWN: own, CHOSEN: chosen.fit.guess(held[last])[..., 0]}
    for number in fits:
        few = adjusted(task, queries=1).sample(number, seed=seed, stream=f"{NAME}/plain")
        rows = at_queries(subject, few, [last])[1][last][:, 0].double()
        weights = plain_weights(rows, few.targets.double().cpu())
        found[plain(number)] = (held[last].double() @ weights)[..., 0]
    return found


def _solved(prompts: Prompts, solvers: Sequence[Solver], steps: int) -> Mapping[str, Float[Tensor, "batch query"]]:
    """Every solver's last answers."""
    found = {solver.name: solver.answers(prompts, steps)[-1] for solver in solvers}
    rough = prompts.to(dtype=torch.float32)
    for solver in solvers:
        if solver.space == "data" and solver.method == "conjugate gradient":
            found[single(solver)] = solver.answers(rough, steps)[-1]
    return found


INSTRUMENT = Instrument(
    name=NAME,
    question="How large is its error beside those of gradient descent and conjugate gradient, and how much of it is the "
    "readout's?",
    measure=solver_errors,
    needs="a linear task, and a stream to read",
    quantities=(MSE.name, OVER.name),
    coordinates=("answers", "over"),
    sizes=sizes(n=(32, 512, 2048), fit=(64, 1024, 4096)),
)

"""`check_regressor`: whether a regressor answers from each prompt's examples, and from nothing else."""

import dataclasses
from typing import cast

import numpy as np
import torch
from torch import Tensor

from mesascope.regressors import Regressor
from mesascope.tasks import LinearRegression
from mesascope.testing.comparison import changed, copy, distance, rounding
from mesascope.testing.faults import Inspection, describe
from mesascope.types import Prompts

NAMED = "it has a name"
ANSWERS = "predict(prompts, seed=...) gives one answer for each query of each prompt, in the prompts' precision"
REPEATS = "the same seed gives the same answers, bit for bit, whatever the state of the global generators"
GLOBAL = "answering does not use the global random generators, torch's or NumPy's"
ALONE = "a prompt's answers do not depend on the other prompts"
SEPARATE = "an answer does not depend on the other queries"
BLIND = "answers do not depend on targets, target_variance, weights or strata"
UNTOUCHED = "prompts are left as they are"
REFUSES = "prompts with fewer than two examples are refused with a ValueError"
SMALL = LinearRegression(dim=2, examples=12, queries=3, noise=0.1)


def check_regressor(regressor: object, *, prompts: Prompts | None = None, seed: int = 0) -> None:
    """Check that a regressor keeps the promises of `mesascope.regressors.Regressor`.

    Args:
        regressor: any object with ``name`` and ``predict(prompts, *, seed)``.
        prompts: what to ask it; three small prompts by default.
        seed: of the prompts and of the regressor.

    Raises:
        Violation: it breaks promises. The message lists all of them: what was promised, what was observed, and how to fix it.
    """
    report = Inspection(type(regressor).__name__, "a regressor")
    if not isinstance(getattr(regressor, "name", None), str) or not getattr(regressor, "name", ""):
        report.broken(NAMED, f"{getattr(regressor, 'name', None)!r}", "give it an attribute name")
    if not callable(getattr(regressor, "predict", None)):
        report.broken(ANSWERS, "there is no predict", "give it a method predict(prompts, *, seed=0)")
    report.close(early=True)
    it = cast(Regressor, regressor)
    prompts = SMALL.sample(3, seed=seed) if prompts is None else prompts
    given = copy(prompts)
    states = torch.get_rng_state(), np.random.get_state()
    first = torch.empty(0)
    with report.keeping(ANSWERS, "take the prompts, and seed= by name"):
        first = it.predict(given, seed=seed)
        _check_shape(first, prompts, report)
    report.close(early=True)
    if not torch.equal(states[0], torch.get_rng_state()) or not _same_state(states[1], np.random.get_state()):
        report.broken(GLOBAL, "the state of one changed", "draw from mesascope.seeds.generator, or pass random_state")
    if names := changed(prompts, given):
        report.broken(UNTOUCHED, f"{', '.join(names)} changed", "work on copies")
    _check_repeats(it, prompts, first, seed, report)
    _check_separate(it, prompts, first, seed, report)
    _check_blind(it, prompts, first, seed, report)
    _check_refuses(it, prompts, seed, report)
    report.close()


def _check_shape(answers: object, prompts: Prompts, report: Inspection) -> None:
    remedy = "return a tensor of shape (batch, query) with the dtype of the labels"
    if not isinstance(answers, Tensor):
        report.broken(ANSWERS, f"a {type(answers).__name__}", remedy)
    elif answers.shape != prompts.targets.shape or answers.dtype != prompts.ys.dtype:
        seen = f"shape {tuple(answers.shape)} and {answers.dtype}"
        report.broken(ANSWERS, f"{seen}, not {tuple(prompts.targets.shape)} and {prompts.ys.dtype}", remedy)


def _check_repeats(it: Regressor, prompts: Prompts, first: Tensor, seed: int, report: Inspection) -> None:
    remedy = "make everything random from the seed"
    before = np.random.get_state()
    with report.keeping(REPEATS, remedy), torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        np.random.seed(1)
        again = it.predict(prompts, seed=seed)
        if not _equal(first, again):
            report.broken(REPEATS, f"they differ by {distance(first, again):.2g}", remedy)
    np.random.set_state(before)


def _check_separate(it: Regressor, prompts: Prompts, first: Tensor, seed: int, report: Inspection) -> None:
    with report.keeping(ALONE, "answer each prompt from its own examples"):
        each = torch.cat([it.predict(prompts[i : i + 1], seed=seed) for i in range(len(prompts))])
        if (apart := distance(first, each)) > rounding([first]):
            report.broken(ALONE, f"asked one by one, answers differ by {apart:.2g}", "do not learn across prompts")
    with report.keeping(SEPARATE, "answer each query from the examples alone"):
        fewer = dataclasses.replace(prompts, queries=prompts.queries[:, :1], targets=prompts.targets[:, :1])
        if (apart := distance(first[:, :1], it.predict(fewer, seed=seed))) > rounding([first]):
            report.broken(SEPARATE, f"without the others it differs by {apart:.2g}", "do not learn from the queries")


def _check_blind(it: Regressor, prompts: Prompts, first: Tensor, seed: int, report: Inspection) -> None:
    remedy = "use xs, ys and queries only"
    with report.keeping(BLIND, remedy):
        other = dataclasses.replace(
            prompts,
            targets=-3 * prompts.targets - 1,
            target_variance=2 * prompts.target_variance,
            weights=None,
            strata=None,
            stratum_names=("all",),
        )
        if not _equal(first, again := it.predict(other, seed=seed)):
            report.broken(BLIND, f"with others they differ by {distance(first, again):.2g}", remedy)


def _check_refuses(it: Regressor, prompts: Prompts, seed: int, report: Inspection) -> None:
    remedy = "call mesascope.regressors.check_examples first"
    short = dataclasses.replace(prompts, xs=prompts.xs[:, :1], ys=prompts.ys[:, :1])
    try:
        it.predict(short, seed=seed)
    except ValueError as error:
        if "2 examples" not in str(error):
            report.broken(REFUSES, f"another error: {describe(error)}", remedy)
    except Exception as error:
        report.broken(REFUSES, describe(error), remedy)
    else:
        report.broken(REFUSES, "it answered from one example", remedy)


def _equal(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a.isnan(), b.isnan()) and torch.equal(a.nan_to_num(), b.nan_to_num())


def _same_state(a: object, b: object) -> bool:
    return str(a) == str(b)


__all__ = ("check_regressor",)

"""`check_subject`: whether a model can be examined."""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping
from typing import cast

import torch
from torch import Tensor

from mesascope.records.codec import to_json
from mesascope.testing import interventions
from mesascope.testing.comparison import altered, distance, fingerprint, moved, state
from mesascope.testing.faults import Inspection, describe
from mesascope.testing.layouts import check_layout
from mesascope.testing.viewing import PROMPTS, View, check_trace, fitting_task, several_queries
from mesascope.types import (
    AnswersEverywhere,
    Domain,
    HasHistory,
    Prompts,
    Reinitialisable,
    Site,
    Subject,
    Task,
    adjusted,
    answering_everywhere,
    spec_mapping,
    spec_of,
)

NAMES = ("name", "domain", "sites", "path", "trace", "readout")
RESIDUAL = ("resid_pre", "resid_mid", "resid_post")
FRESH = (1001, 1002)  # seeds of untrained controls; two, because the subject itself may be untrained with one of them
LARGEST = 64  # largest dimension or number of examples that is tried


def check_subject(subject: object, task: Task | None = None, *, seed: int = 0) -> None:
    """Check that a model keeps the promises of `mesascope.types.Subject`, on which every instrument relies.

    Use it as one line in a test: ``check_subject(my_model.load())``. Equal means equal up to rounding: √ε of the
    subject's own precision, as a share of the largest value.

    Args:
        subject: the model.
        task: the source of test prompts; by default a linear regression inside the subject's domain.
        seed: the seed of the prompts.

    Raises:
        Violation: it breaks promises. The message lists all of them: what was promised, what was observed, and how to
            fix it.
        ValueError: the task lies outside the subject's domain.
    """
    report = Inspection(_who(subject), "a subject")
    _check_protocol(subject, report)
    report.close(early=True)
    subject = cast(Subject, subject)
    prompts = several_queries((task or fitting_task(subject)).sample(PROMPTS, seed=seed, stream="testing"))
    subject.domain.check(prompts)
    held = state(subject)
    view = View.of(subject, prompts, report)
    try:
        before = fingerprint(subject, prompts)
    except Exception:  # reported by the checks below, which capture the same sites
        before = {}
    for check in (
        _check_answers,
        _check_batching,
        _check_queries,
        interventions.check_captures,
        interventions.check_idle_edits,
        interventions.check_real_edits,
        _check_readout,
        check_layout,
        _check_domain,
        _check_answers_everywhere,
        _check_reinitialised,
        _check_history,
        interventions.check_errors,
    ):
        with report.keeping(f"the check of {_words(check)} runs to its end", "see the original error above"):
            check(view)
        _check_state(subject, held, report)  # after each check: a state that every pass flips is back after two passes
    if before:
        with report.keeping(UNCHANGED, UNDO):
            for name in moved(before, fingerprint(subject, prompts)):
                report.broken(UNCHANGED, f"{name} differ from those at the start", UNDO)
    _check_state(subject, held, report)
    report.close()


UNCHANGED = "an examination does not change the subject"
UNDO = "keep no state between calls; remove hooks in a finally block; put the network in evaluation mode once, when loading"


def _check_state(subject: object, held: Mapping[str, object], report: Inspection) -> None:
    for name in altered(held, state(subject)):
        report.broken(UNCHANGED, f"{name} changed", UNDO)


# --------------------------------------------------------------------------------------------- its description


def _check_protocol(subject: object, report: Inspection) -> None:
    promise = "a subject has name, domain, sites, path, trace and readout"
    for name in NAMES:
        with report.keeping(promise, "see docs/my-model.md"):
            if not hasattr(subject, name):
                report.broken(promise, f"{name} is missing", "see docs/my-model.md")
            elif name in ("trace", "readout") and not callable(getattr(subject, name)):
                report.broken(promise, f"{name} cannot be called", "make it a method")
    report.close(early=True)
    subject = cast(Subject, subject)
    if not isinstance(subject.name, str) or not subject.name.strip():
        report.broken("name is a text for reports", f"it is {subject.name!r}", "give it a name that is not empty")
    if not isinstance(subject.domain, Domain):
        report.broken(
            "domain is a Domain",
            f"it is {subject.domain!r}",
            "give the accepted problem sizes as Domain(dims=(5,), examples=(20,)); None means any",
        )
    for name in ("sites", "path"):
        value = getattr(subject, name)
        if not isinstance(value, tuple) or not all(isinstance(site, Site) for site in value):
            report.broken(
                f"{name} is a tuple of Sites", f"it is {value!r}", "write (Site(layer=0, kind='resid_post'),)"
            )
        elif len(set(value)) < len(value):
            twice = next(site for site in value if value.count(site) > 1)
            report.broken(f"{name} names every site once", f"{twice} occurs twice", "remove it")
    report.close(early=True)
    promise = "path lists sites of the residual stream, in order of layers"
    for site in subject.path:
        if site not in subject.sites:
            report.broken(
                promise, f"{site} is not in sites", "list in sites all sites that can be captured, including path"
            )
        if site.kind not in RESIDUAL:
            kinds = ", ".join(RESIDUAL)
            report.broken(
                promise, f"{site} is not in the residual stream", f"use {kinds}; other kinds belong only in sites"
            )
    if [site.layer for site in subject.path] != sorted(site.layer for site in subject.path):
        report.broken(promise, f"it runs {', '.join(map(str, subject.path))}", "sort it by layer")
    spec = spec_of(subject)
    with report.keeping("spec, if there is one, can be written as JSON", "hold texts, numbers, lists and mappings"):
        json.dumps(to_json(spec))


# --------------------------------------------------------------------------------------------- answers


def _check_answers(view: View) -> None:
    again = view.trace().predictions
    promise = "the same prompts get the same answers"
    remedy = "put the network in evaluation mode (dropout off), and draw no random numbers in trace"
    view.same(promise, view.plain, again, "a second trace", remedy)
    promise = "answers depend only on xs, ys and queries"
    remedy = "do not use targets, target_variance, weights or strata: the answers are compared with them"
    p = view.prompts
    hidden = dataclasses.replace(
        p,
        targets=1 - 3 * p.targets,
        target_variance=7 * p.target_variance,
        weights=None,
        strata=None,
        stratum_names=("all",),
    )
    with view.report.keeping(promise, remedy):
        found = view.trace(hidden).predictions
        view.same(promise, view.plain, found, "with other targets and without weights", remedy)
    promise = "prompts in single and double precision are accepted"
    for dtype in (torch.float32, torch.float64):
        with view.report.keeping(promise, "convert them to the network's: prompts.to(dtype=...)"):
            check_trace(view.trace(p.to(dtype=dtype)), p, view.report, promise)


def _check_batching(view: View) -> None:
    promise = "an answer does not depend on the other prompts of the batch"
    remedy = "look for statistics over the batch (batch norm, padding, a mean over axis 0), or a hard-coded batch size"
    p = view.prompts
    with view.report.keeping(promise, remedy):
        alone = torch.cat([view.trace(p[i : i + 1]).predictions for i in range(len(p))])
        view.same(promise, view.plain, alone, "prompts one by one", remedy)
        order = torch.arange(len(p)).flip(0)
        view.same(promise, view.plain[order], view.trace(p[order]).predictions, "prompts in reverse", remedy)


def _check_queries(view: View) -> None:
    promise = "a query is answered from the examples alone, never from another query"
    remedy = "mask the queries: each sees the context and itself, at the query's own position"
    p = view.prompts
    with view.report.keeping(promise, remedy):
        for i in range(view.queries):
            found = view.trace(_asking(p, torch.tensor([i]))).predictions
            if not view.same(promise, view.plain[:, i : i + 1], found, f"query {i} asked alone", remedy):
                break
        order = torch.arange(view.queries).roll(1)
        found = view.trace(_asking(p, order)).predictions
        view.same(promise, view.plain[:, order], found, "queries in another order", remedy)
        other = dataclasses.replace(p, queries=torch.cat([p.queries[:, :1], -2 * p.queries[:, 1:]], 1))
        found = view.trace(other).predictions[:, :1]
        view.same(promise, view.plain[:, :1], found, "query 0 beside other queries", remedy)


def _asking(prompts: Prompts, index: Tensor) -> Prompts:
    return dataclasses.replace(prompts, queries=prompts.queries[:, index], targets=prompts.targets[:, index])


# --------------------------------------------------------------------------------------------- readout


def _check_readout(view: View) -> None:
    subject, report, p = view.subject, view.report, view.prompts
    if not subject.path:
        return
    promise = "readout at the last site of path gives the predictions"
    remedy = "apply all modules after the last layer (final norm, unembedding), and keep the queries last on the position axis"
    last = subject.path[-1]
    for prompts, words in ((p, "the activation at the queries"), (p[:1], "the same for one prompt")):
        with report.keeping(promise, remedy):
            trace = view.trace(prompts, capture=[last])
            activation = trace.activations[last][:, view.answered]
            view.same(promise, trace.predictions, subject.readout(activation.clone(), last), words, remedy)
    promise = "readout accepts the activation of any site of path, and does not change it"
    remedy = "use the same unembedding at every layer, and do not write in place"
    with report.keeping(promise, remedy):
        trace = view.trace(capture=subject.path)
        for site in subject.path:
            activation = trace.activations[site][:, view.answered].clone()
            kept = activation.clone()
            answers = subject.readout(activation, site)
            if tuple(answers.shape) != tuple(view.plain.shape) or not answers.is_floating_point():
                report.broken(promise, f"shape {tuple(answers.shape)}, {answers.dtype} at {site}", remedy)
            if not torch.equal(kept, activation):
                report.broken(promise, f"it wrote into the activation of {site}", remedy)


# --------------------------------------------------------------------------------------------- domain


def _check_domain(view: View) -> None:
    subject, report = view.subject, view.report
    dims, examples = subject.domain.dims, subject.domain.examples
    task = fitting_task(subject)
    promise = "every problem inside the domain is accepted"
    for dim, count in itertools.product(_ends(dims), _ends(examples)):
        remedy = "narrow the domain to the sizes that the model accepts"
        with report.keeping(promise, remedy, f"dim={dim}, examples={count}"):
            p = adjusted(task, dim=dim, examples=count).sample(2, seed=0, stream="testing/domain")
            check_trace(view.trace(p), p, report, promise)
    promise = "a problem outside the domain raises ValueError"
    remedy = "begin trace with self.domain.check(prompts)"
    outside = [{"dim": _missing(dims, task.dim)}] if dims is not None else []
    outside += [{"examples": _missing(examples, task.examples)}] if examples is not None else []
    for change in outside:
        p = adjusted(task, **change).sample(2, seed=0, stream="testing/domain")
        words = ", ".join(f"{name}={value}" for name, value in change.items())
        try:
            view.trace(p)
        except ValueError:
            continue
        except Exception as error:
            report.broken(promise, f"{words} raised {describe(error)}", remedy)
        else:
            report.broken(promise, f"{words} was answered", remedy)


def _ends(allowed: tuple[int, ...] | range | None) -> tuple[int, ...]:
    """The smallest and the largest size worth trying; if any size is allowed, two unusual sizes."""
    if allowed is None:
        return (1, 7)
    tried = [value for value in allowed if value <= LARGEST] or [min(allowed)]
    return tuple(sorted({min(tried), max(tried)}))


def _missing(allowed: tuple[int, ...] | range, near: int) -> int:
    return next(value for value in itertools.count(near + 1) if value not in allowed)


# --------------------------------------------------------------------------------------------- optional abilities


def _check_answers_everywhere(view: View) -> None:
    subject, report, p = view.subject, view.report, view.prompts
    says = getattr(subject, "answers_everywhere", False)  # a subject that says so but lacks the method is at fault
    if answering_everywhere(subject) is None and not says:
        return
    promise = "answer_everywhere answers each input of the context from the examples before it"
    remedy = "mask causally, read at the x positions, and return (batch, example); or drop answers_everywhere"
    with report.keeping(promise, remedy):
        answer = cast(AnswersEverywhere, subject).answer_everywhere
        found = answer(p)
        if tuple(found.shape) != tuple(p.ys.shape):
            report.broken(promise, f"answers of shape {tuple(found.shape)} for labels of {tuple(p.ys.shape)}", remedy)
            return
        middle = p.examples // 2
        ys = p.ys.clone()
        ys[:, middle:] = 1 - 2 * ys[:, middle:]
        later = answer(dataclasses.replace(p, ys=ys))[:, : middle + 1]
        view.same(promise, found[:, : middle + 1], later, f"with other labels from example {middle} on", remedy)
        allowed = subject.domain.examples
        for shown in {1, middle, p.examples - 1} - {0}:
            if shown >= p.examples or (allowed is not None and shown not in allowed):
                continue
            prefix = dataclasses.replace(
                p,
                xs=p.xs[:, :shown],
                ys=p.ys[:, :shown],
                queries=p.xs[:, shown : shown + 1],
                targets=p.ys[:, shown : shown + 1],
            )
            expected = view.trace(prefix).predictions[:, 0]
            view.same(promise, expected, found[:, shown], f"against a prompt of {shown} examples", remedy)


def _check_reinitialised(view: View) -> None:
    subject, report = view.subject, view.report
    if not isinstance(subject, Reinitialisable):
        return
    promise = "reinitialised(seed) gives the same architecture, untrained, determined by the seed"
    remedy = "build a new network of the same configuration, with weights that depend only on the seed"
    with report.keeping(promise, remedy):
        fresh = [subject.reinitialised(seed) for seed in FRESH]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(FRESH[1])  # this must not matter
            again = subject.reinitialised(FRESH[0])
        for name in ("sites", "path", "domain"):
            if getattr(fresh[0], name, None) != getattr(subject, name):
                report.broken(promise, f"its {name} differ from the subject's", remedy)
        answers = [other.trace(view.prompts) for other in (*fresh, again)]
        for trace in answers:
            check_trace(trace, view.prompts, report, promise)
        first, second, repeat = (trace.predictions for trace in answers)
        if distance(first, repeat) > 0:
            report.broken(promise, "two calls with the same seed give different answers", remedy)
        if not any(distance(view.plain, found) > view.tolerance for found in (first, second)):
            report.broken(promise, "its answers are those of the subject itself", remedy)
        view.same(
            promise, view.plain, view.trace().predictions, "the subject itself, afterwards", "build a new network"
        )


def _check_history(view: View) -> None:
    subject, report = view.subject, view.report
    if not isinstance(subject, HasHistory) or not subject.checkpoints:
        return
    promise = (
        "checkpoints maps steps of the training, before the subject's own, to what loads the subject as it was there"
    )
    remedy = "map each step to a callable without arguments that returns a subject of the same sites, path and domain"
    with report.keeping(promise, remedy):
        end = spec_mapping(subject).get("step")
        if not isinstance(end, int):
            report.broken(
                promise, "the subject does not say its own step", "give its specification a whole number as step"
            )
        elif late := [step for step in subject.checkpoints if step > end]:
            report.broken(promise, f"step {late[0]} comes after the subject's own, {end}", remedy)
        early = subject.checkpoints[min(subject.checkpoints)]()
        for name in ("sites", "path", "domain"):
            if getattr(early, name, None) != getattr(subject, name):
                report.broken(promise, f"the {name} of the first differ from the subject's", remedy)
        check_trace(early.trace(view.prompts), view.prompts, report, promise)


def _who(subject: object) -> str:
    name = getattr(subject, "name", None)
    return name if isinstance(name, str) and name.strip() else type(subject).__name__


def _words(check: Callable[..., None]) -> str:
    return check.__name__.removeprefix("_").removeprefix("check_").replace("_", " ")

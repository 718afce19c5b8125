"""A subject's promises about captures and interventions."""

import dataclasses

import torch
from torch import Tensor

from mesascope.instruments.intervening.interventions import inert_sites, replace
from mesascope.testing.comparison import copy, distance
from mesascope.testing.faults import describe
from mesascope.testing.viewing import View
from mesascope.types import Intervention, Site

FIRES = "every site in sites can be captured"
SHAPES = "activations have their kind's axes: the batch first, the queries last among the positions"
IDLE = "capturing changes nothing"
RUNS = "an intervention runs once, sees what the site computes, and what it returns is captured"
ZERO = "an intervention of strength zero changes nothing, nor does patching a subject with itself"
EFFECT = "an intervention takes effect"
UNKNOWN = "a site that the subject does not have raises ValueError, and leaves no hook behind"
ERRORS = "an edit's error is passed on, and leaves no hook behind"


class _PlannedError(Exception):
    """Raised deliberately by an edit, to see whether the subject passes it on."""


def check_captures(view: View) -> None:
    """Check that captures fire with the right shapes, alone and together, and change nothing."""
    subject, report, p = view.subject, view.report, view.prompts
    remedy = "list in sites exactly the sites that trace can capture"
    everything = None
    with report.keeping(FIRES, remedy):
        everything = view.trace(capture=subject.sites)
    if everything is None:
        return
    view.same(
        IDLE, view.plain, everything.predictions, "with every site captured", "in a hook, only read the activation"
    )
    held = dict(everything.activations)
    for site in subject.sites:
        if not isinstance(held.get(site), Tensor):
            report.broken(FIRES, f"{site} was requested, but is not among the activations", remedy)
    for site in held:
        if site not in subject.sites:
            report.broken(FIRES, f"{site} was captured without being requested", "keep only the sites in capture")
    turned = torch.arange(view.queries).roll(1)
    reordered = dataclasses.replace(p, queries=p.queries[:, turned], targets=p.targets[:, turned])
    permuted = view.trace(reordered, capture=subject.sites).activations
    positions: dict[int, Site] = {}
    for site, value in held.items():
        if fault := _misshapen(site, value, len(p), view.queries):
            report.broken(
                SHAPES, f"{site}: {fault}", "keep (batch, position, width) throughout, context before queries"
            )
            continue
        positions.setdefault(value.shape[2 if site.kind == "pattern" else 1], site)
        with report.keeping(FIRES, remedy):
            alone = view.trace(capture=[site])
            words = f"{site} captured alone"
            view.same(IDLE, value, alone.activations[site], words, "compute a site in full whenever it is requested")
            view.same(IDLE, view.plain, alone.predictions, words, "in a hook, only read the activation")
        if site.kind != "pattern" and site in permuted:
            expected, found = value[:, view.answered][:, turned], permuted[site][:, view.answered]
            view.same(
                SHAPES, expected, found, f"{site} with the queries in another order", "put the queries last, in order"
            )
    if len(positions) > 1:
        counts = ", ".join(f"{count} at {site}" for count, site in positions.items())
        report.broken(SHAPES, f"positions differ: {counts}", "show every position at every site")


def check_idle_edits(view: View) -> None:
    """Check that edits without a change have no effect, and that they get the captured activation."""
    subject, report = view.subject, view.report
    calls: dict[Site, list[Tensor]] = {site: [] for site in subject.sites}

    def watch(site: Site) -> Intervention:
        def edit(activation: Tensor) -> Tensor:
            calls[site].append(activation.clone())
            return activation

        return Intervention(site=site, edit=edit)

    remedy = "pass every activation through the edits for its site, and continue with the result"
    with report.keeping(RUNS, remedy):
        trace = view.trace(capture=subject.sites, interventions=[watch(site) for site in subject.sites])
        view.same(ZERO, view.plain, trace.predictions, "edits that return what they get", remedy)
        for site, seen in calls.items():
            if len(seen) != 1:
                report.broken(RUNS, f"the edit at {site} ran {len(seen)} times", remedy)
            elif site in trace.activations:
                words = f"{site}: what was captured against what the edit saw"
                view.same(RUNS, seen[0], trace.activations[site], words, "write into no tensor that was captured (+=)")
    with report.keeping(ZERO, remedy):
        own = view.trace(capture=subject.sites).activations
        other = view.trace(view.prompts[torch.arange(len(view.prompts)).roll(1)], capture=subject.sites).activations
        for words, values, strength in (("strength zero", other, 0.0), ("its own activation put back", own, 1.0)):
            edits = {site: replace(site, value.clone(), strength=strength) for site, value in values.items()}
            if distance(view.plain, view.trace(interventions=list(edits.values())).predictions) <= view.tolerance:
                continue
            single = {site: view.trace(interventions=[edit]).predictions for site, edit in edits.items()}
            guilty = [str(site) for site, found in single.items() if distance(view.plain, found) > view.tolerance]
            report.broken(ZERO, f"{words} at {', '.join(guilty) or 'all sites together'} moves the predictions", remedy)


def check_real_edits(view: View) -> None:
    """Check that an edit at the last site of path determines the predictions, and that a large edit acts at every site."""
    subject, report = view.subject, view.report
    if not subject.path:
        return
    remedy = "continue from the value that edit returns: later layers must read it, not the value computed before"
    with report.keeping(EFFECT, remedy):
        if inert := inert_sites(subject, copy(view.prompts)):
            report.broken(
                EFFECT, f"a large edit at {', '.join(map(str, inert))} does not change the predictions", remedy
            )
    last, answered = subject.path[-1], view.answered
    order = torch.arange(len(view.prompts)).roll(1)
    donor = view.trace(view.prompts[order], capture=[last])
    given = donor.activations[last].clone()
    kept = given.clone()

    def put(activation: Tensor) -> Tensor:
        new = activation.clone()
        new[:, answered] = given[:, answered]
        return new

    remedy = "continue the pass with the value that edit returns; a value that is only stored has no effect"
    with report.keeping(EFFECT, remedy):
        words = f"another prompt's activation put in at the queries of {last}"
        found = view.trace(interventions=[Intervention(site=last, edit=put)]).predictions
        if distance(view.plain, donor.predictions) > view.tolerance >= distance(view.plain, found):
            report.broken(EFFECT, f"{words}: the predictions did not change", remedy)
        else:
            view.same(EFFECT, donor.predictions, found, f"{words}, against its predictions", remedy)
        view.trace(interventions=[Intervention(site=last, edit=lambda _: given)])
        if not torch.equal(given, kept):
            report.broken(EFFECT, f"the tensor that an edit returned at {last} was overwritten", "do not add in place")
    with report.keeping(RUNS, remedy):
        twice = [Intervention(site=last, edit=lambda a: a + 1), Intervention(site=last, edit=lambda a: a * 2)]
        seen = view.trace(capture=[last], interventions=twice).activations[last]
        expected = 2 * (view.trace(capture=[last]).activations[last] + 1)
        remedy = "apply the interventions on one site in the order given, and capture after them"
        view.same(RUNS, expected, seen, f"1 added, then doubled, at {last}", remedy)


def check_errors(view: View) -> None:
    """Check that errors are passed on, and that no hook stays behind."""
    subject, report = view.subject, view.report
    stranger = Site(layer=max([site.layer for site in subject.sites], default=0) + 1000, kind="resid_post")
    remedy = "compare the requested sites with sites before the pass, and raise ValueError"
    identity = Intervention(site=stranger, edit=lambda activation: activation)
    for words, capture, edits in (("captured", [stranger], []), ("edited", [], [identity])):
        try:
            view.trace(capture=capture, interventions=edits)
        except ValueError:
            pass
        except Exception as error:
            report.broken(UNKNOWN, f"{stranger} {words} raised {describe(error)}", remedy)
        else:
            report.broken(UNKNOWN, f"{stranger} {words} was accepted silently", remedy)
        _unmoved(view, UNKNOWN, f"a trace after {stranger} was {words}")

    def fail(activation: Tensor) -> Tensor:
        raise _PlannedError("an edit raised")

    remedy = "catch no exceptions in trace"
    for site in subject.sites:
        edits = [Intervention(site=s, edit=lambda a: a + 1) for s in subject.path[:1] if s != site]
        try:
            view.trace(capture=[site], interventions=[*edits, Intervention(site=site, edit=fail)])
        except _PlannedError:
            pass
        except Exception as error:
            report.broken(ERRORS, f"the error at {site} became {describe(error)}", remedy)
        else:
            report.broken(ERRORS, f"the error at {site} was swallowed", remedy)
        if not _unmoved(view, ERRORS, f"a trace after an edit raised at {site}"):
            return


def _unmoved(view: View, promise: str, words: str) -> bool:
    """Whether an ordinary trace gives the same predictions as at the start."""
    remedy = "remove hooks in a finally block, or register none"
    try:
        found = view.trace().predictions
    except Exception as error:
        view.report.broken(promise, f"{words} raised {describe(error)}", remedy)
        return False
    return view.same(promise, view.plain, found, words, remedy)


def _misshapen(site: Site, value: object, batch: int, queries: int) -> str:
    """The fault of an activation's shape or numbers, in words; empty if there is none."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return f"not floating-point numbers but a {getattr(value, 'dtype', type(value).__name__)}"
    shape = tuple(value.shape)
    axes = {"pattern": "batch, head, position, position", "z": "batch, position, head, width/head"}.get(
        site.kind, "batch, position, width"
    )
    if len(shape) != len(axes.split(", ")) or shape[0] != batch:
        return f"shape {shape} for {batch} prompts, where the axes are ({axes})"
    positions = shape[2:] if site.kind == "pattern" else shape[1:2]
    if min(positions) < queries or len(set(positions)) > 1:
        return f"shape {shape}, which has no room for all positions, {queries} queries included, on ({axes})"
    if not bool(value.isfinite().all()):
        return "NaN or infinite values"
    return "it carries gradients: decorate trace with @torch.no_grad()" if value.requires_grad else ""

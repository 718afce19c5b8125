"""The only loop that runs a plan: finished work comes from the journal, an engine does the rest, with progress."""

import contextlib
from typing import Any

from mesascope.machine.processes import Died
from mesascope.machine.progress import progress_bar
from mesascope.plans.engines import Engine, Here
from mesascope.plans.joining import Several, joined
from mesascope.plans.work import Plan, Results
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance


class PlanFailed(Exception):
    """Some work killed every worker that tried it; all other work is done, and is kept if there is a journal."""


def execute(plan: Plan, journal: Journal, *, engine: Engine | None = None, progress: bool = False) -> Results:
    """Do all work of a plan that the journal does not hold.

    An error in a work item ends the run; so does Ctrl-C. Work finished by then is in the journal.

    Args:
        plan: the work to do.
        journal: where results are kept and found again.
        engine: runs the work; by default in this process.
        progress: show a progress bar on stderr.

    Returns:
        The results by name of the work item, in the plan's order.

    Raises:
        PlanFailed: some work killed every worker that tried it; raised after the rest is done.
        ValueError: the journal belongs to another plan.
        Exception: any exception of a work item, with a note that names the item.
    """
    code = provenance()
    keys = {work.name: {"work": work.key, "code": code} for work in plan.works}
    journal.open(plan.words, [work.key for work in plan.works])
    found: dict[str, Any] = {}
    for work in plan.works:
        if (held := journal.get(keys[work.name], work.result)) is not None:
            found[work.name] = held
    engine = engine or Here()
    missing = [work for work in plan.works if work.name not in found]
    items = {item.work.name: item for item in joined(missing, engine.workers)}
    dead: list[str] = []
    with progress_bar(total=len(plan.works), start=len(found), shown=progress) as bar:
        with contextlib.closing(engine.results([i.work for i in items.values()], bar.set_description)) as results:
            for item, result in results:
                members = items[item.name].members
                if isinstance(result, Died):
                    dead += [work.name for work in members]
                else:
                    parts = result.results if isinstance(result, Several) else (result,)
                    for work, part in zip(members, parts, strict=True):
                        journal.put(keys[work.name], part, work.name)
                        found[work.name] = part
                bar.update(len(members))
        bar.set_description("done")
    if dead:
        raise PlanFailed(
            f"{len(dead)} of {len(plan.works)} work items killed every worker that tried them, as when memory runs out: "
            f"{', '.join(dead[:5])}{' …' if len(dead) > 5 else ''}. All others are done; the same command tries these again."
        )
    return {work.name: found[work.name] for work in plan.works}


__all__ = ("PlanFailed", "execute")

"""The one loop that runs a plan: what is done is kept, the rest is done by an engine, with progress."""

from typing import Any

from tqdm import tqdm

from mesascope.machine.processes import Died
from mesascope.plans.engines import Engine, Here
from mesascope.plans.work import Plan, Results
from mesascope.records.journal import Journal
from mesascope.records.provenance import provenance


class PlanFailed(Exception):
    """Some work ended every worker that tried it; everything else is done, and kept where there is a journal."""


def execute(plan: Plan, journal: Journal, *, engine: Engine | None = None, progress: bool = False) -> Results:
    """Do all work of a plan that the journal does not hold.

    An error in a piece of work ends the run; so does Ctrl-C. What was done until then is in the journal.

    Args:
        plan: what to do.
        journal: where results are kept and found again.
        engine: where the work is done; in this process by default.
        progress: show a progress bar on stderr.

    Returns:
        What came out, by the name of the work, in the plan's order.

    Raises:
        PlanFailed: work that ended every worker which tried it, once the rest is done.
        ValueError: the journal is that of another plan.
        Exception: what a piece of work raised, with a note that names it.
    """
    code = provenance()
    keys = {work.name: {"work": work.key, "code": code} for work in plan.works}
    journal.open(plan.words, [work.key for work in plan.works])
    found: dict[str, Any] = {}
    for work in plan.works:
        if (held := journal.get(keys[work.name], work.result)) is not None:
            found[work.name] = held
    missing = [work for work in plan.works if work.name not in found]
    dead: list[str] = []
    with tqdm(total=len(plan.works), initial=len(found), disable=not progress, dynamic_ncols=True) as bar:
        results = (engine or Here()).results(missing, bar.set_description)
        try:
            for work, result in results:
                if isinstance(result, Died):
                    dead.append(work.name)
                else:
                    journal.put(keys[work.name], result, work.name)
                    found[work.name] = result
                bar.update()
        finally:
            close = getattr(results, "close", None)
            if close is not None:
                close()
        bar.set_description("done")
    if dead:
        raise PlanFailed(
            f"{len(dead)} of {len(plan.works)} pieces of work ended every worker that tried them, as when memory runs out: "
            f"{', '.join(dead[:5])}{' …' if len(dead) > 5 else ''}. All others are done; the same command tries these again."
        )
    return {work.name: found[work.name] for work in plan.works}


__all__ = ("PlanFailed", "execute")

"""Work items that share a part, as one item for an engine: the part is done once for all of them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mesascope.plans.work import Say, Work


@dataclass(frozen=True, slots=True, kw_only=True)
class Several:
    """The results of joined work items, in their order."""

    results: tuple[Any, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Joined:
    """One item for an engine, and the work items of the plan that it does."""

    work: Work[Any]
    members: tuple[Work[Any], ...]


def joined(works: Sequence[Work[Any]], workers: int) -> list[Joined]:
    """The items for an engine: works that share a part are joined, as many as leave something for every worker.

    Args:
        works: of one plan.
        workers: of the engine.
    """
    groups: dict[object, list[Work[Any]]] = {}
    for number, work in enumerate(works):
        groups.setdefault(number if work.shared is None else work.shared.key, []).append(work)
    items = []
    for group in groups.values():
        each = -(-len(group) // -(-workers // len(groups)))
        items += [_one(group[start : start + each]) for start in range(0, len(group), each)]
    return sorted(items, key=lambda item: -len(item.members))  # the longest first


def _one(group: Sequence[Work[Any]]) -> Joined:
    members = tuple(group)
    if len(members) == 1:
        return Joined(work=members[0], members=members)
    return Joined(
        work=Work(
            name=f"{len(members)} at once, from {members[0].name}",
            key=[work.key for work in members],
            result=Several,
            run=functools.partial(_run, members),
        ),
        members=members,
    )


def _run(members: Sequence[Work[Any]], say: Say) -> Several:
    shared = members[0].shared
    assert shared is not None, "only work items that share a part are joined"
    shared.prepare([work.shared.item for work in members if work.shared is not None], say)
    return Several(results=tuple(work.run(say) for work in members))

"""Plans and their work items. Each item has a key; items with equal keys have the same result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Say = Callable[[str], None]
"""A function that receives a work item's current stage, for the progress bar."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Shared:
    """A part of several work items that is cheaper done for all of them at once, such as training networks together.

    Attributes:
        key: work items with the same key share it.
        item: what this work item needs to have done.
        prepare: does it for the items of several. Each work item then finds it done, and does it itself if it is run alone.
    """

    key: str
    item: Any
    prepare: Callable[[Sequence[Any], Say], None]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work(Generic[T]):
    """One work item: it can be done anywhere and in any order, and doing it twice does no harm.

    Attributes:
        name: its name for readers, unique within a plan.
        key: everything that the result depends on, as values that the codec can write: for example the instrument, its
            subject, task, sizes, options and seed. The journal finds a result by its key.
        result: the dataclass of the result.
        run: does the work. For processes and clusters it must be a module-level function, or a partial of one.
        shared: the part of it that is cheaper done for several at once.
    """

    name: str
    key: object
    result: type[T]
    run: Callable[[Say], T]
    shared: Shared | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """A set of work items with a description.

    Attributes:
        words: the description, such as "examine two-layer, profile laptop, seed 0".
        works: the work items.

    Raises:
        ValueError: two work items have the same name.
    """

    words: str
    works: tuple[Work[Any], ...]

    def __post_init__(self) -> None:
        names = [work.name for work in self.works]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names of a plan's works must differ; {twice[0]!r} occurs more than once.")


Results = Mapping[str, Any]
"""The results, by name of the work item."""

"""What a run consists of: pieces of work, each known by what makes it the same as another."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
Say = Callable[[str], None]
"""Is told what a piece of work is at, for the progress bar."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Work(Generic[T]):
    """One piece of work: it can be done anywhere and in any order, and doing it twice does no harm.

    Attributes:
        name: what people call it; no two of a plan have the same.
        key: what makes two pieces of work the same, as the codec writes it: the instrument, its subject, task, sizes, options
            and seed, say. The journal finds a result by it.
        result: the dataclass that comes out.
        run: does it. For processes and clusters it must be a module's function, or a partial of one.
    """

    name: str
    key: object
    result: type[T]
    run: Callable[[Say], T]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """Pieces of work, and what they are together.

    Attributes:
        words: what it is, as in "examine two-layer, profile laptop, seed 0".
        works: the pieces.

    Raises:
        ValueError: two pieces have the same name.
    """

    words: str
    works: tuple[Work[Any], ...]

    def __post_init__(self) -> None:
        names = [work.name for work in self.works]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"names of a plan's works must differ; {twice[0]!r} is there more than once.")


Results = Mapping[str, Any]
"""What came out, by the name of the work."""

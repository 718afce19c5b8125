"""Faults: a suite reports everything that is wrong at once, with remedies."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import final

SHOWN = 3  # observations printed per promise; further ones are only counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One broken promise.

    Attributes:
        promise: what was promised.
        observed: what was observed instead, one entry per case.
        remedy: how to fix it.
    """

    promise: str
    observed: tuple[str, ...]
    remedy: str

    def __str__(self) -> str:
        more = len(self.observed) - SHOWN
        seen = "; ".join(self.observed[:SHOWN]) + (f"; and {more} more" if more > 0 else "")
        return f"promised: {self.promise}\n   observed: {seen}\n   remedy:   {self.remedy}"


@final
class Violation(AssertionError):
    """A member breaks promises of its family. ``faults`` holds all faults found; the message lists them."""

    def __init__(self, headline: str, faults: tuple[Fault, ...]) -> None:
        self.faults = faults
        super().__init__("\n".join([headline, *(f"{i}. {fault}" for i, fault in enumerate(faults, 1))]))


@final
class Inspection:
    """Collects faults; `close` raises if there are any.

    Args:
        who: the member's name, for the headline.
        family: the family that it belongs to, such as ``a subject``.
    """

    def __init__(self, who: str, family: str) -> None:
        self.who, self.family = who, family
        self._faults: dict[str, Fault] = {}
        self._error: Exception | None = None

    def broken(self, promise: str, observed: str, remedy: str) -> None:
        """Record a broken promise. Further observations of the same promise are added to the first."""
        known = self._faults.get(promise)
        seen = (*known.observed, observed) if known else (observed,)
        self._faults[promise] = Fault(
            promise=promise, observed=tuple(dict.fromkeys(seen)), remedy=known.remedy if known else remedy
        )

    @contextmanager
    def keeping(self, promise: str, remedy: str, case: str = "it") -> Iterator[None]:
        """An exception in this block breaks the promise; the first exception becomes the violation's cause."""
        try:
            yield
        except Exception as error:
            self._error = self._error or error
            self.broken(promise, f"{case} raised {describe(error)}", remedy)

    def close(self, *, early: bool = False) -> None:
        """Raise if anything is broken.

        Args:
            early: whether the remaining checks depend on those made so far, so that they cannot run if anything is broken.

        Raises:
            Violation: there are faults; it holds all of them.
        """
        if not self._faults:
            return
        count = len(self._faults)
        headline = f"{self.who} breaks {count} promise{'s' * (count > 1)} of {self.family}:"
        if early:
            headline = headline.removesuffix(":") + ", on which the rest depends (not checked yet):"
        raise Violation(headline, tuple(self._faults.values())) from self._error


def describe(error: BaseException) -> str:
    """An error in one line."""
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__

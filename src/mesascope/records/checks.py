"""Checks of arguments, and the remedy that a message about one ends with."""

import difflib
from collections.abc import Mapping
from typing import Literal, get_args, get_origin, get_type_hints

from mesascope.records.shown import shown


def nearest(name: str, known: Mapping[str, object] | list[str] | tuple[str, ...]) -> str:
    """`` Did you mean 'x'?``, or an empty string if no known name is similar."""
    if len(name) > 100:  # the time of the search grows with the square of the length
        return ""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def check_choices(value: object) -> None:
    """Check that every field of a dataclass that is declared as a ``Literal`` holds one of its choices.

    Raises:
        ValueError: a field does not; the message names the field, the choices and the value.
    """
    for name, expected in get_type_hints(type(value)).items():
        if get_origin(expected) is Literal and (given := getattr(value, name)) not in (choices := get_args(expected)):
            raise ValueError(
                f"{name} must be one of {', '.join(map(repr, choices))}; got {shown(given)}.{nearest(str(given), choices)}"
            )


def check_count(name: str, value: object, *, least: int = 1, hint: str = "") -> None:
    """Check that a size is a whole number that is large enough.

    Raises:
        ValueError: it is not; the message names the argument, the rule, the value and the remedy (``hint``, if given).
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        remedy = hint or f" Pass {least} or more."
        raise ValueError(f"{name} must be a whole number of at least {least}; got {shown(value)}.{remedy}")

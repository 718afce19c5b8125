"""The only JSON reader of the package, and the seal: a hash that shows that a document was not changed."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from mesascope.records.shown import shown

SEAL = "content_sha256"
"""The field of a document that holds the hash of all other fields."""
LARGEST = 64 * 2**20  # bytes; the largest record of a study has 2 MiB
DEEPEST = 64  # levels of nested objects and lists; a record has a dozen
DIGITS = 18  # of a whole number: no size is larger, and a float could not hold it exactly
_HALF = re.compile("[\ud800-\udfff]")
_BRACKET = re.compile(r'"(?:[^"\\]++|\\.)*+"|[\[\]{}]', re.DOTALL)  # strings too: skips brackets inside them


class Damaged(ValueError):
    """A file is not as it was written: truncated, altered, or of another kind."""


class _Refused(ValueError):
    """The text is JSON by its grammar, but its content cannot be used."""


def parse(content: bytes, where: str) -> Any:
    """JSON as Python values.

    Args:
        content: the file's bytes, or those of one of its lines.
        where: its name in messages.

    Raises:
        Damaged: not UTF-8, not JSON, larger than 64 MiB, nested more than 64 levels deep, a name twice in one object, a
            whole number of more than 18 digits, or half of a surrogate pair.
    """
    if len(content) > LARGEST:
        raise Damaged(f"{where} must be at most {LARGEST // 2**20} MiB; it has {len(content) / 2**20:.0f} MiB.")
    try:
        text = content.decode("utf-8")
        _check_depth(text)
        value = json.loads(text, object_pairs_hook=_object, parse_int=_whole)
        _check(value)
    except UnicodeDecodeError as error:
        raise Damaged(f"{where} is not JSON: its byte {error.start} is not UTF-8. Save it as UTF-8.") from error
    except _Refused as error:
        raise Damaged(f"{where} cannot be used: {error}") from error
    except ValueError as error:
        raise Damaged(f"{where} is not JSON ({error}).") from error
    return value


def _check_depth(text: str) -> None:
    """Check the depth before parsing. Parsing uses C stack for every level, so a deeply nested file would crash the process
    if Python's own recursion limit was raised, as some libraries do.
    """
    depth = 0
    for bracket in _BRACKET.finditer(text):
        if bracket[0] in ("[", "{"):
            depth += 1
            if depth > DEEPEST:
                raise _Refused(f"its values are nested more than {DEEPEST} deep.")
        elif bracket[0] in ("]", "}"):
            depth -= 1


def sealed(body: Mapping[str, Any]) -> dict[str, Any]:
    """The document with its seal.

    Raises:
        ValueError: NaN or infinity, which JSON does not have.
    """
    read_back = json.loads(
        json.dumps(body, allow_nan=False)
    )  # the hash must be that of the document as it is read back
    return {**read_back, SEAL: _digest(read_back)}


def unsealed(document: Any, where: str, *, required: bool) -> Any:
    """Check the seal and return the document without it.

    Args:
        document: what `parse` returned.
        where: its name in messages.
        required: whether the document must have a seal, because mesascope wrote it; a hand-written one has none.

    Raises:
        Damaged: the contents were changed after sealing, or a required seal is missing.
    """
    if not isinstance(document, dict) or SEAL not in document:
        if required:
            raise Damaged(f"{where} has no {SEAL}: it is damaged, or was not written by this version of mesascope.")
        return document
    body = {name: value for name, value in document.items() if name != SEAL}
    if document[SEAL] != _digest(body):
        remedy = "" if required else " If you changed the file, delete that field."
        raise Damaged(
            f"{where} is damaged, or was changed after it was written: its {SEAL} is not that of its contents.{remedy}"
        )
    return body


def _digest(body: Mapping[str, Any]) -> str:
    text = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise _Refused(f"the name {shown(twice)} occurs twice in one object. Keep one of them.")
    return found


def _whole(text: str) -> int:
    digits = len(text.lstrip("-"))
    if digits > DIGITS:
        raise _Refused(
            f"it holds a whole number of {digits} digits; at most {DIGITS} are allowed. Write a large number as 1e20."
        )
    return int(text)


def _check(value: Any) -> None:
    if isinstance(value, str):
        if (half := _HALF.search(value)) is not None:
            raise _Refused(
                f"it holds {shown(half[0])}, which is half of a surrogate pair. Write both halves, or leave it out."
            )
    elif isinstance(value, dict | list):
        for item in [*value, *value.values()] if isinstance(value, dict) else value:
            _check(item)

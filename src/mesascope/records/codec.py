"""Configurations as JSON and back, strictly: every dataclass is written with its class name, unknown fields are refused."""

import dataclasses
import enum
import functools
import inspect
import math
import os
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from mesascope.records.checks import nearest
from mesascope.records.shown import shown
from mesascope.records.store import read_json

T = TypeVar("T")
ADDED: Mapping[str, object] = types.MappingProxyType({"added": True})
"""Metadata of a dataclass field that came after documents of its class had been written.

At its default it is not written, and a document without it means the default. So older documents stay valid, and a value that
does not use the field is written as before.
"""
_WHOLE = 10**300  # larger whole numbers may not fit into a float


def to_json(value: object) -> Any:
    """The value as JSON types: dataclasses become objects with their class name under ``type``; NaN and infinity become null.

    Raises:
        TypeError: a value that cannot be written as JSON (for example, a tensor).
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value) if not _left_out(f, value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, Mapping):
        return {str(key): to_json(item) for key, item in value.items()}
    if isinstance(value, range):
        return {"from": value.start, "to": value.stop - 1}
    if isinstance(value, (tuple, list, set, frozenset)):
        return [to_json(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON: {value!r}")


def from_json(expected: type[T] | tuple[type[T], ...], data: object, where: str = "", *, ours: bool = False) -> T:
    """The inverse of `to_json`: builds ``expected`` (or the subclass that ``type`` names).

    Args:
        expected: the dataclass to build, or several, of which ``type`` names one; an abstract class stands for its subclasses.
        data: parsed JSON.
        where: dotted path for messages.
        ours: whether `to_json` wrote the data. Then every field must be present, even one with a default (but for those that
            are `ADDED`), and null in place of a number is NaN. Otherwise the data is a user's configuration, which may leave
            out fields that have defaults.

    Raises:
        ValueError: unknown or missing keys, wrong types, unknown class names, or values that the class itself rejects.
    """
    several = expected if isinstance(expected, tuple) else (expected,)
    name = where or several[0].__name__
    return _build(several[0], data, name, ours) if len(several) == 1 else _build_dataclass(several, data, name, ours)


def from_file(expected: type[T] | tuple[type[T], ...], path: Path, where: str = "") -> T:
    """A configuration from a JSON file that a user wrote.

    Raises:
        ValueError: as for `from_json`, naming the file; or there is no such file, or it is not JSON.
    """
    if not os.path.isfile(path):  # unlike Path.is_file, also False for a name that is too long
        several = expected if isinstance(expected, tuple) else (expected,)
        raise ValueError(f"{where or several[0].__name__} must be a JSON file; {shown(path)} is not a file.")
    data = read_json(path)
    try:
        return from_json(expected, data, where)
    except ValueError as error:
        raise ValueError(f"{shown(path)}: {error}") from error


def _build(expected: Any, data: Any, where: str, ours: bool) -> Any:
    origin = get_origin(expected)
    if origin is Literal:
        if data in get_args(expected):
            return data
        raise ValueError(f"{where} must be one of {', '.join(map(repr, get_args(expected)))}; got {shown(data)}.")
    if origin in (types.UnionType, typing.Union):
        return _build_union(expected, data, where, ours)
    if origin is tuple:
        return _build_tuple(get_args(expected), data, where, ours)
    if origin in (Mapping, dict):
        if not isinstance(data, Mapping):
            raise ValueError(f"{where} must be an object; got {shown(data)}.")
        item = get_args(expected)[1]
        return {key: _build(item, value, f"{where}.{_name(key)}", ours) for key, value in data.items()}
    if expected is object:
        return data
    if dataclasses.is_dataclass(expected):
        return _build_dataclass((typing.cast(type, expected),), data, where, ours)
    if expected is float and isinstance(data, int) and not isinstance(data, bool) and abs(data) < _WHOLE:
        return float(data)
    if expected is float and data is None and ours:
        return math.nan
    if expected is type(None) and data is None:
        return None
    if isinstance(expected, type) and isinstance(data, expected) and isinstance(data, bool) == (expected is bool):
        return data
    raise ValueError(f"{where} must be {_describe(expected)}; got {shown(data)}.")


def _build_tuple(items: tuple[Any, ...], data: Any, where: str, ours: bool) -> tuple[Any, ...]:
    if not isinstance(data, list):
        raise ValueError(f"{where} must be a list; got {shown(data)}.")
    kinds = [items[0]] * len(data) if items[-1] is Ellipsis else list(items)
    if len(kinds) != len(data):
        raise ValueError(f"{where} must be a list of {len(kinds)}; got {shown(data)}.")
    return tuple(
        _build(kind, value, f"{where}[{i}]", ours) for i, (kind, value) in enumerate(zip(kinds, data, strict=True))
    )


def _build_union(expected: Any, data: Any, where: str, ours: bool) -> Any:
    if data is None and type(None) in get_args(expected):
        return None
    classes: tuple[Any, ...] = tuple(option for option in get_args(expected) if dataclasses.is_dataclass(option))
    if classes and isinstance(data, Mapping):
        return _build_dataclass(classes, data, where, ours)  # an object can only be meant as one of the dataclasses
    for option in get_args(expected):
        try:
            return _build(option, data, where, ours)
        except ValueError:
            continue
    raise ValueError(f"{where} must be {_describe(expected)}; got {shown(data)}.")


def _build_dataclass(expected: tuple[type, ...], data: Any, where: str, ours: bool) -> Any:
    """One of several dataclasses, or of their subclasses; ``type`` says which, and the first is meant if it is missing."""
    if not isinstance(data, Mapping):
        raise ValueError(f"{where} must be an object describing a {expected[0].__name__}; got {shown(data)}.")
    choices = {cls.__name__: cls for base in expected for cls in _family(base)}
    name = data.get("type", expected[0].__name__)
    if not isinstance(name, str) or name not in choices:
        known = ", ".join(sorted(choices))
        raise ValueError(f"{where}.type must be one of {known}; got {shown(name)}.{nearest(str(name), choices)}")
    chosen = choices[name]
    hints = _hints(chosen)
    fields = {f.name: f for f in dataclasses.fields(chosen)}
    for key in data:
        if key != "type" and key not in fields:
            has = ", ".join(fields) or "none"
            raise ValueError(f"{where} has no field {shown(key)}: a {name} has {has}.{nearest(str(key), fields)}")
    missing = [
        f.name
        for f in fields.values()
        if f.name not in data and (not _has_default(f) or (ours and "added" not in f.metadata))
    ]
    if ours and "type" not in data:
        missing.insert(0, "type")
    if missing:
        raise ValueError(f"{where} needs {', '.join(missing)}: add it to the {name}.")
    values = {k: _build(hints[k], v, f"{where}.{k}", ours) for k, v in data.items() if k != "type"}
    try:
        return chosen(**values)
    except ValueError as error:  # a rule of the class, which does not know the path ``where``
        raise ValueError(f"{where}: {error}") from error


def _has_default(field: "dataclasses.Field[Any]") -> bool:
    return field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING


def _left_out(field: "dataclasses.Field[Any]", value: object) -> bool:
    """Whether a field that was `ADDED` holds its default."""
    if "added" not in field.metadata:
        return False
    factory = field.default_factory
    return bool(getattr(value, field.name) == (field.default if factory is dataclasses.MISSING else factory()))


def _name(key: object) -> str:
    """A key from a file, as part of a dotted path in a message."""
    return key if isinstance(key, str) and key.isidentifier() and len(key) < 40 else f"[{shown(key)}]"


@functools.cache
def _hints(chosen: type) -> dict[str, Any]:
    return get_type_hints(chosen)


def _family(base: type) -> list[type]:
    """The class itself unless it is abstract, and all its subclasses."""
    below = [cls for child in base.__subclasses__() for cls in _family(child)]
    # dataclass(slots=True) makes a second class; only the one that its module holds is real
    real = [c for c in below if getattr(inspect.getmodule(c), c.__name__, c) is c]
    return real if inspect.isabstract(base) else [base, *real]


def _describe(expected: Any) -> str:
    if get_origin(expected) in (types.UnionType, typing.Union):
        return " or ".join(_describe(option) for option in get_args(expected))
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false", type(None): "null"}
    return names.get(expected, getattr(expected, "__name__", str(expected)))

"""What every test shares.

Shapes and types are checked throughout: pyproject.toml loads mesascope through jaxtyping's import hook with beartype.
"""

import dataclasses
import functools
import inspect
import os
import shutil
import signal
import threading
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import jaxtyping
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation

# Tests run in several processes: one thread each, also in the programs that they start, or they take turns on the cores.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)

# A shell has what it starts in the background ignore Ctrl-C, and so would all that the tests start and send it to.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Slow machines are no reason to fail, and a red run in CI must be red again on a desk: there, examples are fixed.
hypothesis.settings.register_profile("desk", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "desk")

_slowly = jaxtyping.jaxtyped
_scope = jaxtyping.jaxtyped("context")  # axes mean the same throughout one call


def checked(fn: Any = None, *, typechecker: Callable[[Any], Any]) -> Any:
    """`jaxtyping.jaxtyped` with the same checks in a fraction of the time, which was most of what the suite took.

    That one binds the arguments to the signature at every call, for its messages, and checks them twice: before the function
    runs, and again with what it returns. Here beartype checks both in one call, within jaxtyping's scope for axes if the
    signature has any. What is called in a loop is checked at its first `OFTEN` calls in a test, and then at one in `EVERY`.
    """
    if fn is None:
        return functools.partial(checked, typechecker=typechecker)
    if inspect.isclass(fn):
        if dataclasses.is_dataclass(fn) and not hasattr(fn.__init__, "__wrapped__"):
            fn.__init__ = checked(fn.__init__, typechecker=typechecker)
        return fn
    if not inspect.isfunction(fn) or inspect.isgeneratorfunction(fn) or inspect.iscoroutinefunction(fn):
        return _slowly(fn, typechecker=typechecker)
    code, checking = fn.__code__, None

    @functools.wraps(fn)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal checking
        _calls[code] = count = _calls.get(code, 0) + 1
        if (count > OFTEN and count % EVERY) or jaxtyping.config.jaxtyping_disable:
            return fn(*args, **kwargs)
        checking = checking or _checking(fn, typechecker)
        try:
            return checking(*args, **kwargs)
        except BeartypeCallHintViolation as violation:
            raise jaxtyping.TypeCheckError(str(violation)) from violation

    return wrapped


def _checking(fn: Any, typechecker: Callable[[Any], Any]) -> Any:
    """The function with its checks. Most are never called in a run, so they are made at the first call."""
    hints = tuple((name, _resolved(hint, fn.__globals__)) for name, hint in fn.__annotations__.items())
    if "<locals>" in fn.__qualname__:
        checking = _made_again(fn, hints, typechecker)
    else:
        checking = typechecker(_twin(fn, hints, fn.__closure__))
    return _in_scope(checking) if any(_has_axes(hint) for _, hint in hints) else checking


OFTEN, EVERY = 20, 50
"""How many of a function's calls in a test are checked, and of how many later ones one is."""
_calls: dict[types.CodeType, int] = {}


def pytest_runtest_setup() -> None:
    """Count the calls of every function anew for each test."""
    _calls.clear()


_Hints = tuple[tuple[str, Any], ...]
_checks: dict[types.CodeType, tuple[_Hints, Any]] = {}
_called = threading.local()


def _made_again(fn: Any, hints: _Hints, typechecker: Callable[[Any], Any]) -> Any:
    """The checks of a function inside another one, which is made again whenever that one is called: they are kept."""
    held, checking = _checks.get(fn.__code__, (None, None))
    if held != hints:
        cells = tuple(types.CellType() for _ in fn.__code__.co_freevars)  # hold nothing that this one holds

        @functools.wraps(_twin(fn, hints, cells))
        def call(*args: Any, **kwargs: Any) -> Any:
            return _called.stack[-1](*args, **kwargs)

        checking = typechecker(call)
        _checks[fn.__code__] = hints, checking

    def called(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        stack = _called.__dict__.setdefault("stack", [])
        stack.append(fn)
        try:
            return checking(*args, **kwargs)
        finally:
            stack.pop()

    return called


def _has_axes(hint: object) -> bool:
    """Whether the shape of an array is in it."""
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    return any(_has_axes(part) for part in typing.get_args(hint))


def _in_scope(checking: Any) -> Any:
    def scoped(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        with _scope:
            try:
                return checking(*args, **kwargs)
            except BeartypeCallHintViolation:
                jaxtyping.print_bindings()
                raise

    return scoped


def _twin(fn: Any, hints: _Hints, closure: Any) -> Any:
    """The function with hints that are resolved."""
    twin = types.FunctionType(fn.__code__, fn.__globals__, fn.__name__, fn.__defaults__, closure)
    twin.__kwdefaults__, twin.__module__, twin.__qualname__ = fn.__kwdefaults__, fn.__module__, fn.__qualname__
    twin.__annotations__ = dict(hints)
    return twin


def _resolved(hint: object, names: dict[str, Any]) -> object:
    """The hint with names in quotes replaced by what they stand for; anything, if they stand for nothing at run time."""
    if isinstance(hint, type) and not isinstance(hint, types.GenericAlias):
        return hint
    holder = types.SimpleNamespace(__annotations__={"hint": hint})
    try:
        return typing.get_type_hints(holder, names, include_extras=True)["hint"]
    except Exception:  # as jaxtyping has it
        return Any


jaxtyping.jaxtyped = checked  # what the import hook decorates with


@pytest.fixture
def unchecked() -> Iterator[None]:
    """Turns the checker of shapes and types off: what a caller outside this suite gets is our own errors."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


SOME = {"spectrum": 30, "readout": 24, "probes": 40, "stress": 8, "causal": 8}
"""Prompts of each instrument of a small examination; six of those that are not named."""


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Examinations with profile ``smoke`` have two candidates and few prompts: for tests of the house, not of a subject."""
    from mesascope import examination

    real = examination.identify_and_describe
    for instrument in examination.EXAMINED:
        n = SOME.get(instrument.name, 6)
        few = {name: 2 * n if (instrument.name, name) == ("causal", "fit") else n for name in instrument.sizes["smoke"]}
        monkeypatch.setitem(instrument.sizes, "smoke", few)
    nothing = examination.Checked(rows=(), seconds=0.0)
    monkeypatch.setitem(examination.IDENTIFIED, "smoke", 20)
    monkeypatch.setattr(examination, "identify_and_describe", lambda *a, **k: real(*a, **k, algorithms=["gd", "cg"]))
    monkeypatch.setattr(examination, "_known_subjects", lambda seed, say: nothing)


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of a Chromium that can run headless. Without one the test skips, except in CI, where it fails."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        path = shutil.which(name)
        if path is not None:
            return path
    reason = "no Chromium found: install the Debian package chromium to look at the page in a real browser"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)

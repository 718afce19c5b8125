"""Every instrument keeps its promises, and one that breaks a promise is told which."""

import dataclasses
import functools

import pytest
import torch

from mesascope.instruments import NotApplicable
from mesascope.instruments.behaving import stress
from mesascope.instruments.catalogue import BY_NAME, INSTRUMENTS
from mesascope.models.constructions import gradient_descent
from mesascope.tasks import LinearRegression
from mesascope.testing import check_instrument
from mesascope.types import Control, Measurement

TASK = LinearRegression(dim=3, examples=10)
LISTED = [instrument.name for instrument in INSTRUMENTS]
FEW = {"n": 8, "fit": 16, "score": 12, "prompts": 16}
LITTLE = {"stress": {"table": stress.distributions(TASK)[:3]}, "over training": {"candidates": ("gd", "cg")}}


def few(name):
    """An instrument of the catalogue with a few prompts; forty where a filter is fitted."""
    instrument = BY_NAME[name]
    sizes = {size: 40 if name == "spectrum" else FEW[size] for size in instrument.sizes["smoke"]}
    return functools.partial(instrument.measure, **sizes, **LITTLE.get(name, {}))


@pytest.fixture
def able(tiny):
    """Makes a tiny network, with a checkpoint of its training where the instrument of this name needs one."""

    def make(name, **options):
        made = tiny(**options)
        if name != "over training":
            return made
        return dataclasses.replace(made, spec={**made.spec, "step": 2}, checkpoints={1: lambda: tiny(**options)})

    return make


@pytest.mark.parametrize("name", [name for name in LISTED if name != "spectrum"])
def test_every_instrument_keeps_its_promises(name, able):
    check_instrument(few(name), able(name, layers=1), TASK)


@pytest.mark.parametrize("name", LISTED)
def test_every_instrument_says_what_it_measures_and_where(name, unchecked, able):
    instrument = BY_NAME[name]
    found = few(name)(able(name), TASK, seed=0)
    assert {m.instrument for m in found} == {name}
    assert {m.quantity for m in found} <= set(instrument.quantities)
    assert {key for m in found for key in m.coordinates} <= set(instrument.coordinates)
    assert {each.quantity for each in instrument.expected} <= set(instrument.quantities)
    assert instrument.question.endswith("?")
    if instrument.figure is not None and name not in (
        "spectrum",
        "invariance",
        "causal",
    ):  # which show what a trained one holds
        assert instrument.figure(found).rows


@pytest.mark.parametrize("name", ["readout", "patching", "invariance"])
def test_every_instrument_keeps_its_promises_on_a_construction(name):
    check_instrument(few(name), gradient_descent(layers=2), TASK, seed=1)


def test_the_spectral_response_keeps_its_promises(unchecked, tiny):
    """Unchecked: `identification.paths.Paths.again` goes under the axis ``batch`` with another number of prompts."""
    check_instrument(few("spectrum"), tiny(), TASK)


def test_an_instrument_that_does_not_apply_says_so():
    with pytest.raises(NotApplicable):
        check_instrument(few("attention"), gradient_descent(layers=2), TASK)


CONTROL = Control(kind="negative", name="another prompt", value=0.0)
NUMBER = Measurement(instrument="size", quantity="mean", value=1.0, interval=(0.5, 2.0), n=4, controls=(CONTROL,))


def size(subject, task, *, seed=0, **changes):
    """An honest instrument, to be changed in one thing."""
    prompts = task.sample(4, seed=seed)
    answers = [subject.trace(prompts[i : i + 1]).predictions for i in range(4)]
    found = float(torch.cat(answers).abs().mean())
    return (dataclasses.replace(NUMBER, **{"value": found, "interval": (found, found)} | changes),)


def forgetful(subject, task, *, seed=0):
    calls.append(0)
    return size(subject, task, seed=seed, n=len(calls))


calls = []


def unseeded(subject, task, *, seed=0):
    return size(subject, task, seed=seed, n=int(torch.randint(1, 10**9, ())))


def heavy(subject, task, *, seed=0):
    with torch.no_grad():
        subject.model.unembed.weight.mul_(1.5)
    return size(subject, task, seed=seed)


def hooked(subject, task, *, seed=0):
    """Takes its hook away, but not when something fails."""
    hook = subject.model.blocks[0].register_forward_hook(lambda *_: None)
    found = size(subject, task, seed=seed)
    hook.remove()
    return found


def silencing(subject, task, *, seed=0):
    try:
        return size(subject, task, seed=seed)
    except Exception:
        return (NUMBER,)


def wrapping(subject, task, *, seed=0):
    try:
        return size(subject, task, seed=seed)
    except Exception as error:
        raise KeyError("lost") from error


def changed(**changes):
    return functools.partial(size, **changes)


def odd():
    return dataclasses.replace(CONTROL, kind="odd")  # refused by the checker of types, so made when it is off


BROKEN_INSTRUMENTS = {
    "a list": (lambda *_, **options: [NUMBER], "it returns a tuple"),
    "nothing": (lambda *_, **options: (), "it returns a tuple"),
    "numbers": (lambda *_, **options: (1.0,), "it returns a tuple"),
    "NaN": (changed(value=float("nan"), interval=None), "every measurement is a finite number"),
    "a tensor": (changed(value=torch.tensor(1.0), interval=None), "every measurement is a finite number"),
    "outside its interval": (changed(value=3.0, interval=(0.0, 1.0)), "inside its interval"),
    "a control outside its interval": (
        changed(controls=(dataclasses.replace(CONTROL, interval=(1.0, 2.0)),)),
        "inside its interval",
    ),
    "no prompts": (changed(n=0), "on at least one prompt"),
    "no controls": (changed(controls=()), "stands beside a control"),
    "a control of NaN": (
        changed(controls=(dataclasses.replace(CONTROL, value=float("nan")),)),
        "stands beside a control",
    ),
    "a control of no kind": (lambda *args, **options: size(*args, **options, controls=(odd(),)), "beside a control"),
    "no quantity": (changed(quantity=""), "every measurement states instrument, quantity, unit and coordinates"),
    "coordinates that are no scalars": (
        changed(coordinates={"site": TASK}),
        "every measurement states instrument, quantity, unit and coordinates",
    ),
    "the same twice": (lambda *args, **options: 2 * size(*args, **options), "no two state the same"),
    "a memory": (forgetful, "the same seed gives the same numbers"),
    "the global generator": (unseeded, "the same seed gives the same numbers"),
    "weights": (heavy, "the instrument does not change the subject"),
    "hooks after an error": (hooked, "an error in a trace is passed on"),
    "errors swallowed": (silencing, "an error in a trace is passed on"),
    "errors wrapped": (wrapping, "an error in a trace is passed on"),
}


@pytest.mark.parametrize("case", BROKEN_INSTRUMENTS)
def test_a_broken_instrument_is_told_which_promise_it_breaks(case, unchecked, caught, promises, tiny):
    instrument, promise = BROKEN_INSTRUMENTS[case]
    with torch.random.fork_rng(devices=[]):
        assert promise in promises(caught(check_instrument, instrument, tiny(), TASK))


def test_the_instrument_that_the_broken_ones_change_passes(tiny):
    check_instrument(size, tiny(), TASK)

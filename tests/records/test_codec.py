"""Configurations to JSON and back: nothing lost, nothing unknown let in."""

import dataclasses
import enum
import json
import math
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mesascope import tasks
from mesascope.models.transformer import TransformerConfig
from mesascope.records.checks import check_choices, check_count, nearest
from mesascope.records.codec import from_file, from_json, to_json
from mesascope.records.parsing import parse
from mesascope.records.store import write_json
from mesascope.tasks import LinearRegression
from mesascope.training import SPECS, Curriculum, TrainingSpec


def later(kind: type, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A class and its arguments; `build` calls it. (Built while drawing, beartype's own sampling upsets hypothesis.)"""
    return st.fixed_dictionaries(fields).map(lambda drawn: (kind, drawn))


def build(drawn: Any) -> Any:
    match drawn:
        case (type() as kind, dict() as fields):
            return kind(**{name: build(value) for name, value in fields.items()})
        case _:
            return drawn


conditions = st.floats(1, 1e6)
covariances = st.one_of(
    later(tasks.Identity, rotate=st.booleans()),
    later(
        tasks.Diagonal,
        rotate=st.booleans(),
        condition=st.one_of(conditions, st.lists(conditions, min_size=1, max_size=4).map(tuple)),
        scale=st.sampled_from(["mean", "largest", "smallest", "determinant"]),
    ),
    later(tasks.LogUniform, low=st.floats(1e-6, 1), high=st.floats(1, 1e6)),
    later(tasks.Eigenvalues, values=st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=5).map(tuple)),
    later(tasks.Toeplitz, correlation=st.floats(-0.99, 0.99)),
)
inputs = st.one_of(
    *(
        later(kind, covariance=covariances, exact=st.booleans())
        for kind in (tasks.Gaussian, tasks.Uniform, tasks.Laplace, tasks.Rademacher, tasks.CentredExponential)
    )
)
sizes = {"dim": st.just(3), "examples": st.just(7)}
regressions = later(
    LinearRegression,
    **sizes,
    queries=st.integers(1, 9),
    noise=st.floats(0, 10),
    weights=st.sampled_from(["unit", "standard"]),
    inputs=inputs,
    query_inputs=st.none() | inputs,
)
models = later(
    TransformerConfig,
    **sizes,
    layers=st.integers(1, 24),
    width=st.integers(1, 64).map(lambda w: 4 * w),
    activation=st.sampled_from(["gelu", "relu"]),
    norm=st.booleans(),
    mask=st.sampled_from(["causal", "prefix", "full"]),
    tokens=st.sampled_from(["interleaved", "pairs"]),
)
specs = later(
    TrainingSpec,
    name=st.text(max_size=8),
    task=regressions,
    model=models,
    steps=st.integers(1, 10**8),
    learning_rate=st.floats(1e-9, 9.0),
    betas=st.tuples(st.floats(0, 0.9), st.floats(0, 0.999)),
    clip=st.none() | st.floats(1e-3, 10),
    optimiser=st.sampled_from(["adam", "adamw"]),
)
BASES = (tasks.Covariance, tasks.Inputs, LinearRegression, TransformerConfig, TrainingSpec)


@given(drawn=st.one_of(covariances, inputs, regressions, models, specs))
def test_every_configuration_comes_back_the_same(drawn: Any) -> None:
    value = build(drawn)
    (base,) = (kind for kind in BASES if isinstance(value, kind))
    assert from_json(base, json.loads(json.dumps(to_json(value), allow_nan=False))) == value


@pytest.mark.parametrize("name", SPECS)
def test_every_named_spec_comes_back_the_same(name: str) -> None:
    assert from_json(TrainingSpec, to_json(SPECS[name])) == SPECS[name]


def test_fields_with_defaults_may_be_left_out_and_whole_numbers_are_numbers() -> None:
    assert from_json(LinearRegression, {"dim": 3, "noise": 1}) == LinearRegression(dim=3, noise=1.0)
    assert from_json(tasks.Diagonal, {"condition": [1, 10]}).condition == (1.0, 10.0)
    assert isinstance(from_json(LinearRegression, {"noise": 1}).noise, float)


SPEC = {"name": "x"}
BAD: dict[str, tuple[type, object, str]] = {
    "unknown key": (LinearRegression, {"dims": 3}, r"LinearRegression has no field 'dims'.* Did you mean 'dim'"),
    "unknown key below": (
        TrainingSpec,
        SPEC | {"task": {"inputs": {"type": "Gaussian", "covariance": {"type": "Diagonal", "kondition": 3.0}}}},
        r"TrainingSpec\.task\.inputs\.covariance has no field 'kondition'.* Did you mean 'condition'",
    ),
    "unknown type": (tasks.Inputs, {"type": "Gausian"}, r"Inputs\.type must be .*got 'Gausian'\. Did .*'Gaussian'"),
    "abstract type": (tasks.Covariance, {"type": "Covariance"}, r"must be one of Diagonal, .*got 'Covariance'"),
    "abstract by omission": (tasks.Covariance, {}, r"must be one of Diagonal, .*got 'Covariance'"),
    "another family": (TrainingSpec, SPEC | {"task": {"type": "Diagonal"}}, r"task\.type must be one of .*LinearRegression"),
    "text for a number": (LinearRegression, {"dim": "3"}, r"LinearRegression\.dim must be a whole number; got '3'"),
    "number for a whole one": (LinearRegression, {"dim": 3.0}, r"dim must be a whole number; got 3\.0"),
    "true for a whole number": (LinearRegression, {"dim": True}, r"dim must be a whole number; got True"),
    "true for a number": (LinearRegression, {"noise": True}, r"noise must be a number; got True"),
    "one for true": (TransformerConfig, {"norm": 1}, r"norm must be true or false; got 1"),
    "number for a text": (TrainingSpec, {"name": 3}, r"name must be a text; got 3"),
    "null": (LinearRegression, {"dim": None}, r"dim must be a whole number; got None"),
    "union": (TrainingSpec, SPEC | {"clip": "no"}, r"clip must be a number or null; got 'no'"),
    "choice": (LinearRegression, {"weights": "Unit"}, r"weights must be one of 'unit', 'standard'; got 'Unit'"),
    "choice of another type": (LinearRegression, {"weights": []}, r"weights must be one of .*got \[\]"),
    "type of a list": (LinearRegression, {"type": []}, r"LinearRegression\.type must be one of .*LinearRegression, .*got \[\]"),
    "type of an object": (LinearRegression, {"inputs": {"type": {}}}, r"inputs\.type must be one of .*got \{\}"),
    "missing": (TrainingSpec, {"steps": 3}, r"TrainingSpec needs name: add it"),
    "list for an object": (LinearRegression, [1], r"LinearRegression must be an object describing .*got \[1\]"),
    "object for a list": (tasks.Eigenvalues, {"values": {"a": 1}}, r"values must be a list; got"),
    "item of a list": (tasks.Eigenvalues, {"values": [1.0, "2"]}, r"values\[1\] must be a number; got '2'"),
    "the class' own rule": (LinearRegression, {"dim": 0}, r"dim must be a whole number of at least 1; got 0"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_with_its_place(case: str) -> None:
    expected, data, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        from_json(expected, data)


HELD: tuple[Any, ...] = (
    tasks.Diagonal(), tasks.LogUniform(), tasks.Eigenvalues(values=(1.0,)), tasks.Toeplitz(), LinearRegression(),
    tasks.GeneralisedLinearRegression(), Curriculum(), TrainingSpec(name="x", clip=1.0),
)  # fmt: skip
NUMBERS = [
    (value, field.name)
    for value in HELD
    for field in dataclasses.fields(value)
    if isinstance(getattr(value, field.name), float | tuple)
]


@pytest.mark.parametrize("bad", ["NaN", "Infinity", "-Infinity", "1e400", "9" * 400], ids=lambda text: text[:9])
@pytest.mark.parametrize(
    ("value", "name"), NUMBERS, ids=lambda each: each if isinstance(each, str) else type(each).__name__
)
def test_every_number_of_a_configuration_is_finite(value: Any, name: str, bad: str, unchecked: None) -> None:
    """What is not could not be written to disk, and a run would not be resumed."""
    document = json.dumps(to_json(value))
    held = json.dumps(to_json(getattr(value, name)))
    given_bad = "[" + ", ".join([bad] * max(1, len(json.loads(held)))) + "]" if held.startswith("[") else bad
    with pytest.raises(ValueError, match="must|whole number of 400 digits"):
        from_json(type(value), parse(document.replace(f'"{name}": {held}', f'"{name}": {given_bad}').encode(), "x"))


def test_a_number_too_large_for_a_float_is_refused() -> None:
    with pytest.raises(ValueError, match=r"noise must be a number; got a whole number of about 4\d\d digits"):
        from_json(LinearRegression, {"noise": 10**450})


@dataclasses.dataclass(frozen=True, kw_only=True)
class Interval:
    bounds: tuple[float, float] | None = None
    several: tuple[float, ...] = ()


def test_a_list_has_the_length_that_is_declared() -> None:
    assert from_json(Interval, {"bounds": [1, 2], "several": []}) == Interval(bounds=(1.0, 2.0))
    for bad in ([1], [1, 2, 3], []):
        with pytest.raises(ValueError, match=r"Interval\.bounds must be .*got \["):
            from_json(Interval, {"bounds": bad})


def test_what_is_ours_is_whole_and_null_for_a_number_is_nan() -> None:
    whole = to_json(tasks.Diagonal())
    assert from_json(tasks.Covariance, whole, ours=True) == tasks.Diagonal()
    for name in whole:
        with pytest.raises(
            ValueError, match=rf"Covariance.* (needs|must be one of) .*{'Diagonal' if name == 'type' else name}"
        ):
            from_json(tasks.Covariance, {k: v for k, v in whole.items() if k != name}, ours=True)
    with pytest.raises(ValueError, match="needs type: add it"):
        from_json(tasks.Identity, {"rotate": False}, ours=True)
    found = from_json(Interval, {"type": "Interval", "bounds": None, "several": [None, 1]}, ours=True)
    assert found.bounds is None
    assert math.isnan(found.several[0])


def test_a_file_is_named_with_the_field(tmp_path: Path) -> None:
    (tmp_path / "task\x1b.json").write_text(json.dumps({"dim": "\x1b[31m" + "x" * 10**6}))
    with pytest.raises(
        ValueError, match=r"task\\x1b\.json: task\.dim must be a whole number; got '\\x1b\[31mxxx"
    ) as caught:
        from_file(LinearRegression, tmp_path / "task\x1b.json", "task")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400
    (tmp_path / "task.json").write_text('{"dim": 0}')
    with pytest.raises(ValueError, match=r"task\.json: task: dim must be a whole number of at least 1; got 0"):
        from_file(LinearRegression, tmp_path / "task.json", "task")
    with pytest.raises(ValueError, match=r"task must be a JSON file; .*none\.json is not a file"):
        from_file(LinearRegression, tmp_path / "none.json", "task")


def test_a_document_of_ours_may_be_read_and_a_changed_one_not(tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    write_json(path, to_json(SPECS["two-layer"]))
    assert from_file(TrainingSpec, path) == SPECS["two-layer"]
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(ValueError, match=r"was changed after .* If you changed the file, delete that field"):
        from_file(TrainingSpec, path)


def test_what_json_gets() -> None:
    class Colour(enum.Enum):
        RED = 1

    assert to_json({"a": (1, 2.5, None), 3: Colour.RED, "r": range(2, 5)}) == {
        "a": [1, 2.5, None], "3": "RED", "r": {"from": 2, "to": 4},
    }  # fmt: skip
    assert to_json([math.nan, math.inf]) == [None, None]
    assert to_json(tasks.Identity()) == {"type": "Identity", "rotate": False}
    with pytest.raises(TypeError, match="a Tensor cannot be written as JSON"):
        to_json(torch.zeros(1))
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        to_json(tasks.Identity)


def test_the_nearest_names() -> None:
    assert nearest("two-layr", ["two-layer", "four-layer"]).startswith(" Did you mean 'two-layer'")
    assert nearest("xyz", ["two-layer"]) == ""


def test_choices_and_counts() -> None:
    @dataclasses.dataclass
    class Choice:
        way: Literal["up", "down"]

    check_choices(Choice("up"))
    with pytest.raises(ValueError, match=r"way must be one of 'up', 'down'; got 'dow'\. Did you mean 'down'"):
        check_choices(Choice("dow"))  # type: ignore[arg-type]
    check_count("n", 0, least=0)
    for bad in (-1, 1.0, True, "1", math.nan):
        with pytest.raises(ValueError, match=r"n must be a whole number of at least 0; got .*\. Pass 0 or more\."):
            check_count("n", bad, least=0)

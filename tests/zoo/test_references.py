"""Model references: what each names, and what is said of those that name nothing."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import mesascope as ms
from mesascope.models import Transformer, TransformerConfig, TransformerSubject
from mesascope.models.constructions import CONSTRUCTIONS
from mesascope.records import checkpoint as checkpoints
from mesascope.records.checkpoint import Checkpoint
from mesascope.records.codec import to_json
from mesascope.records.lines import append_line
from mesascope.zoo import checkpoints_of, curve, default_task, names

TINY = TransformerConfig(dim=3, examples=4, layers=2, width=8, heads=2, feedforward=12)
TASK = ms.tasks.LinearRegression(dim=3, examples=4, noise=0.5)


def write(
    stem: Path,
    *,
    seed: int = 0,
    config: Any = None,
    spec: Any = None,
    weights: dict[str, torch.Tensor] | None = None,
) -> None:
    """A checkpoint of a tiny transformer; its specification may be another's."""
    held = Transformer(TINY, seed=seed).state_dict() if weights is None else weights
    if spec is None:
        spec = {"task": to_json(TASK), "model": to_json(TINY) if config is None else config}
    stem.parent.mkdir(parents=True, exist_ok=True)
    tensors = {f"model.{name}": value for name, value in held.items()}
    checkpoints.write(stem, Checkpoint(step=seed, spec=spec, tensors=tensors, extra={"loss": 0.5}))


def loaded(reference: str) -> TransformerSubject:
    subject = ms.load(reference)
    assert isinstance(subject, TransformerSubject)
    return subject


# ------------------------------------------------------------------------------------------- what there is


@pytest.mark.parametrize("name", [name for name in names() if not name.startswith("ladder-")])
def test_the_zoo_loads(name: str) -> None:
    subject = loaded(name)
    assert subject.name == name
    p = replace(default_task(subject), queries=8).sample(512, seed=1)
    error = float((subject.trace(p).predictions - p.targets).square().mean())
    assert 0.6 < error / subject.spec["extra"]["query_mse"] < 1.6  # what it says of itself, on other prompts
    assert not any(parameter.is_meta for parameter in subject.model.parameters())


def test_names_are_those_of_the_weights_that_ship() -> None:
    assert "two-layer" in names()
    assert not [name for name in names() if "-step-" in name]


def test_checkpoints_are_had_by_step() -> None:
    steps = checkpoints_of("two-layer")
    assert steps == (256, 1024, 4096)
    early, late = (loaded(f"two-layer-step-{steps[i]}") for i in (0, -1))
    assert (early.spec["step"], late.spec["step"]) == (256, 4096)
    p = default_task(early).sample(256, seed=1)
    errors = [float((s.trace(p).predictions - p.targets).square().mean()) for s in (early, late, loaded("two-layer"))]
    assert errors[0] > 2 * errors[1] > 2 * errors[2]
    assert checkpoints_of("two") == ()


def test_a_curve_is_had_by_name_or_directory(tmp_path: Path) -> None:
    lines = curve("two-layer")
    assert lines[-1]["step"] == loaded("two-layer").spec["step"]
    append_line(tmp_path / "metrics.jsonl", {"step": 1, "loss": 2.0})
    assert curve(str(tmp_path)) == ({"step": 1, "loss": 2.0},)
    with pytest.raises(
        ValueError, match=r"reference must be a name in the zoo or a run directory .* got 'two-layer-step-256'"
    ):
        curve("two-layer-step-256")


@pytest.mark.parametrize("name", CONSTRUCTIONS)
def test_constructions_load(name: str) -> None:
    subject = ms.load(f"construction:{name}")
    assert subject.name == name
    if name != "glm-newton":
        assert default_task(subject) == ms.tasks.LinearRegression()


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_what_is_made_for_generalised_regression_has_such_a_task(family: str) -> None:
    subject = ms.load(f"construction:glm-newton?family={family}&inner=2")
    assert subject.spec["options"] == {"steps": 3, "inner": 2, "ridge": 1.0, "family": family}  # type: ignore[attr-defined]
    assert default_task(subject) == ms.tasks.GeneralisedLinearRegression(family=family)


@pytest.mark.usefixtures("unchecked")
def test_an_option_may_be_a_word_and_must_be_a_known_one() -> None:
    with pytest.raises(ValueError, match=r"family must be one of 'logistic', 'poisson'; got 'probit'"):
        ms.load("construction:glm-newton?family=probit")


def test_constructions_take_options() -> None:
    assert len(ms.load("construction:gradient-descent?layers=3&step_size=0.1").path) == 3
    built = ms.load("construction:data-space-conjugate-gradient?iterations=2&ridge=1e-1")
    assert built.spec["options"] == {"iterations": 2, "ridge": 0.1}  # type: ignore[attr-defined]
    assert ms.load("construction:gradient-descent?").spec["options"]["layers"] == 8  # type: ignore[attr-defined]


@pytest.mark.parametrize("ending", ["", ".json", ".safetensors"])
@pytest.mark.parametrize("stem", ["model", "two.layer", "step-00000007"])
def test_a_checkpoint_by_its_stem_or_either_file(tmp_path: Path, stem: str, ending: str) -> None:
    write(tmp_path / stem, seed=7)
    subject = loaded(str(tmp_path / f"{stem}{ending}"))
    assert torch.equal(subject.model.embed.weight, Transformer(TINY, seed=7).embed.weight)
    assert (subject.spec["step"], subject.spec["extra"]) == (7, {"loss": 0.5})
    assert default_task(subject) == TASK


def test_stripped_weights_by_any_name(tmp_path: Path) -> None:
    write(tmp_path / "step-00000007", seed=7)
    checkpoints.strip(tmp_path / "step-00000007")
    for ending in ("", ".json", ".weights.safetensors"):
        assert loaded(str(tmp_path / f"step-00000007{ending}")).spec["step"] == 7


def test_a_run_directory_is_its_model_or_else_its_last_intact_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    for step in (1, 2, 3):
        write(run / "checkpoints" / f"step-{step:08d}", seed=step)
    (run / "checkpoints" / "step-00000003.safetensors").write_bytes(b"cut off")
    assert loaded(str(run)).spec["step"] == 2
    assert loaded(str(run / "checkpoints")).spec["step"] == 2
    (tmp_path / "run.json").write_text("{}")  # a specification beside it, say
    assert loaded(str(run)).spec["step"] == 2
    write(run / "model", seed=9)
    assert loaded(str(run)).spec["step"] == 9


def test_loading_draws_nothing_and_answers_as_before(tmp_path: Path) -> None:
    write(tmp_path / "model", seed=4)
    state = torch.random.get_rng_state()
    subject = loaded(str(tmp_path))
    assert torch.equal(torch.random.get_rng_state(), state)
    p = TASK.sample(8, seed=0, dtype=torch.float32)
    original = TransformerSubject(name="original", model=Transformer(TINY, seed=4))
    assert torch.equal(subject.trace(p).predictions, original.trace(p).predictions)
    assert all(parameter.requires_grad for parameter in subject.model.parameters())


# ------------------------------------------------------------------------------------------- python:


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Put source code into a module of the working directory; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    number = iter(range(1000))

    def put(source: str) -> str:
        name = f"users_model_{tmp_path.name.replace('-', '_')}_{next(number)}"
        (tmp_path / f"{name}.py").write_text(source)
        return name

    return put


SUBJECT = """
from mesascope.models.constructions import gradient_descent
import mesascope as ms

class Mine:
    name, domain, sites, path = "mine", ms.Domain(dims=(2, 4), examples=range(3, 9)), (), ()
    def trace(self, prompts, *, capture=(), interventions=()): ...
    def readout(self, activation, site): ...

class Broken(Mine):
    @property
    def domain(self): raise KeyError("not missing")

class Dynamic:
    def __getattr__(self, name): return getattr(Mine(), name)

def load(): return Mine()
def broken(): return Broken()
def dynamic(): return Dynamic()
def built(): return gradient_descent(layers=2)
def a_class(): return Mine
def nothing(): return None
def half():
    class Half:
        name = "half"
        path = ()
    return Half()
def needs(size): return Mine()
def fails(): raise FileNotFoundError("my_network.pt\\nis not here")
def silent(): raise RuntimeError
constant = 3
"""


@pytest.mark.parametrize("attribute", ["load", "Mine", "built", "dynamic"])
def test_a_users_own_model(module: Callable[[str], str], attribute: str) -> None:
    assert ms.load(f"python:{module(SUBJECT)}:{attribute}").name in ("mine", "gradient-descent")


def test_its_default_task_lies_in_its_domain(module: Callable[[str], str]) -> None:
    subject = ms.load(f"python:{module(SUBJECT)}:load")
    assert default_task(subject) == ms.tasks.LinearRegression(dim=4, examples=8)


FACTORIES = {
    "laod": r"'laod' of 'python:{m}:laod' must be defined in {m}; it is not\. Did you mean 'load'",
    "constant": r"'constant' of .* must be a callable without arguments; it is not\.",
    "a_class": r"'python:{m}:a_class' must return a subject; got the class Mine itself\. Return an instance",
    "nothing": r"must return a subject; got a NoneType without name, domain, sites, path, trace, readout\. See",
    "half": r"must return a subject; got a Half without domain, sites, trace, readout\. See",
    "broken": r"must return a subject; it raised KeyError: 'not missing' \({m}\.py, line \d+\)\.$",
    "needs": r"must return a subject; it raised TypeError: needs\(\) missing 1 required positional argument: 'size'",
    "fails": r"must return a subject; it raised FileNotFoundError: my_network\.pt \({m}\.py, line \d+\)\.$",
    "silent": r"it raised RuntimeError \({m}\.py, line \d+\)\.$",
}


@pytest.mark.parametrize("attribute", FACTORIES)
def test_a_factory_that_will_not_do(module: Callable[[str], str], attribute: str) -> None:
    name = module(SUBJECT)
    with pytest.raises(ValueError, match=FACTORIES[attribute].replace("{m}", name)):
        ms.load(f"python:{name}:{attribute}")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import no_such_module_anywhere", r"must be importable from here; No module named 'no_such_module_anywhere'"),
        ("def load(:", r"must be importable; it raised SyntaxError: invalid syntax"),
        (
            "1 / 0",
            r"must be importable; it raised ZeroDivisionError: division by zero \(users_model_\w+\.py, line 1\)\.$",
        ),
        ("import torch; torch.no_such_thing", r"must be importable; it raised AttributeError: .*no_such_thing"),
    ],
)
def test_a_module_that_will_not_do(module: Callable[[str], str], source: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as e:
        ms.load(f"python:{module(source)}:load")
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("text", ["", "module", ":load", "module:", ".relative:load", "..:load"])
def test_a_python_reference_has_two_parts(text: str) -> None:
    with pytest.raises(ValueError, match=r"must have the form python:package\.module:factory; got 'python:"):
        ms.load(f"python:{text}")


def test_a_module_that_is_not_there() -> None:
    with pytest.raises(
        ValueError, match=r"module 'no\.such' must be importable from here; No module named 'no'\. Run where"
    ):
        ms.load("python:no.such:load")


# ------------------------------------------------------------------------------------------- what names nothing

BAD = {
    "": r"got an empty one\. The zoo has .*two-layer",
    "two-layers": r"nothing is called 'two-layers'\. Did you mean .*'two-layer'",
    "tow-layer": r"nothing is called 'tow-layer'\. Did you mean .*'two-layer'",
    "gradient-descent": r"nothing is called .*Did you mean 'construction:gradient-descent'",
    "contruction:gradient-descent": r"nothing is called .*Did you mean 'construction:gradient-descent'",
    "qqqq": r"nothing is called 'qqqq'\.$",
    "runs/none": r"nothing is called 'runs/none'",
    "a\0b": r"nothing is called",
    "x" * 5000: r"model must be a model reference; 'xxx.*is not one",
    "hf:": r"model must be hf:NAME_OR_DIR or gguf:FILE; got 'hf:'\. Name a directory or a file",
    "hf:@main": r"model must be hf:NAME_OR_DIR or gguf:FILE; got 'hf:@main'",
    "gguf:m.gguf": r"model must be a GGUF file; there is no file 'm\.gguf'",
    "smolm2": r"nothing is called 'smolm2'\. Did you mean 'smollm2'",
    "construction:": r"construction must be one of gradient-descent, .*got ''",
    "construction:gradient-decent": r"construction must be .*got 'gradient-decent'\. Did you mean 'gradient-descent'",
    "construction:gradient-descent?layer=3": r"has no option 'layer'; it has layers, step_size\. Did you mean 'layers'",
    "construction:gradient-descent?=3": r"has no option ''",
    "construction:gradient-descent?layers": r"layers of construction:gradient-descent must be a whole number; got ''",
    "construction:gradient-descent?layers=2.5": r"layers of .* whole number; got '2\.5'\. Write, for example, layers=8",
    "construction:gradient-descent?layers=many": r"layers of .* must be a whole number; got 'many'",
    "construction:gradient-descent?step_size=big": r"step_size of .* a number; got 'big'\. Write, for example, step_size=0\.25",
    "construction:gradient-descent?layers=2&layers=3": r"layers of .* must be given once; got 'layers=2&layers=3'",
    "construction:gradient-descent?layers=-1": r"layers must be a whole number of at least 1; got -1",
    "construction:gradient-descent?layers=0": r"layers must be a whole number of at least 1; got 0",
    "construction:gradient-descent?layers=1000000000": r"layers must be at most 1000; got 1000000000",
    "construction:gradient-descent?layers=" + "9" * 5000: r"layers of .* must be a whole number",
    "construction:gradient-descent?step_size=0": r"step_size must be a finite number above 0; got 0\.0",
    "construction:gradient-descent?step_size=nan": r"step_size must be a finite number above 0; got nan",
    "construction:gradient-descent?step_size=inf": r"step_size must be a finite number above 0; got inf",
    "construction:conjugate-gradient?iterations=0": r"iterations must be a whole number of at least 1; got 0",
    "construction:conjugate-gradient?iterations=1001": r"iterations must be at most 1000; got 1001",
    "construction:data-space-conjugate-gradient?iterations=-2": r"iterations must be .* at least 1; got -2",
    "construction:data-space-conjugate-gradient?ridge=-1": r"ridge must be finite and at least 0; got -1\.0",
    "construction:data-space-conjugate-gradient?ridge=inf": r"ridge must be finite and at least 0; got inf",
}


@pytest.mark.parametrize("reference", BAD, ids=lambda reference: reference[:60])
def test_what_names_nothing_is_refused(reference: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=BAD[reference]) as e:
        ms.load(reference)
    assert "\n" not in str(e.value)
    assert not list(tmp_path.iterdir())


# ------------------------------------------------------------------------------------------- damaged checkpoints


def with_nan() -> dict[str, torch.Tensor]:
    weights = Transformer(TINY).state_dict()
    weights["unembed.bias"][0] = float("nan")
    return weights


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def config(**changes: Any) -> dict[str, Any]:
    return to_json(TINY) | changes


OWN = r"must hold the weights of its own specification; "
DAMAGED: dict[str, tuple[Callable[[Path], object], str]] = {
    "truncated": (
        lambda d: (d / "model.safetensors").write_bytes((d / "model.safetensors").read_bytes()[:500]),
        r"cannot be read: .*model\.safetensors is damaged: its hash",
    ),
    "no tensors": (lambda d: (d / "model.safetensors").unlink(), r"cannot be read: .*model\.safetensors is missing"),
    "no JSON": (lambda d: (d / "model.json").unlink(), r"must be a run directory .* holds no intact checkpoint"),
    "foreign JSON": (lambda d: (d / "model.json").write_text('{"a": 1}'), r"not a mesascope checkpoint\. Convert"),
    "cut JSON": (lambda d: (d / "model.json").write_text('{"a": '), r"model\.json is not JSON"),
    "no model": (lambda d: write(d / "model", spec={"task": to_json(TASK)}), r"spec\.model must be an object .* got None"),
    "no task": (lambda d: write(d / "model", spec={"model": to_json(TINY)}), r"spec\.task must be an object .* got None"),
    "another's task": (
        lambda d: write(d / "model", spec={"task": {"type": "decision_tree"}, "model": to_json(TINY)}),
        r"spec\.task\.type must be one of .*LinearRegression.*; got 'decision_tree'",
    ),
    "another field": (
        lambda d: write(d / "model", spec={"uask": to_json(TASK), "model": to_json(TINY)}),
        r"spec has a field 'uask', but only a training run's spec has fields",
    ),
    "a task that is not whole": (
        lambda d: write(d / "model", spec={"task": {"dim": 3}, "model": to_json(TINY)}),
        r"spec\.task needs type, examples, queries, noise, ",
    ),
    "a model that is not whole": (
        lambda d: write(d / "model", config={k: v for k, v in to_json(TINY).items() if k != "heads"}),
        r"spec\.model needs heads: add it",
    ),
    "a training run's, not whole": (
        lambda d: write(d / "model", spec={"type": "TrainingSpec", "name": "x", "task": to_json(TASK)}),
        r"spec needs steps, batch, .*, model, supervision, curriculum: add it",
    ),
    "changed by hand": (lambda d: edit(d / "model.json", step=3), r"model\.json is damaged, or was changed after"),
    "another class": (
        lambda d: write(d / "model", config={"type": "Perceptron"}),
        r"spec\.model\.type must be one of TransformerConfig; got 'Perceptron'",
    ),
    "an unknown field": (lambda d: write(d / "model", config=config(colour=1)), r"spec\.model has no field 'colour'"),
    "an impossible size": (lambda d: write(d / "model", config=config(width=9)), r"width must be a multiple of heads"),
    "more layers": (lambda d: write(d / "model", config=config(layers=10**9)), OWN + "it has 2 layers, .* 1000000000"),
    "another width": (
        lambda d: write(d / "model", config=config(width=10**8)),
        OWN + r"blocks\.0\.attention\.out\.bias is \(8,\) there and \(100000000,\)",
    ),
    "an absurd width": (lambda d: write(d / "model", config=config(width=10**10)), r"of a size that can be built"),
    "a part too few": (
        lambda d: write(d / "model", config=config(final_norm=True)),
        OWN + r"final_norm\.bias is missing there and \(8,\)"
    ),
    "a part too many": (
        lambda d: write(d / "model", config=config(feedforward=0)),
        OWN + r"blocks\.0\.mlp\.0\.bias is \(12,\) there and nothing"
    ),
    "whole numbers": (
        lambda d: write(d / "model", weights={k: v.long() for k, v in Transformer(TINY).state_dict().items()}),
        OWN + r"blocks\.0\.attention\.out\.bias is missing",
    ),
    "NaN": (lambda d: write(d / "model", weights=with_nan()), r"must have finite weights; it holds NaN or infinity"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "model")
    damage, message = DAMAGED[name]
    damage(tmp_path)
    with pytest.raises(ValueError, match=message) as e:
        ms.load(str(tmp_path))
    assert str(tmp_path) in str(e.value)


def test_other_files_and_directories_are_refused(tmp_path: Path) -> None:
    torch.save({}, tmp_path / "state.pt")
    with pytest.raises(
        ValueError, match=r"a \.pt file may hold code and is not opened here\. Convert it with `mesascope convert`"
    ):
        ms.load(str(tmp_path / "state.pt"))
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"must be a run directory or a checkpoint \(\.json .*it is another file"):
        ms.load(str(tmp_path / "notes.txt"))
    with pytest.raises(ValueError, match=r"must be a run directory or a checkpoint; it holds no intact checkpoint"):
        ms.load(str(tmp_path))
    (tmp_path / "alone.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"cannot be read: .*alone\.json is missing"):
        ms.load(str(tmp_path / "alone.safetensors"))


def test_a_specification_whose_task_is_no_good_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "model")
    subject = loaded(str(tmp_path))
    subject.spec["task"] = {"type": "LinearRegression", "dimm": 3}  # type: ignore[index]
    with pytest.raises(ValueError, match=r"spec\.task has no field 'dimm'.*Did you mean 'dim'"):
        default_task(subject)

"""Checkpoints of Garg et al.: what is converted answers as the original did; what cannot be is refused, unopened."""

import json
import os
import pickle
import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import mesascope as ms
from mesascope.records.directories import claim
from mesascope.records.store import sha256
from mesascope.zoo.convert import convert, told

SIZES = {"paper's tiny": (3, 64, 2), "flat": (1, 24, 3), "deep": (5, 16, 4)}


class Conv1D(nn.Module):
    """GPT-2's linear layer: the weight is (input, output)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(inputs, outputs)), nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class Block(nn.Module):
    def __init__(self, width: int, heads: int, positions: int) -> None:
        super().__init__()
        self.heads = heads
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.ModuleDict({"c_attn": Conv1D(width, 3 * width), "c_proj": Conv1D(width, width)})
        self.mlp = nn.ModuleDict({"c_fc": Conv1D(width, 4 * width), "c_proj": Conv1D(4 * width, width)})
        self.attn.register_buffer("bias", torch.ones(1, 1, positions, positions).tril().bool())
        self.attn.register_buffer("masked_bias", torch.tensor(-1e4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in self.attn["c_attn"](self.ln_1(x)).chunk(3, -1)
        )
        z = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.attn["c_proj"](z)
        h = self.mlp["c_fc"](self.ln_2(x))
        h = 0.5 * h * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (h + 0.044715 * h**3)))
        return x + self.mlp["c_proj"](h)


class Backbone(nn.Module):
    def __init__(self, layers: int, width: int, heads: int, positions: int) -> None:
        super().__init__()
        self.wte, self.wpe = nn.Embedding(7, width), nn.Embedding(positions, width)
        self.h = nn.ModuleList(Block(width, heads, positions) for _ in range(layers))
        self.ln_f = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.wpe.weight[: x.shape[1]]
        for block in self.h:
            x = block(x)
        return self.ln_f(x)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """The same weights whatever ran before."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


class Original(nn.Module):
    """Their wrapper around a GPT-2, ours or that of transformers."""

    def __init__(self, dim: int, width: int, backbone: nn.Module) -> None:
        super().__init__()
        self._read_in = nn.Linear(dim, width)
        self._backbone = backbone
        self._read_out = nn.Linear(width, 1)
        rng = torch.Generator().manual_seed(dim + width)
        with torch.no_grad():  # far from any symmetry: norms, biases and positions must matter
            for name, parameter in self.named_parameters():
                scale = 0.3 if parameter.ndim == 1 else 1.5 / parameter.shape[0] ** 0.5
                fresh = scale * torch.randn(parameter.shape, generator=rng)
                parameter.copy_(fresh + name.endswith(("ln_1.weight", "ln_2.weight", "ln_f.weight")))

    def forward(self, xs: Tensor, ys: Tensor) -> Tensor:
        labels = torch.cat([ys[..., None], torch.zeros(*ys.shape, xs.shape[-1] - 1)], -1)
        tokens = self._read_in(torch.stack([xs, labels], 2).flatten(1, 2))
        if isinstance(self._backbone, Backbone):
            output = self._backbone(tokens)
        else:
            output = self._backbone(inputs_embeds=tokens).last_hidden_state
        return self._read_out(output)[:, ::2, 0]


def original(size: str = "paper's tiny", dim: int = 5, points: int = 8) -> Original:
    layers, width, heads = SIZES[size]
    return Original(dim, width, Backbone(layers, width, heads, 2 * points))


def save(path: Path, model: nn.Module, **more: Any) -> Path:
    torch.save({"model_state_dict": model.state_dict(), "optimizer_state_dict": {}, "train_step": 500, **more}, path)
    return path


def like(path: Path, **fields: Any) -> str:
    path.write_text(json.dumps(fields))
    return str(path)


def assert_same_answers(model: Original, reference: str, points: int) -> None:
    """At every x of a prompt, shown as context and asked as a query, from any number of examples."""
    subject = ms.load(reference)
    dim = model._read_in.in_features
    task = ms.tasks.LinearRegression(dim=dim, examples=points, queries=1, weights="standard")
    p = task.sample(16, seed=1, dtype=torch.float32)
    xs, ys = torch.cat([p.xs, p.queries], 1), torch.cat([p.ys, torch.full((16, 1), 9.0)], 1)
    expected = model(xs, ys).detach()
    assert float(expected.std(0).min()) > 0.05  # it answers something
    torch.testing.assert_close(subject.answer_everywhere(p), expected[:, :points], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(subject.trace(p).predictions, expected[:, points:], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dim", [1, 5])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bare", [False, True])
def test_the_converted_model_answers_as_the_original(tmp_path: Path, size: str, dim: int, bare: bool) -> None:
    model = original(size, dim)
    path = tmp_path / "state.pt"
    torch.save(model.state_dict(), path) if bare else save(path, model)
    given = None if size == "paper's tiny" else like(tmp_path / "like.json", heads=SIZES[size][2])
    out = convert(path, tmp_path / "out", like=given)
    assert out == tmp_path / "out"
    assert sorted(entry.name for entry in out.iterdir()) == ["mesascope.json", "model.json", "model.safetensors"]
    subject = ms.load(str(out))
    assert subject.domain == ms.Domain(dims=(dim,), examples=range(1, 8))
    assert_same_answers(model, str(out), 7)
    few = ms.tasks.LinearRegression(dim=dim, examples=2).sample(4, seed=0, dtype=torch.float32)
    padded = torch.cat([few.ys, torch.zeros(4, 1)], 1)
    expected = model(torch.cat([few.xs, few.queries], 1), padded).detach()[:, 2:]
    torch.testing.assert_close(subject.trace(few).predictions, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("layers", "width", "heads"), [(3, 64, 2), (2, 32, 4)])
def test_so_does_one_with_the_gpt2_of_transformers(tmp_path: Path, layers: int, width: int, heads: int) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra lm)")
    sizes = {"n_positions": 20, "n_embd": width, "n_layer": layers, "n_head": heads, "vocab_size": 11}
    quiet = {"resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "use_cache": False}
    model = Original(4, width, transformers.GPT2Model(transformers.GPT2Config(**sizes, **quiet))).eval()
    given = like(tmp_path / "like.json", heads=heads)
    assert_same_answers(model, str(convert(save(tmp_path / "state.pt", model), tmp_path / "out", like=given)), 9)


def test_what_it_came_from_is_recorded(tmp_path: Path) -> None:
    path = save(tmp_path / "state.pt", original())
    meta = json.loads((convert(path, tmp_path / "out") / "model.json").read_text())
    assert meta["step"] == 500
    source = meta["extra"]["converted_from"]
    assert (source["file"], source["sha256"], source["train_step"]) == ("state.pt", sha256(path), 500)
    assert meta["extra"]["provenance"]["versions"]["torch"]
    task = ms.zoo.default_task(ms.load(str(tmp_path / "out")))
    assert task == ms.tasks.LinearRegression(dim=5, examples=7, weights="standard")


@pytest.mark.parametrize("points", [2, 6, 10])
def test_the_optimiser_shows_how_many_examples_training_reached(tmp_path: Path, points: int, caplog) -> None:
    model = original(points=10)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.randn(3, points, 5), torch.randn(3, points)).square().mean().backward()
    optimiser.step()
    path = save(tmp_path / "state.pt", model, optimizer_state_dict=optimiser.state_dict(), train_step=0)
    given = like(tmp_path / "like.json", heads=2)
    assert ms.load(str(convert(path, tmp_path / "out", like=given))).domain.examples == range(1, points)
    assert caplog.text == ""
    assert f"examples: {points - 1}, from its optimiser's state" in told(tmp_path / "out")
    model.eval()
    assert_same_answers(model, str(tmp_path / "out"), points - 1)


def test_where_nothing_shows_how_many_it_says_so_and_the_user_can(tmp_path: Path, caplog) -> None:
    path = save(tmp_path / "state.pt", original())
    assert ms.load(str(convert(path, tmp_path / "all"))).domain.examples == range(1, 8)
    assert "does not say how many examples" in caplog.text
    caplog.clear()
    convert(path, tmp_path / "few", like=like(tmp_path / "like.json", examples=3, heads=2))
    assert ms.load(str(tmp_path / "few")).domain.examples == range(1, 4)
    assert caplog.text == ""


def test_a_whole_configuration_will_do_and_conversion_can_be_repeated(tmp_path: Path) -> None:
    model = original("deep")
    config = ms.models.TransformerConfig(
        dim=5, examples=7, layers=5, width=16, heads=4, feedforward=64, activation="gelu_tanh", final_norm=True,
        answers="everywhere",
    )  # fmt: skip
    given = like(tmp_path / "like.json", **ms.records.codec.to_json(config))
    for _ in range(2):
        convert(save(tmp_path / "state.pt", model), tmp_path / "out", like=given)
    assert ms.load(str(tmp_path / "out")).model.config == config


@pytest.mark.parametrize(("layers", "width", "heads"), [(12, 256, 8), (6, 128, 4), (3, 64, 2)])
def test_heads_of_the_papers_sizes_are_assumed_aloud(
    tmp_path: Path, layers: int, width: int, heads: int, caplog
) -> None:
    model = Original(3, width, Backbone(layers, width, heads, 6))
    convert(save(tmp_path / "state.pt", model), tmp_path / "out")
    assert ms.load(str(tmp_path / "out")).model.config.heads == heads
    assert f"heads are not in the weights: {heads} are taken, as in the paper's model" in caplog.text
    assert f'{{"heads": {2 * heads}}}' in caplog.text
    assert f"heads: {heads}, from the paper's model of this size" in told(tmp_path / "out")


class Bomb:
    """Were it unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("how", ["inside", "alone", "old format", "plain pickle"])
def test_code_in_a_file_is_refused_and_never_run(tmp_path: Path, how: str) -> None:
    path, bomb = tmp_path / "state.pt", Bomb(tmp_path / "ran")
    if how == "inside":
        save(path, original(), more=bomb)
    elif how == "plain pickle":
        path.write_bytes(pickle.dumps(bomb, protocol=2))
    else:
        torch.save(bomb, path, _use_new_zipfile_serialization=how == "alone")
    with pytest.raises(
        ValueError, match=r"tensors and plain values only; .*state\.pt needs posix\.system .*never run"
    ) as e:
        convert(path, tmp_path / "out")
    assert "weights_only" not in str(e.value)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "out").exists()
    with path.open("rb") as file:  # the bomb is live
        assert b"touch" in file.read()


def test_a_whole_module_is_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "state.pt")
    with pytest.raises(ValueError, match=r"needs torch\.nn\.modules\.linear\.Linear to be read"):
        convert(tmp_path / "state.pt", tmp_path / "out")


def broken(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], Any]:
    """Write a checkpoint of which something is changed."""

    def write(path: Path) -> None:
        weights = dict(original().state_dict())
        replaced = change(weights)
        torch.save(weights if replaced is None else replaced, path)

    return write


def cut(share: float, zipped: bool = True) -> Callable[[Path], Any]:
    def write(path: Path) -> None:
        torch.save(original().state_dict(), path, _use_new_zipfile_serialization=zipped)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * share)])

    return write


H0 = "_backbone.h.0"
REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no file": (lambda path: None, r"there is no file '.*state\.pt'"),
    "a directory": (lambda path: path.mkdir(), r"there is no file"),
    "empty": (lambda path: path.write_bytes(b""), r"cannot be read \(EOFError"),
    "text": (lambda path: path.write_text("hello world"), r"must be a \.pt file as torch\.save writes it"),
    "source code": (
        lambda path: path.write_text("import torch"),
        r"state\.pt cannot be read \(Unsupported operand 105\)\. Download it again",
    ),
    "truncated": (cut(0.5), r"cannot be read \(RuntimeError"),
    "nearly whole": (cut(0.999), r"cannot be read"),
    "truncated, old format": (cut(0.5, zipped=False), r"cannot be read"),
    "its first bytes, old format": (cut(0.001, zipped=False), r"cannot be read"),
    "a protocol of plain pickle": (
        lambda path: path.write_bytes(pickle.dumps({"a": 1}, protocol=5)),
        r"cannot be read \((?!.*weights_only)",
    ),
    "a tensor": (lambda path: torch.save(torch.ones(2), path), r"must hold a state dict; .* holds a Tensor"),
    "a list": (lambda path: torch.save([1], path), r"must hold a state dict; .* holds a list"),
    "nothing": (lambda path: torch.save({}, path), r"GPT-2 of Garg et al.* holds nothing"),
    "foreign": (broken(lambda w: {"fc.weight": torch.ones(2)}), r"GPT-2 of Garg et al.*holds fc\.weight\. Load"),
    "foreign inside": (broken(lambda w: {"model_state_dict": 3}), r"GPT-2 of Garg et al.*holds 3\."),
    "no positions": (
        broken(lambda w: w.__delitem__("_backbone.wpe.weight")),
        r"matrix _backbone\.wpe\.weight; .* has none there"),
    "flat positions": (
        broken(lambda w: w.update({"_backbone.wpe.weight": torch.ones(64)})),
        r"matrix _backbone\.wpe\.weight; .* has shape \(64,\)",
    ),
    "too few positions": (
        broken(lambda w: w.update({"_backbone.wpe.weight": torch.ones(2, 64)})),
        r"positions for x₁, y₁ and a query; .* has 2",
    ),
    "positions of another width": (
        broken(lambda w: w.update({"_backbone.wpe.weight": torch.ones(16, 63)})),
        r"wpe\.weight must hold numbers of shape \(16, 64\)",
    ),
    "a bias missing": (broken(lambda w: w.__delitem__(f"{H0}.ln_1.bias")), r"lacks _backbone\.h\.0\.ln_1\.bias\. Save"),
    "a layer missing": (
        broken(lambda w: [w.__delitem__(k) for k in list(w) if ".h.1." in k] and None),
        r"none of the paper's sizes .* but 2 layers of width 64",
    ),
    "one more": (broken(lambda w: w.update({"extra.weight": torch.ones(1)})), r"also has extra\.weight\. Save the state dict w"),
    "many more": (broken(lambda w: w.update({f"e{i}": torch.ones(1) for i in range(5)})),
        r"also has e0, e1, e2 and 2 more"),
    "transposed": (
        broken(lambda w: w.update({f"{H0}.attn.c_attn.weight": w[f"{H0}.attn.c_attn.weight"].T})),
        r"h\.0\.attn\.c_attn\.weight must hold numbers of shape \(64, 192\) .* has torch\.float32 of shape \(192, 64\)",
    ),
    "whole numbers": (
        broken(lambda w: w.update({"_read_out.bias": torch.ones(1, dtype=torch.long)})),
        r"_read_out\.bias must hold numbers of shape \(1,\) .* has torch\.int64",
    ),
    "no tensor": (broken(lambda w: w.update({"_read_out.bias": 1.5})), r"_read_out\.bias must hold .* has 1\.5"),
    "NaN": (
        broken(lambda w: w.update({"_read_out.bias": torch.tensor([float("nan")])})),
        r"_read_out\.bias must be finite; .*state\.pt holds NaN",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_checkpoint_is_refused_and_nothing_written(tmp_path: Path, name: str) -> None:
    write, message = REFUSED[name]
    path = tmp_path / "state.pt"
    write(path)
    with pytest.raises(ValueError, match=message) as e:
        convert(path, tmp_path / "out")
    assert "state.pt" in str(e.value)
    assert "\n" not in str(e.value)
    assert not (tmp_path / "out").exists()


LIKES: dict[str, tuple[dict[str, Any] | str | None, str]] = {
    "unknown heads": (None, r"heads cannot be read off .*2 for 3 layers of width 64.* but 1 layers of .*--like"),
    "no file": ("", r"like must be a JSON file .*; there is no file '.*like\.json'"),
    "no JSON": ("{", r"like\.json is not JSON"),
    "a list": ("[1]", r"like must hold a JSON object .*like\.json holds \[1\]"),
    "an unknown field": ({"haeds": 3}, r"like has no field 'haeds'.*Did you mean 'heads'"),
    "a wrong type": ({"heads": "3"}, r"like\.heads must be a whole number; got '3'"),
    "heads that do not divide": ({"heads": 5}, r"width must be a multiple of heads; got width=24, heads=5"),
    "another width": ({"heads": 3, "width": 48}, r"width must be 24 for .*; like says 48\. Leave it out"),
    "another activation": ({"heads": 3, "activation": "relu"}, r"activation must be 'gelu_tanh' for .* says 'relu'"),
    "too many examples": ({"heads": 3, "examples": 8}, r"examples must be at most 7, .* says 8\. Pass 7 or less"),
    "no examples": ({"heads": 3, "examples": 0}, r"examples must be a whole number of at least 1; got 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIKES)
def test_what_like_cannot_say_is_refused(tmp_path: Path, name: str) -> None:
    content, message = LIKES[name]
    file, path = tmp_path / "like.json", save(tmp_path / "state.pt", original("flat"))
    if content:
        file.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(ValueError, match=message):
        convert(path, tmp_path / "out", like=None if content is None else str(file))
    assert not (tmp_path / "out").exists()


def test_only_a_directory_of_ours_is_written_to(tmp_path: Path) -> None:
    path = save(tmp_path / "state.pt", original())
    with pytest.raises(ValueError, match=r"out must be empty or made by mesascope"):
        convert(path, tmp_path)
    with pytest.raises(ValueError, match=r"out must be a directory; .*state\.pt is a file"):
        convert(path, path / "out")
    with claim(tmp_path / "run", "a training run") as trained:
        (trained / "log.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"or hold a conversion; .*run holds a training run\. Choose"):
        convert(path, trained)
    assert sorted(entry.name for entry in trained.iterdir()) == ["log.jsonl", "mesascope.json"]
    assert [entry.name for entry in tmp_path.iterdir() if entry.is_file()] == ["state.pt"]


def test_a_file_whose_weights_were_damaged_on_the_way_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "state.pt", model := original())
    whole = bytearray(path.read_bytes())
    whole[whole.index(model._read_in.weight.detach().numpy().tobytes()) + 3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(
        ValueError, match=r"checkpoint must be whole; in .*state\.pt, '.*/data/\d+' is damaged\. Download"
    ):
        convert(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------- as others wrap them


def renamed(names: Callable[[str], str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda weights: {names(name): value for name, value in weights.items()}


def within(part: str, wrapper: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return renamed(lambda name: re.sub(rf"^({part})\.", rf"\1.{wrapper}.", name))


HEAD = torch.ones(7, 64)
WRAPPED: dict[str, tuple[Callable[[dict[str, Any]], Any], tuple[str, ...]]] = {
    "DataParallel": (renamed(lambda n: f"module.{n}"), ("module. taken off the names",)),
    "torch.compile": (renamed(lambda n: f"_orig_mod.{n}"), ("_orig_mod. taken off the names",)),
    "both, one way": (renamed(lambda n: f"module._orig_mod.{n}"), ("module., _orig_mod. taken off the names",)),
    "both, the other": (renamed(lambda n: f"_orig_mod.module.{n}"), ("module., _orig_mod. taken off the names",)),
    "twice": (renamed(lambda n: f"module.module.{n}"), ("module. taken off the names",)),
    "a part compiled": (within("_backbone", "_orig_mod"), ("_orig_mod. taken off the names",)),
    "blocks compiled": (within(r"_backbone\.h\.\d", "_orig_mod"), ("_orig_mod. taken off the names",)),
    "Lightning": (
        lambda w: {"state_dict": renamed(lambda n: f"model.{n}")(w), "epoch": 3, "global_step": 9},
        ("taken from 'state_dict'", "model. taken off the names"),
    ),
    "Lightning, compiled": (
        lambda w: {"state_dict": renamed(lambda n: f"model._orig_mod.{n}")(w)},
        ("taken from 'state_dict'", "_orig_mod., model. taken off the names"),
    ),
    "under model": (lambda w: {"model": w, "optimizer": {}}, ("taken from 'model'",)),
    "under two": (lambda w: {"state_dict": {"model": w}}, ("taken from 'state_dict.model'",)),
    "a configuration beside it": (
        lambda w: {"model": {"n_head": 2}, "model_state_dict": w}, ("taken from 'model_state_dict'",)),
    "with a head for words": (
        lambda w: w | {"lm_head.weight": HEAD}, ("lm_head.weight left out, which is for words",)),
    "a GPT-2 for language": (
        lambda w: within("_backbone", "transformer")(w) | {"_backbone.lm_head.weight": HEAD},
        ("transformer. taken off the names", "_backbone.lm_head.weight left out, which is for words"),
    ),
    "as it should be": (lambda w: w, ()),
}  # fmt: skip


@pytest.mark.parametrize("name", WRAPPED)
def test_what_is_wrapped_around_the_weights_is_taken_off_and_said(tmp_path: Path, name: str) -> None:
    wrap, said = WRAPPED[name]
    model, path = original(), tmp_path / "weights.pt"
    torch.save(wrap(dict(model.state_dict())), path)
    assert_same_answers(model, str(convert(path, tmp_path / "out")), 7)
    *taken, heads, examples, task = told(tmp_path / "out")
    assert tuple(taken) == said
    assert (heads.split(":")[0], examples.split(":")[0], task.split(":")[0]) == ("heads", "examples", "task")


UNKNOWN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "a prefix": (
        renamed(lambda n: f"net.{n}"),
        r"the names begin with 'net\.', which is an unknown prefix\. Save them without it: .*removeprefix\('net\.'\)",
    ),
    "a prefix inside": (
        lambda w: {"state_dict": renamed(lambda n: f"student.model.{n}")(w)}, r"begin with 'student\.model\.'"),
    "a holder": (lambda w: {"ema": w, "step": 3}, r"has one under 'ema'\. Save torch\.save\(checkpoint\['ema'\], 'wei"),
    "two models": (
        lambda w: {"model": w, "state_dict": w},
        r"has one under each of state_dict, model\. .*torch\.save\(checkpoint\['model'\], 'weights\.pt'\)",
    ),
    "two of one name": (
        lambda w: w | renamed(lambda n: f"module.{n}")(w),
        r"holds _read_in\.weight and module\._read_in\.weight, which are both _read_in\.weight",
    ),
    "another model beside it": (
        lambda w: w | renamed(lambda n: f"ema.{n}")(w), r"also has ema\._read_in\.weight, .* more\. Save the state dict w"),
    "itself": (lambda w: (whole := {"a": 1}, whole.update(model=whole))[0], r"holds a, model\. Load"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_refused_with_what_to_do(tmp_path: Path, name: str) -> None:
    wrap, message = UNKNOWN[name]
    torch.save(wrap(dict(original().state_dict())), tmp_path / "state.pt")
    with pytest.raises(ValueError, match=message) as e:
        convert(tmp_path / "state.pt", tmp_path / "out")
    assert "\n" not in str(e.value)
    assert not (tmp_path / "out").exists()


# ------------------------------------------------------------------------------- a run of theirs


SCHEDULE = "{start: 5, end: 5, inc: 1, interval: 2000}"
CONFIG = """
model: {{family: gpt2, n_dims: 5, n_positions: 8, n_embd: 64, n_layer: 3, n_head: {heads}}}
out_dir: ../models/0dd2
test_run: false
training:
  batch_size: 64
  curriculum:
    dims: {dims}
    points: {{start: 3, end: 7, inc: 2, interval: 200}}
  data: {data}
  num_tasks: {pool}
  num_training_examples: null
  task: {task}
  task_kwargs: {options}
  train_steps: 5001
wandb: {{entity: null, name: toy}}
"""


def run_of_theirs(folder: Path, model: nn.Module, changes: dict[str, Any] | None = None, **more: Any) -> Path:
    """A directory as their training leaves it: ``state.pt`` and the ``config.yaml`` that it was made with."""
    said = {
        "heads": 4,
        "dims": SCHEDULE,
        "data": "gaussian",
        "pool": "null",
        "task": "linear_regression",
        "options": "{}",
    }
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG.format(**said | (changes or {})))
    save(folder / "state.pt", model, **more)
    return folder


@pytest.mark.parametrize("as_directory", [True, False])
def test_a_run_says_its_own_heads_examples_and_task(tmp_path: Path, as_directory: bool, caplog) -> None:
    """Three layers of width 64 with four heads, where the paper's model of this size has two."""
    model = Original(5, 64, Backbone(3, 64, 4, 16))
    folder = run_of_theirs(tmp_path / "run", model)
    convert(folder if as_directory else folder / "state.pt", tmp_path / "out")
    subject = ms.load(str(tmp_path / "out"))
    assert subject.model.config.heads == 4
    assert subject.domain == ms.Domain(dims=(5,), examples=range(1, 7))
    assert_same_answers(model, str(tmp_path / "out"), 6)
    assert ms.zoo.default_task(subject) == ms.tasks.LinearRegression(dim=5, examples=6, weights="standard")
    assert caplog.text == ""
    assert told(tmp_path / "out") == [
        "taken from 'model_state_dict'",
        "heads: 4, from config.yaml",
        "examples: 6, from the curriculum in config.yaml",
        "task: linear regression with w ~ N(0, I), from config.yaml",
    ]


@pytest.mark.parametrize(("step", "examples"), [(0, 2), (199, 2), (200, 4), (399, 4), (400, 6), (10**6, 6)])
def test_the_curriculum_is_read_as_far_as_training_went(tmp_path: Path, step: int, examples: int) -> None:
    folder = run_of_theirs(tmp_path / "run", original(), train_step=step)
    assert ms.load(str(convert(folder, tmp_path / "out"))).domain.examples == range(1, examples + 1)


TASKS: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "noisy": ({"task": "noisy_linear_regression", "options": "{noise_std: 0.5}"}, {"noise": 0.5}),
    "unit": ({"options": "{scale: 0.4472136}"}, {"weights": "unit"}),
    "no options": ({"options": "null"}, {}),
}


@pytest.mark.parametrize("name", TASKS)
def test_tasks_that_are_ours_too(tmp_path: Path, name: str) -> None:
    changes, fields = TASKS[name]
    convert(run_of_theirs(tmp_path / "run", original(), changes), tmp_path / "out")
    expected = ms.tasks.LinearRegression(**{"dim": 5, "examples": 6, "weights": "standard", **fields})
    assert ms.zoo.default_task(ms.load(str(tmp_path / "out"))) == expected


OTHER_TASKS: dict[str, dict[str, str]] = {
    "sparse": {"task": "sparse_linear_regression", "options": "{sparsity: 3}"},
    "a tree": {"task": "decision_tree"},
    "scaled": {"options": "{scale: 3}"},
    "renormalised": {"task": "noisy_linear_regression", "options": "{renormalize_ys: true}"},
    "other inputs": {"data": "uniform"},
    "an unknown option": {"options": "{when: 2020-01-01}"},
    "options that are none": {"options": "[1, 2]"},
    "a scale that is none": {"options": "{scale: .nan}"},
    "no task": {"task": "null"},
    "a task that is a list": {"task": "[linear_regression]"},
}


@pytest.mark.parametrize("name", OTHER_TASKS)
def test_a_model_of_another_task_is_converted_and_examined_on_a_task_that_is_given(tmp_path, name, caplog) -> None:
    model = Original(5, 64, Backbone(3, 64, 4, 16))
    out = convert(run_of_theirs(tmp_path / "run", model, OTHER_TASKS[name]), tmp_path / "out")
    assert "which is no linear regression of ours. Say on which one to examine it, with --task" in caplog.text
    assert_same_answers(model, str(out), 6)
    with pytest.raises(
        ValueError, match=r"was trained on .*, which is not a linear regression of mesascope\. State the task"
    ):
        ms.zoo.default_task(ms.load(str(out)))


def test_what_an_examination_cannot_take_into_account_is_said(tmp_path: Path, caplog) -> None:
    changes = {"pool": "100", "dims": "{start: 2, end: 5, inc: 1, interval: 400}"}
    convert(run_of_theirs(tmp_path / "run", original(), changes), tmp_path / "out")
    assert "training reached 3 of 5 dimensions, the others were 0; here all are used" in caplog.text
    assert "it was trained with num_tasks = 100; here every prompt is new" in caplog.text


def test_like_comes_before_the_configuration_and_that_is_said(tmp_path: Path, caplog) -> None:
    given = like(tmp_path / "like.json", heads=8, examples=2)
    convert(run_of_theirs(tmp_path / "run", original()), tmp_path / "out", like=given)
    config = ms.load(str(tmp_path / "out")).model.config
    assert (config.heads, config.examples) == (8, 2)
    said = told(tmp_path / "out")
    assert "heads: 8, from --like instead of 4 from config.yaml" in said
    assert "examples: 2, from --like instead of 6 from the curriculum in config.yaml" in said
    assert caplog.text == ""


BILLIONS = (
    "[&a [1], " + ", ".join(f"&{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in pairwise("abcdefghijkl")) + "]"
)
CONFIGS: dict[str, tuple[Callable[[str], str | bytes], str]] = {
    "of other weights": (
        lambda c: c.replace("n_layer: 3", "n_layer: 12"), r"says layers 12, and they have 3\. Put the right one there"),
    "of another length": (lambda c: c.replace("n_positions: 8", "n_positions: 101"), r"says positions 101, and they have 8"),
    "of another kind": (lambda c: c.replace("gpt2", "relu_attn"), r"family must be gpt2 .*says 'relu_attn'\. Load it"),
    "without heads": (lambda c: c.replace("n_head: 4", "n_heads: 4"), r"n_head in .* must be a whole number .*got None"),
    "heads that are none": (lambda c: c.replace("n_head: 4", "n_head: four"), r"n_head in .*config\.yaml must .*got 'four'"),
    "heads that do not divide": (lambda c: c.replace("n_head: 4", "n_head: 5"), r"width must be a multiple of heads"),
    "no curriculum": (lambda c: c.replace("curriculum:", "curricula:"), r"must have a mapping 'curriculum'; got None"),
    "no model": (lambda c: c.replace("model:", "net:"), r"must have a mapping 'model'; got None"),
    "a list": (lambda c: "[1]", r"must hold a mapping with model and training; it holds a list"),
    "nothing": (lambda c: "", r"must hold a mapping with model and training; it holds a NoneType"),
    "no YAML": (lambda c: c + "  - {", r"config\.yaml, line \d+, must be YAML of plain values; .*Correct it, or move it away"),
    "code": (
        lambda c: c + "evil: !!python/object/apply:os.system ['touch ran']\n",
        r"config\.yaml, line \d+, must be YAML of plain values; could not determine a constructor",
    ),
    "no text": (lambda c: b"\xff\xfe\x00\xd8\x00", r"must be YAML of plain values"),
    "a number without end": (lambda c: c.replace("n_head: 4", "n_head: " + "9" * 5000), r"must be YAML of plain values"),
    "nested without end": (lambda c: "[" * 5000, r"must be YAML of plain values"),
    "a few bytes that stand for billions of values": (
        lambda c: c.replace("n_head: 4", f"n_head: {BILLIONS}"), r"plain values; it holds more than 1000 values\. Correct it"),
    "a book": (lambda c: c + "#" * 200_000, r"plain values; it has more than 100000 bytes\. Correct it"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_that_cannot_be_used_is_refused_by_name(tmp_path: Path, name: str, monkeypatch) -> None:
    change, message = CONFIGS[name]
    folder = run_of_theirs(tmp_path / "run", original())
    changed = change((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_bytes(changed if isinstance(changed, bytes) else changed.encode())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message) as e:
        convert(folder, tmp_path / "out")
    assert "\n" not in str(e.value)
    assert "config.yaml" in str(e.value) or name == "heads that do not divide"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["run"]


def test_a_directory_without_a_state_names_what_it_has(tmp_path: Path) -> None:
    folder = run_of_theirs(tmp_path / "run", original())
    (folder / "state.pt").rename(folder / "model_500.pt")
    with pytest.raises(ValueError, match=r"there is no file '.*run/state\.pt'\. Name the file .*: model_500\.pt"):
        convert(folder, tmp_path / "out")


@pytest.mark.parametrize(("counted", "said"), [(501, False), (503, True), (500, True), (12, True), (None, False)])
@pytest.mark.parametrize("kept", [float, torch.tensor])
def test_an_optimiser_that_counts_other_steps_is_said(tmp_path: Path, counted, said: bool, kept, caplog) -> None:
    """Their code saves after the step whose number it writes down, and repeats that step when it is resumed."""
    state = {} if counted is None else {0: {"step": kept(float(counted))}, 1: {"step": kept(float(counted))}}
    folder = run_of_theirs(tmp_path / "run", original(), optimizer_state_dict={"state": state})
    convert(folder, tmp_path / "out")
    words = f"its optimiser has counted {counted} steps, and train_step 500 makes 501"
    assert (words in caplog.text) == said
    assert (caplog.text == "") == (not said)


def test_an_optimiser_and_a_curriculum_that_disagree_are_said(tmp_path: Path, caplog) -> None:
    model = original(points=8)
    optimiser = torch.optim.Adam(model.parameters())
    model(torch.randn(3, 4, 5), torch.randn(3, 4)).square().mean().backward()
    optimiser.step()
    folder = run_of_theirs(tmp_path / "run", model, optimizer_state_dict=optimiser.state_dict(), train_step=0)
    convert(folder, tmp_path / "out")
    assert (
        "its optimiser has seen prompts of 3 examples, and the curriculum in its config.yaml gives 2: 3" in caplog.text
    )
    assert ms.load(str(tmp_path / "out")).domain.examples == range(1, 4)

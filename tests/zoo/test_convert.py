"""Checkpoints of Garg et al.: what is converted answers as the original did; what cannot be is refused, unopened."""

import json
import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import mesascope as ms
from mesascope.records.directories import claim
from mesascope.records.store import sha256
from mesascope.zoo.convert import convert

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
    path = save(tmp_path / "state.pt", model, optimizer_state_dict=optimiser.state_dict())
    assert ms.load(str(convert(path, tmp_path / "out"))).domain.examples == range(1, points)
    assert caplog.text == ""
    model.eval()
    assert_same_answers(model, str(tmp_path / "out"), points - 1)


def test_where_nothing_shows_how_many_it_says_so_and_the_user_can(tmp_path: Path, caplog) -> None:
    path = save(tmp_path / "state.pt", original())
    assert ms.load(str(convert(path, tmp_path / "all"))).domain.examples == range(1, 8)
    assert "does not say how many examples" in caplog.text
    caplog.clear()
    convert(path, tmp_path / "few", like=like(tmp_path / "like.json", examples=3))
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
def test_heads_of_the_papers_sizes(tmp_path: Path, layers: int, width: int, heads: int) -> None:
    model = Original(3, width, Backbone(layers, width, heads, 6))
    convert(save(tmp_path / "state.pt", model), tmp_path / "out")
    assert ms.load(str(tmp_path / "out")).model.config.heads == heads


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
        r"state\.pt cannot be read \(Unsupported operand 105\)\. Fetch it again",
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
    "foreign": (broken(lambda w: {"fc.weight": torch.ones(2)}), r"GPT-2 of Garg et al.*holds fc\.weight\. Bring"),
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
    "one more": (broken(lambda w: w.update({"extra.weight": torch.ones(1)})), r"also has extra\.weight\. Bring"),
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
    with pytest.raises(ValueError, match=r"checkpoint must be whole; in .*state\.pt, '.*/data/\d+' is damaged\. Fetch"):
        convert(path, tmp_path / "out")
    assert not (tmp_path / "out").exists()

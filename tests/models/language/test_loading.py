"""Loading from a directory: what is read, what is refused, and that nothing is unpickled."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gguf
import pytest
import torch
from safetensors.torch import load_file, save_file

from mesascope.models.language.gguf import convert_gguf
from mesascope.models.language.loading import check_loss, load_network, load_tokenizer
from mesascope.models.language.passes import run, unembed
from mesascope.models.language.tokens import plain

IDS = torch.arange(3, 11)[None]


@pytest.fixture
def saved(tiny: SimpleNamespace, tmp_path: Path) -> Path:
    """A tiny Llama with its tokenizer, as save_pretrained writes them."""
    tiny.model("llama, tied").save_pretrained(tmp_path / "model")
    tiny.tokenizer(digits_apart=True).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def as_bin(directory: Path) -> None:
    torch.save(load_file(directory / "model.safetensors"), directory / "pytorch_model.bin")
    (directory / "model.safetensors").unlink()


def test_a_directory_is_loaded_in_single_precision_and_as_it_is(tiny: SimpleNamespace, saved: Path) -> None:
    network = load_network(saved, "tiny")
    expected = tiny.model("llama, tied")(IDS).logits
    torch.testing.assert_close(unembed(network, run(network, plain(IDS)).hidden, normed=True), expected)
    assert network.config._attn_implementation == "eager"
    assert not network.model.training and not any(p.requires_grad for p in network.model.parameters())
    assert load_tokenizer(saved, "tiny")("7")["input_ids"] == tiny.tokenizer()("7")["input_ids"]


def test_a_bin_is_read_weights_only(tiny: SimpleNamespace, saved: Path) -> None:
    as_bin(saved)
    network = load_network(saved, "tiny")
    torch.testing.assert_close(network.model(IDS).logits, tiny.model("llama, tied")(IDS).logits)


def test_every_family_is_loaded_from_its_directory(tiny: SimpleNamespace, kind: str, tmp_path: Path) -> None:
    tiny.model(kind).save_pretrained(tmp_path)
    torch.testing.assert_close(load_network(tmp_path, kind).model(IDS).logits, tiny.model(kind)(IDS).logits)


# ------------------------------------------------------------------------------------------- what is refused


class Bomb:
    """Something that would write a file when unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def change(name: str, **fields: Any) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        config = json.loads((directory / name).read_text())
        (directory / name).write_text(json.dumps({**config, **fields}))

    return edit


def resized(extra: bytes | None) -> Callable[[Path], None]:
    def edit(directory: Path) -> None:
        path = directory / "model.safetensors"
        content = path.read_bytes()
        path.write_bytes(content[:-100] if extra is None else content + extra)

    return edit


def tensors(edit: Callable[[dict[str, torch.Tensor]], Any]) -> Callable[[Path], None]:
    def change_them(directory: Path) -> None:
        held = load_file(directory / "model.safetensors")
        edit(held)
        save_file(held, directory / "model.safetensors", metadata={"format": "pt"})

    return change_them


def pickle_only(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "weights.pt").write_bytes(pickle.dumps(Bomb(directory / "ran")))


def harmful_bin(directory: Path) -> None:
    (directory / "model.safetensors").unlink()
    (directory / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(directory / "ran")))


def nothing(directory: Path) -> None:
    (directory / "model.safetensors").unlink()


K = "model.layers.1.self_attn.k_proj.weight"
DAMAGED: dict[str, tuple[Callable[[Path], None], str]] = {
    "no configuration": (
        lambda d: (d / "config.json").unlink(),
        r"a directory with a config\.json.*config\.json is missing",
    ),
    "no object": (lambda d: (d / "config.json").write_text("[]"), r"must have an object in its config\.json; got \[\]"),
    "unknown family": (
        change("config.json", model_type="bloom"),
        r"family that mesascope knows .*'bloom'.*CONTRIBUTING",
    ),
    "classifier": (
        change("config.json", architectures=["LlamaForSequenceClassification"]),
        r"must be a causal language model, .*got a 'LlamaForSequenceClassification'",
    ),
    "encoder": (
        change("config.json", model_type="bert", architectures=["BertModel"]),
        r"causal language model.*'BertModel'",
    ),
    "truncated": (resized(None), r"must have whole weights; they are damaged"),
    "extended": (resized(b"x" * 100), r"must have whole weights; they are damaged"),
    "a tensor less": (tensors(lambda t: t.pop(K)), rf"weights of its own configuration; they lack '{K}'\."),
    "a tensor more": (
        tensors(lambda t: t.update(extra=torch.ones(2))),
        r"they also have 'extra'\. Get config\.json and",
    ),
    "another shape": (
        tensors(lambda t: t.update({K: torch.ones(3, 24)})),
        rf"weights of its own configuration; they have another shape of '{K}'",
    ),
    "not a number": (tensors(lambda t: t[K].fill_(torch.nan)), r"must have finite weights; it holds NaN or infinity"),
    "a pickle only": (pickle_only, r"it has 'weights\.pt', a pickle, which can hold code and is not opened"),
    "a harmful bin": (harmful_bin, r"model 'it' (must have whole weights|cannot be loaded)"),
    "no weights": (nothing, r"must have its weights in one of model\.safetensors, .*it has none of them"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_or_foreign_directory_is_refused(saved: Path, name: str) -> None:
    damage, message = DAMAGED[name]
    damage(saved)
    before = sorted(saved.iterdir())
    with pytest.raises(ValueError, match=message):
        load_network(saved, "it")
    assert sorted(saved.iterdir()) == before  # nothing was left behind, and no code ran


def test_code_beside_the_weights_is_not_run(saved: Path) -> None:
    change("config.json", auto_map={"AutoModelForCausalLM": "evil.Model", "AutoConfig": "evil.Config"})(saved)
    (saved / "evil.py").write_text("raise SystemExit('ran')")
    load_network(saved, "it")


def test_a_missing_tokenizer_is_named(saved: Path) -> None:
    for path in saved.glob("tokenizer*"):
        path.unlink()
    with pytest.raises(ValueError, match=r"model 'it' must have a tokenizer beside its weights"):
        load_tokenizer(saved, "it")


def test_a_loss_guards_what_no_other_check_sees(saved: Path) -> None:
    network, tokenizer = load_network(saved, "it"), load_tokenizer(saved, "it")
    loss = check_loss(network, tokenizer, "some text", 100.0, "it")
    assert 4 < loss < 9  # ln 300 is 5.7
    with pytest.raises(
        ValueError, match=r"a sentence with a loss below 3\.4 nats per token; got .*not in the order that its code"
    ):
        check_loss(network, tokenizer, "some text", 3.4, "it")


def write_gguf(path: Path, model: Any, tokenizer: Any) -> None:
    """A tiny Llama as llama.cpp writes it: with the rows of queries and keys in another order."""
    config, writer = model.config, gguf.GGUFWriter(path, "llama")
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_head_count(heads)
    writer.add_head_count_kv(groups)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.hidden_size // heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    core = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    words = sorted(core["vocab"], key=core["vocab"].get) + [
        f"unused{i}" for i in range(config.vocab_size - len(core["vocab"]))
    ]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(words)
    writer.add_token_merges([" ".join(pair) for pair in core["merges"]] or ["Ġ 7"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    renamed = {
        "model.embed_tokens": "token_embd", "model.norm": "output_norm", "model.layers": "blk", "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    for key, value in model.state_dict().items():
        if key == "lm_head.weight":
            continue
        for own, theirs in renamed.items():
            key = key.replace(own, theirs)
        if "attn_q." in key or "attn_k." in key:
            count = heads if "attn_q." in key else groups
            value = value.unflatten(0, (count, 2, -1)).transpose(1, 2).flatten(0, 2)
        writer.add_tensor(key, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_a_gguf_file_becomes_the_model_that_it_was_made_from(tiny: SimpleNamespace, tmp_path: Path) -> None:
    model, out = tiny.model("llama, tied"), tmp_path / "out"
    write_gguf(tmp_path / "tiny.gguf", model, tiny.tokenizer(merges=tiny.MERGED))
    out.mkdir()
    convert_gguf(tmp_path / "tiny.gguf", out)
    network = load_network(out, "tiny")
    torch.testing.assert_close(network.model(IDS).logits, model(IDS).logits)
    assert {path.name for path in out.iterdir()} >= {"config.json", "model.safetensors", "tokenizer.json"}
    assert "lm_head.weight" not in load_file(out / "model.safetensors")


def test_what_is_no_gguf_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"model must be a GGUF file; there is no file .*none\.gguf"):
        convert_gguf(tmp_path / "none.gguf", tmp_path)
    (tmp_path / "a.gguf").write_bytes(b"PK\3\4")
    with pytest.raises(ValueError, match=r"must be a GGUF file; .*a\.gguf begins with b'PK.*Download it again"):
        convert_gguf(tmp_path / "a.gguf", tmp_path)
    (tmp_path / "b.gguf").write_bytes(b"GGUF\3\0\0\0\1")
    with pytest.raises(ValueError, match=r"must be a whole GGUF file; .*b\.gguf cannot be read"):
        convert_gguf(tmp_path / "b.gguf", tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.gguf", "b.gguf"]

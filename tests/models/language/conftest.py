"""Tiny random models of every family, and tiny tokenizers that cut numbers in different ways. Nothing is downloaded."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import tokenizers
import torch
import transformers
from tokenizers import decoders, pre_tokenizers, processors
from tokenizers.models import BPE, WordLevel

from mesascope.models.language import LanguageSubject, Network, Template
from mesascope.models.language.families import family_of
from mesascope.models.language.writing import writing

VOCAB = 300
SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 24,
    "intermediate_size": 40,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
OLD: dict[str, Any] = {"n_embd": 24, "n_layer": 3, "n_head": 4, "n_positions": 512}
NEO: dict[str, Any] = {
    "attention_types": [[["global", "local"], 2]],
    "num_layers": 4,
    "num_heads": 4,
    "window_size": 512,
}
MODELS: dict[str, Callable[[], Any]] = {
    "gpt2": lambda: transformers.GPT2Config(vocab_size=VOCAB, bos_token_id=0, eos_token_id=0, **OLD),
    "gpt-neo": lambda: transformers.GPTNeoConfig(**{k: v for k, v in SIZES.items() if not k.startswith("num_")}, **NEO),
    "gpt-neox": lambda: transformers.GPTNeoXConfig(**SIZES),
    "gpt-neox, in sequence": lambda: transformers.GPTNeoXConfig(**SIZES, use_parallel_residual=False),
    "llama": lambda: transformers.LlamaConfig(**SIZES, num_key_value_heads=2),
    "llama, tied": lambda: transformers.LlamaConfig(**SIZES, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen2": lambda: transformers.Qwen2Config(**SIZES, num_key_value_heads=2),
    "qwen2, windows": lambda: transformers.Qwen2Config(
        **SIZES, num_key_value_heads=2, use_sliding_window=True, sliding_window=5, max_window_layers=1
    ),
    "gemma3": lambda: transformers.Gemma3TextConfig(
        **SIZES, num_key_value_heads=1, head_dim=8, sliding_window=5, final_logit_softcapping=2.0
    ),
    "olmo2": lambda: transformers.Olmo2Config(**SIZES, num_key_value_heads=2),
}
"""Configurations of all families, and of what makes a family's models differ."""


def tiny_model(kind: str, seed: int = 0) -> Any:
    """A random model whose norms, biases and weights are all far from what they are at initialisation."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(MODELS[kind](), attn_implementation="eager").eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape))
    return model


def tiny_network(kind: str, seed: int = 0) -> Network:
    model = tiny_model(kind, seed)
    return Network(model=model, family=family_of(model.config))


def tiny_tokenizer(
    *, merges: tuple[tuple[str, str], ...] = (), digits_apart: bool = False, words_apart: bool = True, begin: int = 0
) -> Any:
    """Bytes as tokens, with a few merges on top.

    Args:
        merges: pairs that are one token (a space is written Ġ).
        digits_apart: digits are cut off first, so that no merge reaches one.
        words_apart: text is cut at spaces, digits and punctuation first, so that no merge reaches across.
        begin: how often the token that begins a text is put before it.
    """
    words = ["<s>", "<pad>", *sorted(pre_tokenizers.ByteLevel.alphabet()), *("".join(pair) for pair in merges)]
    core = tokenizers.Tokenizer(BPE(vocab={word: i for i, word in enumerate(words)}, merges=list(merges)))
    split: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if digits_apart else []
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [*split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=words_apart)]
    )  # type: ignore[assignment]
    core.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    if begin:
        before = " ".join(["<s>"] * begin)
        core.post_processor = processors.TemplateProcessing(single=f"{before} $A", special_tokens=[("<s>", 0)])  # type: ignore[assignment]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", pad_token="<pad>")


MERGED = tuple(("Ġ", digit) for digit in "0123456789")
"""A space and the digit after it are one token, as in GPT-2."""


def word_tokenizer(words: str) -> Any:
    """Whole words as tokens, and one token for all others."""
    vocab = {word: i for i, word in enumerate(("[UNK]", *words.split()))}
    core = tokenizers.Tokenizer(WordLevel(vocab=vocab, unk_token="[UNK]"))
    core.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=core, unk_token="[UNK]")


def tiny_subject(kind: str = "llama", template: Template | None = None, tokenizer: Any = None) -> LanguageSubject:
    made = writing(template or Template(), tokenizer or tiny_tokenizer(digits_apart=True))
    return LanguageSubject(name=f"tiny {kind}", network=tiny_network(kind), writing=made)


def writing_digits() -> LanguageSubject:
    """A model that writes nothing but digits."""
    subject = tiny_subject()
    words = subject.writing.tokenizer.convert_tokens_to_ids([str(digit) for digit in range(10)])
    weight = subject.network.unembedding.weight
    others = torch.ones(len(weight), dtype=torch.bool).index_fill(0, torch.tensor(words), value=False)
    with torch.no_grad():
        weight[others] = 0
    return subject


@pytest.fixture(params=list(MODELS))
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a configuration, for each in turn."""
    return request.param


@pytest.fixture(scope="session")
def tiny() -> SimpleNamespace:
    """What makes tiny models and tokenizers."""
    return SimpleNamespace(
        model=tiny_model,
        network=tiny_network,
        subject=tiny_subject,
        writing_digits=writing_digits,
        tokenizer=tiny_tokenizer,
        words=word_tokenizer,
        MERGED=MERGED,
        MODELS=MODELS,
    )

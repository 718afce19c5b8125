"""Small models shaped like Pythia's, as transformers builds them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from mesascope.models.language.characters import BEGIN
from mesascope.records.checks import check_count


@dataclass(frozen=True, slots=True, kw_only=True)
class PythiaConfig:
    """The architecture: GPT-NeoX, attention and feed-forward network in parallel, rotary positions in a quarter of a head.

    Attributes:
        layers: number of blocks.
        width: width of the residual stream.
        heads: attention heads per block; each has ``width/heads`` channels.
        context: the largest number of tokens in a sequence.

    Raises:
        ValueError: a size below 1, or a width that the heads cannot share.

    Source: Biderman et al. 2023, section 2.1.
    Departs from source: far smaller, and a vocabulary of characters.
    """

    layers: int = 2
    width: int = 64
    heads: int = 2
    context: int = 49

    def __post_init__(self) -> None:
        for name in ("layers", "width", "heads", "context"):
            check_count(name, getattr(self, name))
        if self.width % (8 * self.heads):
            raise ValueError(
                f"width must be a multiple of 8·heads, for rotary positions in a quarter of each head; got {self.width} with "
                f"heads={self.heads}. Take a width of {8 * self.heads * max(1, round(self.width / (8 * self.heads)))}."
            )


def pythia(config: PythiaConfig, *, seed: int = 0) -> nn.Module:
    """The model with fresh random weights, as transformers draws them from this seed."""
    import transformers

    shape: dict[str, Any] = {
        "vocab_size": BEGIN + 1,
        "hidden_size": config.width,
        "intermediate_size": 4 * config.width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_position_embeddings": config.context,
        "rotary_pct": 0.25,
        "bos_token_id": BEGIN,
        "eos_token_id": BEGIN,
        "attn_implementation": "eager",
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # transformers draws from the global generator
        return transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**shape))

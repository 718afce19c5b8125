"""The language models that the studies examine, by model reference."""

from mesascope.training.ladder import LADDER as _LADDER

SHUFFLED = "ladder-small-shuffled"
"""The smallest of the ladder, trained on shuffled labels: the negative control."""
LADDER = tuple(name for name in _LADDER if name != SHUFFLED)
"""The models of the ladder, trained here on affine maps in digits and on repeated blocks, in order of size."""
SMOLLM2 = "smollm2"
PUBLISHED = {
    "gpt2": "hf:openai-community/gpt2",
    "pythia-160m": "hf:EleutherAI/pythia-160m",
    "pythia-410m": "hf:EleutherAI/pythia-410m",
    "pythia-1b": "hf:EleutherAI/pythia-1b",
}
"""Models that source C prints figures of, by its names for them."""

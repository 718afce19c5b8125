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
SMALL = tuple(name for name in LADDER if name.startswith("ladder-small"))
"""Those of the ladder that ship with their checkpoints."""
_STEPS = ",".join(f"step{step}" for step in (1, 2, 4, 8, 16, 64, 256, 1000, 4000, 16000, 64000, 143000))
FOLLOWED = {
    **{f"Pythia-{size}": f"hf:EleutherAI/pythia-{size.lower()}@{_STEPS}" for size in ("160M", "410M", "1B", "1.4B")},
    "OLMo-2-1B": "hf:allenai/OLMo-2-0425-1B@stage1-step*00000-*",
    "OLMo-2-7B": "hf:allenai/OLMo-2-1124-7B@stage1-step*00000-*",
}
"""Models that source C follows over training, with the checkpoints that it reads (of OLMo, every hundred thousandth step)."""
_SIZES = ("14M", "31M", "70M", "160M", "410M", "1B", "1.4B", "6.9B", "12B")
FORECAST = {f"Pythia-{size}": f"hf:EleutherAI/pythia-{size.lower()}@step4000,step143000" for size in _SIZES}
"""The sizes of Pythia without 2.8B, whose checkpoints gave one readout, at the step to forecast from and the last."""

"""Measurements of a subject, each with its controls."""

from mesascope.instruments.applicability import NotApplicable

INSTRUMENTS = (
    "identification",
    "invariance",
    "spectrum",
    "readout",
    "probes",
    "patching",
    "causal",
    "ablation",
    "attention",
    "stress",
    "metrics",
)
"""The modules that hold an instrument which an examination runs."""

FURTHER = (
    "errors",
    "examples",
    "matching",
    "directions",
    "krylov",
    "substitution",
    "attention_content",
    "copying",
    "mixing",
    "influence",
    "streaming",
    "memorisation",
)
"""Those that answer a narrower question: studies run them, on any subject."""

__all__ = ("FURTHER", "INSTRUMENTS", "NotApplicable")

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
"""The modules that hold an instrument; an examination runs all of them."""

__all__ = ("INSTRUMENTS", "NotApplicable")

"""Measurements of a subject, each with its controls. `mesascope.instruments.catalogue` lists them all."""

from mesascope.instruments.asking.applicability import NotApplicable

__all__ = ("NotApplicable",)

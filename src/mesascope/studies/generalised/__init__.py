"""Generalised linear models, to which source A would extend its comparison: networks for binary labels and for counts."""

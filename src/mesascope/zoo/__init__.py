"""Trained models that ship, each as weights beside the specification that made them; and all other references."""

from mesascope.zoo.references import checkpoints_of, curve, default_task, load, names

__all__ = ("checkpoints_of", "curve", "default_task", "load", "names")

"""Training of subjects: specifications and the training loop."""

from mesascope.training.loop import Diverged, Interrupted, train, train_many
from mesascope.training.recipe import Recipe
from mesascope.training.regression import evaluate
from mesascope.training.spec import SPECS, Curriculum, TrainingSpec, dense, query_only, query_only_laptop

__all__ = (
    "SPECS",
    "Curriculum",
    "Diverged",
    "Interrupted",
    "Recipe",
    "TrainingSpec",
    "dense",
    "evaluate",
    "query_only",
    "query_only_laptop",
    "train",
    "train_many",
)

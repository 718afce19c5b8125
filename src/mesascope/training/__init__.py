"""Training of subjects: specifications and the training loop."""

from mesascope.training.loop import Diverged, Interrupted, evaluate, train, train_many
from mesascope.training.spec import SPECS, Curriculum, TrainingSpec, dense, query_only, query_only_laptop

__all__ = (
    "SPECS",
    "Curriculum",
    "Diverged",
    "Interrupted",
    "TrainingSpec",
    "dense",
    "evaluate",
    "query_only",
    "query_only_laptop",
    "train",
    "train_many",
)

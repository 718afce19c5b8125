"""Training of subjects: specifications and the training loop."""

from mesascope.training.corpus import Corpus
from mesascope.training.ladder import LADDER
from mesascope.training.language import LanguageSpec
from mesascope.training.loop import train
from mesascope.training.many import train_many, train_together
from mesascope.training.recipe import Recipe
from mesascope.training.regression import evaluate
from mesascope.training.run import Diverged
from mesascope.training.spec import SPECS, Curriculum, TrainingSpec, dense, query_only, query_only_laptop
from mesascope.training.stopping import Interrupted

__all__ = (
    "LADDER",
    "SPECS",
    "Corpus",
    "Curriculum",
    "Diverged",
    "Interrupted",
    "LanguageSpec",
    "Recipe",
    "TrainingSpec",
    "dense",
    "evaluate",
    "query_only",
    "query_only_laptop",
    "train",
    "train_many",
    "train_together",
)

"""Tasks, from which prompts are sampled."""

from mesascope.tasks.balanced import BalancedRegression
from mesascope.tasks.covariance import Covariance, Diagonal, Eigenvalues, Identity, LogUniform, Toeplitz
from mesascope.tasks.datasets import (
    DATASETS,
    CharacterRegression,
    DataSet,
    FormulaRegression,
    InformativeRegression,
    NetworkRegression,
    TableRegression,
    duplicates,
    published,
)
from mesascope.tasks.digits import DigitRegression
from mesascope.tasks.generalised import GeneralisedLinearRegression
from mesascope.tasks.inputs import CentredExponential, Gaussian, Inputs, Laplace, Rademacher, Uniform
from mesascope.tasks.linear import LinearRegression
from mesascope.tasks.lines import DigitLines
from mesascope.tasks.pooled import PooledRegression
from mesascope.tasks.sequences import (
    Alternation,
    AssociativeRecall,
    RepeatedBlocks,
    Sequences,
    SequenceTask,
    simple_answers,
)

KINDS = (
    LinearRegression,
    PooledRegression,
    BalancedRegression,
    GeneralisedLinearRegression,
    DigitRegression,
    FormulaRegression,
    InformativeRegression,
    NetworkRegression,
    CharacterRegression,
    TableRegression,
)
"""The kinds of regression tasks that a file can describe, by its field ``type``; without one the first is meant."""

__all__ = (
    "DATASETS",
    "KINDS",
    "Alternation",
    "AssociativeRecall",
    "BalancedRegression",
    "CharacterRegression",
    "Covariance",
    "DataSet",
    "Diagonal",
    "Eigenvalues",
    "CentredExponential",
    "DigitLines",
    "DigitRegression",
    "FormulaRegression",
    "Gaussian",
    "GeneralisedLinearRegression",
    "Identity",
    "InformativeRegression",
    "Inputs",
    "Laplace",
    "LinearRegression",
    "LogUniform",
    "NetworkRegression",
    "PooledRegression",
    "Rademacher",
    "RepeatedBlocks",
    "SequenceTask",
    "Sequences",
    "TableRegression",
    "Toeplitz",
    "Uniform",
    "duplicates",
    "published",
    "simple_answers",
)

"""Tasks, from which prompts are sampled."""

from mesascope.tasks.balanced import BalancedRegression
from mesascope.tasks.covariance import Covariance, Diagonal, Eigenvalues, Identity, LogUniform, Toeplitz
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

__all__ = (
    "Alternation",
    "AssociativeRecall",
    "BalancedRegression",
    "Covariance",
    "Diagonal",
    "Eigenvalues",
    "CentredExponential",
    "DigitLines",
    "DigitRegression",
    "Gaussian",
    "GeneralisedLinearRegression",
    "Identity",
    "Inputs",
    "Laplace",
    "LinearRegression",
    "LogUniform",
    "PooledRegression",
    "Rademacher",
    "RepeatedBlocks",
    "SequenceTask",
    "Sequences",
    "Toeplitz",
    "Uniform",
    "simple_answers",
)

"""Data sets as tasks: those on which language models were compared with regressors, drawn afresh or as published."""

from collections.abc import Mapping

from mesascope.tasks.datasets.characters import CharacterRegression, as_letters
from mesascope.tasks.datasets.dataset import DataSet
from mesascope.tasks.datasets.duplicates import Duplicate, duplicates
from mesascope.tasks.datasets.formulas import FORMULAS, FormulaName, FormulaRegression
from mesascope.tasks.datasets.informative import InformativeRegression
from mesascope.tasks.datasets.network import NetworkRegression
from mesascope.tasks.datasets.published import PUBLISHED, SEEDS, published
from mesascope.tasks.datasets.table import TableRegression

DATASETS: Mapping[str, InformativeRegression | FormulaRegression | NetworkRegression | CharacterRegression] = {
    **{
        f"linear-{informative}-of-{dim}": InformativeRegression(dim=dim, informative=informative)
        for informative, dim in ((1, 1), (1, 2), (1, 3), (2, 2), (2, 3), (3, 3))
    },
    **{name: FormulaRegression(formula=name) for name in FORMULAS},
    "network-5": NetworkRegression(),
    "characters": CharacterRegression(),
}
"""The data sets by name: 50 examples, one query, exact labels, two decimals. `published` has the numbers of the source."""

__all__ = (
    "DATASETS",
    "FORMULAS",
    "PUBLISHED",
    "SEEDS",
    "CharacterRegression",
    "DataSet",
    "Duplicate",
    "FormulaName",
    "FormulaRegression",
    "InformativeRegression",
    "NetworkRegression",
    "TableRegression",
    "as_letters",
    "duplicates",
    "published",
)

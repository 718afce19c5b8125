"""An index file of names from modules that are slow to load, so that help, lists and refusals need not load them.

`mesascope.commands.reindex` writes the file, and a test compares it with the modules.
"""

from functools import cache
from pathlib import Path
from typing import TypedDict

from mesascope.records.parsing import parse

FILE = Path(__file__).with_name("index.json")


class Index(TypedDict):
    """The content of the file: names in the order in which they are listed.

    ``instruments`` and ``studies`` map names to questions, ``panels`` names to seeds, ``profiles`` commands to profiles.
    ``parts`` are those of a calibration.
    ``studies_of_models`` are those that can be asked about any model.
    """

    constructions: list[str]
    tasks: list[str]
    algorithms: list[str]
    regressors: list[str]
    instruments: dict[str, str]
    specs: list[str]
    studies: dict[str, str]
    studies_of_models: list[str]
    statements: list[str]
    panels: dict[str, int]
    parts: list[str]
    profiles: dict[str, list[str]]


@cache
def index() -> Index:
    """The content of the index file."""
    return parse(FILE.read_bytes(), FILE.name)


def panel_name(seed: int) -> str:
    """As `mesascope.calibration.panel.panel_name`."""
    return {held: name for name, held in index()["panels"].items()}.get(seed, f"seed {seed}")

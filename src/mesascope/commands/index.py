"""Names that lie in rooms which take seconds to load, kept in a file, so that help, lists and refusals need none of them.

`mesascope.commands.reindex` writes the file, and a test holds that it says what the rooms say.
"""

from functools import cache
from pathlib import Path
from typing import TypedDict

from mesascope.records.parsing import parse

FILE = Path(__file__).with_name("index.json")


class Index(TypedDict):
    """What the file holds: names in the order in which they are listed.

    ``instruments`` and ``studies`` are with their questions, ``panels`` with their seeds, ``profiles`` by command.
    """

    constructions: list[str]
    tasks: list[str]
    algorithms: list[str]
    instruments: dict[str, str]
    specs: list[str]
    studies: dict[str, str]
    statements: list[str]
    panels: dict[str, int]
    profiles: dict[str, list[str]]


@cache
def index() -> Index:
    """The names."""
    return parse(FILE.read_bytes(), FILE.name)


def panel_name(seed: int) -> str:
    """As `mesascope.calibration.panel.panel_name`."""
    return {held: name for name, held in index()["panels"].items()}.get(seed, f"seed {seed}")

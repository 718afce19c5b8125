"""Results in a size that can be committed and published.

``python -m mesascope.records.keeping DIR … --to FOLDER`` reads the ``record.json`` of each directory that a study, an examination
or a calibration wrote, leaves out what no claim and no verdict rests on, and writes one document for each to the folder.
The documentation shows these documents, so no figure in it is copied by hand.
"""

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from mesascope.records.codec import from_json, to_json
from mesascope.records.shown import shown
from mesascope.records.store import read_sealed, write_json
from mesascope.types import Answer, DistributionVerdict, Findings, Record, StudyResult

Found = TypeVar("Found", bound=StudyResult | Record | Findings)
RESPONSE = "spectral-response"
"""The picture of an examination that is kept: how much of each eigen-direction is resolved, layer by layer."""
NEAREST = 3
"""How many candidates of an examination are kept, the nearest first, besides those that the verdict names."""
LONG = 100
"""Tables of a calibration with more rows than that are not kept: those of every subject."""


def shortened(found: StudyResult | Record | Findings) -> StudyResult | Record | Findings:
    """The same result in fewer words.

    A study and an examination are left without measurements that no claim is judged by, and with one picture: the one worth
    publishing first. Of the networks that were measured only the names are kept; their specifications are with their weights.
    A calibration loses its long tables.
    """
    if isinstance(found, Findings):
        short = (figure for figure in found.figures if figure.kind != "table" or len(figure.rows) <= LONG)
        return dataclasses.replace(found, figures=tuple(short))
    if isinstance(found, Record):
        pictures = tuple(figure for figure in found.figures if figure.name == RESPONSE)
        training, discriminating = (_nearest(on) for on in (found.verdict.training, found.verdict.discriminating))
        assert training is not None, "every verdict has an answer on the training distribution"
        verdict = dataclasses.replace(found.verdict, figures=(), training=training, discriminating=discriminating)
        return dataclasses.replace(found, verdict=verdict, measurements=(), figures=pictures)
    networks = found.provenance.get("networks")
    names = sorted(networks) if isinstance(networks, dict) else []
    return dataclasses.replace(
        found, measurements=(), figures=found.figures[:1], provenance={**found.provenance, "networks": names}
    )


def _nearest(on: DistributionVerdict | None) -> DistributionVerdict | None:
    return on and DistributionVerdict(function=_first(on.function), path=_first(on.path))


def _first(answer: Answer) -> Answer:
    scores = tuple(s for i, s in enumerate(answer.scores) if i < NEAREST or s.candidate in answer.algorithms)
    return dataclasses.replace(answer, scores=scores, agreement={})


def keep(directory: Path, folder: Path) -> Path:
    """Write the shortened result of a run to a folder; return the file's path.

    Args:
        directory: what ``mesascope study run``, ``examine`` or ``calibrate`` wrote.
        folder: where documents are kept, each named after its study, its subject, or its panel and what was measured of it; an
            earlier one is replaced.

    Raises:
        ValueError: no such result (`Damaged`), one at profile ``smoke``, which decides nothing, or one that no commit made.
    """
    document = read_sealed(directory / "record.json")
    found = from_json((StudyResult, Record, Findings), document, shown(directory / "record.json"), ours=True)
    profile = found.profile if isinstance(found, StudyResult) else found.provenance.get("profile")
    if profile == "smoke":
        raise ValueError(f"profile must be laptop or full; {shown(directory)} was run at smoke. Run it again.")
    commit = found.provenance.get("commit")
    if not isinstance(commit, str) or commit.endswith("+"):
        raise ValueError(
            f"commit must name the code that made a result; {shown(directory)} has {shown(commit)}. Commit, and run it again."
        )
    path = folder / f"{re.sub(r'[:?/ ]', '-', _name(found))}.json"
    write_json(path, to_json(shortened(found)))
    return path


def _name(found: StudyResult | Record | Findings) -> str:
    if isinstance(found, Findings):
        parts = found.provenance.get("parts")
        return "-".join([str(found.provenance["panel"]), *(map(str, parts) if isinstance(parts, list) else ())])
    return found.study if isinstance(found, StudyResult) else str(found.subject["name"])


def kept(folder: Path, expected: type[Found]) -> dict[str, Found]:
    """The documents of a folder by their names, in alphabetical order.

    Raises:
        ValueError: a document that was changed, or is of another kind.
    """
    paths = sorted(folder.glob("*.json"))
    return {path.stem: from_json(expected, read_sealed(path), shown(path), ours=True) for path in paths}


def _main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m mesascope.records.keeping", description=__doc__)
    parser.add_argument("directories", metavar="DIR", type=Path, nargs="+", help="what a run wrote")
    parser.add_argument("--to", metavar="FOLDER", type=Path, required=True, help="such as docs/findings")
    options = parser.parse_args(arguments)
    try:
        for directory in options.directories:
            print(keep(directory, options.to))
    except ValueError as refused:
        parser.error(str(refused))


if __name__ == "__main__":
    _main()

"""Writes statements to files, in the languages of provers or for readers."""

from collections.abc import Sequence
from pathlib import Path

from mesascope.records.directories import claim
from mesascope.records.store import write_text
from mesascope.theory import lean, page, rocq, smt
from mesascope.theory.statement import Statement


def files(statements: Sequence[Statement], to: str) -> dict[str, str]:
    """The texts by file name.

    Raises:
        ValueError: an unknown language.
    """
    match to:
        case "rocq":
            return {"statements.v": rocq.module(statements)}
        case "lean":
            return {"Statements.lean": lean.module(statements)}
        case "smt":
            return {f"{s.key}.smt2": smt.module(s) for s in statements}
        case "markdown":
            return {"statements.md": page.module(statements)}
    raise ValueError(f"to must be rocq, lean, smt or markdown; got {to!r}. Choose one of these.")


def export(statements: Sequence[Statement], to: str, directory: Path | str) -> tuple[Path, ...]:
    """Write the statements for a prover or a reader; return the files.

    Raises:
        ValueError: an unknown language, or a directory that holds other files.
    """
    texts = files(statements, to)
    with claim(directory, "statements") as folder:
        for name, text in texts.items():
            write_text(folder / name, text)
    return tuple(folder / name for name in texts)

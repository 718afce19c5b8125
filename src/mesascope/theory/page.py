"""The statements for readers as Markdown: in words, in mathematics, and with the networks that they are checked on."""

import inspect
from collections.abc import Iterator, Sequence

from mesascope.theory import running
from mesascope.theory.mathematics import mathematics
from mesascope.theory.statement import Statement
from mesascope.theory.statements import TOPICS


def module(statements: Sequence[Statement]) -> str:
    """A page with one section for each topic that has any of these statements."""
    wanted = {s.key for s in statements}
    networks = running.networks()
    parts = [
        "# The statements",
        f"What these are, and what stands behind them: [theory.md](theory.md). There are {len(wanted)}.",
    ]
    for topic in TOPICS:
        if entries := [_entry(s, networks.get(s.key, ())) for s in topic.STATEMENTS if s.key in wanted]:
            heading, _, more = inspect.cleandoc(topic.__doc__ or "").partition("\n")
            parts += [f"## {heading.rstrip('.')}", *filter(None, [more.strip()]), *entries]
    return "\n\n".join(parts) + "\n"


def _entry(statement: Statement, networks: Sequence[str]) -> str:
    return "  \n".join(_lines(statement, networks))


def _lines(statement: Statement, networks: Sequence[str]) -> Iterator[str]:
    yield f"**{statement.key}**, {_plain(statement.name)}. {_plain(statement.words)}"
    yield f"`{mathematics(statement)}`"
    if statement.departs:
        yield _plain(statement.departs)
    ran = f" Asked of networks that run: {', '.join(networks)}." if networks else ""
    yield f"*{_plain(statement.source)}. Used: {_plain(statement.used)}.{ran}*"


def _plain(text: str) -> str:
    """Text in which a star is a star, as in w*, and no emphasis."""
    return text.replace("*", r"\*")

"""Builds the site: ``python docs/build.py`` writes ``site/`` and ends with status 1 if anything on it is wrong.

Zensical builds it and stops at links that lead nowhere. Two things it does not stop at are looked for here: a block of code that
fails, of which markdown-exec only warns, and a plugin that Zensical does not know and ignores, so that a block or a reference
stands on the page as it was written. Blocks run in an empty folder, with the package as installed.
"""

import argparse
import logging
import os
import re
import sys
import tempfile
from pathlib import Path

import zensical

ROOT = Path(__file__).parents[1]
UNTOUCHED = re.compile(r'exec="(?:1|on|true|yes)"|<p>::: \w')
"""What is left on a page if nobody ran its blocks or wrote its references."""


class Failures(logging.Handler):
    """Keeps what markdown-exec and mkdocstrings warn of."""

    def __init__(self) -> None:
        super().__init__(level=logging.WARNING)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a warning."""
        self.messages.append(f"{record.name}: {record.getMessage()}")


def build(config: Path) -> list[str]:
    """Build a site; return what is wrong with it.

    Args:
        config: its ``mkdocs.yml``, with a folder ``docs`` beside it.
    """
    failures = Failures()
    logging.getLogger().addHandler(failures)
    sys.path.insert(0, str(config.parent / "docs"))
    before, pages = Path.cwd(), config.parent / "site"
    # The commands of this environment, the same numbers at every build, and no progress bars among what commands say.
    commands = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    os.environ |= {"PATH": commands, "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    try:
        with tempfile.TemporaryDirectory() as empty:
            os.chdir(empty)
            try:
                zensical.build(str(config), {"strict": True, "clean": True})
            except RuntimeError as error:
                failures.messages.append(str(error))
            finally:
                os.chdir(before)
    finally:
        logging.getLogger().removeHandler(failures)
        sys.path.remove(str(config.parent / "docs"))
    untouched = [
        f"{page.relative_to(pages)}: {found[0]} stands there as it was written; is its plugin installed?"
        for page in sorted(pages.rglob("*.html"))
        if (found := UNTOUCHED.search(page.read_text(encoding="utf-8")))
    ]
    return failures.messages + untouched


def main() -> int:
    """Build this project's site, or the one whose configuration is named; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", nargs="?", type=Path, default=ROOT / "mkdocs.yml", help="default: this project's")
    wrong = build(parser.parse_args().config.resolve())
    for message in wrong:
        print(message, file=sys.stderr)
    print(f"{len(wrong)} faults" if wrong else "every block ran, every link leads somewhere")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

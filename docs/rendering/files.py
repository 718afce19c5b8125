"""Files that a page shows and its commands use: modules of a user's own."""

import shutil

from rendering import DOCS

EXAMPLES = DOCS / "examples"


def show(name: str) -> str:
    """Copy a file to where the page's commands run; return its text as a block of code with its name.

    Args:
        name: a file in ``docs/examples``.
    """
    shutil.copyfile(EXAMPLES / name, name)
    language = {"py": "python"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    return f'```{language} title="{name}"\n{(EXAMPLES / name).read_text(encoding="utf-8").rstrip()}\n```\n'

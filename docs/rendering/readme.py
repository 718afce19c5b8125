"""The two pictures of the README and the front page, from committed results: ``PYTHONPATH=docs python -m rendering.readme``.

``assets/response.svg`` is drawn from an examination in the gallery. ``assets/page.png`` is the top of the page of an
examination in a directory, ``--page out/examine-…``, as Chromium shows it.
"""

import argparse
import subprocess
from pathlib import Path

from mesascope.records.store import write_text
from rendering import DOCS
from rendering.gallery import examined
from rendering.pictures import svg

NETWORK = "query-only-4-layers-laptop"
SIZE = "900,705"


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--page", type=Path, help="directory that `mesascope examine` wrote")
    options = parser.parse_args()
    (figure,) = examined()[NETWORK].figures
    write_text(DOCS / "assets" / "response.svg", svg(figure))
    if options.page is not None:
        shot, page = DOCS / "assets" / "page.png", (options.page / "report.html").resolve()
        chromium = ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={SIZE}"]
        subprocess.run([*chromium, f"--screenshot={shot}", page.as_uri()], check=True, capture_output=True)


if __name__ == "__main__":
    _main()

"""What the pages of this site show of committed results: tables, pictures, and nothing that is computed anew."""

from pathlib import Path

DOCS = Path(__file__).parents[1]
FINDINGS = DOCS / "findings"
"""What studies found: one document each, written by ``python -m mesascope.records.keeping``."""
GALLERY = DOCS / "gallery"
"""What examinations of the models that ship found."""
CALIBRATIONS = DOCS / "calibrations"
"""What came of planted subjects whose answer is known."""

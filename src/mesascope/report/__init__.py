"""Pages: one self-contained HTML file that shows a record, or any other collection of figures and tables.

This is the only part of Mesascope that draws. All other parts pass `mesascope.types.Figure` values to it.
"""

from markupsafe import Markup as trusted  # noqa: N813  (HTML that is not escaped; plain text is)

from mesascope.report.description import ladder
from mesascope.report.figures import draw
from mesascope.report.pages import failures, page, sentences, silent_failures
from mesascope.report.shell import Section, document, is_page
from mesascope.report.studies import judged, study_page
from mesascope.report.tables import Table, measurement_tables, tabulate, text_table

__all__ = [
    "page",
    "study_page",
    "judged",
    "document",
    "is_page",
    "Section",
    "draw",
    "sentences",
    "failures",
    "silent_failures",
    "ladder",
    "Table",
    "tabulate",
    "measurement_tables",
    "text_table",
    "trusted",
]

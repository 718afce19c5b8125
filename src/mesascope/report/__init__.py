"""Pages: one self-contained HTML file that shows a record, or any other collection of figures and tables.

The only part of Mesascope that draws. Everything else hands over `mesascope.types.Figure` values.
"""

from markupsafe import Markup as trusted  # noqa: N813  (HTML that is put on the page as it is; text is escaped)

from mesascope.report.figures import draw
from mesascope.report.page import failures, page, sentences
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
    "Table",
    "tabulate",
    "measurement_tables",
    "text_table",
    "trusted",
]

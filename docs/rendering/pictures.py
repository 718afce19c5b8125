"""Figures as HTML: a drawing for reading, its caption below."""

import base64

import vl_convert
from markupsafe import Markup, escape

from mesascope.report import draw
from mesascope.report.tables import figure_tables
from mesascope.types import Figure


def svg(figure: Figure) -> str:
    """A figure as an SVG document on white."""
    spec = draw(figure)
    spec["config"] = {**spec["config"], "background": "#ffffff", "padding": 8}
    return vl_convert.vegalite_to_svg(spec)


def picture(figure: Figure) -> Markup:
    """A figure with its title and caption; one of kind ``table`` as a table."""
    if figure.kind == "table":
        body = Markup("").join(table(part.head, part.rows) for part in figure_tables(figure))
    else:
        data = base64.b64encode(svg(figure).encode()).decode()
        body = Markup('<div class="plot"><img alt="{}" src="data:image/svg+xml;base64,{}"></div>').format(
            figure.title, data
        )
    return Markup("<figure><p><strong>{}</strong></p>{}<figcaption>{}</figcaption></figure>").format(
        figure.title, body, figure.caption
    )


def table(head: tuple[str, ...], rows: tuple[tuple[str, ...], ...]) -> Markup:
    """Cells of text as an HTML table that scrolls where the screen is narrow."""
    heads = Markup("").join(Markup("<th>{}</th>").format(text) for text in head)
    lines = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(cell) for cell in row))
        for row in rows
    )
    return Markup('<div class="scroll"><table><thead><tr>{}</tr></thead><tbody>{}</tbody></table></div>').format(
        heads, lines
    )


def fold(summary: str, body: Markup) -> Markup:
    """Something that a reader opens."""
    return Markup("<details><summary>{}</summary>{}</details>").format(escape(summary), body)

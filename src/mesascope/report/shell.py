"""The frame of every page: one HTML file that loads nothing from elsewhere and runs only its own scripts."""

import base64
import dataclasses
import functools
import hashlib
import itertools
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import vl_convert
from markupsafe import Markup

from mesascope.report import figures, formatting, tables
from mesascope.types import Figure

LARGEST = 5_500_000
"""Largest size of a page in bytes. Figures that would exceed it are left out, and the page says so."""

_GENERATOR = '<meta name="generator" content="mesascope">'
_HERE = Path(__file__).parent
PageBlock = str | Figure | tables.Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a page.

    Attributes:
        title: its heading.
        blocks: its contents, in order: figures, tables, texts (escaped, one paragraph each), or trusted `Markup`.
        folded: whether it starts closed.
    """

    title: str
    blocks: tuple[PageBlock, ...]
    folded: bool = False


def document(
    title: str, lead: Sequence[PageBlock], sections: Sequence[Section], *, subtitle: str = "", kicker: str = "Mesascope"
) -> str:
    """A complete HTML document.

    Args:
        title: the heading and the window's title.
        lead: the blocks before the first section.
        sections: the sections; each gets an entry in the table of contents.
        subtitle: a line below the heading.
        kicker: a line above the heading.
    """
    bundle, script, css = _bundle(), (_HERE / "page.js").read_text("utf-8"), (_HERE / "page.css").read_text("utf-8")
    policy = "; ".join(
        [
            "default-src 'none'",
            f"script-src {_digest(bundle)} {_digest(script)}",
            "style-src 'unsafe-inline'",
            "img-src data: blob:",
            "base-uri 'none'",
            "form-action 'none'",
        ]
    )
    names: set[str] = set()
    count = itertools.count(1)

    def place(blocks: Sequence[PageBlock]) -> list[PageBlock | _Picture]:
        return [_picture(b, names, next(count)) if isinstance(b, Figure) else b for b in blocks]

    placed = [(_unused(anchor(section.title), names), section) for section in sections]
    parts = [place(lead), *(place(section.blocks) for section in sections)]

    def render(parts: list[list[PageBlock | _Picture]]) -> str:
        return (
            environment()
            .get_template("page.html.j2")
            .render(
                title=title,
                subtitle=subtitle,
                kicker=kicker,
                lead=parts[0],
                sections=[(name, section, blocks) for (name, section), blocks in zip(placed, parts[1:], strict=True)],
                policy=policy,
                generator=Markup(_GENERATOR),
                css=Markup(css),
                bundle=Markup(bundle),
                script=Markup(script),
            )
        )

    html = render(_within(LARGEST - len(render(_within(0, parts)).encode("utf-8", "replace")), parts))
    # A lone surrogate in foreign text could not be written to a file.
    return html.encode("utf-8", "replace").decode("utf-8")


def is_page(path: Path) -> bool:
    """Whether a file is a page made by mesascope, according to its head."""
    with path.open("rb") as file:
        return _GENERATOR.encode() in file.read(2000)


def anchor(text: str) -> str:
    """A name that is safe in a URL."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "part"


def embed(value: object) -> Markup:
    """JSON that is safe inside a script element: nothing in it can end the element or a line."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


@functools.cache
def environment() -> jinja2.Environment:
    """The Jinja environment of all templates: everything is escaped, and an undefined name is an error."""
    made = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_HERE),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": formatting.number, "anchor": anchor}
    made.globals |= {
        "labels": formatting.LABELS,
        "measured": formatting.measured,
        "figure_tables": tables.figure_tables,
        "kind_of": _kind_of,
    }
    return made


def macro(template: str, name: str, *arguments: object) -> Markup:
    """The output of a template's macro, which escapes its arguments."""
    return Markup(getattr(environment().get_template(template).module, name)(*arguments))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Picture:
    """A figure with its name and number on the page. ``spec`` is None if nothing can be drawn or the page is full."""

    figure: Figure
    name: str
    number: int
    spec: Markup | None = None
    note: str = ""


def _picture(figure: Figure, names: set[str], number: int) -> _Picture:
    name = _unused(f"figure-{anchor(figure.name)}", names)
    if figure.kind == "table" or not figure.rows:
        return _Picture(figure=figure, name=name, number=number)
    drawing = figures.draw(figure)
    hidden = drawing["usermeta"]["hidden"]
    note = f" Not on the logarithmic axis, being zero or negative: {hidden} of {len(figure.rows)} points."
    return _Picture(figure=figure, name=name, number=number, spec=embed(drawing), note=note if hidden else "")


def _within(room: int, parts: list[list[PageBlock | _Picture]]) -> list[list[PageBlock | _Picture]]:
    """The same parts, without the specs that do not fit into the remaining room; earlier figures come first."""
    kept: list[list[PageBlock | _Picture]] = []
    for blocks in parts:
        kept.append([])
        for block in blocks:
            if isinstance(block, _Picture) and block.spec is not None:
                fits = len(block.spec) <= room
                room -= len(block.spec) if fits else 0
                block = block if fits else dataclasses.replace(block, spec=None)
            kept[-1].append(block)
    return kept


def _unused(name: str, names: set[str]) -> str:
    """The name, with a number appended if another part of the page already has it."""
    found = next(tried for i in itertools.count(1) if (tried := name if i == 1 else f"{name}-{i}") not in names)
    names.add(found)
    return found


def _kind_of(block: PageBlock | _Picture) -> str:
    if isinstance(block, _Picture):
        return "picture"
    return "table" if isinstance(block, tables.Table) else "markup" if isinstance(block, Markup) else "text"


@functools.cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as shipped with vl-convert, without a network; building this takes two seconds."""
    bundle = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    assert not any(text in bundle for text in ("</script", "<!--", "\r")), "this bundle cannot stand in a page"
    return bundle


def _digest(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def flat(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as rows of path and value, for tables of settings: exact values that can be copied."""
    if isinstance(value, Mapping):
        return [row for key, inner in value.items() for row in flat(inner, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, list | tuple) and any(isinstance(v, Mapping) for v in value):
        return [row for i, inner in enumerate(value) for row in flat(inner, f"{prefix}[{i}]")]
    if isinstance(value, list | tuple):
        return [(prefix, ", ".join(map(str, value)))]
    return [(prefix, formatting.MISSING if value is None else str(value))]

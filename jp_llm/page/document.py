"""A page that stands alone: one file without scripts, nothing fetched, for light and dark screens and for paper."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from jp_llm.page.element import Html, element
from jp_llm.runtime.files import atomic_writer

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_LIGHT = """--paper: #fff; --ink: #222; --quiet: #666; --rule: #ddd; --box: #f6f6f6; --grey: #b9c4cc; --warn: #fbeeeb;
  --good: #ebf3f8; --c0: #2b6f98; --c1: #c8553d; --c2: #4a8c3f; --c3: #8457a6; --c4: #a8790a; --c5: #1b8a8a;
  --c6: #b8438a; --c7: #6b6b6b"""
_DARK = """--paper: #16191c; --ink: #e4e6e8; --quiet: #9aa3ab; --rule: #363c42; --box: #21262b; --grey: #5a666f;
  --warn: #40251f; --good: #1b3443; --c0: #6ab4e0; --c1: #ee8a72; --c2: #86c97a; --c3: #bd95dd; --c4: #dfb450;
  --c5: #5cc4c4; --c6: #e58bc0; --c7: #aaaaaa"""
_COLOURS = 8
_STYLE = f"""
:root {{ color-scheme: light dark; {_LIGHT} }}
@media (prefers-color-scheme: dark) {{ :root {{ {_DARK} }} }}
@media print {{ :root {{ color-scheme: light; {_LIGHT} }} }}
""" + """
body { font: 14px/1.5 system-ui, "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", sans-serif; margin: 2em auto;
       max-width: 80em; padding: 0 1em; color: var(--ink); background: var(--paper) }
h1, h2, h3 { line-height: 1.2; margin: 1.6em 0 .5em; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
th, td { text-align: right; padding: .15em .6em; border-bottom: 1px solid var(--rule); vertical-align: top }
th:first-child, td:first-child { text-align: left }
table.facts { width: auto } table.facts td, .words td, .words th, .log td, .log th { text-align: left }
.facts td, .words td, .log td { overflow-wrap: anywhere }
.facts td:first-child, .log td:not(:last-child) { white-space: nowrap } .log td:last-child { width: 99% }
table.facts td:first-child { color: var(--quiet) }
tr.reason td { color: var(--quiet); border-bottom-style: dotted }
tr.reason td:first-child { padding-left: 2em }
tr.stage td { font-weight: 600 }
.bar { width: 9em; background: var(--box); height: .9em; margin-top: .3em }
.bar div { height: 100% } .kept { background: var(--c0) } .lost { background: var(--c1) }
svg { margin: 0 1.5em 1em 0; max-width: 100% } .series0 { fill: var(--grey) } .series1 { fill: var(--c0) }
text { font-size: 10px; fill: var(--quiet) } text.title { font-size: 11px; fill: var(--ink) }
text.label { text-anchor: middle } text.end { text-anchor: end }
details { margin: .3em 0 } summary { cursor: pointer }
pre { white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; background: var(--box);
      margin: .2em 0 .6em; padding: .4em .6em; max-height: 16em; overflow: auto }
pre.before { background: var(--warn) } pre.after { background: var(--good) }
.id { color: var(--quiet); font-size: 12px; overflow-wrap: anywhere }
.notes { background: var(--warn); padding: .5em 1em; margin: 1em 0; overflow-wrap: anywhere }
.notes p, .state { margin: .2em 0 } .state { font-weight: 600; overflow-wrap: anywhere }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 34em), 1fr)); gap: .5em 2em }
figure { margin: 0; break-inside: avoid } figure svg { display: block; width: 100%; margin: 0 }
figcaption { font-weight: 600 } .legend { color: var(--quiet); font-size: 12px; display: flex; flex-wrap: wrap;
      gap: 0 1.2em; overflow-wrap: anywhere }
.legend i { display: inline-block; width: 1em; height: .25em; margin-right: .4em; vertical-align: .25em }
.legend b { font-weight: 600; margin-right: .3em }
.grid { stroke: var(--rule); stroke-width: 1 } .mark { stroke-width: 1; stroke-dasharray: 2 2 }
.line { fill: none; stroke-width: 1.5; stroke-linejoin: round }
.faint { stroke-width: 1; opacity: .7; stroke-dasharray: 4 2 }
.band { opacity: .25; stroke: none }
@media (max-width: 40em) { .charts text.end, .charts text.label { font-size: 13px } }
@media print { body { max-width: none; margin: 0 } pre { max-height: none } a { color: inherit } }
""" + "\n".join(
    f".line{i}, .line{i} + circle {{ stroke: var(--c{i}) }} .band{i}, .dot{i}, text.ink{i} {{ fill: var(--c{i}) }} "
    f".key{i} {{ background: var(--c{i}) }} b.ink{i} {{ color: var(--c{i}) }}"
    for i in range(_COLOURS)
)  # fmt: skip


def document(title: str, *body: Html) -> str:
    """The whole file."""
    head = element(
        "head",
        Html(
            f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        ),
        element("title", title),
        element("style", Html(_STYLE)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, element('body', *body), lang='en')}\n"


def write_document(path: Path, page: str) -> None:
    """Write a page as UTF-8, whole or not at all."""
    with atomic_writer(path) as file:
        file.write(page.encode("utf-8", "replace"))


def table(columns: Sequence[str], rows: Iterable[Html], class_: str | None = None) -> Html:
    """Rows below their headings; a table that is too wide scrolls by itself."""
    head = element("thead", element("tr", *(element("th", column) for column in columns)))
    return element("div", element("table", head, element("tbody", *rows), class_=class_), class_="wide")


def facts(rows: Iterable[tuple[str, str | Html]]) -> Html:
    """Names and what there is to say about them."""
    return element("table", element("tbody", *(table_row(cells) for cells in rows)), class_="facts")


def table_row(cells: Iterable[str | Html], class_: str | None = None) -> Html:
    """A row of a table."""
    return element("tr", *(element("td", cell) for cell in cells), class_=class_)

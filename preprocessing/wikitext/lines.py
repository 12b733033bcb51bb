"""Lines: headings and the sections under them, lists, and what an unclosed table left behind."""

from collections import Counter
from collections.abc import Collection

from preprocessing.wikitext.marks import BREAK, BROKEN, HOLE, NOTHING

REFERENCE_SECTIONS = (
    "脚注",
    "脚註",
    "注釈",
    "註釈",
    "注",
    "註",
    "注記",
    "出典",
    "出典元",
    "参考文献",
    "参考資料",
    "参考図書",
    "参考書籍",
    "参考サイト",
    "参照",
    "文献",
    "典拠",
    "引用文献",
    "引用元",
    "関連項目",
    "関連文献",
    "関連書籍",
    "関連リンク",
    "関連記事",
    "外部リンク",
    "外部サイト",
    "notes",
    "footnotes",
    "references",
    "citations",
    "sources",
    "bibliography",
    "further reading",
    "see also",
    "external links",
    "external link",
)
"""Titles of sections without running text; a title made of several of them (脚注・出典, 注釈と出典) is one too.
資料, 引用 and リンク are not among them: many articles have text under these."""

_MARKS = "*#:;"
_VANISHING = " \t\u3000\u00a0*#:;、，,・" + HOLE + NOTHING
"""A line that holds nothing else, and a hole among it, goes as a whole."""
_BLANK = " \t\u3000\u00a0" + NOTHING
_SPECIAL = frozenset("=*#:;- \t|!{" + BREAK + BROKEN)
_JOINERS = ("および", "及び", "ならびに", "並びに", "／", "/", "・", "、", "と", "&", "＆", "，", ",", " and ")


def is_cut(title: str, titles: Collection[str]) -> bool:
    """Whether the section of this title is one of `titles`, or of several of them."""
    title = title.strip().lower()
    if title in titles:
        return True
    for joiner in _JOINERS:
        title = title.replace(joiner, "\n")
    parts = [part.strip() for part in title.split("\n") if part.strip()]
    return bool(parts) and all(part in titles for part in parts)


def plain_lines(text: str, cut: Collection[str], keep_headings: bool, removed: Counter[str]) -> str:
    """`text` without the marks of lists and headings, the sections in `cut` with all below them, and empty sections.

    What goes with sections is counted by their number and their characters (`section_characters`, titles aside). A
    heading stays as a line of its own if text follows before the next heading of its level or above.
    """
    out = _Out(keep_headings, removed)
    cut_level = 0
    broken = BROKEN in text
    for line in text.split("\n"):
        holes = HOLE in line
        if holes:
            if not line.strip(_VANISHING):
                continue
            line = line.replace(HOLE, "")
        if line and line[0] in _SPECIAL:
            level, title = _heading(line)
            if level:
                if cut_level and level > cut_level:
                    removed["section_characters"] += len(title)
                    continue
                cut_level = level if is_cut(title.replace(BREAK, ""), cut) else 0
                removed["section"] += bool(cut_level)
                out.heading(level, title, wanted=not cut_level)
                continue
            if broken and line[0] in "|!" + BROKEN:
                removed["table_line"] += 1
                continue
            if line.startswith("----"):
                line = line.lstrip("-")
            line = line.lstrip(_MARKS).lstrip(" \t")
        if cut_level:
            removed["section_characters"] += len(line)
            continue
        if BREAK in line:
            for piece in line.split(BREAK):
                if piece.strip():
                    out.line(piece.strip(" \t"))
        else:
            out.line(line)
    return out.text()


def _heading(line: str) -> tuple[int, str]:
    """Level and title; level 0: no heading."""
    if line[0] != "=":
        return 0, ""
    line = line.rstrip()
    level = min(len(line) - len(line.lstrip("=")), len(line) - len(line.rstrip("=")), 6)
    title = line[level:-level].strip() if level else ""
    return (level, title) if title else (0, "")


class _Out:
    """Lines as they are written: one empty line at most, and headings when the first text under them comes."""

    def __init__(self, keep_headings: bool, removed: Counter[str]) -> None:
        self._lines: list[str] = []
        self._waiting: list[tuple[int, str]] = []
        self._blank = False
        self._keep_headings = keep_headings
        self._removed = removed

    def heading(self, level: int, title: str, *, wanted: bool) -> None:
        while self._waiting and self._waiting[-1][0] >= level:
            self._waiting.pop()
            self._removed["empty_section"] += 1
        if wanted:
            self._waiting.append((level, title))
        self._blank = True

    def line(self, line: str) -> None:
        if not line.strip(_BLANK):
            self._blank = True
            return
        for _, title in self._waiting:
            if self._keep_headings:
                self._add(title.replace(BREAK, " "), blank=True)
        if self._waiting:
            self._blank = not self._keep_headings
            self._waiting.clear()
        self._add(line, blank=self._blank)
        self._blank = False

    def text(self) -> str:
        self._removed["empty_section"] += len(self._waiting)
        return "\n".join(self._lines)

    def _add(self, line: str, *, blank: bool) -> None:
        if blank and self._lines:
            self._lines.append("")
        self._lines.append(line)

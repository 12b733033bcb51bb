"""Works in the format of Aozora Bunko: `aozora/<author>/<work>.txt`, CP932, CRLF, header, legend, markup, colophon."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from preprocessing.sample.compose import compose_work
from preprocessing.sample.document import Defect, SampleDocument
from preprocessing.sample.formats.aozora_markup import OLD_FORMS, Markup, gaiji_note
from preprocessing.sample.formats.placed import Placed
from preprocessing.sample.names import NAMES
from preprocessing.sample.numbers import kanji_number
from preprocessing.sample.writer import HEADING, Composition

FOLDER = "aozora"
_RULE = "-" * 55
_WORKS_PER_AUTHOR = 6
_WITHOUT_LEGEND_EVERY = 16
"""6 % of the collection have no legend and no rule."""
_RESERVED_EVERY = 60
"""One work of so many states that rights are reserved, the first among the first three: it ought to be rejected."""
_RUBY = re.compile("[一-鿿々]+《[^》]*》")
_RUBY_WITH_BAR = re.compile("｜[^《\n]*《[^》]*》")
_INNER_SPACE = re.compile("(?<=[^\n])\u3000")
"""U+3000 indents paragraphs of books; elsewhere cleaning makes it U+0020."""
_FULL_WIDTH_DIGITS = str.maketrans("0123456789", "０１２３４５６７８９")


@dataclass(frozen=True)
class _Body:
    raw: list[str]
    clean: list[str]


def write(corpus: Path, characters: int, seed: int) -> Iterator[Placed]:
    """Works until their clean texts have `characters` characters."""
    written = index = 0
    author = ""
    while written < characters:
        if index % _WORKS_PER_AUTHOR == 0:
            author = NAMES["person"](Random(f"{seed}/author/{index // _WORKS_PER_AUTHOR}"))[""][0]
        placed, size = _write_work(corpus, index, author, Random(f"{seed}/{FOLDER}/{index}"))
        written += size
        index += 1
        yield placed


def _write_work(corpus: Path, index: int, author: str, rng: Random) -> tuple[Placed, int]:
    register, chapters = compose_work(rng, rng.choice((1, 1, 2, 3, 4, 6, 8)))
    title = chapters[0].title
    readings = {name: kana for chapter in chapters for name, kana in chapter.readings.items()}
    markup = Markup(rng, readings, old_forms=rng.random() < 0.5, repeat_marks=rng.random() < 0.3)
    body = _body(chapters, register, markup)
    reserved = index % _RESERVED_EVERY == 2
    without_legend = index % _WITHOUT_LEGEND_EVERY == 4
    lines = [title, author, ""]
    if not without_legend:
        lines += [*_legend(markup.counts, body.raw), ""]
    lines += [*body.raw, "", "", "", *_colophon(rng, title, author, reserved=reserved)]
    file = f"{FOLDER}/{index // _WORKS_PER_AUTHOR + 1:06d}/{index + 101}_ruby.txt"
    path = corpus / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(line + "\r\n" for line in lines).encode("cp932"))
    clean = _INNER_SPACE.sub(" ", "\n".join(body.clean))
    details = {"title": title, "author": author, "markup": dict(sorted(markup.counts.items()))}
    document = SampleDocument(f"{FOLDER}-{index:06d}", register, title, "", clean)
    if reserved:
        defects = (Defect("rights_reserved"),)
        document = SampleDocument(
            document.id, register, title, "", None, expected="reject", reason="rights_reserved", defects=defects
        )
    return Placed(document, file, 0, details), len(clean)


def _body(chapters: list[Composition], register: str, markup: Markup) -> _Body:
    """All chapters, numbered when there are several; paragraphs are indented except where speech begins."""
    raw: list[str] = []
    clean: list[str] = []

    def add(raw_line: str, clean_line: str | None) -> None:
        raw.append(raw_line)
        if clean_line is not None:
            clean.append(clean_line)

    for number, chapter in enumerate(chapters, 1):
        if number > 1 and markup.rng.random() < 0.4:
            add("［＃改ページ］", None)
            markup.counts["page_break"] += 1
        if len(chapters) > 1:
            heading = kanji_number(number) + (f"\u3000{chapter.title}" if number > 1 and chapter.title else "")
            add(_heading(markup, heading), heading)
            add("", "")
        inset = False
        for paragraph in chapter.paragraphs:
            if paragraph.startswith(HEADING):
                heading = paragraph.removeprefix(HEADING)
                add(_heading(markup, heading), heading)
                continue
            verse = register == "haiku" and paragraph.count("\u3000") == 2
            if verse != inset:
                add("［＃ここから２字下げ］" if verse else "［＃ここで字下げ終わり］", None)
                markup.counts["inset"] += verse
                inset = verse
            marked, plain = markup.line(paragraph)
            indent = "" if verse or paragraph.startswith("「") else "\u3000"
            add(indent + marked, indent + plain)
        if inset:
            add("［＃ここで字下げ終わり］", None)
        if number < len(chapters):
            add("", "")
    if markup.rng.random() < 0.4:
        date = f"（昭和{kanji_number(markup.rng.randint(2, 40))}年{kanji_number(markup.rng.randint(1, 12))}月）"
        add(f"［＃地付き］{date}", date)
        markup.counts["flush"] += 1
    return _Body(raw, clean)


def _heading(markup: Markup, heading: str) -> str:
    markup.counts["heading"] += 1
    indent = str(markup.rng.choice((3, 5, 8))).translate(_FULL_WIDTH_DIGITS)
    return f"［＃{indent}字下げ］{heading}［＃「{heading}」は{markup.rng.choice(('大', '中', '小'))}見出し］"


def _legend(counts: Counter[str], body: list[str]) -> list[str]:
    """What the signs mean, with examples from the text; only signs that occur are explained."""
    lines = [_RULE, "【テキスト中に現れる記号について】", ""]
    text = "\n".join(body)
    if ruby := _RUBY.search(text):
        lines += ["《》：ルビ", f"（例）{ruby[0]}", ""]
    if ruby := _RUBY_WITH_BAR.search(text):
        lines += ["｜：ルビの付く文字列の始まりを特定する記号", f"（例）{ruby[0]}", ""]
    if counts["heading"] or counts["emphasis"] or counts["inset"] or counts["flush"] or counts["gaiji"]:
        lines += ["［＃］：入力者注\u3000主に外字の説明や、傍点の位置の指定"]
        if counts["gaiji"]:
            lines += ["\u3000\u3000\u3000（数字は、JIS X 0213の面区点番号、または底本のページと行数）"]
        lines += [f"（例）{gaiji_note(OLD_FORMS['頬'][0]) if counts['gaiji'] else '［＃３字下げ］'}", ""]
    if counts["repeat_mark"]:
        lines += ["／＼：二倍の踊り字（「く」を縦に長くしたような形の繰り返し記号）", "（例）いよ／＼"]
        lines += ["＊濁点付きの二倍の踊り字は「／″＼」", ""]
    return [*lines[: -1 if lines[-1] == "" else None], _RULE]


def _colophon(rng: Random, title: str, author: str, *, reserved: bool) -> list[str]:
    """Book, dates and volunteers, all invented."""
    western = rng.randint(1948, 1996)
    year = f"{western}（昭和{western - 1925}）年" if western < 1989 else f"{western}（平成{western - 1988}）年"
    publisher = NAMES["company"](rng)["stem"][0] + "書房"
    book = rng.choice((title, f"{author}集", f"{author}作品集\u3000第{rng.randint(1, 9)}巻"))
    typist, reader = (NAMES["person"](rng)[""][0] for _ in range(2))
    made = f"{rng.randint(2000, 2023)}年{rng.randint(1, 12)}月{rng.randint(1, 28)}日"
    lines = [
        f"底本：「{book}」{publisher}",
        f"\u3000\u3000\u3000{year}{rng.randint(1, 12)}月{rng.randint(1, 28)}日初版発行",
        f"入力：{typist}",
        f"校正：{reader}",
        f"{made}作成",
        "見本文庫作成ファイル：",
        "このファイルは、jp-llmの見本として機械が作りました。人名、書名、社名は架空のものです。",
    ]
    if reserved:
        lines.append("＊本作品は、著作権が存続しています。")
    return lines

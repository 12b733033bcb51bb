"""How fast do pages of a Wikipedia dump become text on one core, and how long does mwparserfromhell take for them?

Pages are generated: sentences of the project's own sample with the markup of articles (an infobox, links, readings,
references with citations, files, tables, sections, navigation, categories), about as dense as the Japanese Wikipedia:
a piece of markup every 15 to 20 characters of text. --dump takes a real dump (plain or compressed) instead.
Rates are UTF-8 bytes of wikitext per second of CPU time, the best of --repeat runs; the peer, mwparserfromhell's
`parse(...).strip_code()`, gets a part of the same pages, as it is much slower.

    python benchmarks/wikitext.py [--megabytes 20] [--dump jawiki-...-pages-articles.xml.bz2]
"""

import argparse
import io
import random
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import mwparserfromhell
from _report import report

from jp_llm.texts.streams import decompressed
from preprocessing.raw_file import RawFile
from preprocessing.readers.wikipedia import WikipediaReader, _pages, _parse
from preprocessing.sample.grammar import load_registers
from preprocessing.sample.writer import Writer
from preprocessing.wikitext.extractor import Extractor

_HEADINGS = ("概要", "歴史", "地理", "文化", "経済", "交通", "人物", "逸話")
_CITATION = "<ref>{{Cite book|和書|author=山の人|title=川の本|year=1999|publisher=海書房|isbn=1234567890}} 12頁。</ref>"
_END = """== 脚注 ==
{{脚注ヘルプ}}
{{Reflist|2}}
== 関連項目 ==
* [[日本]]
* [[町の一覧]]
== 外部リンク ==
* [http://example.com/ 公式サイト]
{{Navbox|name=n|list1=[[一]]{{·}}[[二]]{{·}}[[三]]}}
{{DEFAULTSORT:しるし}}
[[Category:町]]
[[Category:川]]
"""


def wikitext(lines: Iterable[str], rng: random.Random) -> str:
    """An article of these lines."""
    name = f"町{rng.randrange(10_000)}"
    parts = [
        f"{{{{Infobox 町\n|名称={name}\n|画像=[[ファイル:{name}.jpg|250px|町の様子]]\n|人口="
        f"{{{{formatnum:{rng.randrange(10**6)}}}}}"
        "\n|面積=12.3\n|隣接={{Plainlist|\n* [[北町]]\n* [[南町]]\n}}\n|サイト=[http://example.com/ 公式]\n}}\n"
        f"'''{{{{読み仮名|{name}|まち|英: {{{{lang|en|Town}}}}}}}}'''は、[[日本]]の町である<ref name=\"a\">{{{{Cite web|url=http://"
        "example.com/a|title=町の話|accessdate=2020-01-01|publisher=[[役場]]}}</ref>。\n"
    ]
    for index, line in enumerate(lines):
        if index and index % 6 == 0:
            parts.append(f"\n== {rng.choice(_HEADINGS)} ==\n")
        parts.append(_marked_up(line, rng) + "\n\n")
        if rng.random() < 0.08:
            parts.append("[[ファイル:a.jpg|thumb|right|[[川]]の{{lang|en|view}}]]\n")
        if rng.random() < 0.06:
            rows = "".join(f"|-\n| {year}年 || [[人]]{year} || {{{{0}}}}{year % 97}\n" for year in range(1990, 2000))
            parts.append(f'{{| class="wikitable"\n! 年 !! 人 !! 数\n{rows}|}}\n')
    return "".join([*parts, _END])


def _marked_up(line: str, rng: random.Random) -> str:
    pieces, position = [], 0
    while position < len(line):
        step = rng.randrange(6, 36)
        text = line[position : position + step]
        position += step
        match rng.randrange(12):
            case 0 | 1 | 2:
                text = f"{text[:-4]}[[{text[-4:]}]]"
            case 3:
                text = f"{text[:-3]}[[{text[-3:]} (町)|{text[-3:]}]]"
            case 4:
                text += _CITATION
            case 5:
                text = f"'''{text}'''"
            case 6:
                text += '<ref name="a" />'
            case 7:
                text = f"{text}{{{{仮リンク|{text[:3]}|en|Foo bar}}}}"
            case 8:
                text += "{{R|a}}{{要出典|date=2020年1月}}"
            case 9:
                text = f"{{{{要出典範囲|{text}|date=2019年1月}}}}"
        pieces.append(text)
    return "".join(pieces)


def generated(size: int) -> bytes:
    """A dump of about `size` bytes of wikitext."""
    registers, rng = list(load_registers().values()), random.Random(0)
    pages = ['<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/">', "<siteinfo>", "</siteinfo>"]
    number = written = 0
    while written < size:
        number += 1
        lines = [line for _ in range(6) for line in Writer(rng.choice(registers), rng).compose().lines if line]
        text = wikitext(lines, rng)
        written += len(text.encode())
        pages.append(
            f"  <page>\n    <title>町{number}</title>\n    <ns>0</ns>\n    <id>{number}</id>\n    <revision>\n"
            f"      <timestamp>2020-01-01T00:00:00Z</timestamp>\n      <model>wikitext</model>\n"
            f'      <text bytes="1" xml:space="preserve">{escape(text)}</text>\n    </revision>\n  </page>'
        )
    return "\n".join([*pages, "</mediawiki>", ""]).encode()


def excerpt(path: Path, size: int) -> bytes:
    """The first pages of a real dump."""
    with path.open("rb") as file:
        data = decompressed(file, path.name, max_ratio=1000).read(size)
    return data[: data.rfind(b"</page>") + 8]


def raw_file(data: bytes) -> RawFile:
    return RawFile("wiki", "dump.xml", None, "dump.xml", io.BufferedReader(io.BytesIO(data)))  # type: ignore[arg-type]


def measure(function: Callable[[], Any], repeat: int) -> float:
    """CPU seconds of the fastest run."""
    best = float("inf")
    for _ in range(repeat):
        start = time.process_time()
        function()
        best = min(best, time.process_time() - start)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20, help="wikitext")
    parser.add_argument("--peer-megabytes", type=float, default=1, help="of it for the peer")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the best counts")
    parser.add_argument("--dump", type=Path, help="a real dump, of which the first pages are taken")
    arguments = parser.parse_args()
    size = int(arguments.megabytes * 1e6)
    dump = excerpt(arguments.dump, size) if arguments.dump else generated(size)
    texts = [_parse(page.data).text for page in _pages(raw_file(dump), 1 << 24)]
    few: list[str] = []
    while len(few) < len(texts) and sum(len(text.encode()) for text in few) < arguments.peer_megabytes * 1e6:
        few.append(texts[len(few)])
    extractor, reader = Extractor(), WikipediaReader()
    ways: dict[str, tuple[list[str], Callable[[], Any]]] = {
        "XML dump to documents": (texts, lambda: sum(1 for _ in reader.read(raw_file(dump)))),
        "wikitext to text": (texts, lambda: [extractor.plain_text(text) for text in texts]),
        "wikitext to text, the peer's part": (few, lambda: [extractor.plain_text(text) for text in few]),
        "peer: mwparserfromhell strip_code": (few, lambda: [mwparserfromhell.parse(text).strip_code() for text in few]),
    }
    seconds = {name: measure(way, arguments.repeat) for name, (_, way) in ways.items()}
    rates = {name: sum(len(text.encode()) for text in part) / seconds[name] / 1e6 for name, (part, _) in ways.items()}
    peer = rates["peer: mwparserfromhell strip_code"]
    rows = [
        {"way": name, "pages": len(ways[name][0]), "MB/s per core": rate, "times the peer": rate / peer}
        for name, rate in rates.items()
    ]
    report(
        "Wikitext to text on one core",
        rows,
        text=arguments.dump.name if arguments.dump else "generated",
        bytes=sum(len(text.encode()) for text in texts),
        kept=sum(len(extractor.plain_text(text).encode()) for text in texts),
        mwparserfromhell=mwparserfromhell.__version__,
    )


if __name__ == "__main__":
    main()

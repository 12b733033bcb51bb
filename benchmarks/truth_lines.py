"""How much of what was planted do the line rules and the masks find, and what do they take that they should not?

The sample corpus is generated with its answer key; every document goes through the mappers as a reader yields it.

    python benchmarks/truth_lines.py [--characters 2000000] [--seed 1234] [--show 20]
"""

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from _report import report

from jp_llm.config.build import build
from jp_llm.texts.streams import decompressed
from preprocessing.config import SourceConfig
from preprocessing.document import Document
from preprocessing.mappers.lines import LinesMapper
from preprocessing.mappers.personal_data import PersonalDataMapper
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.mappers.whitespace import WhitespaceMapper
from preprocessing.raw_file import RawFile
from preprocessing.sample.generate import generate

DEMO = Path(__file__).parents[1] / "configs" / "corpus" / "demo.yaml"
Answer = dict[str, Any]


def pairs(folder: Path) -> Iterator[tuple[Answer, Document]]:
    """Every document of the sample that our readers give, with its line of the answer key."""
    sources = yaml.safe_load(DEMO.read_bytes())["sources"].values()
    readers = {Path(source["paths"][0]).name: build(SourceConfig, source).build_reader() for source in sources}
    answers: dict[str, list[Answer]] = {}
    for line in (folder / "answer_key.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        answer = json.loads(line)
        if answer["file"].partition("/")[0] in readers:
            answers.setdefault(answer["file"], []).append(answer)
    for file, expected in answers.items():
        with (folder / file).open("rb") as stream:
            raw = RawFile("sample", file, None, file, decompressed(stream, file, 200.0))
            records = list(readers[file.partition("/")[0]].read(raw))
        yield from (
            (answer, record) for answer, record in zip(expected, records, strict=True) if isinstance(record, Document)
        )


def line_rows(documents: list[tuple[Answer, Document]], before: list[Any], show: int) -> list[Answer]:
    """By kind of line: how many were planted, and how many are gone."""
    planted: Counter[str] = Counter()
    found: Counter[str] = Counter()
    mapper = LinesMapper()
    for answer, document in documents:
        text = document.text
        if answer["expected"] == "reject":
            continue
        kinds = {
            defect["line"].strip(): defect["kind"] for defect in answer["defects"] if defect["type"] == "boilerplate"
        }
        if before:
            kinds = {_mapped(before, line).strip(): kind for line, kind in kinds.items()}
            text = _mapped(before, text)
        left = Counter(mapper.map(Document(document.id, text, "sample"), Counter()).split("\n"))
        lines = Counter(line for line in text.split("\n") if line.strip())
        for line, number in lines.items():
            kind = kinds.get(line.strip(), "prose")
            gone = max(0, number - left[line])
            planted[kind] += number
            found[kind] += gone
            if show and (gone < number if kind != "prose" else gone):
                show -= 1
                print(f"{'left' if kind != 'prose' else 'taken'} {kind}: {line[:100]}")
    boilerplate = [kind for kind in sorted(planted) if kind != "prose"]
    planted["all boilerplate"] = sum(planted[kind] for kind in boilerplate)
    found["all boilerplate"] = sum(found[kind] for kind in boilerplate)
    return [
        {"lines": kind, "in the text": planted[kind], "removed": found[kind], "share": found[kind] / planted[kind]}
        for kind in (*boilerplate, "all boilerplate", "prose")
        if planted[kind]
    ]


def _mapped(mappers: list[Any], text: str) -> str:
    document = Document("", text, "sample")
    for mapper in mappers:
        document.text = mapper.map(document, Counter())
    return document.text


def number_rows(documents: list[tuple[Answer, Document]], show: int) -> list[Answer]:
    """By kind of item: how many were planted, and how many are masked; and masks where nothing was planted."""
    planted: Counter[tuple[str, str]] = Counter()
    masked: Counter[tuple[str, str]] = Counter()
    mapper = PersonalDataMapper()
    elsewhere = 0
    for answer, document in documents:
        found = mapper.find(document.text)
        unexplained = set(found)
        for defect in answer["defects"]:
            if defect["type"] not in ("personal_data", "not_personal_data"):
                continue
            name = (defect["type"], defect["kind"])
            start, end = defect["start"], defect["end"]
            touching = [item for item in found if item.start < end and start < item.end]
            unexplained -= set(touching)
            if defect["type"] == "personal_data":
                hit = any(item.start <= start and end <= item.end and item.kind == defect["kind"] for item in touching)
            else:
                hit = bool(touching)
            planted[name] += 1
            masked[name] += hit
            if show and hit != (defect["type"] == "personal_data"):
                show -= 1
                print(f"{'missed' if not hit else 'false alarm'}: {document.text[max(0, start - 12) : end + 8]!r}")
        elsewhere += len(unexplained)
        for item in sorted(unexplained)[:show]:
            print(f"elsewhere: {document.text[max(0, item.start - 12) : item.end + 8]!r}")
    rows = [
        {"numbers": kind, "personal": personal == "personal_data", "in the text": number, "masked": masked[name]}
        for name, number in sorted(planted.items(), reverse=True)
        for personal, kind in (name,)
    ]
    total = sum(number for (personal, _), number in planted.items() if personal == "personal_data")
    hits = sum(number for (personal, _), number in masked.items() if personal == "personal_data")
    rows.append({"numbers": "all", "personal": True, "in the text": total, "masked": hits})
    rows.append({"numbers": "elsewhere", "personal": False, "in the text": 0, "masked": elsewhere})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=2_000_000, help="size of the sample corpus")
    parser.add_argument("--seed", type=int, default=1234)
    parser.add_argument("--show", type=int, default=0, help="print so many mistakes of each table")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "sample"
        generate(folder, seed=arguments.seed, characters=arguments.characters)
        documents = list(pairs(folder))
    circumstances = {"characters": arguments.characters, "seed": arguments.seed, "documents": len(documents)}
    report("Lines of the page, text as it was read", line_rows(documents, [], arguments.show), **circumstances)
    rows = line_rows(documents, [UnicodeMapper(), WhitespaceMapper()], 0)
    report("The same behind unicode and whitespace", rows, **circumstances)
    report("Personal data", number_rows(documents, arguments.show), **circumstances)


if __name__ == "__main__":
    main()

"""How fast is each set of rules on one core, and what does it drop?

Real text is Aozora Bunko (aozora-pretrain.tar.zst in JP_LLM_DATA, default ../shared/data), in pieces of whole lines of
at most --characters; beside it stands generated web text with its defects. A preset is measured with its mappers, on
documents that are in memory, and with reading from JSON Lines (`read + ...`). Peers: the published Swallow rules with
Counters of strings (tests/helpers/published_rules.py), and for the word lists pyahocorasick and `re` with the same
words. Rates are UTF-8 bytes per second of CPU time, the best of --repeat runs.

    python benchmarks/filters.py [--megabytes 10] [--model quality.npz]
"""

import argparse
import io
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import ahocorasick
import orjson
from _report import report
from _timing import measure
from tokenization import ARCHIVE, aozora, take

from preprocessing import presets
from preprocessing.config import SourceConfig
from preprocessing.counts import Counts
from preprocessing.document import Document
from preprocessing.filters.quality import QualityFilter
from preprocessing.filters.swallow import SwallowFilter
from preprocessing.filters.words import WordsFilter
from preprocessing.pipeline import cleaned
from preprocessing.raw_file import RawFile
from preprocessing.readers.jsonl import JsonLinesReader
from preprocessing.sample.corpus import WebCorpus
from preprocessing.step import Filter, Mapper
from preprocessing.text.folding import fold
from preprocessing.text.word_lists import FOLDER, read_words

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "helpers"))
from published_rules import swallow

LISTS = ("adult", "discrimination", "violence", "ads")


def pieces(texts: Iterable[str], characters: int) -> Iterator[str]:
    """Whole lines, up to so many characters together; longer lines stay whole."""
    for text in texts:
        lines: list[str] = []
        length = 0
        for line in text.split("\n"):
            if lines and length + len(line) > characters:
                yield "\n".join(lines)
                lines, length = [], 0
            lines.append(line)
            length += len(line) + 1
        if lines:
            yield "\n".join(lines)


def generated(characters: int) -> Iterator[str]:
    """Web pages of the project's own sample, defects included; every second one is long."""
    for page in WebCorpus(0).documents("web", 1 << 40, long_every=2, long_characters=characters):
        yield page.raw if isinstance(page.raw, str) else page.raw.decode("utf-8", "replace")


def run(records: Iterable[Any], steps: Sequence[Mapper | Filter]) -> Counts:
    """What the steps do to the documents."""
    counts = Counts()
    counts.documents_out["train"] = sum(1 for _ in cleaned(records, steps, counts, lambda rejected: None))
    return counts


def read(data: bytes) -> Iterator[Any]:
    """The documents of JSON Lines."""
    stream = io.BufferedReader(io.BytesIO(data))  # type: ignore[arg-type]
    return JsonLinesReader().read(RawFile("web", "a.jsonl", None, "a.jsonl", stream))


def preset_rows(texts: Sequence[str], size: int, repeat: int) -> Iterator[dict[str, Any]]:
    """Every preset, and `plain` with `swallow` from JSON Lines as in a whole run."""
    data = b"\n".join(orjson.dumps({"text": text}) for text in texts)
    names = [(name, [{"preset": name}], False) for name in presets.names()]
    whole = [{"preset": "plain"}, {"preset": "swallow"}]
    for name, steps, reads in [
        *names,
        ("read + plain + swallow", whole, True),
        ("read + web", [{"preset": "web"}], True),
    ]:
        source = SourceConfig(reader={"type": "jsonl"}, paths=("a.jsonl",), steps=tuple(steps))
        if source.problems():
            print(f"{name}: {source.problems()}", file=sys.stderr)
            continue
        built = source.build_steps()
        run([Document("", texts[0], "web")], built)

        def once(built: Sequence[Mapper | Filter] = built, reads: bool = reads) -> Counts:
            return run(read(data) if reads else (Document("", text, "web") for text in texts), built)

        seconds, counts = measure(once, repeat)
        kept = counts.documents_out["train"]
        reasons = ", ".join(f"{reason} {number:,}" for reason, number in counts.dropped.most_common(4))
        yield {
            "rules": name,
            "MB/s per core": size / seconds / 1e6,
            "kept": f"{kept / len(texts):.1%}",
            "most": reasons,
        }


def swallow_rows(texts: Sequence[str], size: int, repeat: int) -> Iterator[dict[str, Any]]:
    """The rules of Swallow alone, against their slow transcription on some of the texts."""
    step = SwallowFilter(blank_lines="count")
    seconds, reasons = measure(lambda: [step.reason(Document("", text, "web")) for text in texts], repeat)
    some = texts[: max(len(texts) // 20, 1)]
    slow_seconds, slow = measure(lambda: [len(text) > 3 and bool(text.strip()) and swallow(text) for text in some], 1)
    ours, theirs = size / seconds / 1e6, sum(len(text.encode()) for text in some) / slow_seconds / 1e6
    same = sum((reason is None) == kept for reason, kept in zip(reasons, slow, strict=False))
    yield row("swallow rules", ours, "Counters of strings", theirs, f"{same:,} of {len(some):,}")


def row(ours: str, rate: float, peer: str, peer_rate: float, same: str) -> dict[str, Any]:
    """A line of the second table."""
    return {"ours": ours, "MB/s": rate, "peer": peer, "peer MB/s": peer_rate, "ratio": rate / peer_rate, "same": same}


def word_rows(texts: Sequence[str], size: int, repeat: int) -> Iterator[dict[str, Any]]:
    """One list and all lists in one text, against pyahocorasick and `re`, all after folding."""
    words = [fold(word) for name in LISTS for word in read_words(str(FOLDER / f"{name}.txt"))]
    automaton = ahocorasick.Automaton()
    for word in words:
        automaton.add_word(word, word)
    automaton.make_automaton()
    pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))
    steps = [WordsFilter(of=name, maximum_hits=3) for name in LISTS]

    def ours(used: Sequence[WordsFilter]) -> Callable[[], Counter[str | None]]:
        def once() -> Counter[str | None]:
            documents = (Document("", text, "web") for text in texts)
            return Counter(reason for document in documents for step in used for reason in [step.reason(document)])

        return once

    four = size / measure(ours(steps), repeat)[0] / 1e6
    for name, used in (("adult", steps[:1]), ("four lists, one after the other", steps)):
        rate = size / measure(ours(used), repeat)[0] / 1e6
        aho = measure(lambda: [sum(1 for _ in automaton.iter(fold(text))) for text in texts], repeat)[0]
        yield row(name, rate, "pyahocorasick, four lists in one", size / aho / 1e6, "-")
    regex = measure(lambda: [len(pattern.findall(fold(text))) for text in texts], 1)[0]
    yield row("four lists, one after the other", four, "re, four lists in one", size / regex / 1e6, "-")


def quality_row(texts: Sequence[str], size: int, repeat: int, model: str) -> dict[str, Any]:
    """A quality model, which has no peer."""
    step = QualityFilter(model=model)
    seconds, _ = measure(lambda: [step.reason(Document("", text, "web")) for text in texts], repeat)
    return row("quality", size / seconds / 1e6, "-", size / seconds / 1e6, "-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=10, help="UTF-8 text of each kind")
    parser.add_argument("--characters", type=int, default=4000, help="of the pieces")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the best counts")
    parser.add_argument("--model", help="quality model to measure, too")
    arguments = parser.parse_args()
    size = int(arguments.megabytes * 1e6)
    kinds = {"generated web text": take(generated(arguments.characters // 2), size)}
    if ARCHIVE.is_file():
        kinds["Aozora Bunko"] = take(pieces(aozora(ARCHIVE), arguments.characters), size)
    for kind, texts in kinds.items():
        encoded = sum(len(text.encode()) for text in texts)
        facts = {"text": kind, "documents": len(texts), "bytes": encoded, "characters": sum(map(len, texts))}
        report(f"Presets: {kind}", list(preset_rows(texts, encoded, arguments.repeat)), **facts)
        rows = [*swallow_rows(texts, encoded, arguments.repeat), *word_rows(texts, encoded, arguments.repeat)]
        if arguments.model:
            rows.append(quality_row(texts, encoded, arguments.repeat, arguments.model))
        report(f"Rules against peers: {kind}", rows, **facts)


if __name__ == "__main__":
    main()

"""How fast is text divided into sentences and words on one core?

Real text is Aozora Bunko (see benchmarks/tokenization.py), else generated text. The peer of the sentence splitter is
the expression that most scripts have, which knows no brackets; MeCab's peer is fugashi as its manual uses it, with an
object for every word. Splitters of words that are not installed are left out. Rates are UTF-8 bytes per second of CPU
time, the best of --repeat runs.

    python benchmarks/segmentation.py [--megabytes 20] [--words-megabytes 2]
"""

import argparse
import re
from collections.abc import Callable, Sequence
from typing import Any, get_args

from _report import report
from tokenization import ARCHIVE, aozora, generated, measure, take

from preprocessing.segment.sentences import split_sentences, training_lines
from preprocessing.segment.words import SplitterName, missing, word_splitter

_NAIVE = re.compile("[^。！？\n]*[。！？\n]?")


def sentence_ways(texts: Sequence[str]) -> dict[str, Callable[[], list[str]]]:
    """Ours, and the peer, over all texts."""
    return {
        "peer: one expression, no brackets": lambda: [part for text in texts for part in _NAIVE.findall(text)],
        "split_sentences": lambda: [sentence for text in texts for sentence in split_sentences(text)],
        "training_lines, 4,096 bytes": lambda: [line for text in texts for line in training_lines(text, 4096)],
    }


def word_ways(lines: Sequence[str]) -> dict[str, Callable[[], list[list[str]]]]:
    """Every splitter that is here, and fugashi by its manual."""
    ways: dict[str, Callable[[], list[list[str]]]] = {}
    if missing("mecab") is None:
        import fugashi
        import unidic_lite

        tagger = fugashi.GenericTagger(f'-r /dev/null -d "{unidic_lite.DICDIR}"')
        ways["peer: fugashi, an object per word"] = lambda: [[word.surface for word in tagger(line)] for line in lines]
    for name in get_args(SplitterName):
        if missing(name) is None:
            splitter = word_splitter(name)
            ways[name] = lambda splitter=splitter: list(splitter.split(lines))  # type: ignore[misc]
    return ways


def rows(ways: dict[str, Callable[[], Any]], texts: Sequence[str], repeat: int) -> list[dict[str, Any]]:
    """One row per way; the first is what the others are compared with."""
    size = sum(len(text.encode()) for text in texts)
    table: list[dict[str, Any]] = []
    for name, way in ways.items():
        seconds, found = measure(way, repeat)
        rate = size / seconds / 1e6
        first = table[0]["MB/s per core"] if table else rate
        parts = sum(len(words) for words in found) if isinstance(found[0], list) else len(found)
        table.append({"way": name, "MB/s per core": rate, "times the first": rate / first, "parts": parts})
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20, help="UTF-8 text for sentences")
    parser.add_argument("--words-megabytes", type=float, default=2, help="UTF-8 text for words")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the best counts")
    arguments = parser.parse_args()
    source = aozora(ARCHIVE) if ARCHIVE.is_file() else generated()
    texts = take(source, int(arguments.megabytes * 1e6))
    about = {"text": ARCHIVE.name if ARCHIVE.is_file() else "generated"}
    report("Text to sentences on one core", rows(sentence_ways(texts), texts, arguments.repeat), **about)
    lines = [line for text in take(iter(texts), int(arguments.words_megabytes * 1e6)) for line in text.split("\n")]
    if ways := word_ways(lines):
        report("Sentences to words on one core", rows(ways, lines, arguments.repeat), **about)


if __name__ == "__main__":
    main()

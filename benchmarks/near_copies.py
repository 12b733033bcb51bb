"""How long does an index of near copies take, what does a look-up cost, what is found and what is a false alarm?

Planted copies are passages of the indexed training text with a share of their characters replaced, each by a random
character of the corpus. Unrelated passages come from text that is not indexed: held-out documents of the same corpus,
and other dataset folders. The peer of a look-up is a scan of the whole text in memory with Python's own search, which
gives the same longest run; the peer of the verdict is the longest run alone. Looping text is the slowest to look up.

    python launch/preprocess.py corpus=aozora 'sources.aozora.paths=[aozora-pretrain.tar.zst]' output_dir=corpora/aozora
    python launch/preprocess.py corpus=aozora 'sources.aozora.paths=[aozora-akutagawa.tar.zst]' \
        output_dir=corpora/akutagawa 'stages=[clean,deduplicate]'
    python benchmarks/near_copies.py corpora/aozora --unrelated corpora/akutagawa
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from _report import report

from jp_llm.near_copies.build import build_index, named_texts
from jp_llm.near_copies.characters import compared_units, text_of
from jp_llm.near_copies.format import COMPARED, mapped
from jp_llm.near_copies.index import Match, NearCopyIndex
from jp_llm.near_copies.verdict import NearCopyLimits, verdict
from jp_llm.texts.documents import find_files

SHARES = (0.0, 0.05, 0.10, 0.15, 0.20)
LENGTHS = (100, 300)
LIMITS = NearCopyLimits()
SHORT = (50, 50)
LOOPS = (300, 1000, 4000)
SHOWN = 12


def named_documents(files: Sequence[Path]) -> list[tuple[str, str]]:
    return [(name, text) for file in files for name, text in named_texts(file) if len(text) > LENGTHS[1]]


def without_editions(index: NearCopyIndex, documents: Sequence[tuple[str, str]]) -> list[str]:
    """The documents of which not most passages are rejected: the others are indexed works in another edition."""
    kept = []
    for name, text in documents:
        matches = [index.look_up(each) for each in passages([text], 20, 5)]
        rejected = [match.source for match in matches if verdict(match, LIMITS) is not None]
        if len(rejected) <= len(matches) // 2:
            kept.append(text)
        else:
            print(f"  another edition, left out: {name} ({len(text):,} characters), indexed is {rejected[0]}")
    print(f"  {len(kept)} of {len(documents)} documents are unrelated")
    return kept


def passage(
    documents: Sequence[str], weights: Sequence[int], generator: random.Random, lengths: tuple[int, int]
) -> str:
    """A passage of so many characters; every place of the documents is equally likely."""
    (document,) = generator.choices(documents, cum_weights=weights)
    length = generator.randint(*lengths)
    start = generator.randrange(len(document) - length)
    return document[start : start + length]


def passages(documents: Sequence[str], count: int, seed: int, lengths: tuple[int, int] = LENGTHS) -> list[str]:
    generator = random.Random(seed)
    weights = np.cumsum([len(document) for document in documents]).tolist()
    return [passage(documents, weights, generator, lengths) for _ in range(count)]


def changed(text: str, share: float, alphabet: str, generator: random.Random) -> str:
    characters = list(text)
    for place in generator.sample(range(len(text)), round(share * len(text))):
        characters[place] = generator.choice(alphabet)
    return "".join(characters)


def look_up_all(index: NearCopyIndex, texts: Sequence[str]) -> tuple[list[Match], float, float]:
    """Matches, and milliseconds of CPU and of wall time per text."""
    cpu, wall = time.process_time(), time.perf_counter()
    matches = [index.look_up(text) for text in texts]
    return matches, *(
        1000 * seconds / len(texts) for seconds in (time.process_time() - cpu, time.perf_counter() - wall)
    )


def scanned_run(text: str, corpus: str) -> int:
    """Longest run of `text` that is in `corpus`, by searching for ever longer ones from every place on."""
    best = 0
    for start in range(len(text)):
        while start + best < len(text) and text[start : start + best + 1] in corpus:
            best += 1
    return best


def build_rows(files: Sequence[Path], folder: Path, workers: int) -> NearCopyIndex:
    start = time.perf_counter()
    manifest = build_index(files, folder, workers)
    seconds = time.perf_counter() - start
    size = sum(file["bytes"] for file in manifest.files.values())
    report(
        "Building the index",
        [
            {
                "documents": manifest.documents,
                "compared characters": manifest.characters,
                "processes": workers,
                "s": seconds,
                "index MB": size / 1e6,
                "bytes per character": size / manifest.characters,
                "load before": os.getloadavg()[0],
            }
        ],
    )
    return NearCopyIndex.open(folder)


def recall_rows(index: NearCopyIndex, documents: Sequence[str], count: int) -> None:
    generator = random.Random(2)
    alphabet = "".join(character for text in documents[:50] for character in text if character.isalnum())
    rows = []
    for share, lengths in [*((share, LENGTHS) for share in SHARES), (0.10, SHORT)]:
        originals = passages(documents, count, round(100 * share), lengths)
        texts = [changed(text, share, alphabet, generator) for text in originals]
        matches, cpu, wall = look_up_all(index, texts)
        rows.append(
            {
                "characters": "-".join(map(str, dict.fromkeys(lengths))),
                "% changed": round(100 * share),
                "copies": count,
                "recall": sum(verdict(match, LIMITS) is not None for match in matches) / count,
                "nothing in common found": sum(match.document < 0 for match in matches) / count,
                "recall of the run alone": sum(match.longest_run >= LIMITS.longest_run for match in matches) / count,
                "containment, median": float(np.median([match.containment for match in matches])),
                "run, median": int(np.median([match.longest_run for match in matches])),
                "ms per look-up (CPU)": cpu,
                "ms (wall)": wall,
            }
        )
    report("Planted copies", rows, limits=LIMITS.model_dump())


def alarm_rows(index: NearCopyIndex, unrelated: dict[str, list[str]], count: int) -> None:
    rows, alarms = [], []
    for name, documents in unrelated.items():
        texts = passages(documents, count, 3)
        matches, cpu, wall = look_up_all(index, texts)
        reasons = [reason for match in matches if (reason := verdict(match, LIMITS)) is not None]
        alarms += [f"{name}: {reason}" for reason in sorted(set(reasons))[:SHOWN]]
        rows.append(
            {
                "unrelated text": name,
                "passages": count,
                "rejected": len(reasons),
                "%": 100 * len(reasons) / count,
                "run, 99.9 %": float(np.quantile([match.longest_run for match in matches], 0.999)),
                "containment, 99.9 %": float(np.quantile([match.containment for match in matches], 0.999)),
                "ms per look-up (CPU)": cpu,
                "ms (wall)": wall,
            }
        )
    report("Unrelated passages of 100 to 300 characters", rows, limits=LIMITS.model_dump())
    for alarm in alarms:
        print("  rejected:", " ".join(alarm.split()))


def peer_rows(index: NearCopyIndex, documents: Sequence[str], count: int) -> None:
    corpus = text_of(mapped(index.folder, COMPARED))
    texts = passages(documents, count, 4)
    matches, cpu, _ = look_up_all(index, texts)
    start = time.process_time()
    runs = [scanned_run(text_of(compared_units(text)), corpus) for text in texts]
    scan = 1000 * (time.process_time() - start) / count
    report(
        "Longest run of unrelated passages",
        [
            {
                "texts": count,
                "ms per look-up (CPU)": cpu,
                "ms per scan (CPU)": scan,
                "times faster": scan / cpu,
                "runs by look-up": " ".join(str(match.longest_run) for match in matches),
                "runs by scan": " ".join(map(str, runs)),
            }
        ],
    )


def loop_rows(folder: Path) -> None:
    """The worst case: a text of one character against a document of one character."""
    (folder / "loop.txt").write_text("あ" * max(LOOPS))
    build_index([folder / "loop.txt"], folder / "loop", 1)
    index = NearCopyIndex.open(folder / "loop")
    rows = []
    for length in LOOPS:
        _, cpu, wall = look_up_all(index, ["あ" * length] * 3)
        rows.append({"characters": length, "ms per look-up (CPU)": cpu, "ms (wall)": wall})
    report("A looping text against a looping document", rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus", type=Path, help="dataset folder whose training documents are indexed")
    parser.add_argument("--unrelated", type=Path, nargs="*", default=[], help="dataset folders with other text")
    parser.add_argument("--copies", type=int, default=1000, help="planted copies per share of changed characters")
    parser.add_argument("--passages", type=int, default=10_000, help="unrelated passages of each text")
    parser.add_argument("--scans", type=int, default=3, help="texts that the peer scans for")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    train = find_files([arguments.corpus], "train")
    with tempfile.TemporaryDirectory() as temporary:
        index = build_rows(train, Path(temporary) / "index", arguments.workers)
        documents = [text for _, text in named_documents(train)]
        held_out = without_editions(index, named_documents(find_files([arguments.corpus], "validation")))
        unrelated = {f"held-out works of {arguments.corpus.name}": held_out}
        for folder in arguments.unrelated:
            files = sorted(folder.glob("documents/*/*.jsonl.zst"))
            unrelated[folder.name] = without_editions(index, named_documents(files))
        recall_rows(index, documents, arguments.copies)
        alarm_rows(index, unrelated, arguments.passages)
        peer_rows(index, held_out, arguments.scans)
        loop_rows(Path(temporary))


if __name__ == "__main__":
    main()

"""Are planted near duplicates found, and only they?

Generates the sample corpus (preprocessing/sample), deduplicates its documents with the default rules, and compares with
the answer key. Similarity is the true Jaccard similarity of the sets of character 5-grams of the near keys.

    recall      of the planted near duplicates with similarity >= 0.85 to their original: pairs of which one went
    precision   of the documents dropped as near duplicates: those similar (>= 0.7) to the document that stays for them,
                or planted as duplicates

    python benchmarks/truth_deduplication.py [--characters 20000000] [--seed 5]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import zstandard

from jp_llm.config.build import build
from jp_llm.texts.streams import decompressed
from preprocessing.config import CorpusConfig
from preprocessing.deduplicate.run import deduplicate
from preprocessing.deduplicate.tables import Workspace, read_rows
from preprocessing.document import Document
from preprocessing.documents import DocumentsFile
from preprocessing.executor import Stage, run_stage
from preprocessing.raw_file import RawFile
from preprocessing.readers.jsonl import JsonLinesReader
from preprocessing.readers.text import TextReader
from preprocessing.sample.generate import generate
from preprocessing.text.keys import near_key

READERS = {"plain": TextReader(document="blank_line"), "jsonl": JsonLinesReader()}
SOURCES = ("plain", "jsonl")
CERTAIN = 0.85
ALIKE = 0.7
_NGRAM = 5

Texts = dict[str, str]
"""Id in the answer key -> text."""


def sample_texts(corpus: Path) -> tuple[Texts, dict[str, str], dict[str, str]]:
    """Texts of the web documents of a sample corpus, near duplicates and exact ones (each with its original)."""
    texts: Texts = {}
    originals: dict[str, dict[str, str]] = {"near_duplicate": {}, "exact_duplicate": {}}
    records: dict[str, Iterator[Any]] = {}
    for line in (corpus / "answer_key.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
        answer = json.loads(line)
        folder = answer["file"].partition("/")[0]
        if folder not in READERS:
            continue
        if answer["file"] not in records:
            records[answer["file"]] = _read(corpus, answer["file"], READERS[folder].read)
        record = next(records[answer["file"]])
        if isinstance(record, Document) and answer["id"]:
            texts[answer["id"]] = record.text
            for defect in answer["defects"]:
                if defect["type"] in originals:
                    originals[defect["type"]][answer["id"]] = defect["of"]
    return texts, originals["near_duplicate"], originals["exact_duplicate"]


def _read(corpus: Path, file: str, read: Callable[[RawFile], Iterator[Any]]) -> Iterator[Any]:
    with (corpus / file).open("rb") as stream:
        yield from read(RawFile("sample", file, None, file, decompressed(stream, file, 200.0)))


def write_cleaned(folder: Path, texts: Mapping[str, str], per_file: int = 500) -> list[DocumentsFile]:
    """The texts as the first stage leaves them."""
    items = list(texts.items())
    files = []
    for number, first in enumerate(range(0, len(items), per_file)):
        lines = [
            orjson.dumps({"id": id, "source": "web", "text": text, "meta": {}}, option=orjson.OPT_APPEND_NEWLINE)
            for id, text in items[first : first + per_file]
        ]
        path = folder / "cleaned" / "web" / f"train-{number:05d}-000.jsonl.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(zstandard.ZstdCompressor().compress(b"".join(lines)))
        files.append(DocumentsFile("web", "train", str(path.relative_to(folder)), path.stat().st_size))
    return files


def truth(folder: Path, seed: int, characters: int) -> dict[str, Any]:
    """Recall and precision on a sample corpus that is made in `folder`."""
    generate(folder / "sample", seed=seed, characters=characters)
    texts, near, exact = sample_texts(folder / "sample")
    files = write_cleaned(folder / "out", texts)
    source = {"reader": {"type": "jsonl"}, "paths": ["-"]}
    values = {"name": "truth", "output_dir": str(folder / "out"), "sources": {"web": source}, "deduplicate": {}}
    config = build(CorpusConfig, values)

    sizes = []
    started = time.process_time()

    def perform(stage: Stage) -> list[dict[str, Any]]:
        results = run_stage(stage, 1)
        # Before its inputs are removed: the height.
        sizes.append(sum(path.stat().st_size for path in (folder / "out").rglob("*") if path.is_file()))
        return results

    results = deduplicate(config, folder / "out", files, perform)
    seconds = time.process_time() - started
    size = sum(len(text.encode()) for text in texts.values())
    cleaned = sum(file.size for file in files)
    ids = list(texts)
    workspace = Workspace(str(folder / "out"))

    def pairs(step: str, columns: int) -> dict[str, str]:
        rows = [row for path in workspace.decided(step) for row in read_rows(path, columns).tolist()]
        return {_id(ids, row[0]): _id(ids, row[1]) for row in rows}

    copies, dropped = pairs("exact_duplicates", 2), pairs("near_duplicates", 3)
    gone = copies.keys() | dropped.keys()
    certain = [
        (id, original)
        for id, original in near.items()
        if original in texts and similarity(texts[id], texts[original]) >= CERTAIN
    ]
    found = [pair for pair in certain if gone & set(pair)]
    planted = near | exact
    right = [
        id
        for id, kept in dropped.items()
        if planted.get(id) == kept or planted.get(kept) == id or similarity(texts[id], texts[kept]) >= ALIKE
    ]
    planted_copies = [id for id in exact if exact[id] in texts]
    return {
        "documents": len(texts),
        "exact duplicates planted": len(planted_copies),
        "of them dropped": len([id for id in planted_copies if id in copies or exact[id] in copies]),
        "near duplicates planted": len(near),
        "with similarity >= 0.85": len(certain),
        "of those found": len(found),
        "recall": len(found) / max(len(certain), 1),
        "dropped as near duplicates": len(dropped),
        "precision": len(right) / max(len(dropped), 1),
        "all steps, MB/s per core": size / seconds / 1e6,
        "peak disk / cleaned files": max(sizes) / cleaned,
        "documents out": sum(result["counts"]["documents_out"].get("train", 0) for result in results),
    }


def _id(ids: list[str], number: int, per_file: int = 500) -> str:
    return ids[(number >> 32) * per_file + (number & 0xFFFFFFFF)]


def similarity(first: str, second: str) -> float:
    """Jaccard similarity of the sets of character 5-grams of the near keys."""
    one, two = (
        {key[place : place + _NGRAM] for place in range(len(key) - _NGRAM + 1)}
        for key in (near_key(first), near_key(second))
    )
    return len(one & two) / max(len(one | two), 1)


def main() -> None:
    from _report import report

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=20_000_000)
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        row = truth(Path(folder), arguments.seed, arguments.characters)
    report("Near duplicates against the answer key", [row], seed=arguments.seed, characters=arguments.characters)


if __name__ == "__main__":
    main()

"""How fast does raw text become token shards, per core?

    python benchmarks/raw_to_shards.py

Aozora Bunko from the archive below JP_LLM_DATA (default ../shared/data) where it is present, else the sample corpus in
corpora/sample. The unit is 10^6 bytes of cleaned UTF-8 per second of processor time. The time of every process counts,
but not that of training the tokenizer (once, on 5 MB); nothing is deduplicated here (corpus_factory.py does). The
target is 10 MB/s for the whole way.
"""

import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from _report import report

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.runtime.files import read_json
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.clean import clean_unit
from preprocessing.config import CorpusConfig
from preprocessing.document import Document
from preprocessing.documents import split_of
from preprocessing.encode.texts import read_texts
from preprocessing.plan import Planner, find_files
from preprocessing.run import run
from preprocessing.step import Mapper

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = (ROOT / os.environ.get("JP_LLM_DATA", "../shared/data") / "aozora-pretrain.tar.zst").resolve()
TARGET = 10.0


def corpus(output: Path, **changes: Any) -> CorpusConfig:
    """The configuration of the corpus, with one worker unless told otherwise."""
    choice = ["corpus=aozora", f"sources.aozora.paths={ARCHIVE}"] if ARCHIVE.exists() else ["corpus=demo"]
    settings = {"output_dir": str(output), "num_workers": 1, "deduplicate": None}
    return build(CorpusConfig, composed("corpus", choice)[0] | settings | changes)


def whole_way(folder: Path, tokenizer: Path, num_workers: int) -> dict[str, Any]:
    """One run from the raw files to `dataset.json`."""
    output = folder / f"{num_workers}-workers"
    started = time.monotonic()
    with redirect_stdout(sys.stderr):
        run(corpus(output, num_workers=num_workers, tokenizer={"path": str(tokenizer)}))
    wall = time.monotonic() - started
    total = read_json(output / "report.json")["total"]
    megabytes = total["bytes"] / 1e6
    return {
        "workers": num_workers,
        "documents": sum(total["documents_out"].values()),
        "text MB": megabytes,
        "chars/token": total["characters_per_token"],
        "clean MB/s per core": megabytes / total["cpu_seconds"],
        "encode MB/s per core": megabytes / total["encode_cpu_seconds"],
        "whole way MB/s per core": total["megabytes_per_second_per_core"],
        "wall s": wall,
    }


def parts(config: CorpusConfig, texts: Sequence[str], tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """Each part of the way alone, on the same cleaned texts."""
    documents = [Document("", text, "") for text in texts]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6

    def row(part: str, work: Callable[[], Iterable[object]]) -> dict[str, Any]:
        started = time.process_time()
        for _ in work():
            pass
        return {"part": part, "MB/s": megabytes / (time.process_time() - started)}

    rows = []
    source = next(iter(config.sources.values()))
    for step in source.build_steps():
        name = type(step).__module__.rsplit(".", 1)[-1]
        if isinstance(step, Mapper):
            rows.append(row(name, lambda step=step: (step.map(document, Counter()) for document in documents)))
        else:
            rows.append(row(name, lambda step=step: (step.reason(document) for document in documents)))
    rows.append(row("split by hash", lambda: (split_of(text, 0.01) for text in texts)))
    rows.append(
        row("tokenizer alone", lambda: (tokenizer.encode_batch(texts[at : at + 64]) for at in range(0, len(texts), 64)))
    )
    return rows


def first_unit(folder: Path) -> tuple[CorpusConfig, list[str], float]:
    """The first unit cleaned, its texts, and its MB/s."""
    config = corpus(folder / "first")
    name, source = next(iter(config.sources.items()))
    ratio = config.max_decompression_ratio
    files = find_files(source.paths, source.files, ratio)
    planner = Planner(name, config.unit_bytes, source.build_reader().cut_at, source.files, ratio, False)
    unit = planner.units(files)[0]
    started = time.process_time()
    counts = clean_unit(config, unit)["counts"]
    speed = counts["bytes"] / (time.process_time() - started) / 1e6
    paths = sorted((folder / "first" / "documents" / name).glob("train-*"))
    return config, [text for path in paths for _, text in read_texts(path)], speed


def small_tokenizer(folder: Path, documents: Path) -> Tokenizer:
    """8,000 pieces from 5 MB."""
    from preprocessing.encode.train_tokenizer import TokenizerConfig, train

    recipe = TokenizerConfig(vocab_size=8000, character_coverage=0.995, sample_bytes=5_000_000)
    return train(sorted(documents.rglob("train-*")), recipe, folder / "tokenizer")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config, texts, speed = first_unit(folder)
        tokenizer = small_tokenizer(folder, folder / "first" / "documents")
        rows = [whole_way(folder, tokenizer.folder, workers) for workers in (1, 2)]
        report(
            f"Raw text to token shards: {ARCHIVE.name if ARCHIVE.exists() else 'sample corpus'}",
            rows,
            target=TARGET,
            reached=rows[0]["whole way MB/s per core"] >= TARGET,
        )
        report(
            "Parts of the way, alone on the texts of the first unit",
            [{"part": "read and clean the first unit", "MB/s": speed}, *parts(config, texts, tokenizer)],
        )


if __name__ == "__main__":
    main()

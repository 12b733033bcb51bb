"""The whole factory: 500 MB like web text and all of Aozora Bunko, raw files to token shards, with one worker and two.

    python benchmarks/corpus_factory.py [--megabytes 500] [--work DIR] [--workers 1 2]

The web corpus is generated (half of its documents are long pages, with duplicates, menus, personal data ...) and kept
in --work; Aozora Bunko comes from the archive below JP_LLM_DATA (default ../shared/data) where it is present. Every
stage runs: cleaning with the presets `web` and `books`, deduplication (exact, lines, near, paragraphs), encoding with a
tokenizer that is given. Rates are 10^6 bytes of UTF-8 text that a stage reads per second of processor time. Disk is
looked at twice a second; memory is the largest resident size that any task has left in its mark.
"""

import argparse
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from _report import report
from _web_corpus import generate

from jp_llm.config.build import build
from jp_llm.runtime.files import read_json
from preprocessing.config import CorpusConfig
from preprocessing.encode.recipe import TokenizerConfig
from preprocessing.encode.train_tokenizer import train
from preprocessing.run import run

ROOT = Path(__file__).resolve().parents[1]
ARCHIVE = (ROOT / os.environ.get("JP_LLM_DATA", "../shared/data") / "aozora-pretrain.tar.zst").resolve()
DISK_TARGET, WORKERS_TARGET, MEMORY_TARGET = 1.3, 1.8, 1e9


def corpus(web: Path, output: Path, num_workers: int, **more: Any) -> CorpusConfig:
    """Both sources, everything on."""
    sources = {"web": {"reader": {"type": "jsonl"}, "paths": [f"{web}/*/jsonl/*.zst"], "steps": [{"preset": "web"}]}}
    if ARCHIVE.exists():
        steps = [{"preset": "books"}]
        sources["aozora"] = {"reader": {"type": "aozora"}, "paths": [str(ARCHIVE)], "files": ["*.txt"], "steps": steps}
    values = {"name": "factory", "output_dir": str(output), "sources": sources, "num_workers": num_workers}
    return build(
        CorpusConfig, {"deduplicate": {"lines": {"sources": ["web"]}}, "unit_bytes": 16_000_000} | values | more
    )


def tokenizer(web: Path, work: Path) -> Path:
    """8,000 pieces from 5 MB of cleaned text, made once."""
    folder = work / "tokenizer"
    if not folder.exists():
        first = work / "tokenizer-documents"
        shutil.rmtree(first, ignore_errors=True)
        source = {"reader": {"type": "jsonl"}, "paths": [f"{web}/part-000/jsonl/*.zst"], "steps": [{"preset": "web"}]}
        run(corpus(web, first, 1, sources={"web": source}, deduplicate=None, stages=["clean"]))
        recipe = TokenizerConfig(vocab_size=8000, character_coverage=0.995, sample_bytes=5_000_000)
        train(sorted(first.rglob("train-*")), recipe, folder)
    return folder


@contextmanager
def largest(folder: Path) -> Iterator[list[int]]:
    """The largest size in bytes that `folder` had."""
    sizes, stop = [0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            sizes[0] = max(sizes[0], size_of(folder))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield sizes
    finally:
        stop.set()
        thread.join()


def size_of(folder: Path, *patterns: str) -> int:
    """Bytes of the files below `folder`, or of those that fit a pattern; what vanishes meanwhile counts as nothing."""
    total = 0
    for path in (path for pattern in patterns or ("*",) for path in folder.rglob(pattern)):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total


def costs(output: Path) -> dict[str, tuple[float, int]]:
    """Stage, and step of deduplication -> processor seconds, and largest resident size in bytes."""
    found: dict[str, tuple[float, int]] = {}
    for path in sorted((output / "marks").rglob("*.json")):
        mark = read_json(path)
        if isinstance(mark, dict) and "peak_memory_bytes" in mark:
            stage = " ".join(path.relative_to(output / "marks").parts[:-1])
            seconds, peak = found.get(stage, (0.0, 0))
            found[stage] = seconds + mark["cpu_seconds"], max(peak, mark["peak_memory_bytes"])
    return found


def one_run(web: Path, work: Path, num_workers: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The row of a run, and those of its stages."""
    output = work / f"out-{num_workers}"
    shutil.rmtree(output, ignore_errors=True)
    config = corpus(web, output, num_workers, tokenizer={"path": str(work / "tokenizer")})
    started = time.monotonic()
    with redirect_stdout(sys.stderr), largest(output) as sizes:
        run(config)
    wall = time.monotonic() - started
    total = read_json(output / "report.json")["total"]
    read, cleaned = total["bytes_in"] / 1e6, total["bytes"] / 1e6
    stages = []
    for stage, (seconds, peak) in costs(output).items():
        rate = (read if stage == "clean" else cleaned) / max(seconds, 1e-9)
        stages.append({"stage": stage, "core s": seconds, "MB/s per core": rate, "peak MB": peak / 1e6})
    final = size_of(output / "documents") + size_of(output / "shards")
    row = {
        "workers": num_workers,
        "raw MB": read,
        "wall s": wall,
        "core s": sum(stage["core s"] for stage in stages),
        "raw MB/s per core": read / sum(stage["core s"] for stage in stages),
        "peak disk / final output": sizes[0] / final,
        "peak memory MB": max(stage["peak MB"] for stage in stages),
    }
    return row, stages


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--megabytes", type=float, default=500)
    parser.add_argument("--work", type=Path, default=ROOT / "corpora" / "factory")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    web = generate(arguments.work / "web", arguments.megabytes)
    with redirect_stdout(sys.stderr):
        tokenizer(web, arguments.work)
    rows = []
    for num_workers in arguments.workers:
        row, stages = one_run(web, arguments.work, num_workers)
        rows.append(row)
        report(f"Stages, {num_workers} workers", stages)
    report(
        "Raw files to token shards" + (", web and Aozora Bunko" if ARCHIVE.exists() else ", web"),
        rows,
        faster=rows[0]["wall s"] / rows[-1]["wall s"],
        targets={"disk": DISK_TARGET, "faster": WORKERS_TARGET, "memory": MEMORY_TARGET},
    )


if __name__ == "__main__":
    main()

"""How fast and how large is deduplication?

    --minhash    MB/s of one core: near keys, signatures, band keys of generated web pages
    --clusters   candidates, clusters and decisions for synthetic signatures with known duplicates: seconds, and peak
                 resident memory of each process against the memory that was granted

The filter `contaminated` is measured with the evaluation sets of JGLUE where they are (jglue/ in JP_LLM_DATA, default
../shared/data), else with the first pages. Rates are UTF-8 bytes per second of CPU time, the best of --repeat runs. The
peer, if it is installed, is rensa (Rust), fed with the same n-grams as Python strings, as its manual does.

    python benchmarks/deduplication.py [--documents 10000000] [--memory 1000000000]
"""

import argparse
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from _report import report

from preprocessing.deduplicate import clusters, near
from preprocessing.deduplicate.config import NearConfig
from preprocessing.deduplicate.minhash import MinHash
from preprocessing.deduplicate.tables import Workspace, part_name, parts_for, read_rows, write_array
from preprocessing.document import Document
from preprocessing.filters.contaminated import ContaminatedFilter
from preprocessing.sample.compose import compose_page
from preprocessing.text.keys import exact_keys, near_key, near_keys, segment_hashes

BATCH = 1 << 17
PRESETS = {"default 14 x 8": (14, 8), "llm-jp 20 x 10": (20, 10), "swallow 40 x 20": (40, 20)}
FILES = 20
JGLUE = Path(__file__).parents[1] / os.environ.get("JP_LLM_DATA", "../shared/data") / "jglue"


def batched(texts: Sequence[str]) -> Iterator[list[str]]:
    """As the step reads them."""
    batch: list[str] = []
    size = 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= BATCH:
            yield batch
            batch, size = [], 0
    yield batch


def best(function: Callable[[list[str]], Any], batches: Sequence[list[str]], repeat: int) -> float:
    """Seconds of CPU time for all batches."""
    times = []
    for _ in range(repeat):
        started = time.process_time()
        for batch in batches:
            function(batch)
        times.append(time.process_time() - started)
    return min(times)


def minhash_rows(name: str, texts: Sequence[str], repeat: int) -> Iterator[dict[str, Any]]:
    """Rates for one kind of text."""
    batches = list(batched(texts))
    size = sum(len(text.encode()) for text in texts)
    ways: dict[str, Callable[[list[str]], Any]] = {
        "exact key": exact_keys,
        "near key": near_keys,
        "line hashes": lambda batch: segment_hashes(exact_keys([line for text in batch for line in text.split("\n")])),
    }
    for preset, (bands, rows) in PRESETS.items():
        ways[f"near key + MinHash {preset}"] = _signing(MinHash(5, bands, rows, seed=1))
    try:
        from rensa import RMinHash
    except ImportError:
        pass
    else:

        def rensa(batch: list[str]) -> None:
            for text in batch:
                key = near_key(text)
                RMinHash(num_perm=112, seed=1).update([key[place : place + 5] for place in range(len(key) - 4)])

        ways["near key + rensa 112"] = rensa
    ways["filter contaminated"] = _contaminated(texts)
    for way, function in ways.items():
        yield {
            "text": name,
            "characters per text": round(sum(map(len, texts)) / len(texts)),
            "step": way,
            "MB/s per core": size / best(function, batches, repeat) / 1e6,
        }


def _signing(minhash: MinHash) -> Callable[[list[str]], Any]:
    def sign(batch: list[str]) -> None:
        signatures = minhash.signatures(near_keys(batch))
        minhash.band_keys(signatures)
        minhash.checks(signatures)

    return sign


def _contaminated(texts: Sequence[str]) -> Callable[[list[str]], Any]:
    files = tuple(sorted(map(str, JGLUE.glob("*.json"))))
    if not files:
        path = Path(tempfile.mkdtemp()) / "items.txt"
        path.write_text("\n".join(line for text in texts[:500] for line in text.split("\n")))
        files = (str(path),)
    step = ContaminatedFilter(benchmarks=files)
    step.reason(Document("", "", ""))  # reads the files

    def filtered(batch: list[str]) -> None:
        for text in batch:
            step.reason(Document("", text, ""))

    return filtered


def pages(size: int) -> list[str]:
    """Generated web pages of so many bytes together."""
    found, number = [], 0
    while size > 0:
        text = compose_page(Random(number)).text
        found.append(text)
        size -= len(text.encode())
        number += 1
    return found


def in_a_process(function: Callable[..., Any], *arguments: Any) -> tuple[Any, float, float]:
    """Result, seconds and peak resident MB of a call in a process of its own."""
    queue = multiprocessing.get_context("spawn").SimpleQueue()
    process = multiprocessing.get_context("spawn").Process(target=_measured, args=(queue, function, arguments))
    process.start()
    result = queue.get()
    process.join()
    return result


def _measured(queue: Any, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    started = time.perf_counter()
    result = function(*arguments)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    queue.put((result, time.perf_counter() - started, peak))


def write_synthetic(folder: str, documents: int, config: NearConfig) -> tuple[list[int], int]:
    """Tables of `near` for documents of which a third are copies, in groups of 2 to 20,000.

    A copy shares nine tenths of the values of the first of its group, and the keys of those bands that have no other
    value. Returns documents per file, and how many copies there are.
    """
    workspace = Workspace(folder)
    per_file = documents // FILES
    copies = 0
    for file in range(FILES):
        rng = np.random.default_rng(file)
        numbers = np.arange(file * per_file, (file + 1) * per_file)
        # Group of each document: itself, or a smaller number; one large group among them.
        kind = rng.random(per_file)
        group = np.where(kind < 0.333, numbers % np.maximum(documents // 10, 1), numbers)
        group[kind < 0.002] = 0
        copies += int((group != numbers).sum())
        # The values of a group are a function of its number.
        functions = config.bands * config.rows
        band_keys = np.empty((config.bands, per_file), dtype=np.uint64)
        checks = np.empty((per_file, near.checks_per_document(config)), dtype=np.uint8)
        changed = rng.random((per_file, functions)) < 0.1
        changed[group == numbers] = False
        for band in range(config.bands):
            keys = group.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ np.uint64(band + 1) << np.uint64(56)
            keys *= np.uint64(0xBF58476D1CE4E5B9)
            other = changed[:, band * config.rows : (band + 1) * config.rows].any(axis=1)
            keys[other] = rng.integers(0, 1 << 63, int(other.sum()), dtype=np.uint64) * np.uint64(2)
            band_keys[band] = keys
        for place in range(checks.shape[1]):
            values = group.astype(np.uint32) * np.uint32(0x9E3779B1) + np.uint32(place * 0x85EBCA6B & 0xFFFFFFFF)
            values ^= values >> np.uint32(15)
            values *= np.uint32(0x2C1B3C6D)
            checks[:, place] = (values >> np.uint32(24)).astype(np.uint8)
        noise = rng.integers(0, 256, checks.shape, dtype=np.uint8)
        np.copyto(checks, noise, where=changed[:, : checks.shape[1]])
        order = np.argsort(band_keys, axis=1, kind="stable")
        write_array(workspace.path("checks", file), checks)
        sorted_keys = np.take_along_axis(band_keys, order, axis=1)
        write_array(workspace.path("bands", file), sorted_keys, order.astype(np.uint32))
    workspace.write_sources(["web"] * FILES)
    near.write_signed(folder, [per_file] * FILES)
    return [per_file] * FILES, copies


def cluster_rows(folder: str, documents: int, memory: int) -> Iterator[dict[str, Any]]:
    """Each step in processes of their own."""
    config = NearConfig()
    (counts, copies), seconds, _ = in_a_process(write_synthetic, folder, documents, config)
    print(f"{documents:,} synthetic signatures written in {seconds:.0f} s, {copies:,} copies")
    parts = parts_for(documents, near.BYTES_PER_ROW, memory)
    total, peak, edges = 0.0, 0.0, 0
    for band in range(config.bands):
        for part in range(parts):
            result, seconds, resident = in_a_process(near.merge_band, folder, config.bands, band, part, parts)
            total, peak, edges = total + seconds, max(peak, resident), edges + result["edges"]
    granted = memory / 1e6
    common = {"documents": documents, "granted MB": granted}
    yield {"step": f"candidates ({parts} ranges)", **common, "peak MB": peak, "seconds": total, "found": edges}
    arguments = (config, folder, counts, parts, memory)
    result, seconds, resident = in_a_process(clusters.cluster, *arguments)
    tables = [part_name(table, result["tables"]) for table in range(result["tables"])]
    dropped = sum(len(read_rows(Workspace(folder).path("near_duplicates", table), 3)) for table in tables)
    yield {"step": "clusters", **common, "peak MB": resident, "seconds": seconds, "found": result["clusters"]}
    yield {"step": f"copies dropped, of {copies:,}", **common, "peak MB": resident, "seconds": 0.0, "found": dropped}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minhash", action="store_true", help="only this part")
    parser.add_argument("--clusters", action="store_true", help="only this part")
    parser.add_argument("--megabytes", type=float, default=8, help="UTF-8 text to sign")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--documents", type=int, default=10_000_000)
    parser.add_argument("--memory", type=int, default=1_000_000_000, help="bytes granted (deduplicate.memory_bytes)")
    parser.add_argument("--folder", type=Path, help="for the synthetic tables (0.4 GB per million documents)")
    arguments = parser.parse_args()
    both = arguments.minhash == arguments.clusters
    if both or arguments.minhash:
        texts = pages(int(arguments.megabytes * 1e6))
        table = list(minhash_rows("web pages", texts, arguments.repeat))
        long = ["\n".join(texts[first : first + 40]) for first in range(0, len(texts), 40)]
        table += minhash_rows("forty pages in one", long, arguments.repeat)
        report("Keys and signatures on one core", table)
    if both or arguments.clusters:
        folder = tempfile.mkdtemp(dir=arguments.folder)
        try:
            table = list(cluster_rows(folder, arguments.documents, arguments.memory))
        finally:
            shutil.rmtree(folder)
        report("Candidates and clusters", table)


if __name__ == "__main__":
    main()

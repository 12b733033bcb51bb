"""What does it cost to open a trillion tokens in random order, and to read from them?

The dataset is 2,000 sparse files of 500 million tokens: real sizes, no blocks on disk. So reading measures our own work
and the page cache, not a disk. The peer is the way of Megatron-LM: an array of all sample numbers, shuffled by numpy,
here for fewer samples, with the full size by proportion.

    python benchmarks/data_order.py [--peer-samples 100000000]
"""

import argparse
import itertools
import multiprocessing
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from _report import report

from jp_llm.data.blend import BLOCK_SAMPLES, Blend, WeightedSources, WholeDataset, apportion
from jp_llm.data.dataset import TokenDataset
from jp_llm.data.windows import num_windows
from jp_llm.shards.manifest import DatasetManifest, ShardManifest, TokenizerRecord

SHARD_TOKENS = 500_000_000
SHARDS = {"web": 1200, "news": 400, "books": 200, "wikipedia": 200}
WEIGHTS = {"web": 0.5, "news": 0.2, "books": 0.15, "wikipedia": 0.15}
SEQ_LENGTH = 2048
BATCH = 1024


def write_dataset(folder: Path) -> None:
    """A trillion tokens of `<unk>`."""
    sources = {}
    for source, count in SHARDS.items():
        (folder / "shards" / source).mkdir(parents=True)
        names = [f"shards/{source}/train-{index:05d}" for index in range(count)]
        for name in names:
            with (folder / f"{name}.bin").open("wb") as file:
                file.truncate(2 * SHARD_TOKENS)
        shards = (
            ShardManifest(name, 1, SHARD_TOKENS, 1, 1, "uint16", 2 * SHARD_TOKENS, name, 54, name) for name in names
        )
        sources[source] = {"train": tuple(shards)}
    tokenizer = TokenizerRecord("tokenizer", "ab", "sentencepiece", "0.2.3", 64_000, 0, 1, 2, 3)
    DatasetManifest(tokenizer, "uint16", "c0", sources).save(folder)


def peak_megabytes() -> float:
    """Largest resident memory of this process so far."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e6


def seconds(function: Callable[[], object], repeat: int = 1) -> float:
    """Median wall time of one call."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def row(order: str, samples: int, ready: float, memory: float, numbers: float, read: float | None) -> dict[str, Any]:
    """One line of the table; times in seconds."""
    return {
        "order": order,
        "samples": samples,
        "ready, s": ready,
        "memory, MB": memory,
        f"{BATCH} samples located, ms": 1e3 * numbers,
        f"{BATCH} samples read, ms": "-" if read is None else 1e3 * read,
    }


def measure_ours(folder: Path, weights: dict[str, float] | None) -> dict[str, Any]:
    """Open and read in the way of a training process."""
    before = peak_megabytes()
    opened: list[TokenDataset] = []

    def open_dataset() -> None:
        manifest = DatasetManifest.load(folder)
        opened.append(TokenDataset(folder, manifest, split="train", seq_length=SEQ_LENGTH, seed=1, weights=weights))

    opening = seconds(open_dataset)
    dataset = opened[0]
    starts = itertools.count(0, BATCH)
    reading = seconds(lambda: dataset.samples(range(start := next(starts), start + BATCH)), repeat=20)
    memory = peak_megabytes() - before
    sizes = {name: num_windows(dataset.manifest.tokens("train", name), SEQ_LENGTH) for name in dataset.sources}
    blend: Blend = WholeDataset(sizes, 1)
    if weights is not None:
        blend = WeightedSources(sizes, apportion(weights, BLOCK_SAMPLES), 1)
    locating = seconds(lambda: blend.locate(next(starts) + np.arange(BATCH)), repeat=200)
    kind = "whole dataset" if weights is None else f"{len(weights)} weighted sources"
    return row(f"computed, {kind}", dataset.num_windows, opening, memory, locating, reading)


def measure_peer(samples: int) -> dict[str, Any]:
    """The shuffled index of Megatron-LM (shuffle index of `gpt_dataset.py`): 4 bytes per sample."""
    before = peak_megabytes()
    index = np.arange(samples, dtype=np.uint32)
    building = seconds(lambda: np.random.RandomState(1).shuffle(index))
    memory = peak_megabytes() - before
    looking_up = seconds(lambda: index[:BATCH].copy(), repeat=200)
    return row("shuffled index of numpy, measured", samples, building, memory, looking_up, None)


def alone(function: Callable[..., dict[str, Any]], *arguments: object) -> dict[str, Any]:
    """Run in a fresh process, so that its memory is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-samples", type=int, default=100_000_000, help="size of the shuffled index")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_dataset(folder)
        rows = [alone(measure_ours, folder, None), alone(measure_ours, folder, WEIGHTS)]
    peer = alone(measure_peer, arguments.peer_samples)
    factor = rows[0]["samples"] / peer["samples"]
    extrapolated = {
        **peer,
        "order": "shuffled index of numpy, extrapolated in proportion, not measured",
        "samples": rows[0]["samples"],
        "ready, s": peer["ready, s"] * factor,
        "memory, MB": peer["memory, MB"] * factor,
    }
    tokens = SHARD_TOKENS * sum(SHARDS.values())
    report("Random order over a trillion tokens", [*rows, peer, extrapolated], tokens=tokens, seq_length=SEQ_LENGTH)


if __name__ == "__main__":
    main()

"""How many texts per second, when they are killed in the middle and continued, and how many by a loop of `generate`?

    python benchmarks/generation.py [model folder] [texts] [texts of the loop] [processes] [key=value ...]

`launch/generate.py` makes the texts in a folder of its own. When half of them are there, it is killed (SIGKILL) and
started again with the same command; the time counts from the first start to the last end, loading included. The peers
are calls of `model.generate` with the same settings in this process, half of them before and half after, loading not
included: one per text, as transformers' documentation tells, and one per 64 texts. Further words are settings of the
texts that `model.generate` has too, e.g. max_new_tokens=60.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from _report import report

from jp_llm.export.inference import LoadedModel, open_model
from jp_llm.generate.config import SamplingConfig
from jp_llm.huggingface.reload import quiet_transformers

ROOT = Path(__file__).resolve().parents[1]
POLL_SECONDS = 0.1


def start(words: list[str], processes: int) -> list[subprocess.Popen[bytes]]:
    """The processes of one launch, as torchrun would start them, with the cores divided among them."""
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    world = {"WORLD_SIZE": str(processes)} if processes > 1 else {}
    command = [sys.executable, str(ROOT / "launch" / "generate.py"), *words]
    common = {**os.environ, **world, "OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}
    own = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} if world else {} for rank in range(processes)]
    return [subprocess.Popen(command, env={**common, **each}) for each in own]


def lines(folder: Path) -> int:
    """Whole lines of all files of texts."""
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("texts*.jsonl"))


def killed_and_continued(folder: Path, words: list[str], texts: int, processes: int) -> tuple[float, int]:
    """Seconds from the first start to the last end, and the texts that were there after the kill."""
    words = [*words, f"output={folder / 'texts.jsonl'}", f"num_return_sequences={texts}", "device=cpu"]
    running: list[subprocess.Popen[bytes]] = []
    begin = time.perf_counter()
    try:
        running = start(words, processes)
        while lines(folder) < texts / 2:
            if any(process.poll() for process in running):
                raise SystemExit("launch/generate.py failed")
            time.sleep(POLL_SECONDS)
        for process in running:
            process.send_signal(signal.SIGKILL)
        for process in running:
            process.wait()
        there = lines(folder)
        running = start(words, processes)
        if any([process.wait() for process in running]):
            raise SystemExit("launch/generate.py failed after the kill")
        return time.perf_counter() - begin, there
    finally:
        for process in running:
            with suppress(ProcessLookupError):
                process.kill()
            process.wait()


def loop(loaded: LoadedModel, sampling: SamplingConfig, texts: int, at_once: int = 1) -> tuple[float, int]:
    """Seconds, and tokens up to the end of each text, of calls for `at_once` texts each."""
    tokens = 0
    settings = {key: getattr(sampling, key) for key in SHARED}
    begin = time.perf_counter()
    for first in range(0, texts, at_once):
        prompt = torch.full((min(at_once, texts - first), 1), loaded.start_id)
        out = loaded.model.generate(input_ids=prompt, attention_mask=torch.ones_like(prompt), **settings)
        for row in out[:, 1:].tolist():
            ended = [place for place, token in enumerate(row) if token in loaded.end_ids]
            tokens += ended[0] + 1 if ended else len(row)
    return time.perf_counter() - begin, tokens


def main(words: list[str]) -> None:
    """Measure, compare, refuse a file that is not what was asked for."""
    settings = [word for word in words if "=" in word]
    plain = [word for word in words if "=" not in word]
    model = Path(plain[0] if plain else "models/demo").absolute()
    texts, of_loop, processes = (int(plain[n]) if len(plain) > n else default for n, default in LIMITS)
    pairs = dict(word.split("=", 1) for word in settings)
    if strange := [key for key in pairs if key not in (*SHARED, "batch_size")]:
        raise SystemExit(f"{', '.join(strange)}: the peers could not be given the same")
    sampling = SamplingConfig(**{key: json.loads(value) for key, value in pairs.items() if key in SHARED})
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    loaded = open_model(model, "cpu", "auto")
    with tempfile.TemporaryDirectory() as name, quiet_transformers():
        folder = Path(name)
        loop(loaded, sampling, 2)
        half = of_loop // 2
        before = [loop(loaded, sampling, half, size) for size in PEERS]
        seconds, there = killed_and_continued(folder, [f"model={model}", *settings], texts, processes)
        after = [loop(loaded, sampling, of_loop - half, size) for size in PEERS]
        records = [json.loads(line) for path in folder.glob("texts*.jsonl") for line in path.open()]
    numbers = sorted(record["number"] for record in records)
    if numbers != list(range(texts)):
        raise SystemExit(f"{len(numbers)} texts with {len(set(numbers))} numbers instead of {texts}")
    tokens = sum(len(record["tokens"]) for record in records)
    rows = [_row(f"launch/generate.py, {processes} process(es), killed once", texts, tokens, seconds)]
    for size, one, two in zip(PEERS, before, after, strict=True):
        rows.append(_row(f"model.generate, {size} at once", of_loop, one[1] + two[1], one[0] + two[0]))
    for row in rows:
        for key in ("texts/s", "tokens/s"):
            row[f"ratio of {key}"] = row[key] / rows[1][key]
    report(
        "Texts at volume, against single calls",
        rows,
        texts_before_the_kill=there,
        empty=sum(not record["text"] for record in records),
        settings=sampling.model_dump(mode="json"),
    )


SHARED = (
    "do_sample",
    "temperature",
    "top_k",
    "top_p",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "max_new_tokens",
)
"""Settings that both sides have."""
PEERS = (1, 64)
"""Texts per call of the peers."""
LIMITS = ((1, 10_000), (2, 200), (3, 1))
"""Places of the numbers among the words, and their defaults."""


def _row(name: str, texts: int, tokens: int, seconds: float) -> dict[str, Any]:
    return {
        "who": name,
        "texts": texts,
        "tokens": tokens,
        "seconds": seconds,
        "texts/s": texts / seconds,
        "tokens/s": tokens / seconds,
    }


if __name__ == "__main__":
    main(sys.argv[1:])

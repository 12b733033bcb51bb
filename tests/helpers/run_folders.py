"""Run folders that were written by hand: long ones, hostile ones, and those of runs that died."""

import json
import math
from pathlib import Path
from typing import Any

import yaml

HOSTILE = (
    "<script>document.title = 'owned'</script>",
    '"><img src=x onerror=alert(1)>',
    "</pre></details><iframe src=//example.invalid></iframe>",
)
SOURCES = ("books", "青空文庫", "<b>web</b>")


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def train_record(step: int, loss: float | None = None) -> dict[str, Any]:
    return {
        "kind": "train",
        "step": step,
        "consumed_tokens": 100 * step,
        "loss": 2 + 5 * math.exp(-step / 50) if loss is None else loss,
        "grad_norm": 1 + 0.1 * math.sin(step),
        "learning_rate": 1e-3 * (1 - step / 1000),
        "applied": True,
        "tokens_per_second": 50.0 + step % 3,
        "mfu": 0.4,
        "peak_memory_bytes": 3 << 30,
        "seconds_left": (400 - step) * 100 / (50.0 + step % 3),
    }


def write_troubled_run(folder: Path, *, seed: int = 1) -> Path:
    """A run of 400 steps with skips, a hang, a rewind and a stop, killed at step 300 in the middle of a line; names and
    texts are hostile."""
    folder.mkdir(parents=True)
    config = {
        "run_dir": str(folder),
        "seed": seed,
        "model": {"arch": "llama", "size": "nano", "num_layers": 2, "hidden_size": 32, "vocab_size": 512},
        "data": {"path": str(folder / "gone" / HOSTILE[1]), "weights": None},
        "train": {"num_steps": 400, "sample_every_steps": 50, "sample_prompts": ["昔々、", HOSTILE[0]]},
    }
    (folder / "config.resolved.yaml").write_text(yaml.safe_dump(config, allow_unicode=True), encoding="utf-8")
    branches = [(0, 130), (100, 200), (150, 300)]
    metrics = [train_record(step) for begin, end in branches for step in range(begin + 1, end + 1)]
    samples = []
    for step in range(50, 301, 50):
        bits = {"bits_per_character": 2 + 20 / step, "bits_per_byte": 1.0, "perplexity": 9.0}
        metrics.append({"kind": "eval", "step": step, "sources": dict.fromkeys(SOURCES, bits)})
        metrics.append({"kind": "repetition", "step": step, "repeated_4grams": 10 / step, "repeats": 2})
        for prompt in config["train"]["sample_prompts"]:  # type: ignore[index]
            text = f"{step}人の子がいた。{HOSTILE[2]}"
            samples.append({"kind": "sample", "step": step, "prompt": prompt, "completion": text})
    metrics.sort(key=lambda record: record["kind"] != "train")
    write_lines(folder / "metrics.jsonl", metrics)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 301, "lo')
    write_lines(folder / "samples.jsonl", samples)
    culprit = {"rank": 3, "host": "node2", "pid": 7, "step": 131, "phase": "step"}
    happened = [
        {"event": "start", "step": 0, "world_size": 8, "device": "H200"},
        {"event": "skip", "step": 60, "loss": None, "grad_norm": 900.0, "reason": HOSTILE[0]},
        {"event": "hang", "kind": "stopped", "code": 124, "culprits": [culprit], "words": [HOSTILE[1]]},
        {"event": "resume", "step": 100, "world_size": 8, "device": "H200"},
        {"event": "rewind", "step": 200, "to_step": 150, "loss": 4.0, "reason": "the loss stayed high"},
        {"event": "save", "step": 250, "seconds": 1.0},
        {"event": "stop", "step": 280, "reason": "file KILL"},
        {"event": "resume", "step": 280, "world_size": 4, "device": "H200"},
    ]
    write_lines(folder / "events.jsonl", [{"time": 1.79e9 + 600 * place, **one} for place, one in enumerate(happened)])
    (folder / "status.json").write_text(json.dumps({"state": "running", "code": None, "step": 280, "reason": ""}))
    plan = {"tokens_per_step": 100, "step_seconds": 1.0, "tokens_per_second": 100.0, "mfu": 0.5, "fits": True}
    (folder / "plan.json").write_text(json.dumps({**plan, "memory_bytes": {"total": 4 << 30}}))
    manifest = {"config_sha256": "c" * 64, "data_fingerprint": "d" * 64, "tokenizer_fingerprint": "e" * 64}
    newest = folder / "checkpoints" / "step_00000280"
    newest.mkdir(parents=True)
    (newest / "manifest.json").write_text(json.dumps({**manifest, "state": {"step": 280}, "layout": {"data": 4}}))
    measured = {"sources": {SOURCES[2]: {"bits_per_character": 2.5, "documents": 7}}, "hashes": {"model": HOSTILE[1]}}
    (folder / "evaluation.json").write_text(json.dumps(measured))
    return folder

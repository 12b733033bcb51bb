"""Configurations and data of a size that a test can train."""

from pathlib import Path
from typing import Any

import numpy as np

from jp_llm.config.run import RunConfig
from jp_llm.shards.manifest import DatasetManifest, TokenizerRecord
from jp_llm.shards.writer import ShardWriter

VOCAB_SIZE = 301


def run_config(**overrides: Any) -> RunConfig:
    """A two-layer model; overrides by dotted key with __ for the dot, e.g. train__num_steps=3."""
    values: dict[str, Any] = {
        "seed": 7,
        "model": {
            "arch": "llama",
            "hidden_size": 32,
            "num_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
            "max_position_embeddings": 16,
            "vocab_size": VOCAB_SIZE,
        },
        # A large eps keeps AdamW from blowing up the rounding of gradients that are almost zero.
        "optim": {"learning_rate": 1e-2, "warmup_steps": 1, "gradient_clipping": 0.5, "eps": 1e-4},
        "train": {
            "num_steps": 6,
            "global_batch_size": 8,
            "micro_batch_size": 2,
            "precision": "fp32",
            "device": "cpu",
            "eval_every_steps": 0,
            "sample_every_steps": 0,
        },
        "data": {"path": "unused"},
    }
    for key, value in overrides.items():
        *sections, name = key.split("__")
        holder = values
        for section in sections:
            holder = holder.setdefault(section, {})
        holder[name] = value
    if values["model"]["arch"] in ("gpt2", "neox"):
        values["model"]["intermediate_size"] = None
    return RunConfig.model_validate(values)


def write_dataset(folder: Path, *, documents: int = 60, sources: tuple[str, ...] = ("books", "web")) -> DatasetManifest:
    """A dataset of random ids; its tokenizer record points to no tokenizer."""
    generator = np.random.default_rng(0)
    found: dict[str, dict[str, Any]] = {}
    for source in sources:
        found[source] = {}
        for split, count in (("train", documents), ("validation", documents // 4)):
            prefix = folder / "shards" / source / f"{split}-00000"
            with ShardWriter(prefix, "uint16") as writer:
                for _ in range(count):
                    size = int(generator.integers(5, 60))
                    ids = np.concatenate(([1], generator.integers(4, VOCAB_SIZE, size), [2]))
                    writer.add(ids, characters=2 * size, num_bytes=6 * size)
            found[source][split] = (writer.manifest,)
    record = TokenizerRecord("tokenizer", "0" * 64, "none", "0", VOCAB_SIZE, 0, 1, 2, 3)
    manifest = DatasetManifest(record, "uint16", "0" * 64, found)
    manifest.save(folder)
    return manifest

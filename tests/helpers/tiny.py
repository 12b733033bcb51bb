"""Configurations and data of a size that a test can train."""

import json
import random
from pathlib import Path
from typing import Any

from jp_llm.config.run import RunConfig
from jp_llm.shards.manifest import DatasetManifest, ShardManifest, TokenizerRecord
from preprocessing.encode.tokenize import encode_file
from preprocessing.encode.train_tokenizer import TokenizerConfig, train

VOCAB_SIZE = 512
TINY_WORDS = (
    "model/size=nano",
    "model.hidden_size=32",
    "model.num_layers=1",
    "model.max_position_embeddings=16",
    "train.global_batch_size=4",
    "train.micro_batch_size=2",
    "train.precision=fp32",
    "train.eval_every_steps=0",
    "train.sample_every_steps=0",
    "train.device=cpu",
    "optim.warmup_steps=1",
)
"""Of a launch that trains in seconds; a word behind them wins over the same one here."""


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


def write_dataset(folder: Path, *, sources: tuple[str, ...] = ("books", "web")) -> DatasetManifest:
    """A dataset of a few hundred made-up sentences with a tokenizer of its own; the same bytes every time."""
    chance = random.Random(0)
    files = []
    for source in sources:
        for split, count in (("train", 120), ("validation", 30)):
            lines = ({"text": _text(chance), "source": source} for _ in range(count))
            files.append(folder / "documents" / source / f"{split}-00000-000.jsonl")
            files[-1].parent.mkdir(parents=True, exist_ok=True)
            files[-1].write_text("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines))
    config = TokenizerConfig(vocab_size=VOCAB_SIZE, character_coverage=0.99, num_threads=1)
    tokenizer = train([file for file in files if "train" in file.name], config, folder / "tokenizer")
    found: dict[str, dict[str, tuple[ShardManifest, ...]]] = {}
    for file in files:
        source, split = file.parent.name, file.name.split("-")[0]
        shard = encode_file(file, tokenizer, folder / "shards" / source / f"{split}-00000")
        found.setdefault(source, {})[split] = (shard,)
    record = TokenizerRecord(
        folder="tokenizer",
        fingerprint=tokenizer.fingerprint,
        package=tokenizer.package,
        package_version=tokenizer.package_version,
        vocab_size=tokenizer.vocab_size,
        unk_id=tokenizer.unk_id,
        bos_id=tokenizer.bos_id,
        eos_id=tokenizer.eos_id,
        pad_id=tokenizer.pad_id,
    )
    manifest = DatasetManifest(record, "uint16", "0" * 64, found)
    manifest.save(folder)
    return manifest


def _text(chance: random.Random) -> str:
    characters = "山川町人朝夜花雪船声空海道雨風木石光影春夏秋冬東西南北白黒青赤"
    ends = ("は静かだ。", "が見える。", "を歩いた。", "に帰る。", "と話した。\n")
    words = ["".join(chance.sample(characters, chance.randrange(1, 4))) for _ in range(12)]
    sentences = (chance.choice(words) + "の" + chance.choice(words) + chance.choice(ends) for _ in range(5))
    return "".join(sentences) + str(chance.randrange(10**6))

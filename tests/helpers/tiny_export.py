"""Models, tokenizers and checkpoints small enough to be exported in a test."""

from pathlib import Path
from typing import Any

import torch
import torch.distributed

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.checkpoint.writer import Contents, write
from jp_llm.config.model import ModelConfig
from jp_llm.export.config import ExportConfig
from jp_llm.export.model_card import CardFacts
from jp_llm.export.run import export
from jp_llm.export.source import DecoderSource
from jp_llm.model.decoder import Decoder
from jp_llm.parallel.slices import Piece
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.train_tokenizer import TokenizerConfig, train

VARIANTS: dict[str, dict[str, Any]] = {
    "gpt2": {"arch": "gpt2"},
    "gpt2-untied": {"arch": "gpt2", "tie_word_embeddings": False},
    "neox-quarter": {"arch": "neox"},
    "neox-full": {"arch": "neox", "partial_rotary_factor": 1.0, "rope_theta": 50000.0},
    "neox-serial": {"arch": "neox", "partial_rotary_factor": 1.0, "parallel_residual": False},
    "llama-mha": {"arch": "llama"},
    "llama-gqa": {"arch": "llama", "num_key_value_heads": 2, "rope_theta": 50000.0},
    "llama-tied": {"arch": "llama", "tie_word_embeddings": True},
    "palm-mqa": {"arch": "palm", "logit_scale": 0.125},
    "palm-gqa": {"arch": "palm", "num_key_value_heads": 2, "rope_theta": 50000.0},
    "palm-mha": {"arch": "palm", "num_key_value_heads": 4},
    "palm-qk-norm": {"arch": "palm", "num_key_value_heads": 2, "qk_norm": True},
}
"""Every architecture with the switches that change its files."""

TEXT = (
    "春の朝、川のそばを歩くと、水の音がきこえた。",
    "町の図書館には、古い地図と新しい小説がならんでいる。",
    "きのうの雨で道はまだぬれていたが、空はもう青かった。",
    "駅前の店で、父はコーヒーを、母は紅茶をたのんだ。",
    "「どこへ行くの」と妹がきいた。「海まで」と兄はこたえた。",
    "機械は一日に三百二十個の部品を作り、夜は止まる。",
    "冬の山は静かで、雪の上に小さな足あとが残っていた。",
    "English words , too , stand between spaces 2024 .",
    "".join(map(chr, range(ord("ぁ"), ord("ゔ")))),
    "".join(map(chr, range(ord("ァ"), ord("ヴ")))),
)


def tiny_tokenizer(folder: Path) -> Tokenizer:
    """A unigram tokenizer with byte fallback, made as the real ones; its size is no multiple of 128."""
    folder.mkdir(parents=True)
    sample = folder / "sample.txt"
    sample.write_text("\n".join(TEXT * 4), encoding="utf-8")
    tokenizer = train([sample], TokenizerConfig(vocab_size=579, num_threads=1), folder / "tokenizer")
    assert tokenizer.vocab_size % 128
    return tokenizer


def tiny_config(tokenizer: Tokenizer, **overrides: Any) -> ModelConfig:
    """Two layers, width 64."""
    values = {
        "hidden_size": 64,
        "num_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 64,
        "vocab_size": tokenizer.vocab_size,
    }
    config = ModelConfig(**(values | overrides))
    assert not config.problems()
    return config


@torch.no_grad()
def tiny_decoder(config: ModelConfig, seed: int = 0) -> Decoder:
    """A decoder in which no parameter is at its initial value: norms and biases too are drawn, logits are large."""
    decoder = Decoder(config)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in decoder.named_parameters():
        parameter.normal_(1.0 if "norm" in name and name.endswith("weight") else 0.0, 0.15, generator=generator)
    return decoder.eval()


def export_decoder(decoder: Decoder, tokenizer: Tokenizer, target: Path, **settings: Any) -> dict[str, Any]:
    """Export through the front door; returns the proof."""
    config = ExportConfig(**({"dtype": "fp32"} | settings))
    facts = CardFacts(name=target.name, license="other")
    return export(DecoderSource(decoder), decoder.config, tokenizer, target, config, facts, {})


def write_checkpoint(
    folder: Path, decoder: Decoder, tokenizer: Tokenizer, datasets: dict[str, str] | None = None, **config: Any
) -> None:
    """A checkpoint of one process, with moments of zero."""
    store = torch.distributed.HashStore()
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        parameters = dict(decoder.named_parameters())
        state = []
        for key, parts in decoder.slices().items():
            values = torch.split(parameters[key].detach().reshape(-1), [part.numel for part in parts])
            for part, value in zip(parts, values, strict=True):
                moments = {kind: torch.zeros(part.numel) for kind in ("exp_avg", "exp_avg_sq")}
                state.append((Piece(part, 0, part.numel), {"weight": value.clone()} | moments))
        folder.parent.mkdir(parents=True, exist_ok=True)
        contents = Contents(
            state={"step": 3, "consumed_tokens": 96},
            seed=0,
            layout={"world_size": 1},
            config={"model": decoder.config.model_dump(mode="json"), **config},
            parameters=parameter_shapes(decoder.config),
            tokenizer_folder=tokenizer.folder,
            tokenizer_fingerprint=tokenizer.fingerprint,
            data_fingerprint="0" * 64,
            datasets=datasets or {},
        )
        write(folder, state, contents)
    finally:
        torch.distributed.destroy_process_group()

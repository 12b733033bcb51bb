"""The traps of the Hugging Face side: each mistake that loads without an exception must be refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_export import VARIANTS, export_decoder, tiny_config, tiny_decoder

from jp_llm.arch import huggingface, registry
from jp_llm.arch.spec import ConfigValues, HuggingFaceForm
from jp_llm.export import run
from jp_llm.export.source import DecoderSource
from jp_llm.export.verify import verify
from jp_llm.huggingface import transforms
from jp_llm.model import decoder as decoder_module
from jp_llm.model import positions
from jp_llm.model.decoder import Decoder
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.tokenizer import Tokenizer

Fields = dict[str, Any]


def set_field(key: str, value: Any) -> Callable[[Fields], Fields]:
    return lambda fields: fields | {key: value}


def drop_field(key: str) -> Callable[[Fields], Fields]:
    return lambda fields: {name: value for name, value in fields.items() if name != key}


def set_rope(**values: Any) -> Callable[[Fields], Fields]:
    return lambda fields: fields | {"rope_parameters": {"rope_type": "default"} | values}


CONFIG_MISTAKES: dict[str, tuple[str, Callable[[Fields], Fields]]] = {
    "tanh for erf": ("neox-quarter", set_field("hidden_act", "gelu_new")),
    "erf for tanh": ("gpt2", set_field("activation_function", "gelu")),
    "relu for silu": ("llama-mha", set_field("hidden_act", "relu")),
    "layer norm eps": ("gpt2", set_field("layer_norm_epsilon", 1e-6)),
    "rms norm eps left out": ("llama-mha", drop_field("rms_norm_eps")),
    "palm eps": ("palm-gqa", set_field("layer_norm_eps", 1e-6)),
    "theta": ("llama-gqa", set_rope(rope_theta=10000.0)),
    "theta left out": ("palm-mha", lambda fields: drop_field("rope_theta")(drop_field("rope_parameters")(fields))),
    "neox theta only at top level": (
        "neox-full",
        lambda fields: drop_field("rotary_emb_base")(set_rope(partial_rotary_factor=1.0)(fields)) | {"rope_theta": 5e4},
    ),
    "rotary factor left out": ("neox-full", lambda fields: drop_field("rotary_pct")(set_rope(rope_theta=5e4)(fields))),
    "rope_scaling": ("llama-gqa", set_field("rope_scaling", {"rope_type": "default", "rope_theta": 10000.0})),
    "serial residual": ("neox-full", set_field("use_parallel_residual", False)),
    "logit scale left out": ("palm-gqa", drop_field("logit_scale")),
    "qk-norm switched off": ("palm-qk-norm", set_field("use_qk_norm", False)),
    "heads": ("gpt2", set_field("n_head", 2)),
}


def export_variant(name: str, tokenizer: Tokenizer, target: Path, **settings: Any) -> None:
    export_decoder(tiny_decoder(tiny_config(tokenizer, **VARIANTS[name])), tokenizer, target, **settings)


@pytest.mark.parametrize("mistake", CONFIG_MISTAKES)
def test_a_wrong_config_table_is_refused(
    mistake: str, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change = CONFIG_MISTAKES[mistake]

    def mistaken(arch: str) -> HuggingFaceForm:
        form = registry.form_of(arch)

        def config(values: ConfigValues) -> Fields:
            return change(form.config(values))

        return replace(form, config=config)

    monkeypatch.setattr(huggingface, "form_of", mistaken)
    with pytest.raises(UserError, match="the export differs from the trained model"):
        export_variant(name, tokenizer, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "transform"),
    [("palm-mha", "interleaved_rows"), ("palm-qk-norm", "interleaved_columns"), ("neox-full", "qkv_heads")],
)
def test_a_forgotten_permutation_is_refused(
    name: str, transform: Any, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Forgotten in both directions, so that only the logits can tell.
    plain = transforms._Pair(lambda sources, model: torch.cat(list(sources)), _unstacked(name))
    monkeypatch.setitem(transforms._TRANSFORMS, transform, plain)
    with pytest.raises(UserError, match="logits differ by up to"):
        export_variant(name, tokenizer, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def _unstacked(name: str) -> Callable[[torch.Tensor, Any], tuple[torch.Tensor, ...]]:
    return lambda tensor, model: tensor.chunk(3) if name.startswith("neox") else (tensor,)


def edit_json(path: Path, change: Callable[[Fields], Fields]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text()))))


def edit_weights(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, {"format": "pt"})


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "random head": (
        "llama-mha",
        lambda folder: edit_weights(folder / "model.safetensors", lambda tensors: tensors.pop("lm_head.weight")),
        "lm_head.weight is not in the files",
    ),
    "another number": (
        "llama-tied",
        lambda folder: edit_weights(
            folder / "model.safetensors", lambda tensors: tensors["model.norm.weight"].add_(1e-6)
        ),
        "model.norm.weight does not hold final_norm.weight",
    ),
    "one tensor too many": (
        "llama-tied",
        lambda folder: edit_weights(
            folder / "model.safetensors", lambda tensors: tensors.update({"lm_head.weight": torch.zeros(579, 64)})
        ),
        "lm_head.weight is in the files and belongs to nothing",
    ),
    "untied by config": (
        "llama-tied",
        lambda folder: edit_json(folder / "config.json", set_field("tie_word_embeddings", False)),
        "tie_word_embeddings",
    ),
    "another eos": (
        "gpt2",
        lambda folder: edit_json(folder / "config.json", set_field("eos_token_id", 50256)),
        "config.json means eos_token_id=2, transformers uses 50256",
    ),
    "tokenizer class that rebuilds": (
        "gpt2",
        lambda folder: edit_json(folder / "tokenizer_config.json", set_field("tokenizer_class", "LlamaTokenizerFast")),
        "transformers",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_after_writing_is_refused(
    damage: str, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, change, message = DAMAGE[damage]
    write_model = run.write_model

    def damaged(folder: Path, *args: Any, **options: Any) -> dict[str, str]:
        hashes = write_model(folder, *args, **options)
        change(folder)
        return hashes

    monkeypatch.setattr(run, "write_model", damaged)
    with pytest.raises(UserError, match=message):
        export_variant(name, tokenizer, tmp_path / "model", verify="structure")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_model_that_diverged_is_refused(value: float, tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer))
    with torch.no_grad():
        decoder.get_parameter("final_norm.weight")[0] = value
    with pytest.raises(UserError, match=r"final_norm.weight holds NaN or infinity.*earlier checkpoint"):
        export_decoder(decoder, tokenizer, tmp_path / "model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arch", ["gpt2", "llama"])
def test_the_end_of_a_long_context_is_compared(
    arch: str, tokenizer: Tokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer, arch=arch, max_position_embeddings=700))
    proof = export_decoder(decoder, tokenizer, tmp_path / "model")
    assert proof["verification"]["positions"] == 5 * 256
    # A mistake of positions that begins behind the short rows.
    tables = {"gpt2": Decoder._embed, "llama": positions.rotary_tables}[arch]
    if arch == "gpt2":
        monkeypatch.setattr(Decoder, "_embed", lambda self, x, places: tables(self, x, places.clamp(max=600)))
    else:
        monkeypatch.setattr(decoder_module, "rotary_tables", lambda places, *rest: tables(places.clamp(max=600), *rest))
    with pytest.raises(UserError, match="logits differ"):
        export_decoder(decoder, tokenizer, tmp_path / "wrong")


@pytest.mark.parametrize("name", ["gpt2", "palm-qk-norm"])
def test_structure_alone_writes_what_can_be_verified_later(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer, **VARIANTS[name]))
    proof = export_decoder(
        decoder, tokenizer, tmp_path / "model", dtype="bf16", verify="structure", max_shard_bytes=20_000
    )
    assert proof["verification"]["level"] == "structure"
    assert proof["verification"]["positions"] == 0
    again = verify(tmp_path / "model", DecoderSource(decoder), decoder.config, tokenizer, dtype="bf16", level="full")
    assert again.tensors == proof["verification"]["tensors"]
    assert again.max_difference <= 1e-5 * again.max_logit

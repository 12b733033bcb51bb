"""From a Hugging Face folder to a checkpoint and back, through the doors' own functions."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from published import PUBLISHED, published
from safetensors.torch import load_file
from tiny_export import VARIANTS, export_decoder, tiny_config, tiny_decoder, tiny_tokenizer

from jp_llm.checkpoint.format import KINDS, TOKENIZER, read_manifest
from jp_llm.checkpoint.store import resolve
from jp_llm.export import verify as export_verify
from jp_llm.export.config import ExportConfig
from jp_llm.export.probe_texts import probe_texts
from jp_llm.export.run import run as export
from jp_llm.huggingface import run as run_module
from jp_llm.huggingface import transforms
from jp_llm.huggingface.config import ImportConfig
from jp_llm.huggingface.open import open_weights, tokenizer_of
from jp_llm.huggingface.parity import random_batches
from jp_llm.huggingface.reload import load_model
from jp_llm.huggingface.run import run
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.tokenizer import Tokenizer

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
WORDS = {"torch.float16": "fp16", "torch.bfloat16": "bf16", "torch.float32": "fp32"}


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    return tiny_tokenizer(tmp_path_factory.mktemp("tokenizer") / "made")


@pytest.fixture(scope="module")
def own_export(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that we wrote; its tokenizer is used for others too."""
    target = tmp_path_factory.mktemp("own") / "model"
    export_decoder(tiny_decoder(tiny_config(tokenizer, arch="llama")), tokenizer, target)
    return target


@pytest.fixture(autouse=True)
def few_probe_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_verify, "probe_texts", lambda: probe_texts()[:50])


def foreign(folder: Path, name: str, own_export: Path, **overrides: Any) -> Path:
    """A model that transformers wrote, with more rows than its tokenizer has ids, and a model card."""
    context = "n_positions" if name == "rinna-1b" else "max_position_embeddings"
    published(folder, name, **({"vocab_size": 640, context: 256} | overrides))
    for file in TOKENIZER_FILES:
        shutil.copy(own_export / file, folder)
    (folder / "README.md").write_text("---\nlicense: mit\nlanguage: ja\n---\n# A model\n")
    return folder


def imported(folder: Path, target: Path, **settings: Any) -> Path:
    run(ImportConfig(model=str(folder), output_dir=str(target), **settings))
    return target


def bits(folder: Path) -> dict[str, tuple[str, torch.Tensor]]:
    """Type and bits of every tensor of a folder."""
    found = {}
    for path in sorted(folder.glob("*.safetensors")):
        for key, tensor in load_file(path).items():
            found[key] = (str(tensor.dtype), tensor.contiguous().view(torch.uint8))
    return found


@pytest.mark.parametrize("name", PUBLISHED)
def test_import_then_export_gives_back_every_bit(name: str, own_export: Path, tmp_path: Path) -> None:
    folder = foreign(tmp_path / "there", name, own_export)
    imported(folder, tmp_path / "run", verify="structure")
    before = bits(folder)
    dtype = WORDS[next(iter(before.values()))[0]]
    export(ExportConfig(checkpoint=str(tmp_path / "run"), output_dir=str(tmp_path / "back"), dtype=dtype))
    after = bits(tmp_path / "back")
    assert before.keys() == after.keys()
    for key, (kind, values) in before.items():
        assert after[key][0] == kind
        assert torch.equal(after[key][1], values), key
    for file in TOKENIZER_FILES:
        assert (tmp_path / "back" / file).read_bytes() == (folder / file).read_bytes()
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["vocab_size"] == 640
    card = (tmp_path / "back" / "README.md").read_text()
    assert "license: mit" in card
    assert "base_model: there" in card


@pytest.mark.parametrize("name", VARIANTS)
def test_our_own_export_comes_back_byte_for_byte(name: str, tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer, **VARIANTS[name]))
    export_decoder(decoder, tokenizer, tmp_path / "first", max_shard_bytes=100_000, verify="structure")
    imported(tmp_path / "first", tmp_path / "run", verify="structure")
    again = ExportConfig(
        checkpoint=str(tmp_path / "run"), output_dir=str(tmp_path / "second"), dtype="fp32", max_shard_bytes=100_000
    )
    export(again.model_copy(update={"verify": "structure"}))
    files = sorted(path.relative_to(tmp_path / "first") for path in (tmp_path / "first").rglob("*") if path.is_file())
    assert len([file for file in files if file.suffix == ".safetensors"]) > 1
    for file in files:
        if file.name not in ("README.md", "proof.json"):
            assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes(), file


def test_a_checkpoint_that_can_be_opened_is_what_comes_of_it(
    own_export: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = foreign(tmp_path / "there", "rinna-1b", own_export)
    target = imported(folder, tmp_path / "run", name="rinna/japanese-gpt-1b")
    said = capsys.readouterr().out
    for part in ("GPT2LMHeadModel", "licence: mit", "attn_pdrop 0.1", "max |difference|", "model.vocab_size: 640"):
        assert part in said
    assert "579 ids; the embedding has 640 rows" in said
    manifest = read_manifest(resolve(target))
    assert manifest.kinds == KINDS[:1]
    assert manifest.origin["name"] == "rinna/japanese-gpt-1b"
    assert manifest.origin["files_sha256"].keys() == {path.name for path in folder.iterdir()}
    assert manifest.config["model"]["vocab_size"] == 640
    there, here = open_weights(folder), open_weights(target)
    assert there.names == here.names
    for name in there.names:
        assert torch.equal(there.read(name), here.read(name))
    first, second = tokenizer_of(folder, tmp_path / "work"), tokenizer_of(target, tmp_path / "unused")
    assert first.fingerprint == second.fingerprint == manifest.tokenizer_fingerprint
    assert sorted(path.name for path in (resolve(target) / TOKENIZER).iterdir()) == sorted(
        [*TOKENIZER_FILES, "tokenizer_manifest.json"]
    )


def test_the_fingerprint_of_our_own_tokenizer_is_kept(own_export: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    target = imported(own_export, tmp_path / "run", verify="structure")
    assert read_manifest(resolve(target)).tokenizer_fingerprint == tokenizer.fingerprint


def test_padding_of_null_stays_null(own_export: Path, tmp_path: Path) -> None:
    folder = foreign(tmp_path / "there", "command-r", own_export, pad_token_id=None)
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    imported(folder, tmp_path / "run", verify="structure")
    export(ExportConfig(checkpoint=str(tmp_path / "run"), output_dir=str(tmp_path / "back"), dtype="fp16"))
    for file in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / "back" / file).read_text())["pad_token_id"] is None


def _unpermuted(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = transforms._Pair(lambda sources, model: sources[0], lambda tensor, model: (tensor,))
    monkeypatch.setitem(transforms._TRANSFORMS, "interleaved_rows", pair)


def _swapped(monkeypatch: pytest.MonkeyPatch) -> None:
    right = transforms._TRANSFORMS["qkv_heads"]

    def inverse(tensor: torch.Tensor, model: Any) -> tuple[torch.Tensor, ...]:
        q, k, v = right.inverse(tensor, model)
        return k, q, v

    monkeypatch.setitem(transforms._TRANSFORMS, "qkv_heads", replace(right, inverse=inverse))


def _other_theta(monkeypatch: pytest.MonkeyPatch) -> None:
    from jp_llm.huggingface import reader

    right = reader.read_config
    monkeypatch.setattr(
        reader, "read_config", lambda config: replace(right(config), fields=right(config).fields | {"rope_theta": 9e3})
    )


@pytest.mark.parametrize(
    ("name", "mistake"), [("command-r", _unpermuted), ("rinna-3.6b", _swapped), ("llama-gqa", _other_theta)]
)
def test_a_mistake_of_ours_is_caught_and_leaves_nothing(
    name: str,
    mistake: Callable[[pytest.MonkeyPatch], None],
    own_export: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = foreign(tmp_path / "there", name, own_export, logit_scale=1.0, max_position_embeddings=512)
    mistake(monkeypatch)
    with pytest.raises(UserError, match="is not what transformers computes: logits differ"):
        imported(folder, tmp_path / "run")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["there"]


def test_what_was_written_wrongly_is_caught(own_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    right = run_module.write_weights

    def wrong(target: Path, shapes: Any, read: Any, contents: Any) -> None:
        right(target, shapes, lambda name: read(name) + (name == "final_norm.weight") * 1e-3, contents)

    monkeypatch.setattr(run_module, "write_weights", wrong)
    with pytest.raises(UserError, match=r"final_norm.weight is not what was read"):
        imported(own_export, tmp_path / "run", verify="structure")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_holds_something_is_not_touched(own_export: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="exists; choose another output_dir"):
        imported(own_export, tmp_path / "run")
    assert (tmp_path / "run" / "notes.txt").read_text() == "mine"


def test_a_checkpoint_needs_no_import(own_export: Path, tmp_path: Path) -> None:
    imported(own_export, tmp_path / "run", verify="structure")
    with pytest.raises(UserError, match="is a checkpoint of jp-llm already"):
        imported(tmp_path / "run", tmp_path / "again")


def test_a_tokenizer_with_more_ids_than_rows_is_refused(own_export: Path, tmp_path: Path) -> None:
    folder = foreign(tmp_path / "there", "llama-gqa", own_export, vocab_size=300)
    with pytest.raises(UserError, match="the tokenizer has 579 ids, the embedding 300 rows"):
        imported(folder, tmp_path / "run")


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = published(tmp_path / "there", "llama-gqa", vocab_size=300)
    with pytest.raises(UserError, match="holds no tokenizer"):
        imported(folder, tmp_path / "run")


@pytest.mark.parametrize("values", [{"use_cache": "yes"}, {"rms_norm_eps": 1}], ids=str)
def test_a_configuration_that_transformers_cannot_read_is_refused(
    values: dict[str, Any], own_export: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "there"
    shutil.copytree(own_export, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))
    with pytest.raises(UserError, match=r"there: transformers cannot read config\.json"):
        imported(folder, tmp_path / "run")
    with pytest.raises(UserError, match="there: transformers cannot load the model"):
        load_model(folder, torch.float32)


def test_a_long_context_is_compared_as_far_as_it_can_be() -> None:
    assert [tuple(batch.shape) for batch in random_batches(10, 100)] == [(2, 100)]
    assert [tuple(batch.shape) for batch in random_batches(10, 2048)] == [(2, 256), (1, 2048)]
    assert [tuple(batch.shape) for batch in random_batches(10, 200_000)] == [(2, 256), (1, 4096)]


@pytest.mark.parametrize(("settings", "problem"), [({}, "model: name a"), ({"model": "x"}, "output_dir: name the")])
def test_what_is_not_named_is_asked_for(settings: dict[str, str], problem: str) -> None:
    assert any(each.startswith(problem) for each in ImportConfig(**settings).problems())

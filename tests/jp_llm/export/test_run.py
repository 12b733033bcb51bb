"""From a checkpoint to a folder that transformers loads, through the door's own function."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_export import VARIANTS, export_decoder, tiny_config, tiny_decoder, write_checkpoint

from jp_llm.arch import registry
from jp_llm.arch.huggingface import config_json
from jp_llm.export import verify
from jp_llm.export.config import ExportConfig
from jp_llm.export.probe_texts import probe_texts
from jp_llm.export.run import _rounded, run
from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import DATASET_FILE, DatasetManifest, ShardManifest, TokenizerRecord
from jp_llm.tokenizer.tokenizer import Tokenizer

SNIPPET = """
import socket, sys

def refuse(*args, **options):
    raise AssertionError("the network was used")

socket.socket.connect = socket.create_connection = refuse
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
inputs = tokenizer("春の朝、川の", return_tensors="pt")
out = model.generate(
    **inputs, do_sample=True, min_length=20, max_length=40, top_k=500, top_p=0.95, num_return_sequences=3
)
assert out.shape[0] == 3 and 20 <= out.shape[1] <= 40, out.shape
assert inputs["input_ids"][0, 0] == tokenizer.bos_token_id
texts = tokenizer.batch_decode(out, skip_special_tokens=True)
assert all(text.startswith("春の朝、川の") and len(text) > 6 for text in texts), texts
print(type(model).__name__, model.dtype)
"""


@pytest.fixture(scope="module")
def run_dir(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with checkpoints of steps 1 and 3."""
    folder = tmp_path_factory.mktemp("runs") / "first"
    for step in (1, 3):
        decoder = tiny_decoder(tiny_config(tokenizer, arch="palm", num_key_value_heads=2), seed=step)
        write_checkpoint(folder / "checkpoints" / f"step_{step:08d}", decoder, tokenizer)
    return folder


def test_a_run_folder_means_its_newest_checkpoint(
    run_dir: Path, tokenizer: Tokenizer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(ExportConfig(checkpoint=str(run_dir), output_dir=str(tmp_path / "run"), dtype="fp32"))
    assert "max |difference|" in capsys.readouterr().out
    run(ExportConfig(checkpoint=str(run_dir / "checkpoints/step_00000001"), output_dir=str(tmp_path / "one")))
    proof = json.loads((tmp_path / "run" / "proof.json").read_text())
    assert proof["origin"]["checkpoint"] == "step_00000003"
    assert proof["origin"]["state"] == {"step": 3, "consumed_tokens": 96}
    # A checkpoint and a decoder in memory with the same weights give the same bytes.
    decoder = tiny_decoder(tiny_config(tokenizer, arch="palm", num_key_value_heads=2), seed=3)
    export_decoder(decoder, tokenizer, tmp_path / "memory")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "generation_config.json"):
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "memory" / name).read_bytes()
    first, last = (load_file(tmp_path / name / "model.safetensors")["model.norm.weight"] for name in ("one", "run"))
    assert first.dtype == torch.bfloat16
    assert not torch.equal(first, last.bfloat16())


def test_the_card_counts_the_datasets_that_are_still_the_same(tokenizer: Tokenizer, tmp_path: Path) -> None:
    record = TokenizerRecord("tokenizer", tokenizer.fingerprint, "sentencepiece", "0.2.3", 579, 0, 1, 2, 3)
    found = {}
    for name in ("new", "old"):
        shard = ShardManifest(f"shards/{name}/train-00000", 12, 34, 7890, 23456, "uint16", 68, "a", 1, name)
        dataset = DatasetManifest(record, "uint16", "c", {name: {"train": (shard,)}})
        dataset.save(tmp_path / name)
        found[str(tmp_path / name)] = dataset.fingerprint
    write_checkpoint(tmp_path / "run/checkpoints/step_00000003", tiny_decoder(tiny_config(tokenizer)), tokenizer, found)
    config = ExportConfig(checkpoint=str(tmp_path / "run"), output_dir=str(tmp_path / "model"), verify="structure")
    run(config)
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| new | 12 | 7,890 | 23,456 | 34 |\n| replay/old | 12 |" in card
    assert json.loads((tmp_path / "model" / "proof.json").read_text())["origin"]["datasets"] == found
    shutil.copy(tmp_path / "old" / DATASET_FILE, tmp_path / "new")
    run(config.model_copy(update={"overwrite": True}))
    card = (tmp_path / "model" / "README.md").read_text()
    assert "| new |" not in card
    assert "was not at hand" in card


def test_all_probe_texts_are_compared(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(verify, "probe_texts", probe_texts)
    run(ExportConfig(checkpoint=str(run_dir), output_dir=str(tmp_path / "model")))
    assert "token ids equal on 2000 texts" in capsys.readouterr().out


def test_large_models_are_divided_and_small_ones_are_not(tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer))
    export_decoder(decoder, tokenizer, tmp_path / "one")
    export_decoder(decoder, tokenizer, tmp_path / "many", max_shard_bytes=200_000)
    files = sorted((tmp_path / "many").glob("*.safetensors"))
    assert files[0].name == f"model-00001-of-{len(files):05d}.safetensors"
    assert all(file.stat().st_size < 210_000 for file in files)
    divided = {key: value for file in files for key, value in load_file(file).items()}
    whole = load_file(tmp_path / "one" / "model.safetensors")
    assert divided.keys() == whole.keys()
    assert all(torch.equal(divided[key], whole[key]) for key in whole)


def test_the_usual_snippet_works_in_another_process_without_network(run_dir: Path, tmp_path: Path) -> None:
    run(ExportConfig(checkpoint=str(run_dir), output_dir=str(tmp_path / "model")))
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", SNIPPET, str(tmp_path / "model")],
        env={key: value for key, value in os.environ.items() if not key.startswith("HF_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == ["CohereForCausalLM", "torch.bfloat16"]
    # Progress bars aside, nothing was said.
    assert not [line for line in result.stderr.splitlines() if line.strip() and "%|" not in line]


@pytest.mark.parametrize("name", VARIANTS)
def test_config_json_leaves_no_field_to_a_default(name: str, tokenizer: Tokenizer) -> None:
    import transformers

    model = tiny_config(tokenizer, **VARIANTS[name])
    form = registry.form_of(model.arch)
    config_class: Any = transformers.AutoConfig.for_model(form.model_type).__class__
    own = {field.name for field in fields(config_class)} - {field.name for field in fields(config_class.__base__)}
    # GPT-2's summary_* belong to another head.
    assert not {key for key in own if not key.startswith("summary_")} - config_json(model, tokenizer, "bf16").keys()


def damage_fragment(checkpoint: Path) -> None:
    (path,) = checkpoint.glob("fragments/*.safetensors")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def delete_fragments(checkpoint: Path) -> None:
    shutil.rmtree(checkpoint / "fragments")


def delete_manifest(checkpoint: Path) -> None:
    (checkpoint / "manifest.json").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (damage_fragment, "sha256 differs from the manifest; use another checkpoint"),
        (delete_fragments, "missing"),
        (delete_manifest, "neither a checkpoint"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    damage: Callable[[Path], None], message: str, run_dir: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "step_00000003"
    shutil.copytree(run_dir / "checkpoints" / "step_00000003", checkpoint)
    damage(checkpoint)
    with pytest.raises(UserError, match=message):
        run(ExportConfig(checkpoint=str(checkpoint), output_dir=str(tmp_path / "model")))
    assert not (tmp_path / "model").exists()


def test_an_existing_model_is_kept_unless_overwrite(run_dir: Path, tmp_path: Path) -> None:
    config = ExportConfig(checkpoint=str(run_dir), output_dir=str(tmp_path / "model"))
    run(config)
    before = (tmp_path / "model" / "config.json").stat().st_ino
    with pytest.raises(UserError, match="overwrite=true"):
        run(config)
    assert (tmp_path / "model" / "config.json").stat().st_ino == before
    run(config.model_copy(update={"overwrite": True, "dtype": "fp32"}))
    assert json.loads((tmp_path / "model" / "config.json").read_text())["dtype"] == "float32"


def test_a_license_file_is_copied(run_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "terms.txt").write_text("以下の条件で利用できます。", encoding="utf-8")
    config = ExportConfig(checkpoint=str(run_dir), output_dir=str(tmp_path / "m"), license="cc-by-4.0")
    run(config.model_copy(update={"license_file": str(tmp_path / "terms.txt")}))
    assert (tmp_path / "m" / "LICENSE").read_bytes() == (tmp_path / "terms.txt").read_bytes()
    assert "license: cc-by-4.0" in (tmp_path / "m" / "README.md").read_text()
    with pytest.raises(UserError, match=r"license_file: nowhere"):
        run(config.model_copy(update={"license_file": "nowhere", "output_dir": str(tmp_path / "n")}))


def test_another_tokenizer_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    decoder = tiny_decoder(tiny_config(tokenizer, vocab_size=500))
    with pytest.raises(UserError, match="the model has 500 token ids, the tokenizer 579"):
        export_decoder(decoder, tokenizer, tmp_path / "model")


def test_rounding_of_imported_weights_is_said() -> None:
    def said(dtypes: list[str], dtype: str, step: int = 0) -> str | None:
        return _rounded({"first_weights": {"dtypes": dtypes}, "state": {"step": step}}, dtype)

    assert "dtype=fp16 gives them back bit for bit" in (said(["fp16"], "bf16") or "")
    assert "dtype=fp32 gives" in (said(["bf16", "fp16"], "fp16") or "")
    assert said(["bf16"], "bf16") is said(["fp16"], "fp32") is said(["fp16"], "bf16", step=5) is None
    assert _rounded({"first_weights": {}, "state": {"step": 0}}, "bf16") is None

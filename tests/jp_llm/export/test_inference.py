"""Opening Hugging Face folders, checkpoints and run folders alike."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_export import export_decoder, tiny_config, tiny_decoder, write_checkpoint

from jp_llm.export.inference import huggingface_folder, open_model
from jp_llm.runtime.errors import UserError
from jp_llm.tokenizer.adopt import adopt
from jp_llm.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def run_dir(tokenizer: Tokenizer, tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "run/checkpoints/step_00000003", tiny_decoder(tiny_config(tokenizer)), tokenizer)
    return tmp_path / "run"


def norm(folder: Path) -> torch.Tensor:
    return load_file(folder / "model.safetensors")["model.norm.weight"]


def test_a_checkpoint_is_exported_once_with_its_exact_weights(run_dir: Path, tokenizer: Tokenizer) -> None:
    folder = huggingface_folder(run_dir)
    assert folder == run_dir / "exported" / "step_00000003"
    decoder = tiny_decoder(tiny_config(tokenizer))
    assert torch.equal(norm(folder), decoder.get_parameter("final_norm.weight"))
    before = (folder / "proof.json").stat().st_ino
    assert huggingface_folder(run_dir / "checkpoints" / "step_00000003") == folder
    assert (folder / "proof.json").stat().st_ino == before


def test_another_checkpoint_under_the_same_name_is_exported_anew(run_dir: Path, tokenizer: Tokenizer) -> None:
    old = norm(huggingface_folder(run_dir))
    shutil.rmtree(run_dir / "checkpoints")
    write_checkpoint(run_dir / "checkpoints/step_00000003", tiny_decoder(tiny_config(tokenizer), seed=5), tokenizer)
    assert not torch.equal(norm(huggingface_folder(run_dir)), old)


def test_a_checkpoint_outside_a_run_is_exported_beside_itself(run_dir: Path, tmp_path: Path) -> None:
    shutil.copytree(run_dir / "checkpoints" / "step_00000003", tmp_path / "kept" / "best")
    assert huggingface_folder(tmp_path / "kept" / "best") == tmp_path / "kept" / "exported" / "best"


def test_a_folder_and_a_checkpoint_open_as_the_same_model(run_dir: Path, tokenizer: Tokenizer, tmp_path: Path) -> None:
    export_decoder(tiny_decoder(tiny_config(tokenizer)), tokenizer, tmp_path / "model")
    one, two = open_model(tmp_path / "model", "cpu", "auto"), open_model(run_dir, "cpu", "auto")
    assert (one.start_id, one.context) == (two.start_id, two.context) == (tokenizer.bos_id, 64)
    tokens_BT = torch.arange(20).view(1, 20)
    with torch.no_grad():
        assert torch.equal(one.model(input_ids=tokens_BT).logits, two.model(input_ids=tokens_BT).logits)
    assert one.model.dtype == torch.float32
    assert open_model(tmp_path / "model", "cpu", "bf16").model.dtype == torch.bfloat16


@pytest.mark.parametrize(("named", "start"), [({"bos_token_id": 3, "eos_token_id": 2}, 3), ({"eos_token_id": 2}, 2)])
def test_a_text_begins_as_in_training_where_only_config_json_says_how(
    named: dict[str, int], start: int, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    export_decoder(tiny_decoder(tiny_config(tokenizer)), tokenizer, folder, verify="structure")
    shutil.rmtree(folder / "sentencepiece")
    (folder / "generation_config.json").unlink()
    for name, removed, added in (("tokenizer_config.json", "_token", {}), ("config.json", "_token_id", named)):
        values = json.loads((folder / name).read_text())
        kept = {key: value for key, value in values.items() if not key.endswith(removed)}
        (folder / name).write_text(json.dumps(kept | added))
    assert open_model(folder, "cpu", "auto").start_id == start == adopt(folder, tmp_path / "adopted").start_id
    (folder / "config.json").write_text(json.dumps(kept))
    with pytest.raises(UserError, match="names neither a bos nor an eos token"):
        open_model(folder, "cpu", "auto")


def test_missing_weights_are_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    export_decoder(tiny_decoder(tiny_config(tokenizer)), tokenizer, tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    tensors = load_file(path)
    del tensors["lm_head.weight"]
    save_file(tensors, path, {"format": "pt"})
    with pytest.raises(UserError, match=r"model: weights are missing or misshapen: lm_head.weight"):
        open_model(tmp_path / "model", "cpu", "auto")


def test_a_cut_off_file_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    export_decoder(tiny_decoder(tiny_config(tokenizer)), tokenizer, tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"model: transformers cannot load the model"):
        open_model(tmp_path / "model", "cpu", "auto")


def test_other_paths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder"):
        open_model(tmp_path / "nowhere", "cpu", "auto")
    with pytest.raises(UserError, match=r"neither a checkpoint"):
        open_model(tmp_path, "cpu", "auto")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(tokenizer: Tokenizer, tmp_path: Path) -> None:
    export_decoder(tiny_decoder(tiny_config(tokenizer)), tokenizer, tmp_path / "model")
    with pytest.raises(UserError, match=r"take device=cpu"):
        open_model(tmp_path / "model", "cuda", "auto")

"""What can be told of a model before a run begins with it: from names, sizes and headers."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file
from tiny_export import export_decoder, tiny_config, tiny_decoder, tiny_tokenizer

from jp_llm.config.model import ModelConfig
from jp_llm.config.pretrained import pretrained_fields
from jp_llm.huggingface.reader import HuggingFaceReader
from jp_llm.train.begin import described
from jp_llm.train.origin import Origin


@pytest.fixture(scope="module")
def untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A GPT-2 folder whose head is a tensor of its own."""
    folder = tmp_path_factory.mktemp("untied")
    tokenizer = tiny_tokenizer(folder / "tokenizer")
    config = tiny_config(tokenizer, arch="gpt2", tie_word_embeddings=False)
    export_decoder(tiny_decoder(config), tokenizer, folder / "model", verify="structure")
    (folder / "model" / "proof.json").unlink()
    return folder / "model"


@pytest.fixture
def folder(untied: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(untied, tmp_path / "model"))


def problems(folder: Path) -> list[str]:
    return Origin.find(folder).problems(ModelConfig.model_validate(pretrained_fields(folder)))


def test_a_head_of_its_own_is_told_from_a_tied_one(folder: Path) -> None:
    assert problems(folder) == []
    values = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(values | {"tie_word_embeddings": True}))
    [said] = problems(folder)
    assert "its head is a tensor of its own" in said
    # The remedy that it names is one.
    assert "write tie_word_embeddings false into config.json" in said


def test_weights_that_are_gone_pickled_or_misshapen_are_found_in_the_headers(folder: Path) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    name = "transformer.h.0.ln_1.weight"
    save_file({key: value for key, value in tensors.items() if key != name}, path)
    assert [name in said and "is missing" in said for said in problems(folder)] == [True]
    save_file(tensors | {name: tensors[name][:3].contiguous()}, path)
    assert [f"{name} is (3,) in the files" in said for said in problems(folder)] == [True]
    path.rename(folder / "pytorch_model.bin")
    assert ["the weights are pickled" in said for said in problems(folder)] == [True]


def test_a_damaged_model_card_costs_the_licence_alone(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, hashes = HuggingFaceReader(folder), {"config.json": "ab"}
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    assert described(weights, hashes)["license"] == "mit"
    (folder / "README.md").write_text("---\nlicense: [mit\n---\n")
    found = described(weights, hashes)
    assert (found["license"], found["files_sha256"]) == (None, hashes)
    assert "front matter is no YAML" in capsys.readouterr().err

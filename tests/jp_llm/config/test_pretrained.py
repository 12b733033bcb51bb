"""The model section of a run that begins with another model: taken from it, and contradictions refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.config.model import ModelConfig
from jp_llm.config.pretrained import newest_checkpoint, pretrained_fields
from jp_llm.config.run import RunConfig
from jp_llm.plan.run import PlanConfig
from jp_llm.runtime.errors import ExitCode, UserError

MODEL = ModelConfig(hidden_size=64, num_layers=3, num_attention_heads=4, max_position_embeddings=32, vocab_size=500)


def step_folder(run_dir: Path, step: int = 6, model: ModelConfig = MODEL) -> Path:
    folder = run_dir / "checkpoints" / f"step_{step:08d}"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"config": {"model": model.model_dump(mode="json")}}))
    return folder


def words(*more: str) -> list[str]:
    return ["run=finetune", "data.path=corpora/author", *more]


def built(*more: str) -> RunConfig:
    return build(RunConfig, *composed("train", words(*more)))


def refused(*more: str) -> tuple[ExitCode, str]:
    with pytest.raises(UserError) as caught:
        built(*more)
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize("part", ["", "checkpoints/step_00000006"])
def test_the_model_section_is_that_of_a_checkpoint(tmp_path: Path, part: str) -> None:
    step_folder(tmp_path / "run", 6)
    step_folder(tmp_path / "run", 3, MODEL.model_copy(update={"num_layers": 1}))
    config = built(f"init_from={tmp_path / 'run' / part}", f"run_dir={tmp_path / 'new'}")
    assert config.model == MODEL
    assert config.optim.learning_rate == 5e-5


def test_every_door_that_shares_the_schema_takes_it(tmp_path: Path) -> None:
    step_folder(tmp_path / "run")
    overrides = words(f"init_from={tmp_path / 'run'}", "cluster=cpu", f"run_dir={tmp_path / 'new'}")
    assert build(PlanConfig, *composed("train", overrides)).model == MODEL


def test_a_shorter_sequence_and_a_document_mask_may_differ(tmp_path: Path) -> None:
    step_folder(tmp_path / "run")
    config = built(
        f"init_from={tmp_path / 'run'}",
        f"run_dir={tmp_path / 'new'}",
        "model.document_mask=true",
        "train.seq_length=16",
        f"model.intermediate_size={MODEL.mlp_size}",  # what null means for this model
        "model.rope_theta=10000",
        "model.num_key_value_heads=null",
    )
    assert config.model.document_mask
    assert config.seq_length == 16
    assert config.model.mlp_size == MODEL.mlp_size


def test_a_document_mask_is_not_inherited(tmp_path: Path) -> None:
    step_folder(tmp_path / "run", model=MODEL.model_copy(update={"document_mask": True}))
    words = (f"init_from={tmp_path / 'run'}", f"run_dir={tmp_path / 'new'}")
    assert not built(*words).model.document_mask
    assert built(*words, "data.documents=whole").model.document_mask


def test_every_contradiction_is_named_with_what_to_leave_out(tmp_path: Path) -> None:
    step_folder(tmp_path / "run")
    code, text = refused(
        f"init_from={tmp_path / 'run'}",
        f"run_dir={tmp_path / 'new'}",
        "model.hidden_size=128",
        "model.tie_word_embeddings=true",
        "model.intermediate_size=8",
        "model.max_position_embeddings=64",
        "model.wrong=1",
        "optim.warmup_steps=5000",
    )
    assert code == ExitCode.CONFIG_REFUSED
    assert f"model.hidden_size: 128, but the model in {tmp_path / 'run'} has 64; leave it out" in text
    assert "model.tie_word_embeddings: True, but" in text
    assert f"model.intermediate_size: 8, but the model in {tmp_path / 'run'} has {MODEL.mlp_size};" in text
    assert "train.seq_length makes the sequences shorter" in text
    assert "model.wrong: no such key" in text
    assert "optim.warmup_steps: 5000 must be less than" in text


def test_sizes_of_a_group_are_refused_with_the_remedy(tmp_path: Path) -> None:
    step_folder(tmp_path / "run")
    with pytest.raises(UserError, match=r"model\.hidden_size: 256, but .*run=finetune leaves out model/size"):
        build(RunConfig, *composed("train", [f"init_from={tmp_path / 'run'}", "data.path=d", "run_dir=nowhere"]))


@pytest.mark.parametrize("more", [(), ("init_from=",)])
def test_without_a_model_to_begin_with_nothing_is_trained(more: tuple[str, ...]) -> None:
    code, text = refused(*more)
    assert code == ExitCode.CONFIG_REFUSED
    assert "init_from: name the model to begin with" in text


@pytest.mark.parametrize(
    ("files", "said", "code"),
    [
        (None, "no such folder", ExitCode.CONFIG_REFUSED),
        ({"notes.txt": "x"}, "is not a Hugging Face folder", ExitCode.CONFIG_REFUSED),
        ({"adapter_config.json": "{}"}, "holds a LoRA adapter only; merge it first", ExitCode.CONFIG_REFUSED),
        ({"config.json": '{"model_type": '}, "is no JSON", ExitCode.PREFLIGHT_REFUSED),
        ({"config.json": "[]"}, "must be a JSON object", ExitCode.PREFLIGHT_REFUSED),
        ({"manifest.json": '{"config": 3}'}, "not the manifest of a jp-llm checkpoint", ExitCode.PREFLIGHT_REFUSED),
        ({"manifest.json": '{"config": {"model": {"x": 1}}}'}, "of another version", ExitCode.PREFLIGHT_REFUSED),
        ({"config.json": '{"model_type": "bert"}'}, "bert", ExitCode.CONFIG_REFUSED),
    ],
)
def test_what_cannot_be_begun_with_is_refused_in_words(
    tmp_path: Path, files: dict[str, str] | None, said: str, code: ExitCode
) -> None:
    source = tmp_path / "source"
    for name, text in (files or {}).items():
        source.mkdir(exist_ok=True)
        (source / name).write_text(text)
    found, text = refused(f"init_from={source}", f"run_dir={tmp_path / 'new'}")
    assert (found, said in text) == (code, True), text


def test_the_own_checkpoint_of_a_run_is_the_truth(tmp_path: Path) -> None:
    step_folder(tmp_path / "mine")
    config = built(f"init_from={tmp_path / 'gone'}", f"run_dir={tmp_path / 'mine'}")
    assert config.model == MODEL


def test_the_newest_checkpoint_goes_by_number_and_has_a_manifest(tmp_path: Path) -> None:
    folders = [step_folder(tmp_path, step) for step in (99_999_999, 100_000_000, 5)]
    (tmp_path / "checkpoints/step_100000001").mkdir()
    (tmp_path / "checkpoints/damaged_step_00000007").mkdir()
    assert newest_checkpoint(tmp_path) == folders[1]
    assert newest_checkpoint(tmp_path / "none") is None


@pytest.mark.parametrize("damage", ["", '{"config": {"mod', "[]"])
def test_a_damaged_manifest_is_passed_over(tmp_path: Path, damage: str) -> None:
    older = step_folder(tmp_path / "run", 3)
    (step_folder(tmp_path / "run", 4) / "manifest.json").write_text(damage)
    assert newest_checkpoint(tmp_path / "run") == older
    # Neither a run that goes on nor one that begins with it is held up.
    assert built(f"init_from={tmp_path / 'gone'}", f"run_dir={tmp_path / 'run'}").model == MODEL
    assert built(f"init_from={tmp_path / 'run'}", f"run_dir={tmp_path / 'new'}").model == MODEL
    (older / "manifest.json").write_text(damage)
    _, text = refused(f"init_from={tmp_path / 'run'}", f"run_dir={tmp_path / 'new'}")
    assert f"{tmp_path / 'run'}: the manifest of none of its checkpoints can be read" in text


def test_fields_are_those_of_the_schema(tmp_path: Path) -> None:
    fields: dict[str, Any] = pretrained_fields(step_folder(tmp_path))
    assert ModelConfig.model_validate(fields) == MODEL

"""The seam between the command line and a validated schema."""

import errno
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest
import yaml

from jp_llm.config import app
from jp_llm.config.app import CONFIG_FOLDER, composed, run
from jp_llm.config.build import build, fields
from jp_llm.config.run import RunConfig
from jp_llm.runtime.errors import UserError

ROOT = CONFIG_FOLDER.parent


def built(*overrides: str) -> RunConfig:
    return build(RunConfig, *composed("train", ["data.path=x", *overrides]))


def problems(*overrides: str) -> list[str]:
    with pytest.raises(UserError) as caught:
        built(*overrides)
    assert caught.value.code == 2
    return list(caught.value.problems)


def test_groups_and_values_compose_in_order() -> None:
    config = built("model/size=1.3b", "model/arch=palm", "model.hidden_size=1024", "train.num_steps=9000")
    assert (config.model.num_layers, config.model.hidden_size, config.model.arch) == (24, 1024, "palm")
    assert config.train.num_steps == 9000


def test_every_group_file_composes_with_the_schema() -> None:
    train = yaml.safe_load((CONFIG_FOLDER / "train.yaml").read_text())
    groups = [key for item in train["defaults"] if isinstance(item, dict) for key in item]
    assert {"model/size", "model/arch", "data", "run"} <= set(groups)
    for group in set(groups) - {"model/size"}:  # of which below
        for file in sorted((CONFIG_FOLDER / group).glob("*.yaml")):
            tree, problems = composed("train", [f"{group}={file.stem}", "data.path=x"])
            # A blank to fill in.
            build(RunConfig, tree | ({"init_from": None} if tree.get("init_from") == "" else {}), problems)


@pytest.mark.parametrize("size", sorted(file.stem for file in (CONFIG_FOLDER / "model" / "size").glob("*.yaml")))
@pytest.mark.parametrize("arch", ["gpt2", "llama", "neox", "palm"])
def test_every_size_fits_every_architecture(size: str, arch: str) -> None:
    model = built(f"model/size={size}", f"model/arch={arch}", "train.num_steps=100000").model
    assert (model.size, model.arch) == (size, arch)


def test_many_mistakes_are_reported_at_once() -> None:
    found = problems(
        "model/size=13bb",
        "train.micro_batch_sise=3",
        "train.num_steps=ten",
        "model.num_attention_heads=7",
        "trian.num_steps=5",
        "model.qk_norm=true",
        "optim.schedule=cosin",
        "train.loggers=[consol]",
    )
    text = "\n".join(found)
    assert "train.micro_batch_sise: no such key; did you mean train.micro_batch_size?" in text
    assert "model.num_attention_heads: 7 heads do not divide hidden_size 256" in text
    assert "model.qk_norm: llama cannot be exported with it" in text
    assert "model/size: no choice '13bb'; did you mean '13b'?" in text
    assert "train.num_steps: input should be a valid integer" in text
    assert "optim.schedule: no schedule 'cosin'; did you mean 'cosine'?" in text
    assert "train.loggers: no logger 'consol'; did you mean 'console'?" in text
    assert "trian: no such key" in text
    assert len(found) == 8


def test_a_dropped_letter_is_answered_with_the_right_key() -> None:
    """Of every key, all at once."""
    rights = [key for key, _, _ in fields(RunConfig) if "." in key]
    wrongs = [key[: key.rindex(".") + 2] + key[key.rindex(".") + 3 :] for key in rights]
    # Keys of the hardware exist only where one is chosen.
    found = problems("cluster=cpu", *(f"{wrong}=1" for wrong in wrongs))
    for right, wrong in zip(rights, wrongs, strict=True):
        (said,) = [problem for problem in found if problem.startswith(f"{wrong}: no such key")]
        assert f"did you mean {right}?" in said


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("model/size=13bb", "did you mean '13b'"),
        ("model/arch=lama", "did you mean 'llama'"),
        ("train.precision=fp16", "'bf16' or 'fp32'"),
        ("train.num_steps=ten", "train.num_steps"),
        ("train.num_steps=1.5", "train.num_steps"),
        ("optim.learning_rate=-1", "greater than 0"),
        ("num_steps", "write key=value"),
        ("seed=[1", "seed=[1"),
        ("train.seq_length=4096", "longer than model.max_position_embeddings 256"),
        ("optim.warmup_steps=1000", "less than train.num_steps 1000"),
        ("train.global_batch_size=20", "the nearest is 16"),
        ("model.num_key_value_heads=3", "does not divide num_attention_heads 4"),
        ("run_dir=", "run_dir: name the folder"),
    ],
)
def test_one_mistake_is_named(override: str, expected: str) -> None:
    assert expected in "\n".join(problems(override))


def test_a_group_without_a_choice_names_the_choices() -> None:
    with pytest.raises(UserError, match=r"^corpus: choose one of aozora, cc100, custom, demo"):
        composed("corpus", [])


def test_compile_and_stage_3_exclude_each_other() -> None:
    (problem,) = problems("train.compile=true", "parallel.zero_stage=3")
    assert "train.compile: not with parallel.zero_stage 3" in problem


def test_a_section_as_one_value_keeps_what_the_size_says() -> None:
    config = built("train={num_steps: 50, micro_batch_size: 2}", "data.weights={a: 1.0}")
    assert (config.train.num_steps, config.train.global_batch_size) == (50, built().train.global_batch_size)


def test_the_launcher_flag_is_dropped(capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[RunConfig] = []
    assert run("train", RunConfig, seen.append, ["--local_rank=3", "data.path=a b", "run_dir='x, [y] $z'"]) == 0
    assert seen[0].data.path == "a b"
    assert seen[0].run_dir == "x, [y] $z"


def test_help_names_groups_and_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("train", RunConfig, lambda _: None, ["--help"]) == 0
    text = capsys.readouterr().out
    assert "model/size=1.3b|1.5b" in text
    for key, _, meaning in fields(RunConfig):
        assert f"  {key}=" in text
        assert len(meaning) > 10, f"{key} has no documentation"


def test_one_process_reports_for_all(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SECONDS_FOR_PROCESS_0", 0.0)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert run("train", RunConfig, lambda _: None, ["sead=1"]) == 2
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("RANK", "0")
    assert run("train", RunConfig, lambda _: None, ["sead=1"]) == 2
    assert "did you mean seed?" in capsys.readouterr().err


def test_what_only_another_process_knows_is_said_a_little_later(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "SECONDS_FOR_PROCESS_0", 0.5)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    before = time.monotonic()

    def refuse(error: Exception) -> int:
        def door(_: RunConfig) -> None:
            raise error

        return run("train", RunConfig, door, ["data.path=x"])

    assert refuse(UserError("not mounted")) == 3
    assert time.monotonic() - before > 0.5
    assert capsys.readouterr().err == "process 1: error: not mounted\n"
    assert refuse(OSError(errno.EACCES, "Permission denied", "there")) == 3
    # It may be back at the next start.
    assert refuse(OSError(errno.ESTALE, "Stale file handle", "there")) == 1


def test_a_refused_configuration_never_loads_torch() -> None:
    code = """
import runpy, sys
sys.argv = ["launch/train.py", "train.num_stepz=1"]
try:
    runpy.run_path("launch/train.py", run_name="__main__")
except SystemExit as exit:
    assert exit.code == 2, exit.code
assert "torch" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "did you mean train.num_steps" in result.stderr


def doors() -> list[Path]:
    return sorted((ROOT / "launch").glob("*.py"))


@pytest.mark.parametrize("door", doors(), ids=lambda door: door.stem)
def test_every_door_is_thin_and_answers_help(
    door: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(door.read_text().splitlines()) <= 40
    monkeypatch.setattr(sys, "argv", [str(door), "--help"])
    # Some doors tell the processes that they will start who they are.
    with patch.dict(os.environ), pytest.raises(SystemExit) as caught:
        runpy.run_path(str(door), run_name="__main__")
    assert not caught.value.code
    assert "keys:" in capsys.readouterr().out

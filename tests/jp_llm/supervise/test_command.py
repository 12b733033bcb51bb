"""A launcher command is divided and put together again without losing a word."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.supervise.command import parse

WORDS = st.lists(st.text(min_size=1).filter(lambda word: not word.endswith("train.py") and word != "--"))


@given(WORDS, WORDS)
def test_every_word_is_passed_as_it_is(launcher: list[str], words: list[str]) -> None:
    argv = [*launcher, "launch/train.py", *words]
    for words_of_person in (argv, ["--", *argv]):
        command = parse(words_of_person)
        assert command.argv == argv
        assert command.words == tuple(words)


def test_a_second_script_is_a_word_of_the_first() -> None:
    assert parse(["python", "my/faulty_train.py", "run_dir=runs/train.py"]).words == ("run_dir=runs/train.py",)


@pytest.mark.parametrize("argv", [[], ["--"], ["torchrun", "launch/generate.py"]])
def test_a_command_without_training_is_refused(argv: list[str]) -> None:
    with pytest.raises(UserError, match=r"ends in train\.py") as caught:
        parse(argv)
    assert caught.value.code is ExitCode.CONFIG_REFUSED


@pytest.mark.parametrize(
    ("launcher", "changed"),
    [
        ("deepspeed --hostfile old --num_gpus 8 x/train.py", "deepspeed --hostfile new --num_gpus 8 x/train.py"),
        ("deepspeed --hostfile=old x/train.py", "deepspeed --hostfile=new x/train.py"),
        ("/bin/deepspeed -H old x/train.py", "/bin/deepspeed -H new x/train.py"),
        ("deepspeed -Hold x/train.py", "deepspeed -Hnew x/train.py"),
        ("deepspeed --hostf old x/train.py", "deepspeed --hostf new x/train.py"),
        (
            "python -m deepspeed.launcher.runner -H old x/train.py",
            "python -m deepspeed.launcher.runner -H new x/train.py",
        ),
        ("mpirun -n 4 -machinefile old x/train.py", "mpirun -n 4 -machinefile new x/train.py"),
    ],
)
def test_the_hostfile_of_a_launcher_is_found_and_replaced(launcher: str, changed: str) -> None:
    # A word of the run with that name is not one of the launcher.
    command = parse([*launcher.split(), "--hostfile", "other"])
    assert command.hostfile == Path("old")
    assert command.with_hostfile(Path("new")).argv == [*changed.split(), "--hostfile", "other"]


@pytest.mark.parametrize("launcher", ["torchrun x/train.py", "mpirun -H n1,n2 x/train.py"])
def test_a_launcher_without_one(launcher: str) -> None:
    assert parse(launcher.split()).hostfile is None


def test_a_launcher_that_is_not_there_or_was_forgotten_is_refused(tmp_path: Path) -> None:
    parse([sys.executable, "launch/train.py"]).check()
    with pytest.raises(UserError, match="is the virtual environment active"):
        parse(["torchrunn", "launch/train.py"]).check()
    with pytest.raises(UserError, match="put python, torchrun or deepspeed there") as caught:
        parse(["launch/train.py", "a=b"]).check()
    assert caught.value.code is ExitCode.CONFIG_REFUSED

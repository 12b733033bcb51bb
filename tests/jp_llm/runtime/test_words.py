"""Words that survive shells."""

import re
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.runtime.commands import environment_files, safe_command, script_position
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.words import expanded, packed, refuse_mangled

HOSTILE = [
    "run_dir='runs/a b $HOME'",
    "note=$(touch marker)",
    "note=`touch marker`",
    "a=b;touch marker",
    "a=*",
    'a="b"',
    "a='b'",
    "a={x:[1,2]}",
    "a=b\\c",
    "a=%h%n%%",
    "a=昔々、(b) & c | d > e ~ #f !g",
    "a=b\nc",
    "",
]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_packed_words_come_out_as_they_went_in(words: list[str]) -> None:
    word = packed(words)
    assert re.fullmatch(r"@@[A-Za-z0-9_-]+", word)
    assert expanded(["a=1", word, "b=2"]) == ["a=1", *words, "b=2"]


def test_two_shells_change_nothing_of_a_packed_word(tmp_path: Path) -> None:
    word = packed(HOSTILE)
    for shell in ("sh", "bash"):
        inner = f"{shell} -c 'printf %s {word}'"
        printed = subprocess.run([shell, "-c", inner], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
        assert expanded([printed]) == HOSTILE
    assert not list(tmp_path.iterdir())


def test_a_file_of_words(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("# the first run\nmodel/size=nano\n\n  run_dir='runs/a $HOME'  \ntrain.sample_prompts=[昔々、]\n")
    assert expanded([f"@{path}", "seed=3"]) == [
        "model/size=nano",
        "run_dir='runs/a $HOME'",
        "train.sample_prompts=[昔々、]",
        "seed=3",
    ]


@pytest.mark.parametrize("word", ["@missing.txt", "@", "@@", "@@!!", "@@e30", packed(["a"])[:-3], "@@WzFd"])
def test_damaged_words_are_refused(word: str) -> None:
    with pytest.raises(UserError):
        expanded([word])


def test_words_of_other_launchers_are_taken_as_they_are() -> None:
    refuse_mangled(["a=$HOME"])


@pytest.fixture
def hostfile(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("n1 slots=8\nn2 slots=8\n")
    path.chmod(0o644)
    return path


@pytest.mark.parametrize("form", ["-H {}", "--hostfile {}", "--hostfile={}", "-H{}", "--hostf={}"])
@pytest.mark.parametrize("start", ["deepspeed", "/opt/bin/deepspeed", "python -m deepspeed.launcher.runner"])
def test_words_for_deepspeed_with_a_hostfile_are_packed(form: str, start: str, hostfile: Path) -> None:
    front = [*start.split(), *form.format(hostfile).split(), "--master_port", "1", "launch/train.py"]
    command = safe_command([*front, *HOSTILE])
    assert command == [*front, packed(HOSTILE)]
    assert safe_command(front) == front


@pytest.mark.parametrize(
    "front",
    [
        ["python", "launch/train.py"],
        ["torchrun", "--nproc_per_node", "8", "launch/train.py"],
        ["srun", "python", "launch/train.py"],
        ["mpirun", "-n", "8", "--hostfile", "anything", "python", "launch/train.py"],
        ["deepspeed", "--num_gpus", "8", "launch/train.py"],
    ],
)
def test_all_others_pass_words_by_themselves(front: list[str]) -> None:
    assert safe_command([*front, *HOSTILE]) == [*front, *HOSTILE]
    assert script_position(front) == len(front) - 1


def test_a_hostile_hostfile_stops_the_command(hostfile: Path) -> None:
    hostfile.write_text("-oProxyCommand=id slots=8\n")
    with pytest.raises(UserError, match="no name of a host"):
        safe_command(["deepspeed", "-H", str(hostfile), "launch/train.py"])
    # deepspeed would say so in one line among many, and train on this machine alone.
    with pytest.raises(UserError, match="no such hostfile"):
        safe_command(["deepspeed", "-H", "missing", "launch/train.py"])


def test_names_that_deepspeed_does_not_quote_are_refused(
    hostfile: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "a $HOME"
    folder.mkdir()
    monkeypatch.chdir(folder)
    with pytest.raises(UserError, match="the working folder"):
        safe_command(["deepspeed", "-H", str(hostfile), "launch/train.py"])


def test_environment_files_of_deepspeed_are_named(tmp_path: Path) -> None:
    assert environment_files(tmp_path) == []
    (tmp_path / ".deepspeed_env").write_text("LD_PRELOAD=/tmp/x.so\nNCCL_DEBUG=INFO\n")
    [note] = environment_files(tmp_path)
    assert "sets LD_PRELOAD, NCCL_DEBUG from it" in note

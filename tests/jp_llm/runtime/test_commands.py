"""Commands of launchers, made safe before they run."""

from pathlib import Path

import pytest

from jp_llm.runtime.commands import environment_files, hostfile_position, safe_command, script_position
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.words import packed

WORDS = ["run_dir='runs/a b $HOME'", "a=$(id)", "a=%h;*", "a=昔々、"]


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
    command = safe_command([*front, *WORDS])
    assert command == [*front, packed(WORDS)]
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
    assert safe_command([*front, *WORDS]) == [*front, *WORDS]
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


def test_words_of_a_file_are_packed_themselves(hostfile: Path, tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("# what I train\nmodel/size=nano\nrun_dir='runs/a b'\n")
    front = ["deepspeed", "-H", str(hostfile), "launch/train.py"]
    command = safe_command([*front, f"@{tmp_path / 'words.txt'}", "seed=1"])
    assert command == [*front, packed(["model/size=nano", "run_dir='runs/a b'", "seed=1"])]


@pytest.mark.parametrize("front", ["torchrun --rdzv_id ds", "srun -J deepspeed python"])
def test_the_value_of_an_option_is_not_the_launcher(front: str, hostfile: Path) -> None:
    command = [*front.split(), "-H", str(hostfile), "launch/train.py"]
    assert safe_command([*command, *WORDS]) == [*command, *WORDS]
    assert hostfile_position(command) is None


@pytest.mark.parametrize("front", ["nice -n 5 deepspeed", "python -u /opt/bin/deepspeed", "env A=b ds"])
def test_deepspeed_behind_other_words_is_the_launcher(front: str, hostfile: Path) -> None:
    command = [*front.split(), "-H", str(hostfile), "launch/train.py"]
    assert safe_command([*command, *WORDS]) == [*command, packed(WORDS)]

"""The door: what it says, writes and hands to sbatch."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from tiny import run_config

from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.submit import run as door
from jp_llm.submit.run import file_system_of, run, submit

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def sbatch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file with the words and the environment of every call of sbatch."""
    calls = tmp_path / "calls"
    program = tmp_path / "bin" / "sbatch"
    program.parent.mkdir()
    program.write_text(
        f"#!/bin/bash\nprintf '%s\\n' \"$@\" >> {shlex.quote(str(calls))}\n"
        f"env | grep ^SBATCH_ >> {shlex.quote(str(calls))}\necho '41;cluster'\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return calls


def config(folder: Path, **slurm: object):  # type: ignore[no-untyped-def]
    return run_config(run_dir=str(folder / "run"), slurm={"nodes": 2, "tasks_per_node": 2, **slurm})


def test_the_script_is_written_and_submitted(
    tmp_path: Path, sbatch: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("TIMELIMIT", "OPEN_MODE", "PARTITION", "GPUS_PER_NODE"):
        monkeypatch.setenv(f"SBATCH_{name}", "1")
    monkeypatch.setenv("SBATCH_RESERVATION", "spring")
    assert run(config(tmp_path, chain=3), ["train.num_steps=6", "dry_run=false"]) == ExitCode.DONE
    script = tmp_path / "run" / "job.sbatch"
    assert (tmp_path / "run" / "logs").is_dir()
    assert "dry_run" not in script.read_text()
    assert script.read_text().endswith("    train.num_steps=6\n")
    # What the script says must not be overruled; the rest of the user's environment is.
    assert sbatch.read_text().splitlines() == ["--parsable", str(script), "SBATCH_RESERVATION=spring"] * 3
    assert capsys.readouterr().out.count("job 41: run-") == 3


def test_a_dry_run_shows_the_script_and_leaves_no_trace(
    tmp_path: Path, sbatch: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["dry_run=true", "train.num_steps=6"]
    assert run(config(tmp_path).model_copy(update={"dry_run": True}), words) == ExitCode.DONE
    printed = capsys.readouterr().out
    assert "#SBATCH --nodes=2" in printed
    assert "2 nodes x 2 processes = 4; nothing was submitted" in printed
    assert "dry_run=" not in printed
    assert not sbatch.exists()
    assert not (tmp_path / "run").exists()


def test_warnings_are_only_warnings(tmp_path: Path, sbatch: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "DONE").write_text('{"step": 6}')
    assert run(config(tmp_path, venv="nowhere"), []) == ExitCode.DONE
    printed = capsys.readouterr().err
    for words in ("no dataset.json there", "no bin/activate there", "slurm.time is not given", "this run is complete"):
        assert words in printed


def test_a_line_break_in_the_command_line_is_refused(tmp_path: Path, sbatch: Path) -> None:
    with pytest.raises(UserError, match="no line breaks") as caught:
        run(config(tmp_path), ["a=1\n#SBATCH --wrap=id"])
    assert caught.value.code == ExitCode.CONFIG_REFUSED
    assert not sbatch.exists()


def test_a_refusal_of_slurm_is_told(tmp_path: Path, sbatch: Path) -> None:
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/bash\necho 'error: Invalid qos' >&2\nexit 1\n")
    with pytest.raises(UserError, match="Invalid qos"):
        submit(tmp_path / "job.sbatch")
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/bash\necho 'Invalid node name specified' >&2\nexit 1\n")
    with pytest.raises(UserError, match=r"Invalid node name specified; look at slurm.exclude and bad_hosts.txt"):
        submit(tmp_path / "job.sbatch")
    (tmp_path / "bin" / "sbatch").write_text("#!/bin/bash\necho Hello\n")
    with pytest.raises(UserError, match="'Hello' instead of a job number"):
        submit(tmp_path / "job.sbatch")
    (tmp_path / "bin" / "sbatch").unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path / "bin"))
        with pytest.raises(UserError, match="submit from a login node"):
            submit(tmp_path / "job.sbatch")


def test_the_disk_under_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared = tmp_path / "shared disk"
    shared.mkdir()
    mounts = f"overlay / overlay rw 0 0\nserver:/x {str(shared.resolve()).replace(' ', chr(92) + '040')} nfs4 rw 0 0\n"
    monkeypatch.setattr(door.Path, "read_text", lambda path: mounts)
    assert file_system_of(shared / "runs" / "first") == "nfs4"
    assert file_system_of(tmp_path / "elsewhere") == "overlay"


def test_the_door_judges_the_whole_configuration(tmp_path: Path) -> None:
    def door(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(ROOT / "launch" / "submit.py"), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    size = ["data.path=x", "slurm.nodes=2", "slurm.tasks_per_node=2"]
    refused = door(*size, "train.num_stepz=6", "slurm.job_name='a b'", "train.global_batch_size=3")
    assert refused.returncode == ExitCode.CONFIG_REFUSED
    for words in ("did you mean train.num_steps?", "slurm.job_name: 'a b'", "train.global_batch_size: 3 is not"):
        assert words in refused.stderr
    shown = door(*size, "train.global_batch_size=32", "run_dir='run $HOME'", "dry_run=true", "slurm.time=24:00:00")
    assert shown.returncode == 0, shown.stderr
    assert "run_dir='\"'\"'run $HOME'\"'\"''" in shown.stdout

"""What Slurm is asked, with commands that only pretend to be Slurm's."""

import sys
from pathlib import Path

import pytest

from jp_llm.supervise import slurm


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(slurm, "PAUSE_SECONDS", 0.01)
    return tmp_path


def pretend(commands: Path, name: str, body: str) -> None:
    script = commands / name
    script.write_text(f"#!{sys.executable}\nimport os, sys\nfrom pathlib import Path\n{body}\n")
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0:07", 7),
        ("12:34", 754),
        ("3:04:05", 11045),
        ("2-03:04:05", 183845),
        ("UNLIMITED", None),
        ("NOT_SET", None),
        ("INVALID", None),
        ("", None),
    ],
)
def test_the_time_that_is_left(commands: Path, said: str, seconds: int | None) -> None:
    pretend(commands, "squeue", f"print({said!r})")
    assert slurm.seconds_left("7") == seconds


def test_a_controller_that_is_away_for_a_while_is_asked_again(commands: Path) -> None:
    seen = commands / "seen"
    body = f"""
seen = Path({str(seen)!r})
count = len(seen.read_text()) if seen.exists() else 0
seen.write_text("x" * (count + 1))
if count < 2:
    sys.exit("scontrol: error: Unable to contact slurm controller (connect failure)")
"""
    pretend(commands, "scontrol", body)
    assert slurm.requeue("7") is None
    assert len(seen.read_text()) == 3


def test_a_refusal_is_not_asked_again(commands: Path) -> None:
    seen = commands / "seen"
    pretend(
        commands, "scontrol", f"Path({str(seen)!r}).open('a').write('x'); sys.exit('Requested operation is disabled')"
    )
    assert slurm.requeue("7") == "scontrol requeue 7: Requested operation is disabled"
    assert seen.read_text() == "x"


def test_a_controller_that_stays_away(commands: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm, "PATIENCE_SECONDS", 0.0)
    pretend(commands, "squeue", "sys.exit('slurm_load_jobs error: Unable to contact slurm controller')")
    assert slurm.steps("7", "jp_llm_a") is None
    assert slurm.seconds_left("7") is None


def test_only_steps_of_that_name_are_ours(commands: Path) -> None:
    pretend(commands, "squeue", "print('7.batch batch\\n7.1 bash\\n7.2 jp_llm_a\\n7.3 jp_llm_ab\\n7.4 jp_llm_a x')")
    assert slurm.steps("7", "jp_llm_a") == ["7.2"]

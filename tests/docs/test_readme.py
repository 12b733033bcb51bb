"""The commands of both READMEs are the same, and the big one fits."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commands(name: str) -> list[list[str]]:
    """Words of every command that starts a door, comments left out."""
    text = (ROOT / name).read_text(encoding="utf-8")
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [shlex.split(line, comments=True) for line in lines if "launch/" in line and "──" not in line]
    return [words for words in found if words]


def test_both_languages_show_the_same_commands() -> None:
    assert commands("README.md") == commands("README.ja.md")
    assert len(commands("README.md")) > 8


def test_the_job_of_the_readme_fits() -> None:
    (job,) = [words for words in commands("README.md") if "launch/submit.py" in words]
    words = [word for word in job[2:] if not word.startswith("data.path=")]
    result = subprocess.run(
        [sys.executable, "launch/plan.py", *words, "model.vocab_size=48000"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    used, there = map(float, re.findall(r"memory +([\d.]+) of ([\d.]+) GiB", result.stdout)[0])
    assert used < 0.92 * there

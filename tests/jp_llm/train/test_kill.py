"""Three kills; `tests/soak/kill.py` does as many as one likes."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "soak" / "kill.py"


@pytest.mark.distributed
@pytest.mark.slow
def test_a_run_survives_kills_at_any_moment_bit_for_bit() -> None:
    command = [sys.executable, str(SCRIPT), "--kills", "3", "--steps", "30", "--seed", "1", "parallel.zero_stage=3"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout + found.stderr
    assert "| kills | 3 |" in found.stdout
    assert "| runs with the weights and moments of the undisturbed run | 1 of 1 |" in found.stdout

"""Preprocessing as an array of a real Slurm: the elements share the work, also when one is sent back to the queue."""

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import corpus_runs
import pytest
from slurm_cluster import SlurmCluster, slurm_cluster, wait_for

pytestmark = [pytest.mark.distributed, pytest.mark.launchers, pytest.mark.slow]
ELEMENTS = range(3)


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    with slurm_cluster() as cluster:
        yield cluster


def test_an_array_of_three_gives_the_bytes_of_one_process_although_the_first_begins_twice(
    cluster: SlurmCluster, tmp_path: Path
) -> None:
    inputs = corpus_runs.write_inputs(tmp_path / "inputs", documents=100)
    code, printed = corpus_runs.run(corpus_runs.command("local", 1, corpus_runs.overrides(inputs, tmp_path / "alone")))
    assert code == 0, printed

    output = tmp_path / "shared"
    command = [sys.executable, "launch/preprocess.py", *corpus_runs.overrides(inputs, output)]
    script = tmp_path / "job.sbatch"
    script.write_text(f"#!/bin/bash\nexec {shlex.join(command)}\n")
    options = [f"--array={ELEMENTS.start}-{ELEMENTS.stop - 1}", "--requeue", "--open-mode=append"]
    options += [f"--chdir={corpus_runs.ROOT}", f"--output={tmp_path}/element_%a.log"]
    environment = {"PYTHONPATH": str(corpus_runs.ROOT), "OMP_NUM_THREADS": "1"}
    job = cluster.run("sbatch", "--parsable", *options, str(script), env=environment).strip()

    def printed_by(element: int) -> str:
        path = tmp_path / f"element_{element}.log"
        return path.read_text() if path.exists() else ""

    wait_for(lambda: list((output / "marks" / "clean").glob("*.json")), 120, "work has begun", lambda: printed_by(0))
    cluster.run("scontrol", "requeue", f"{job}_0")
    for element in ELEMENTS:
        record = cluster.wait_for_state(f"{job}_{element}", "COMPLETED", "FAILED", seconds=180)
        assert record["JobState"] == "COMPLETED", printed_by(element)
        assert record["Restarts"] == ("1" if element == 0 else "0")
    assert sum(printed_by(element).count("ready for training") for element in ELEMENTS) == 1
    expected, found = corpus_runs.outputs(tmp_path / "alone"), corpus_runs.outputs(output)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []

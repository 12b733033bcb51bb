"""The same bytes whoever does the work, and one clear end when somebody fails: whole runs from the command line."""

import json
import random
import sys
import time
from pathlib import Path

import corpus_runs
import pytest
from corpus_runs import command, finish, kill, overrides, run, start

from preprocessing.execution.claims import Claims

pytestmark = [pytest.mark.distributed, pytest.mark.launchers]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return corpus_runs.write_inputs(tmp_path_factory.mktemp("inputs"), documents=100)


@pytest.fixture(scope="module")
def expected(tmp_path_factory, inputs):
    output = tmp_path_factory.mktemp("expected") / "out"
    code, printed = run(command("local", 1, overrides(inputs, output)))
    assert code == 0, printed
    assert json.loads((output / "report.json").read_text())["total"]["rejected"] == {"json": 1}
    return corpus_runs.outputs(output)


def same(expected, output):
    found = corpus_runs.outputs(output)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


@pytest.mark.parametrize(("backend", "workers"), [("local", 2), ("local", 4), ("mpi", 3)])
def test_who_does_the_work_changes_no_byte(tmp_path, inputs, expected, backend, workers):
    code, printed = run(command(backend, workers, overrides(inputs, tmp_path / "out")))
    assert code == 0, printed
    assert printed.count("ready for training") == 1
    same(expected, tmp_path / "out")
    assert not (tmp_path / "out" / "claims").exists()


def element(inputs, output, index, job="7", more=()):
    variables = {"SLURM_ARRAY_JOB_ID": job, "SLURM_ARRAY_TASK_ID": str(index), "SLURM_JOB_ID": str(100 + index)}
    return start([sys.executable, "launch/preprocess.py", *overrides(inputs, output), *more], **variables)


def test_the_elements_of_an_array_share_the_work(tmp_path, inputs, expected):
    elements = [element(inputs, tmp_path / "out", index) for index in range(3)]
    ends = [finish(process) for process in elements]
    assert [code for code, _ in ends] == [0, 0, 0], ends
    assert sum(printed.count("ready for training") for _, printed in ends) == 1
    same(expected, tmp_path / "out")
    # An element that comes late finds all done.
    code, printed = finish(element(inputs, tmp_path / "out", 3))
    assert (code, printed) == (0, "")


def test_another_element_takes_the_place_of_a_leader_that_died(tmp_path, inputs, expected):
    leader = element(inputs, tmp_path / "out", 0)
    wait_for(lambda: list((tmp_path / "out" / "marks" / "clean").glob("*.json")), leader)
    helper = element(inputs, tmp_path / "out", 1)
    children = corpus_runs.descendants(leader.pid)
    kill([leader.pid, *children])
    leader.communicate()
    code, printed = finish(helper)
    assert code == 0, printed
    assert "ready for training" in printed
    same(expected, tmp_path / "out")


def wait_for(condition, process):
    deadline = time.monotonic() + 240
    while not condition() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.01)
    assert condition()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory, inputs):
    """The same inputs, but one cannot be read to its end."""
    folder = tmp_path_factory.mktemp("damaged")
    for path in inputs.iterdir():
        if path.name != "web.jsonl.gz":
            (folder / path.name).symlink_to(path)
    (folder / "web.jsonl.gz").write_bytes((inputs / "web.jsonl.gz").read_bytes()[:-500])
    return folder


@pytest.mark.parametrize("backend", ["local", "mpi"])
def test_an_error_ends_all_with_words_and_its_exit_code(tmp_path, damaged, backend):
    # Not split, so that it is found by whoever has claimed the unit.
    arguments = [*overrides(damaged, tmp_path / "out"), "split_above_bytes=1000000"]
    code, printed = run(command(backend, 3, arguments))
    assert code == 3, printed
    assert printed.count("clean web-00000: ") == 1
    assert "web.jsonl.gz: the gzip stream is cut off" in printed
    assert "Traceback" not in printed


def test_an_error_in_one_element_stops_the_others(tmp_path, damaged):
    elements = [element(damaged, tmp_path / "out", index) for index in range(2)]
    ends = [finish(process) for process in elements]
    assert [code for code, _ in ends] == [3, 3], ends
    assert all("web.jsonl.gz: the gzip stream is cut off" in printed for _, printed in ends)
    assert sum("stopped because another element has failed" in printed for _, printed in ends) == 1
    # An element that begins later, or begins anew in the same job, tries again.
    code, printed = finish(element(damaged, tmp_path / "out", 0))
    assert code == 3
    assert "stopped because" not in printed


def test_two_runs_of_other_stages_in_one_job(tmp_path, inputs, expected):
    code, printed = finish(element(inputs, tmp_path / "out", 0, more=["stages=[clean]"]))
    assert code == 0, printed
    assert "cleaned documents" in printed
    assert not (tmp_path / "out" / "dataset.json").exists()
    elements = [element(inputs, tmp_path / "out", index) for index in range(2)]
    ends = [finish(process) for process in elements]
    assert [code for code, _ in ends] == [0, 0], ends
    assert sum(printed.count("ready for training") for _, printed in ends) == 1
    same(expected, tmp_path / "out")


def test_a_wrong_key_is_reported_by_one_rank(tmp_path, inputs):
    code, printed = run(command("mpi", 2, [*overrides(inputs, tmp_path / "out"), "num_wrokers=2"]))
    assert code == 2, printed
    # Another rank would name itself. A line, because mpirun has been seen to pass one on twice.
    lines = {line for line in printed.splitlines() if "did you mean" in line}
    assert lines == {"error: num_wrokers: no such key; did you mean num_workers?"}


def test_processes_that_do_not_know_of_each_other_are_refused(tmp_path, inputs):
    # As under an mpirun of another MPI library than that of mpi4py.
    arguments = [*overrides(inputs, tmp_path / "out"), "backend=mpi"]
    library = str(Path(sys.executable).parent.parent / "lib")
    code, printed = run(command("local", 1, arguments), PMI_SIZE="2", PMI_RANK="0", LD_LIBRARY_PATH=library)
    assert code == 2, printed
    assert "the launcher has started 2 processes, but MPI (" in printed
    assert "sees 1" in printed
    assert not (tmp_path / "out").exists()


def test_a_local_run_and_an_array_exclude_each_other(tmp_path, inputs):
    (tmp_path / "out").mkdir()
    from jp_llm.runtime.lock import locked

    with locked(tmp_path / "out"):
        code, printed = finish(element(inputs, tmp_path / "out", 0))
    assert code == 3
    assert "another run is working in this folder" in printed
    with locked(tmp_path / "out", shared=True):
        code, printed = run(command("local", 1, overrides(inputs, tmp_path / "out")))
    assert code == 3
    assert "another run is working in this folder" in printed


@pytest.mark.parametrize("backend", ["local", "mpi"])
def test_a_run_that_is_killed_again_and_again_gives_the_same_bytes(tmp_path, inputs, expected, backend):
    rng = random.Random(backend)
    arguments = command(backend, 3, overrides(inputs, tmp_path / "out"))
    for stage in ("split", "clean", "encode"):
        process = start(arguments)
        wait_for(lambda stage=stage: any((tmp_path / "out" / "marks" / stage).glob("*.json")), process)
        time.sleep(rng.uniform(0, 0.3))
        corpus_runs.kill_all(process)
        process.communicate()
    code, printed = run(arguments)
    assert code == 0, printed
    same(expected, tmp_path / "out")


def test_an_array_needs_slurm(tmp_path, inputs):
    code, printed = run(command("local", 1, [*overrides(inputs, tmp_path / "out"), "backend=slurm_array"]))
    assert code == 2
    assert "start it with sbatch --array" in printed


def test_claims_of_a_run_that_was_killed_do_not_stay(tmp_path, inputs, expected):
    claims = Claims(tmp_path / "out" / "claims")
    (tmp_path / "out" / "claims").mkdir(parents=True)
    assert claims.take("clean/plain-00000")  # fresh, and of a living process
    code, printed = run(command("mpi", 2, overrides(inputs, tmp_path / "out")))
    assert code == 0, printed
    same(expected, tmp_path / "out")

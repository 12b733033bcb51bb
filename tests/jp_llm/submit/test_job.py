"""From a configuration to the options of sbatch."""

from pathlib import Path
from typing import Any

import pytest
from tiny import run_config

from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.run import RunConfig
from jp_llm.runtime.errors import UserError
from jp_llm.submit.job import Job, job_of, options, quoted


def config(folder: Path, **slurm: Any) -> RunConfig:
    size = {"nodes": 2, "tasks_per_node": 2}
    return run_config(run_dir=str(folder / "first"), slurm={**size, **slurm}, train__device="auto")


def job(folder: Path, **slurm: Any) -> Job:
    return job_of(config(folder, **slurm))


def problems(config: RunConfig) -> list[str]:
    with pytest.raises(UserError) as caught:
        job_of(config)
    assert caught.value.code == 2
    return list(caught.value.problems)


def test_the_options_of_a_usual_job(tmp_path: Path) -> None:
    made = job(tmp_path, partition="a100", account="me", time="24:00:00", cpus_per_task=8, mem="480G", gpu_type="a100")
    assert options(made) == [
        f"--job-name={made.name}",
        "--partition=a100",
        "--account=me",
        "--time=24:00:00",
        "--nodes=2",
        "--ntasks-per-node=2",
        "--gres=gpu:a100:2",
        "--cpus-per-task=8",
        "--mem=480G",
        "--exclusive",
        "--dependency=singleton",
        "--signal=USR2@600",
        "--requeue",
        "--open-mode=append",
        f'--output="{tmp_path}/first/logs/slurm_%j.log"',
    ]


def test_an_array_takes_the_place_of_requeue_and_chain(tmp_path: Path) -> None:
    found = options(job(tmp_path, array=7, requeue=False))
    assert {"--array=1-7%1", "--no-requeue"} <= set(found)
    assert not [option for option in found if option.startswith("--dependency")]
    assert any("slurm_%A_%a.log" in option for option in found)


@pytest.mark.parametrize(
    ("values", "option"),
    [
        ({}, "--gres=gpu:2"),
        ({"gpus_by": "gpus_per_node"}, "--gpus-per-node=2"),
        ({"gpus_by": "gpus_per_node", "gpu_type": "h100"}, "--gpus-per-node=h100:2"),
        ({"gpus_by": "none"}, None),
    ],
)
def test_how_gpus_are_asked_for(tmp_path: Path, values: dict[str, Any], option: str | None) -> None:
    found = [found for found in options(job(tmp_path, **values)) if found.startswith(("--gres", "--gpus"))]
    assert found == ([option] if option else [])


def test_a_run_on_processors_asks_for_no_gpus(tmp_path: Path) -> None:
    made = job_of(run_config(run_dir=str(tmp_path), slurm={"nodes": 1, "tasks_per_node": 2}))
    assert not [option for option in options(made) if option.startswith(("--gres", "--gpus"))]


def test_the_size_comes_from_the_cluster_unless_it_is_given(tmp_path: Path) -> None:
    # Only what is asked of the hardware here.
    cluster = ClusterConfig.model_construct(nodes=2, devices_per_node=2)
    whole = config(tmp_path, nodes=None, tasks_per_node=None)
    assert job_of(whole.model_copy(update={"cluster": cluster})).world_size == 4
    half = config(tmp_path, nodes=1, tasks_per_node=None)
    assert job_of(half.model_copy(update={"cluster": cluster})).world_size == 2


def test_a_job_of_unknown_size_is_refused(tmp_path: Path) -> None:
    found = problems(run_config(run_dir=str(tmp_path)))
    assert [line.partition(":")[0] for line in found] == ["slurm.nodes", "slurm.tasks_per_node"]


def test_a_layout_that_does_not_fit_the_job_is_refused_with_one_that_does(tmp_path: Path) -> None:
    values: dict[str, Any] = {"run_dir": str(tmp_path), "slurm": {"nodes": 3, "tasks_per_node": 1}}
    found = problems(run_config(**values, parallel__tensor=2))
    assert "3 is not a multiple of 2 x 1" in found[0]
    found = problems(run_config(**values, parallel__world_size=4))
    assert "4 is not 3 nodes x 1 processes = 3" in found[0]


def test_bad_hosts_are_left_out_and_lines_that_are_no_host_are_not_passed_on(tmp_path: Path) -> None:
    made = job(tmp_path, exclude="n[1-2]")
    made.folder.path.mkdir()
    made.folder.bad_hosts.write_text("gpu07.cluster.example # bad HBM\n\ngpu03\n--wrap=id\n$(id)\n")
    assert "--exclude=n[1-2],gpu07,gpu03" in options(made)


def test_the_name_of_a_job_tells_run_folders_apart(tmp_path: Path) -> None:
    one, other = job(tmp_path / "a"), job(tmp_path / "b")
    assert one.name != other.name
    assert one.name.startswith("first-")
    assert job(tmp_path / "a", job_name="mine").name == one.name.replace("first", "mine")
    strange = job_of(run_config(run_dir=str(tmp_path / "-最初 $x"), slurm={"nodes": 1, "tasks_per_node": 1}))
    assert strange.name.startswith("x-")


def test_percent_signs_of_a_folder_are_not_read_as_patterns(tmp_path: Path) -> None:
    made = job(tmp_path / "50%j")
    assert f'--output="{tmp_path}/50%%j/first/logs/slurm_%j.log"' in options(made)


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\tb", "a\x7fb"])
def test_a_folder_that_no_line_of_sbatch_can_hold_is_refused(tmp_path: Path, name: str) -> None:
    values: dict[str, Any] = {"run_dir": str(tmp_path / name), "slurm": {"nodes": 1, "tasks_per_node": 1}}
    assert "rename it" in problems(run_config(**values))[0]


def test_what_sbatch_reads_specially_is_escaped() -> None:
    assert quoted("""a "b' #c \\ $d""") == r'''"a \"b\' \#c \\ $d"'''


def test_lists_of_mounts_cannot_hold_every_folder(tmp_path: Path) -> None:
    assert job(tmp_path / "a,b").folder.path.name == "first"
    image = {"container": "pyxis", "container_image": "x"}
    assert "has a comma or colon" in problems(config(tmp_path / "a,b", **image))[0]

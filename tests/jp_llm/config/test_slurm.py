"""What a job may be called and contain."""

from typing import Any

import pytest

from jp_llm.config.build import problems_of
from jp_llm.config.slurm import SlurmConfig


def problems(**values: Any) -> list[str]:
    return problems_of(SlurmConfig.model_validate(values))


def test_a_site_s_usual_values_are_taken() -> None:
    assert not problems(
        job_name="llama-13b.v2",
        partition="a100,a100-long",
        account="proj_7",
        qos="normal",
        time="2-12",
        comment="第三回: #3 'quoted'",
        gpu_type="a100",
        mem="480G",
        constraint="(a100|h100)&nvlink",
        exclude="n[3-5],n7",
        extra=("--mail-type=END", "--reservation=spring", "--contiguous"),
        modules=("cuda/12.8", "nccl"),
        environment={"NCCL_SOCKET_IFNAME": "ib0", "NCCL_IB_TIMEOUT": 22, "TOKENIZERS_PARALLELISM": "false"},
        container="apptainer",
        container_image="docker://registry/image:tag",
        container_mounts=("/data", "/scratch/me:/scratch:ro"),
    )


@pytest.mark.parametrize(
    ("time", "seconds"),
    [
        (90, 5400),
        ("90", 5400),
        ("1:30", 90),
        ("24:00:00", 86400),
        ("2-12", 216000),
        ("1-0:30", 88200),
        ("1-1:1:1", 90061),
    ],
)
def test_times_are_read_as_sbatch_reads_them(time: str | int, seconds: int) -> None:
    assert SlurmConfig(time=time).time_seconds == seconds


HOSTILE = ["a b", "a\nb", "a;b", "$(id)", "`id`", "-x", "--wrap=id", "a'b", 'a"b', "a#b", "a\\b", "", "a\x00b", "../x"]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "key", ["job_name", "partition", "account", "qos", "time", "gpu_type", "mem", "constraint", "exclude"]
)
def test_what_stands_bare_in_a_line_of_sbatch_matches_a_strict_pattern(key: str, value: str) -> None:
    if key == "constraint" and value in ("-x", "--wrap=id"):
        pytest.skip("--constraint=-x is one word: a feature that does not exist")
    found = problems(**{key: value})
    assert len(found) == 1
    assert found[0].startswith(f"{key}: ")


@pytest.mark.parametrize("value", ["a b", "a;b", "$(id)", "-x", "a\nb", ""])
def test_a_module_is_a_name(value: str) -> None:
    assert problems(modules=(value,))[0].startswith("modules: ")


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--wrap=id", "leave it out"),
        ("--parsable", "leave it out"),
        ("--time=10", "what slurm.time is for"),
        ("--output=/etc/passwd", "what run_dir is for"),
        ("-p debug", "write --name or --name=value"),
        ("--comment=a b", "without spaces"),
        ("--x=1\n#SBATCH --wrap=id", "without spaces"),
        ("--x='a", "without spaces"),
        ("mail", "write --name or --name=value"),
    ],
)
def test_more_options_are_checked(option: str, words: str) -> None:
    (found,) = problems(extra=(option,))
    assert words in found


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("A B", "1", "no name of a variable"),
        ("A;id", "1", "no name of a variable"),
        ("1A", "1", "no name of a variable"),
        ("WANDB_API_KEY", "x", "a secret"),
        ("HF_TOKEN", "x", "a secret"),
        ("RANK", "0", "srun decides"),
        ("SLURM_PROCID", "0", "srun decides"),
        ("A", "1\n2", "line break"),
    ],
)
def test_variables_are_checked(name: str, value: str, words: str) -> None:
    (found,) = problems(environment={name: value})
    assert words in found


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"array": 5}, "also set slurm.requeue=false"),
        ({"array": 5, "requeue": False, "chain": 2}, "an array is a chain already"),
        ({"container": "pyxis"}, "go together"),
        ({"container_image": "x.sif"}, "go together"),
        ({"container": "pyxis", "container_image": "-x"}, "read as an option"),
        ({"container_mounts": ("/a",)}, "there is no container"),
        ({"time": "10:00"}, "every job would stop at once"),
        ({"comment": "a\nb"}, "line break"),
        ({"venv": ""}, "is empty"),
    ],
)
def test_what_does_not_go_together(values: dict[str, Any], words: str) -> None:
    (found,) = problems(**values)
    assert words in found


@pytest.mark.parametrize("mount", ["a:b", "/a,/b", "/a:b", "/a:/b:rx", "/a\n"])
def test_mounts_are_absolute_folders(mount: str) -> None:
    assert "container_mounts" in problems(container="pyxis", container_image="x", container_mounts=(mount,))[0]

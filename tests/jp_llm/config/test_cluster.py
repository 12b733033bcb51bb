"""The cluster files, and what is said when none is chosen."""

import re
from pathlib import Path

import pytest
import yaml

from jp_llm.config.app import CONFIG_FOLDER, composed
from jp_llm.config.arithmetic import peak_flops
from jp_llm.config.build import build
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.run import RunConfig
from jp_llm.runtime.errors import UserError

FILES = sorted((CONFIG_FOLDER / "cluster").glob("*.yaml"))


def chosen(*words: str) -> ClusterConfig:
    cluster = build(RunConfig, *composed("train", ["data.path=x", *words])).cluster
    assert cluster is not None
    return cluster


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_composes_and_can_be_overridden(path: Path) -> None:
    cluster = chosen(f"cluster={path.stem}", "cluster.nodes=3", "cluster.devices_per_node=4")
    assert cluster.name == path.stem
    assert cluster.world_size == 12
    assert cluster.hours_between_failures == pytest.approx(cluster.node_hours_between_failures / 3)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_number_says_where_it_comes_from(path: Path) -> None:
    lines = path.read_text().splitlines()
    if path.stem == "cpu":
        assert "All assumed" in lines[1]
        return
    numbers = [line for line in lines if re.match(r"  \w+: [\d.]", line) and "devices_per_node" not in line]
    assert len(numbers) == len(yaml.safe_load(path.read_text())["cluster"]) - 2
    assert all(re.search(r"# .*(published|measured|fitted|assumed)", line) for line in numbers)


@pytest.mark.parametrize(
    ("file", "device"),
    [
        ("a100-40gb", "NVIDIA A100-SXM4-40GB"),
        ("a100-80gb", "NVIDIA A100-SXM4-80GB"),
        ("h100", "NVIDIA H100 80GB HBM3"),
        ("h200", "NVIDIA H200"),
        ("l40s", "NVIDIA L40S"),
    ],
)
def test_plan_and_training_count_mfu_against_the_same_peak(file: str, device: str) -> None:
    assert chosen(f"cluster={file}").peak_tflops * 1e12 == peak_flops(device)


def test_only_the_file_of_a_cpu_is_one() -> None:
    assert [path.stem for path in FILES if chosen(f"cluster={path.stem}").device == "cpu"] == ["cpu"]


def test_values_without_a_cluster_are_refused_with_what_to_do() -> None:
    with pytest.raises(UserError) as caught:
        chosen("cluster.nodes=16")
    assert caught.value.code == 2
    (problem,) = caught.value.problems
    assert problem.startswith(
        "cluster: cluster.nodes without a cluster; choose the hardware first, e.g. cluster=a100-80gb"
    )

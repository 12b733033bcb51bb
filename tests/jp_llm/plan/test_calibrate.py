"""Calibration: runs written by hand with a known speed, and planners whose efficiency is known."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tiny import run_config

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan import calibrate as calibration
from jp_llm.plan.calibrate import LOWEST, CalibrateConfig, calibrate, describe, measure, solve
from jp_llm.runtime.errors import UserError

TOKENS = 8 * 16
"""Of a step of the tiny configuration."""


class Cluster(ClusterConfig):
    matmul_efficiency: float = 1.0


def cluster(**values: Any) -> Cluster:
    return Cluster.model_construct(
        **{"name": "a100-80gb", "nodes": 1, "devices_per_node": 8, "peak_tflops": 312.0, "matmul_efficiency": 0.8}
        | values
    )


def predict(config: RunConfig, layout: Layout, cluster: ClusterConfig) -> float:
    """A step of 0.2 s that no efficiency changes, and of work that 100 % would do in a second over all processes."""
    assert isinstance(cluster, Cluster)
    return 0.2 + 8 / layout.world_size / cluster.matmul_efficiency


def write_run(
    folder: Path, seconds: list[float], *, device: str = "NVIDIA A100-SXM4-80GB", world_size: int = 8, **start: Any
) -> Path:
    """Records of steps 1, 2 and so on that took so long."""
    folder.mkdir(exist_ok=True)
    resolved = run_config(train__micro_batch_size=1).model_dump(mode="json")
    (folder / "config.resolved.yaml").write_text(yaml.safe_dump(resolved))
    event = {"event": "start", "time": 1.0, "step": 0, "world_size": world_size, "device": device} | start
    (folder / "events.jsonl").write_text(json.dumps(event) + "\n")
    write_records(folder, 1, seconds)
    return folder


def write_records(folder: Path, first: int, seconds: list[float], applied: bool = True) -> None:
    with (folder / "metrics.jsonl").open("a") as file:
        for step, each in enumerate(seconds, start=first):
            record = {"kind": "train", "step": step, "tokens_per_second": TOKENS / each, "applied": applied}
            file.write(json.dumps(record) + "\n")
        file.write(json.dumps({"kind": "eval", "step": first, "sources": {}}) + "\n")


def test_a_run_of_known_efficiency(tmp_path: Path) -> None:
    # The first steps are slow, and one waits for a disk: neither counts. 0.2 + 1 / 0.5 = 2.2.
    run_dir = write_run(tmp_path / "run", [30, 9, 4, 3, 3, 2.2, 2.2, 2.1, 50, 2.2, 2.2, 2.3])
    found = calibrate(run_dir, cluster(), predict)
    assert found.measured.seconds == pytest.approx(2.2)
    assert found.measured.num_records == 7
    assert found.measured.layout == Layout(1, 8, 1)
    assert found.efficiency == pytest.approx(0.5, rel=1e-5)
    assert found.predicted_seconds == pytest.approx(0.2 + 1 / 0.8)
    assert found.override == "cluster.matmul_efficiency=0.5"
    text = describe(found, run_dir)
    assert "use  cluster=a100-80gb cluster.matmul_efficiency=0.5" in text
    assert "-34.1%" in text


def test_nodes_are_those_of_the_run(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", [1.0] * 20, world_size=8)
    assert (
        calibrate(run_dir, cluster(devices_per_node=4, nodes=16), lambda *_: 1.0 / _[2].matmul_efficiency).cluster.nodes
        == 2
    )


@given(efficiency=st.floats(0.001, 1.0), constant=st.floats(0, 10))
def test_solving_finds_the_efficiency_again(efficiency: float, constant: float) -> None:
    def seconds(cluster: ClusterConfig) -> float:
        assert isinstance(cluster, Cluster)
        return constant + 3 / cluster.matmul_efficiency

    found = solve(seconds, seconds(cluster(matmul_efficiency=efficiency)), cluster())
    assert found == pytest.approx(efficiency, rel=1e-5)


def test_a_speed_that_no_efficiency_explains_is_refused() -> None:
    def seconds(cluster: ClusterConfig) -> float:
        assert isinstance(cluster, Cluster)
        return 1 + 1 / cluster.matmul_efficiency

    with pytest.raises(UserError, match=r"took 1\.5 s, less than the 2 s"):
        solve(seconds, 1.5, cluster())
    with pytest.raises(UserError, match=r"took 2e\+05 s, more than the 1e\+04 s"):
        solve(seconds, 2e5, cluster())
    assert solve(seconds, 2.0, cluster()) == pytest.approx(1.0)
    assert solve(seconds, 1 + 1 / LOWEST, cluster()) == pytest.approx(LOWEST)


def test_only_the_last_start_counts_and_what_was_trained_twice_once(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path / "run", [7.0] * 30)
    with (run_dir / "events.jsonl").open("a") as file:
        resume = {"event": "resume", "step": 20, "world_size": 2, "device": "NVIDIA A100-SXM4-80GB"}
        file.write(json.dumps(resume) + "\n" + json.dumps({"event": "save", "step": 22}) + "\n")
    (run_dir / "metrics.jsonl").rename(run_dir / "all")
    write_records(run_dir, 1, [7.0] * 20)
    with pytest.raises(UserError, match="0 records of speed since the start at step 20"):
        measure(run_dir)
    (run_dir / "all").rename(run_dir / "metrics.jsonl")
    write_records(run_dir, 21, [2.0] * 12)
    write_records(run_dir, 33, [0.1], applied=False)
    found = measure(run_dir)
    assert (found.seconds, found.num_records, found.layout) == (pytest.approx(2.0), 7, Layout(1, 2, 1))


def test_what_is_missing_in_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no config\.resolved\.yaml; name the run_dir"):
        measure(tmp_path / "nowhere")
    run_dir = write_run(tmp_path / "run", [1.0] * 8)
    with pytest.raises(UserError, match="3 records of speed since the start at step 0"):
        measure(run_dir)
    (run_dir / "metrics.jsonl").unlink()
    with pytest.raises(UserError, match=r"no metrics\.jsonl yet"):
        measure(run_dir)
    (run_dir / "events.jsonl").write_text("")
    with pytest.raises(UserError, match="nothing was trained yet"):
        measure(run_dir)
    (run_dir / "events.jsonl").write_text('{"event": "start", "step": 0, "world_size": 2}\n')
    with pytest.raises(UserError, match="does not say device, so it is of an older version"):
        measure(run_dir)


@pytest.mark.parametrize("text", ["model: {hidden_siez: 3}", "- a list", "{", "\xff\xfe"])
def test_a_configuration_of_another_version_is_refused(tmp_path: Path, text: str) -> None:
    run_dir = write_run(tmp_path / "run", [1.0] * 20)
    (run_dir / "config.resolved.yaml").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"config\.resolved\.yaml: cannot be read"):
        measure(run_dir)


@pytest.mark.parametrize(
    ("device", "name", "message"),
    [
        ("cpu", "a100-80gb", "the run was on cpu, but a100-80gb describes GPUs; choose cluster=cpu"),
        ("NVIDIA A100-SXM4-80GB", "cpu", "describes a CPU; choose the file of those GPUs"),
        ("NVIDIA H100 80GB HBM3", "a100-80gb", "with 989 TFLOP/s, but a100-80gb has cluster.peak_tflops=312"),
    ],
)
def test_a_run_on_other_hardware_is_refused(tmp_path: Path, device: str, name: str, message: str) -> None:
    run_dir = write_run(tmp_path / "run", [1.0] * 20, device=device)
    with pytest.raises(UserError) as caught:
        calibrate(run_dir, cluster(name=name, device="cpu" if name == "cpu" else "cuda"), predict)
    assert message in str(caught.value)


def test_the_door_writes_a_cluster_file_that_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = write_run(tmp_path / "run", [2.2] * 20)
    monkeypatch.setattr(calibration, "CONFIG_FOLDER", tmp_path / "configs")
    config = CalibrateConfig.model_construct(run_dir=str(run_dir), cluster=cluster(), output="ours")
    calibration.run(config, predict)
    assert "choose it with cluster=ours" in capsys.readouterr().out
    (tmp_path / "configs" / "entry.yaml").write_text("defaults: [_self_, {cluster: null}]\n")
    tree, problems = composed("entry", ["cluster=ours"], tmp_path / "configs")
    assert not problems
    assert tree["cluster"] == cluster(name="ours", matmul_efficiency=0.5).model_dump()
    with pytest.raises(UserError, match="is there already"):
        calibration.run(config, predict)


def test_where_no_file_can_be_written_the_override_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = write_run(tmp_path / "run", [2.2] * 20)
    (tmp_path / "configs").write_text("not a folder")
    monkeypatch.setattr(calibration, "CONFIG_FOLDER", tmp_path / "configs")
    config = CalibrateConfig.model_construct(run_dir=str(run_dir), cluster=cluster(), output="ours")
    with pytest.raises(UserError, match=r"ours\.yaml cannot be written .*; leave output= out"):
        calibration.run(config, predict)
    assert "cluster.matmul_efficiency=0.5" in capsys.readouterr().out


def test_words_that_are_wrong_are_refused_together() -> None:
    tree, problems = composed("calibrate", ["output=../x"])
    with pytest.raises(UserError) as caught:
        build(CalibrateConfig, tree, problems)
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["run_dir", "cluster", "output"]

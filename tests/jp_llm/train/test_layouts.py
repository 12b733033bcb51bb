"""What a run says besides its losses, on every kind of layout: evaluation and completions as one process gives them."""

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Processes
from tiny import run_config, write_dataset

from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.files import read_json_lines
from jp_llm.train.build import build
from jp_llm.train.loop import fit
from jp_llm.train.preflight import check

LAYOUTS: list[dict[str, Any]] = [
    {"zero_stage": 3, "tensor": 2, "pipeline": 2},
    {"zero_stage": 2, "pipeline": 2, "virtual_stages": 2},
    {"zero_stage": 3, "pipeline": 4, "gather": "per_micro_batch"},
    {"zero_stage": 1, "tensor": 4},
]


def train(run_dir: str, data: str, parallel: dict[str, Any]) -> None:
    config = run_config(
        run_dir=run_dir,
        data__path=data,
        parallel=parallel,
        model__arch="palm",
        model__num_layers=4,
        train__num_steps=2,
        train__micro_batch_size=1,
        train__loggers=("jsonl",),
        train__sample_every_steps=2,
        train__sample_tokens=5,
        train__sample_prompts=("山", "夜の"),
        train__sample_temperature=0.0,
        train__eval_samples=5,
    )
    with ExitStack() as stack:
        fit(build(check(config), torch.device("cpu"), stack))


def records(run_dir: Path) -> tuple[dict[str, Any], list[str]]:
    found = {
        record["step"]: record for record in read_json_lines(run_dir / "metrics.jsonl") if record["kind"] == "eval"
    }
    return found[2]["sources"], [record["completion"] for record in read_json_lines(run_dir / "samples.jsonl")]


@pytest.mark.distributed
def test_every_layout_evaluates_samples_and_saves_like_one_process(
    tmp_path: Path, one_process: Processes, four_processes: Processes
) -> None:
    data = tmp_path / "data"
    write_dataset(data)
    alone = tmp_path / "alone"
    one_process.run(train, str(alone), str(data), {"zero_stage": 0})
    expected_scores, expected_samples = records(alone)
    assert len(expected_samples) == 2
    expected = CheckpointReader(CheckpointStore(alone).path(2))
    for number, parallel in enumerate(LAYOUTS):
        run_dir = tmp_path / f"layout_{number}"
        four_processes.run(train, str(run_dir), str(data), parallel)
        scores, samples = records(run_dir)
        assert samples == expected_samples, parallel
        for source, values in expected_scores.items():
            assert scores[source] == pytest.approx(values, rel=1e-5), (parallel, source)
        # What export, generation and evaluation read, without knowing who wrote it.
        reader = CheckpointReader(CheckpointStore(run_dir).path(2))
        assert reader.names == expected.names
        for name in reader.names:
            for kind in ("weight", "exp_avg", "exp_avg_sq"):
                case = f"{parallel}: {kind} of {name}"
                torch.testing.assert_close(
                    reader.read(name, kind), expected.read(name, kind), atol=1e-5, rtol=1e-4, msg=case
                )

"""A run that changes its layout half-way: what it learns from then on is what it would have learned without."""

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch
from gloo import Processes
from tiny import run_config, write_dataset

from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.runtime.files import read_json_lines
from jp_llm.train.build import build
from jp_llm.train.loop import fit
from jp_llm.train.preflight import check

SAVED_AT, LAST = 4, 14

# world size, ZeRO stage, tensor, pipeline, further overrides
LAYOUTS: dict[str, tuple[int, dict[str, Any]]] = {
    "one process": (1, {"zero_stage": 0}),
    "zero 3, data 2": (2, {"zero_stage": 3}),
    "zero 2, tensor 2": (2, {"zero_stage": 2, "tensor": 2}),
    "zero 1, pipeline 2": (2, {"zero_stage": 1, "pipeline": 2}),
    "zero 0, tensor 2, pipeline 2": (4, {"zero_stage": 0, "tensor": 2, "pipeline": 2}),
    "zero 3, tensor 2, data 2": (4, {"zero_stage": 3, "tensor": 2}),
    "zero 2, pipeline 2, data 2": (4, {"zero_stage": 2, "pipeline": 2}),
    "zero 3, pipeline 4": (4, {"zero_stage": 3, "pipeline": 4}),
    "zero 1, tensor 4": (4, {"zero_stage": 1, "tensor": 4}),
    "zero 3, pipeline 2, two chunks": (2, {"zero_stage": 3, "pipeline": 2, "virtual_stages": 2}),
}
# Every layout is left once and entered once in the circle; the other pairs change one axis, in both directions.
CIRCLE = list(zip(LAYOUTS, [*list(LAYOUTS)[1:], next(iter(LAYOUTS))], strict=True))
PAIRS = [
    *CIRCLE,
    ("zero 3, data 2", "zero 3, tensor 2, data 2"),
    ("zero 3, tensor 2, data 2", "zero 3, data 2"),
    ("zero 1, tensor 4", "zero 3, pipeline 4"),
    ("one process", "zero 0, tensor 2, pipeline 2"),
]


def overrides(layout: str, run_dir: Path, data: Path, num_steps: int) -> dict[str, Any]:
    return {
        "run_dir": str(run_dir),
        "data__path": str(data),
        "parallel": LAYOUTS[layout][1],
        "model__arch": "palm",  # tied, and one key/value head for all tensor-parallel ranks
        "model__num_layers": 4,
        "train__num_steps": num_steps,
        "train__micro_batch_size": 1,
        "train__eval_samples": 2,
        "train__loggers": ("jsonl",),
        # The schedule looks at the number of steps, which is cut short here.
        "optim__schedule": "constant",
        "checkpoint__every_steps": SAVED_AT,
        "checkpoint__keep_last": 9,
    }


def train(values: dict[str, Any]) -> tuple[int, list[int]]:
    """One run; this process's data-parallel rank, and the samples that this rank read in all steps."""
    with ExitStack() as stack:
        run = build(check(run_config(**values)), torch.device("cpu"), stack)
        consumed: list[int] = []
        read = run.loader._read

        def spy(first_sample: int) -> Any:
            batch = read(first_sample)
            consumed.extend(batch.sample_ids)
            return batch

        run.loader._read = spy  # type: ignore[method-assign]
        fit(run)
        return run.engine.grid.data_rank, consumed


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_dataset(folder)
    return folder


def play(groups: dict[int, Processes], layout: str, values: dict[str, Any]) -> list[int]:
    """Run a configuration in the group of its size; the numbers of the samples that were read, in order."""
    of_ranks = dict(groups[LAYOUTS[layout][0]].run(train, values))
    return sorted(sample for samples in of_ranks.values() for sample in samples)


def losses(run_dir: Path) -> list[float]:
    records = read_json_lines(run_dir / "metrics.jsonl")
    by_step = {record["step"]: record["loss"] for record in records if record["kind"] == "train"}
    return [by_step[step] for step in range(SAVED_AT + 1, LAST + 1)]


@pytest.mark.distributed
def test_a_checkpoint_of_any_layout_continues_on_any_other(
    data: Path,
    tmp_path: Path,
    one_process: Processes,
    two_processes: Processes,
    four_processes: Processes,
) -> None:
    groups = {1: one_process, 2: two_processes, 4: four_processes}
    undisturbed = {}
    for number, layout in enumerate(LAYOUTS):
        undisturbed[layout] = tmp_path / f"whole_{number}"
        play(groups, layout, overrides(layout, undisturbed[layout], data, LAST))
    per_step = run_config().train.global_batch_size
    for number, (before, after) in enumerate(PAIRS):
        folder = tmp_path / f"changed_{number}"
        shutil.copytree(undisturbed[before], folder)
        store = CheckpointStore(folder)
        for step in store.steps():
            if step > SAVED_AT:
                shutil.rmtree(store.path(step))
        samples = play(groups, after, overrides(after, folder, data, LAST))
        case = f"from {before} to {after}"
        torch.testing.assert_close(
            torch.tensor(losses(folder), dtype=torch.float64),
            torch.tensor(losses(undisturbed[before]), dtype=torch.float64),
            rtol=1e-6,
            atol=0,
            msg=lambda message, case=case: f"{case}: {message}",
        )
        # The reader works ahead of the last step.
        assert samples[: (LAST - SAVED_AT) * per_step] == list(range(SAVED_AT * per_step, LAST * per_step)), case

"""For how long does an asynchronous save stop training, compared with a synchronous one?

    python benchmarks/checkpoint_stall.py [saves]

The real saver writes the state of a model of 107 million parameters (fp32 on the CPU, one process, ZeRO-1: 1.3 GB of
weights and moments) to a temporary folder. Training steps run between the calls, so that writing and computing really
overlap. The first save of either kind is a warm-up. Needs 6 GB of memory and 5 GB of disk.
"""

import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from _report import report

from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.engine.prepare import prepare
from jp_llm.parallel.grid import Grid
from jp_llm.runtime.env import World
from jp_llm.runtime.files import read_json_lines
from jp_llm.runtime.master import complete_environment
from jp_llm.train.preflight import Preflight, check
from jp_llm.train.saver import Saver
from jp_llm.train.state import TrainState

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
from tiny import write_dataset


def preflight_of(folder: Path, *, asynchronous: bool) -> Preflight:
    """A llama of 107 million parameters; every run has a folder of its own."""
    values: dict[str, Any] = {
        "run_dir": str(folder / ("asynchronous" if asynchronous else "synchronous")),
        "model": {"hidden_size": 768, "num_layers": 15, "num_attention_heads": 12, "max_position_embeddings": 64},
        "optim": {"warmup_steps": 1},
        "train": {"global_batch_size": 1, "micro_batch_size": 1, "precision": "fp32", "device": "cpu"},
        "data": {"path": str(folder / "data")},
        "checkpoint": {"asynchronous": asynchronous, "keep_last": 1},
    }
    return check(RunConfig.model_validate(values))


@contextmanager
def saver_of(preflight: Preflight, engine: Engine) -> Iterator[Saver]:
    """A saver as a run makes it."""
    saver = Saver(preflight)
    saver.reserve(engine)
    yield saver
    saver.close()


def batch_of(config: RunConfig) -> Batch:
    """Random tokens."""
    assert config.model.vocab_size is not None
    rows = torch.randint(0, config.model.vocab_size, (1, config.seq_length + 1))
    return Batch((Microbatch.of(rows, None),), range(0), 0)


def saves_of(folder: Path, engine: Engine, count: int, *, asynchronous: bool) -> list[dict[str, Any]]:
    """The `save` events after the warm-up, with how many steps were trained while a save was under way."""
    preflight = preflight_of(folder, asynchronous=asynchronous)
    batch, steps = batch_of(preflight.config), []
    with saver_of(preflight, engine) as saver:
        for step in range(1, count + 2):
            saver.save(engine, TrainState(step=step), final=False)
            steps.append(0)
            while saver.report():
                engine.train_step(batch, 1e-5)
                steps[-1] += 1
    events = [event for event in read_json_lines(preflight.run_dir / "events.jsonl") if event["event"] == "save"]
    return [event | {"steps": number} for event, number in zip(events, steps, strict=True)][1:]


def main(count: int) -> None:
    """Measure both kinds."""
    warnings.simplefilter("ignore")
    complete_environment(World())
    prepare(torch.device("cpu"))
    with tempfile.TemporaryDirectory(prefix="checkpoint_stall_") as name:
        folder = Path(name)
        write_dataset(folder / "data", sources=("books",))
        config = preflight_of(folder, asynchronous=True).config
        engine = Engine(config, torch.device("cpu"), Grid(Layout()))
        engine.initialize()
        start = time.perf_counter()
        engine.train_step(batch_of(config), 1e-5)
        step_seconds = time.perf_counter() - start
        waiting = saves_of(folder, engine, count, asynchronous=False)
        beside = saves_of(folder, engine, count, asynchronous=True)
    torch.distributed.destroy_process_group()
    synchronous = statistics.median(event["seconds"] for event in waiting)
    rows = [
        {
            "save": kind,
            "training stands still (s)": statistics.median(event["stall_seconds"] for event in found),
            "until it is committed (s)": statistics.median(event["seconds"] for event in found),
            "stall / synchronous save": statistics.median(event["stall_seconds"] for event in found) / synchronous,
        }
        for kind, found in (("synchronous", waiting), ("asynchronous", beside))
    ]
    report(
        "Stall of training by a checkpoint",
        rows,
        parameters=num_parameters(config.model),
        saves=count,
        step_seconds=round(step_seconds, 3),
        synchronous=waiting,
        asynchronous=beside,
        threads=torch.get_num_threads(),
    )


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] or ["3"])))

"""How fast does one GPU train in bf16, and what share of its peak is that?

    python benchmarks/gpu_training.py [size ...]        # default: 750m 1.3b 2.7b

Random tokens, llama, the size's own context and micro-batch, ZeRO-1, one process. The micro-batch is halved until a
step fits into memory, with activation checkpointing where that is not enough.
"""

import statistics
import sys
import time
import warnings

import torch
from _report import report

from jp_llm.config.app import composed
from jp_llm.config.arithmetic import flops_per_token, num_parameters, peak_flops
from jp_llm.config.build import build
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.engine.prepare import prepare
from jp_llm.parallel.grid import Grid
from jp_llm.runtime.env import World
from jp_llm.runtime.master import complete_environment
from jp_llm.train.build import pick_device

VOCAB_SIZE, MICRO_BATCHES, STEPS, WARM_UP = 48_000, 4, 10, 3


def config_of(size: str, micro_batch_size: int | None, recompute: bool, compiled: bool) -> RunConfig:
    """The size as a user would choose it, with a short global batch."""
    tree, problems = composed("train", [f"model/size={size}", "data.path=unused"])
    tree["model"]["vocab_size"] = VOCAB_SIZE
    micro = micro_batch_size or tree["train"]["micro_batch_size"]
    tree["train"] |= {
        "micro_batch_size": micro,
        "global_batch_size": micro * MICRO_BATCHES,
        "num_steps": 10**6,
        "activation_checkpointing": recompute,
        "compile": compiled,
    }
    return build(RunConfig, tree, problems)


def seconds_per_step(config: RunConfig, device: torch.device) -> float:
    """Median over STEPS steps after WARM_UP.

    Raises:
        torch.OutOfMemoryError: a step does not fit.
    """
    engine = Engine(config, device, Grid(Layout()))
    engine.initialize()
    shape = (config.train.global_batch_size, config.seq_length + 1)
    rows = torch.randint(0, VOCAB_SIZE, shape)
    batch = Batch(tuple(Microbatch.of(part, None) for part in rows.split(config.train.micro_batch_size)), range(0), 0)
    times = []
    for _ in range(WARM_UP + STEPS):
        start = time.perf_counter()
        engine.train_step(batch, 1e-4)
        torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return statistics.median(times[WARM_UP:])


def measure(size: str, device: torch.device, compiled: bool) -> dict[str, object]:
    """The largest micro-batch that fits, its speed and memory."""
    micro = config_of(size, None, False, compiled).train.micro_batch_size
    attempts = [(micro >> shift, recompute) for recompute in (False, True) for shift in range(4) if micro >> shift]
    for micro_batch_size, recompute in attempts:
        config = config_of(size, micro_batch_size, recompute, compiled)
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            seconds = seconds_per_step(config, device)
        except torch.OutOfMemoryError:
            continue
        tokens_per_second = config.train.global_batch_size * config.seq_length / seconds
        peak = peak_flops(torch.cuda.get_device_name(device))
        flops = tokens_per_second * flops_per_token(config.model, config.seq_length)
        return {
            "size": size,
            "compiled": compiled,
            "parameters": num_parameters(config.model),
            "micro-batch x context": f"{micro_batch_size} x {config.seq_length}",
            "recompute": recompute,
            "tokens/s": tokens_per_second,
            "MFU (%)": 100 * flops / peak if peak else float("nan"),
            "peak memory (GiB)": torch.cuda.max_memory_allocated(device) / 2**30,
        }
    raise SystemExit(f"{size} does not fit into this GPU")


def main(sizes: list[str]) -> None:
    """Measure each size, plain and compiled."""
    if not torch.cuda.is_available():
        raise SystemExit("this benchmark needs a GPU")
    warnings.simplefilter("ignore")
    world = World()
    complete_environment(world)
    device = pick_device("cuda", world)
    prepare(device)
    rows = [measure(size, device, compiled) for size in sizes for compiled in (False, True)]
    torch.distributed.destroy_process_group()
    report("bf16 training on one GPU", rows, gpu=torch.cuda.get_device_name(device), vocab_size=VOCAB_SIZE)


if __name__ == "__main__":
    main(sys.argv[1:] or ["750m", "1.3b", "2.7b"])

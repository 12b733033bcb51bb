"""Does the planner know how much memory a training step takes? Predicted against measured, on the CPU.

    python benchmarks/plan_memory.py [word of a case ...]

Each case trains for two steps in a fresh process of its own, through the engine, on random tokens. Measured is the
highest resident set (VmHWM) from the building of the engine to the end of the last step, less the resident set after a
model of next to no size was trained and let go, which stands for Python, torch and DeepSpeed ("runtime" of the
planner; the column "process" holds the whole process against the prediction with it). glibc is told to give every
freed tensor back to the system (MALLOC_MMAP_THRESHOLD_), otherwise the peak depends on the order of what came before.
"""

import gc
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

from _report import report

from jp_llm.config.app import composed
from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.build import build
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan.memory import rank_memory

MIB = 2**20
STEPS = 2
ALLOCATOR = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_ARENA_MAX": "1"}
COMMON = "data.path=unused model.vocab_size=8000 train.seq_length=128 checkpoint.asynchronous=false"
NO_SIZE = (
    "model.hidden_size=64 model.num_layers=2 model.num_attention_heads=2 model.intermediate_size=null "
    "train.seq_length=32 model.vocab_size=256"
)
MIDDLE = "model/size=110m model.hidden_size=640 model.num_layers=10 model.num_attention_heads=10"
LARGE = "model/size=336m model.num_layers=12"

CASES = {
    "37m llama fp32": "model/size=37m train.precision=fp32 parallel.zero_stage=0 "
    "train.micro_batch_size=8 train.global_batch_size=16",
    "37m llama fp32, recompute": "model/size=37m train.precision=fp32 parallel.zero_stage=0 "
    "train.micro_batch_size=8 train.global_batch_size=16 train.activation_checkpointing=true",
    "37m gpt2 bf16, ZeRO-1": "model/size=37m model/arch=gpt2 train.precision=bf16 parallel.zero_stage=1 "
    "train.micro_batch_size=8 train.global_batch_size=16",
    "58m llama fp32, ZeRO-1": f"{MIDDLE} train.precision=fp32 parallel.zero_stage=1 "
    "train.micro_batch_size=2 train.global_batch_size=4",
    "58m llama bf16, ZeRO-3": f"{MIDDLE} train.precision=bf16 parallel.zero_stage=3 "
    "train.micro_batch_size=2 train.global_batch_size=4",
    "110m neox fp32, one micro-batch": "model/size=110m model/arch=neox train.precision=fp32 parallel.zero_stage=0 "
    "train.micro_batch_size=4 train.global_batch_size=4",
    "110m llama bf16, ZeRO-2, recompute": "model/size=110m train.precision=bf16 parallel.zero_stage=2 "
    "train.micro_batch_size=4 train.global_batch_size=8 train.activation_checkpointing=true",
    "167m llama fp32, ZeRO-3": f"{LARGE} train.precision=fp32 parallel.zero_stage=3 "
    "train.micro_batch_size=1 train.global_batch_size=2",
    "167m gpt2 fp32": f"{LARGE} model/arch=gpt2 train.precision=fp32 parallel.zero_stage=0 "
    "train.micro_batch_size=2 train.global_batch_size=4",
}


def config_of(words: str) -> RunConfig:
    """A case as a user would write it."""
    tree, problems = composed("train", words.split())
    return build(RunConfig, tree, problems)


def train(config: RunConfig) -> None:
    """Build an engine, and take STEPS steps."""
    import torch

    from jp_llm.data.loader import Batch, Microbatch
    from jp_llm.engine.engine import Engine
    from jp_llm.parallel.grid import Grid

    assert config.model.vocab_size is not None
    shape = (config.train.global_batch_size, config.seq_length + 1)
    rows = torch.randint(0, config.model.vocab_size, shape)
    micro_batches = tuple(Microbatch.of(part, None) for part in rows.split(config.train.micro_batch_size))
    engine = Engine(config, torch.device("cpu"), Grid(Layout()))
    engine.initialize()
    for _ in range(STEPS):
        engine.train_step(Batch(micro_batches, range(0), 0), 1e-4)


def resident(which: str) -> int:
    """Bytes of VmRSS (now) or VmHWM (the most so far) of this process."""
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def measure(words: str) -> dict[str, int]:
    """To be run in a fresh process: bytes before the model, and the most with it."""
    warnings.simplefilter("ignore")
    import torch

    from jp_llm.engine.prepare import prepare
    from jp_llm.runtime.env import World
    from jp_llm.runtime.master import complete_environment

    complete_environment(World())
    prepare(torch.device("cpu"))
    train(config_of(f"{words} {NO_SIZE}"))
    gc.collect()
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    train(config_of(words))
    most = resident("VmHWM")
    torch.distributed.destroy_process_group()
    return {"before": before, "most": most}


def compare(name: str, words: str) -> dict[str, object]:
    """One row: measured in a process of its own, and predicted."""
    environment = {"OMP_NUM_THREADS": "1", **os.environ, **ALLOCATOR}
    command = [sys.executable, __file__, "--measure", words]
    output = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout
    found = json.loads(output.splitlines()[-1])
    config = config_of(words)
    memory = rank_memory(config, Layout(), device="cpu")
    predicted, measured = memory.total - memory.runtime, found["most"] - found["before"]
    print(f"{name}: {predicted / MIB:,.0f} MiB predicted, {measured / MIB:,.0f} measured", file=sys.stderr, flush=True)
    return {
        "case": name,
        "parameters": num_parameters(config.model),
        "predicted (MiB)": predicted / MIB,
        "measured (MiB)": measured / MIB,
        "predicted / measured": predicted / measured,
        "runtime (MiB)": found["before"] / MIB,
        "process": memory.total / found["most"],
    }


def main(wanted: list[str]) -> None:
    """Measure the cases that hold any of the words, or all."""
    chosen = {name: words for name, words in CASES.items() if not wanted or any(word in name for word in wanted)}
    rows = [compare(name, f"{words} {COMMON}") for name, words in chosen.items()]
    report("Memory of a training step: predicted and measured", rows, steps=STEPS, allocator=ALLOCATOR)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(sys.argv[2])))
    else:
        main(sys.argv[1:])

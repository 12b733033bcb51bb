"""How long does a plan take?

    python benchmarks/plan_speed.py [rounds]

`launch/plan.py` in fresh processes, as a user starts it: 13B on 128 GPUs, where the search has most to try, and runs
that do not fit, whose refusals look for what does.
"""

import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

from _report import report

ROOT = Path(__file__).resolve().parents[1]
CASES = {
    "13B on 128 GPUs": ("model/size=13b", "model/arch=palm", "cluster=a100-40gb", "cluster.nodes=16"),
    "13B on 8 GPUs of 20 GiB, refused": ("model/size=13b", "cluster=a100-40gb", "cluster.memory_gib=20"),
    "400 layers on 8 GPUs, refused": ("model/size=13b", "model.num_layers=400", "cluster=a100-40gb"),
    "micro-batches of 512 on 8 GPUs, refused": ("model/size=6.7b", "cluster=a100-40gb", "train.micro_batch_size=512"),
    "13B on 4,096 GPUs": ("model/size=13b", "cluster=a100-40gb", "cluster.nodes=512"),
    "13B on 128 GPUs, a batch of 960": (
        *("model/size=13b", "model/arch=palm", "cluster=a100-40gb", "cluster.nodes=16"),
        "train.global_batch_size=960",
    ),
    "1.3B on 8 GPUs": ("model/size=1.3b", "cluster=h100"),
}


def seconds(words: tuple[str, ...]) -> tuple[float, float]:
    """Wall and processor time of one plan."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([sys.executable, "launch/plan.py", *words], cwd=ROOT, capture_output=True, check=False)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    rows = []
    for name, words in CASES.items():
        walls, processor = zip(*(seconds(words) for _ in range(rounds)), strict=True)
        rows.append(
            {"plan": name, "s (median)": statistics.median(walls), "processor s (median)": statistics.median(processor)}
        )
    report("Time of a plan", rows, rounds=rounds)


if __name__ == "__main__":
    main()

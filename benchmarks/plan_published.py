"""Does the planner predict what published runs reached?

    python benchmarks/plan_published.py

Tokens per second and device, on which every definition of MFU agrees, of runs whose shape, batch, layout and machines
are published. Sources:

    llm-foundry   mosaicml/llm-foundry, scripts/train/benchmarking/README.md (MPT, FSDP full shard: ZeRO-3 here). MPT
                  has learned positions and biases in these rows, as the table's parameter counts show: gpt2 here. Its
                  global batches need not be multiples of the micro-batch; they are rounded down to one here.
    torchtitan    pytorch/torchtitan, docs/performance.md of 2024 (Llama 2 and 3, FSDP2). "Selective layer" recomputes
                  every second block: the mean of both predictions.
    megatron      Narayanan et al. 2021, table 1; micro-batches from NVIDIA/Megatron-LM, examples/sc21/run_table_1.sh.
                  Its FLOP/s count recomputation and full attention (equation 3); turned back into tokens here.
    neox          Black et al. 2022, section 2.3 (117 TFLOP/s per GPU), with EleutherAI/gpt-neox, configs/20B.yml. Its
                  FLOP/s are (6 N + 60 T L h) per token (get_flops of that time): 747 tokens/s, which is also what
                  150,000 steps in the 1,830 hours of its appendix are.

Four values of configs/cluster were fitted, to the rows marked so and in coarse steps: matmul_efficiency of A100 and of
H100, and memory_efficiency and overlap for both. Nothing is adjusted per row. Megatron and NeoX of 2021 had no flash
attention; for these the kernel's efficiency is computed from what their attention reads and writes (`unfused`).
"""

from dataclasses import dataclass, field
from functools import cache
from typing import Any

from _report import report

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan.run import PlanConfig
from jp_llm.plan.time import step_time

MPT = {"125m": (768, 12, 12), "1b": (2048, 24, 16), "3b": (2560, 32, 20), "7b": (4096, 32, 32)}
MPT |= {"13b": (5120, 40, 40), "30b": (7168, 48, 56)}
"""Width, layers, heads."""


@dataclass(frozen=True)
class Row:
    """One published run."""

    source: str
    name: str
    cluster: str
    devices: int
    model: dict[str, Any]
    seq_length: int
    micro_batch: int
    global_batch: int
    recomputed: float
    """Share of the blocks."""
    published: float
    """Tokens per second and device."""
    fitted: bool = False
    parallel: dict[str, Any] = field(default_factory=lambda: {"zero_stage": 3})
    flash: bool = True
    hardware: dict[str, float] = field(default_factory=dict)
    """What differs from the cluster file, as published."""


def mpt(size: str, cluster: str, devices: int, length: int, micro: int, batch: int, recomputed: int, published: int,
        fitted: bool = False) -> Row:  # fmt: skip
    """A row of llm-foundry: DEFAULT (H100, A100 80GB) reduces in fp32, PURE (A100 40GB) in bf16."""
    width, layers, heads = MPT[size]
    model = {"arch": "gpt2", "hidden_size": width, "num_layers": layers, "num_attention_heads": heads}
    precision = "bf16" if cluster == "a100-40gb" else "fp32"
    per_pass = micro * devices
    return Row(
        "llm-foundry", f"MPT {size}", cluster, devices, model | {"vocab_size": 50368}, length, micro,
        batch // per_pass * per_pass, recomputed, published, fitted,
        parallel={"zero_stage": 3, "reduce_precision": precision},
    )  # fmt: skip


def megatron(name: str, width: int, layers: int, heads: int, tensor: int, pipeline: int, virtual: int, micro: int,
             batch: int, devices: int, teraflops: float) -> Row:  # fmt: skip
    """A row of Megatron: fp16, unfused attention, everything recomputed."""
    model = {"arch": "gpt2", "hidden_size": width, "num_layers": layers, "num_attention_heads": heads}
    length, vocabulary = 2048, 51200
    flops = 96 * layers * width**2 * (1 + length / (6 * width) + vocabulary / (16 * layers * width))
    return Row(
        "megatron", f"GPT {name}", "a100-80gb", devices, model | {"vocab_size": vocabulary}, length, micro, batch, 1,
        1e12 * teraflops / flops, flash=False,
        parallel={"zero_stage": 1, "reduce_precision": "bf16", "tensor": tensor, "pipeline": pipeline,
                  "virtual_stages": virtual},
    )  # fmt: skip


def llama(name: str, length: int, micro: int, recomputed: float, published: int, **model: Any) -> Row:
    """A row of torchtitan: 64 A100, one micro-batch per step, reduction in fp32."""
    shape = {"arch": "llama", **model}
    return Row("torchtitan", name, "a100-80gb", 64, shape, length, micro, 64 * micro, recomputed, published)


LLAMA_13B = {"hidden_size": 5120, "num_layers": 40, "num_attention_heads": 40, "intermediate_size": 13824,
             "vocab_size": 32000}  # fmt: skip
LLAMA_8B = {"hidden_size": 4096, "num_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
            "intermediate_size": 14336, "vocab_size": 128256}  # fmt: skip

ROWS = (
    mpt("13b", "a100-80gb", 8, 2048, 2, 48, 0, 2262, True),
    mpt("13b", "a100-80gb", 8, 1024, 40, 960, 1, 2330, True),
    mpt("13b", "a100-80gb", 8, 4096, 10, 240, 1, 2060, True),
    mpt("7b", "a100-80gb", 8, 2048, 6, 96, 0, 4641, True),
    mpt("7b", "a100-80gb", 8, 1024, 64, 1024, 1, 4357, True),
    mpt("7b", "a100-80gb", 8, 4096, 16, 256, 1, 3684, True),
    mpt("1b", "a100-80gb", 8, 2048, 14, 448, 0, 20513, True),
    mpt("7b", "a100-40gb", 8, 2048, 12, 384, 1, 3679, True),
    mpt("1b", "a100-40gb", 8, 2048, 8, 512, 0, 19271, True),
    mpt("13b", "h100", 8, 2048, 2, 16, 0, 4792, True),
    mpt("13b", "h100", 8, 4096, 10, 240, 1, 4717, True),
    mpt("13b", "h100", 8, 1024, 40, 960, 1, 5502, True),
    mpt("7b", "h100", 8, 2048, 6, 48, 0, 10643, True),
    mpt("7b", "h100", 8, 4096, 16, 256, 1, 8611, True),
    mpt("7b", "h100", 8, 1024, 64, 1024, 1, 10203, True),
    mpt("13b", "a100-40gb", 8, 2048, 4, 512, 1, 1668),
    mpt("13b", "a100-40gb", 16, 2048, 10, 160, 1, 1993),
    mpt("13b", "a100-40gb", 32, 2048, 14, 448, 1, 1998),
    mpt("13b", "a100-40gb", 64, 2048, 16, 1024, 1, 1976),
    mpt("13b", "a100-40gb", 128, 2048, 16, 2048, 1, 1972),
    mpt("7b", "a100-40gb", 16, 2048, 16, 256, 1, 3645),
    mpt("7b", "a100-40gb", 32, 2048, 18, 576, 1, 3725),
    mpt("7b", "a100-40gb", 64, 2048, 18, 1152, 1, 3665),
    mpt("7b", "a100-40gb", 128, 2048, 18, 2304, 1, 3623),
    mpt("13b", "h100", 16, 2048, 2, 32, 0, 4767),
    mpt("13b", "h100", 32, 2048, 2, 64, 0, 4811),
    mpt("13b", "h100", 64, 2048, 2, 128, 0, 4800),
    mpt("13b", "a100-80gb", 8, 8192, 5, 120, 1, 1795),
    mpt("7b", "a100-80gb", 8, 8192, 8, 128, 1, 3206),
    mpt("7b", "h100", 8, 8192, 8, 128, 1, 6935),
    mpt("30b", "a100-80gb", 8, 2048, 3, 504, 1, 916),
    mpt("30b", "a100-40gb", 128, 2048, 6, 768, 1, 865),
    mpt("30b", "a100-40gb", 32, 2048, 4, 128, 1, 857),
    mpt("30b", "h100", 8, 2048, 3, 504, 1, 2002),
    mpt("30b", "h100", 32, 2048, 14, 1344, 1, 2308),
    mpt("3b", "a100-80gb", 8, 2048, 10, 160, 0, 10811),
    mpt("3b", "a100-40gb", 128, 2048, 6, 768, 0, 9538),
    mpt("3b", "h100", 64, 2048, 6, 1152, 0, 22525),
    mpt("1b", "a100-40gb", 128, 2048, 10, 1280, 0, 18647),
    mpt("1b", "h100", 64, 2048, 20, 1280, 0, 44402),
    mpt("125m", "a100-80gb", 8, 2048, 32, 512, 0, 141737),
    mpt("125m", "a100-40gb", 128, 2048, 26, 3328, 0, 123936),
    llama("Llama 2 13B", 4096, 2, 0, 2162, **LLAMA_13B),
    llama("Llama 2 13B", 4096, 2, 0.5, 1914, **LLAMA_13B),
    llama("Llama 3 8B", 8192, 1, 0.5, 2904, **LLAMA_8B),
    megatron("1.7B", 2304, 24, 24, 1, 1, 1, 16, 512, 32, 137),
    megatron("3.6B", 3072, 30, 32, 2, 1, 1, 16, 512, 64, 138),
    megatron("7.5B", 4096, 36, 32, 4, 1, 1, 16, 512, 128, 142),
    megatron("18.4B", 6144, 40, 48, 8, 1, 1, 8, 1024, 256, 135),
    megatron("39.1B", 8192, 48, 64, 8, 2, 1, 4, 1536, 512, 138),
    megatron("76.1B", 10240, 60, 80, 8, 4, 3, 2, 1792, 1024, 140),
    megatron("145.6B", 12288, 80, 96, 8, 8, 2, 2, 2304, 1536, 148),
    Row(
        "neox", "GPT-NeoX-20B", "a100-40gb", 96,
        {"arch": "neox", "hidden_size": 6144, "num_layers": 44, "num_attention_heads": 64, "vocab_size": 50432},
        2048, 4, 1536, 1, 117e12 / (6 * 20_554_567_680 + 60 * 2048 * 44 * 6144), flash=False,
        parallel={"zero_stage": 1, "reduce_precision": "bf16", "tensor": 2, "pipeline": 4},
        # Four adapters of 200 Gb/s for eight GPUs (section 2.3), 0.9 of it as in the cluster files.
        hardware={"inter_node_gb_per_second": 11.25},
    ),
)  # fmt: skip


def unfused(cluster: ClusterConfig, head_dim: int) -> float:
    """attention_efficiency of two products over all scores with a fused softmax between them.

    Per score forward: 4 head_dim FLOPs as fast as other products, and 8 bytes: scores are written, read and written by
    the softmax, and read by the second product. The count that the planner uses has 2 head_dim FLOPs (causal).
    """
    peak = 1e12 * cluster.peak_tflops
    products = 4 * head_dim / (peak * cluster.matmul_efficiency)
    moved = 8 / (1e9 * cluster.memory_gb_per_second * cluster.memory_efficiency)
    return 2 * head_dim / peak / (products + moved)


@cache
def cluster_file(name: str) -> ClusterConfig:
    """As it stands in configs/cluster."""
    config = build(PlanConfig, *composed("train", [f"cluster={name}"])).cluster
    assert config is not None
    return config


def cluster_of(row: Row) -> ClusterConfig:
    """The machines of a row."""
    config = cluster_file(row.cluster)
    config = config.model_copy(update={"nodes": row.devices // config.devices_per_node, **row.hardware})
    if not row.flash:
        head_dim = row.model["hidden_size"] // row.model["num_attention_heads"]
        config = config.model_copy(update={"attention_efficiency": unfused(config, head_dim)})
    return config


def predicted(row: Row) -> float:
    """Tokens per second and device."""
    seconds = 0.0
    for recompute, share in ((False, 1 - row.recomputed), (True, row.recomputed)):
        config = RunConfig.model_validate(
            {
                "model": {**row.model, "max_position_embeddings": row.seq_length},
                "train": {
                    "global_batch_size": row.global_batch,
                    "micro_batch_size": row.micro_batch,
                    "activation_checkpointing": recompute,
                },
                "parallel": row.parallel,
            }
        )
        tensor, pipeline = config.parallel.tensor, config.parallel.pipeline
        layout = Layout(tensor, row.devices // (tensor * pipeline), pipeline)
        seconds += share * step_time(config, layout, cluster_of(row)).total if share else 0.0
    return row.global_batch * row.seq_length / seconds / row.devices


def main() -> None:
    """Print the table."""
    results = []
    for row in ROWS:
        guess = predicted(row)
        layout = f"ZeRO-{row.parallel['zero_stage']}"
        for key, letter in (("tensor", "tp"), ("pipeline", "pp"), ("virtual_stages", "v")):
            layout += f" {letter}{row.parallel[key]}" if row.parallel.get(key, 1) > 1 else ""
        results.append(
            {
                "source": row.source,
                "model": row.name,
                "devices": f"{row.devices} {row.cluster}",
                "layout": layout,
                "length": row.seq_length,
                "micro-batch": row.micro_batch,
                "global batch": row.global_batch,
                "recomputed": row.recomputed,
                "published tokens/s/device": round(row.published),
                "predicted": round(guess),
                "error": f"{guess / row.published - 1:+.1%}",
                "fitted": "yes" if row.fitted else "",
            }
        )
    summary = {}
    for name, fitted in (("fitted", True), ("held out", False)):
        errors = [abs(predicted(row) / row.published - 1) for row in ROWS if row.fitted is fitted]
        summary[name] = {
            "rows": len(errors),
            "within 15 %": sum(error <= 0.15 for error in errors),
            "mean error": f"{sum(errors) / len(errors):.1%}",
            "largest error": f"{max(errors):.1%}",
        }
    report("Predicted and published speed", results, summary=summary)
    print(summary)


if __name__ == "__main__":
    main()

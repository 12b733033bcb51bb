"""The published runs of `plan_published.py`: shape, batch, layout, machines, and tokens per second and device.

llm-foundry   mosaicml/llm-foundry, scripts/train/benchmarking/README.md (MPT, FSDP full shard: ZeRO-3 here): every
              bf16 row from 1B to 70B parameters. MPT has learned positions and biases in these rows, as the
              table's parameter counts show: gpt2 here. Its global batches need not be multiples of the micro-batch;
              they are rounded down to one here. Attention is FlashAttention 1 in Triton (`attn_impl` of
              submit_benchmarks.py there).
torchtitan    pytorch/torchtitan, docs/performance.md of 2024 (Llama 2 and 3, FSDP2) on A100. "Selective layer"
              recomputes every second block: the mean of both predictions. The three rows with "selective op" are
              left out: our engine recomputes blocks, not single operations.
megatron      Narayanan et al. 2021, table 1, all ten rows; micro-batches from NVIDIA/Megatron-LM,
              examples/sc21/run_table_1.sh. Its FLOP/s count recomputation and full attention (equation 3); turned
              back into tokens here.
neox          Black et al. 2022, section 2.3 (117 TFLOP/s per GPU), with EleutherAI/gpt-neox, configs/20B.yml. Its
              FLOP/s are (6 N + 60 T L h) per token (get_flops of that time): 747 tokens/s, which is also what
              150,000 steps in the 1,830 hours of its appendix are.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

MPT = {"1b": (2048, 24, 16), "3b": (2560, 32, 20), "7b": (4096, 32, 32), "13b": (5120, 40, 40)}
MPT |= {"30b": (7168, 48, 56), "70b": (8192, 80, 64)}
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
    attention: Literal["flash 2", "flash 1", "unfused"] = "flash 2"
    """Which kernels the run had."""
    hardware: dict[str, float] = field(default_factory=dict)
    """What differs from the cluster file, as published."""

    @property
    def group(self) -> str:
        """Under which it is counted."""
        if self.source == "neox" or self.name in ("MPT 7b", "MPT 13b", "Llama 2 13B"):
            return "7B, 13B and NeoX-20B"
        return f"other of {self.source}"


def mpt(cluster: str, text: str) -> Row:
    """A row of llm-foundry: size, devices, T, micro-batch, global batch, whether recomputed, tokens/s per device.

    DEFAULT (H100, A100 80GB) reduces in fp32, PURE (A100 40GB, and 70b on A100) in bf16.
    """
    size, *numbers = text.removesuffix(" fitted").split()
    devices, length, micro, batch, recomputed, published = map(int, numbers)
    width, layers, heads = MPT[size]
    model = {"arch": "gpt2", "hidden_size": width, "num_layers": layers, "num_attention_heads": heads}
    pure = cluster == "a100-40gb" or (size == "70b" and cluster == "a100-80gb")
    per_pass = micro * devices
    return Row(
        "llm-foundry", f"MPT {size}", cluster, devices, model | {"vocab_size": 50368}, length, micro,
        batch // per_pass * per_pass, recomputed, published, text.endswith("fitted"),
        parallel={"zero_stage": 3, "reduce_precision": "bf16" if pure else "fp32"}, attention="flash 1",
    )  # fmt: skip


def megatron(name: str, width: int, layers: int, heads: int, tensor: int, pipeline: int, virtual: int, micro: int,
             batch: int, devices: int, teraflops: float) -> Row:  # fmt: skip
    """A row of Megatron: fp16, unfused attention, everything recomputed."""
    model = {"arch": "gpt2", "hidden_size": width, "num_layers": layers, "num_attention_heads": heads}
    length, vocabulary = 2048, 51200
    flops = 96 * layers * width**2 * (1 + length / (6 * width) + vocabulary / (16 * layers * width))
    return Row(
        "megatron", f"GPT {name}", "a100-80gb", devices, model | {"vocab_size": vocabulary}, length, micro, batch, 1,
        1e12 * teraflops / flops, attention="unfused",
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
LLAMA_70B = {"hidden_size": 8192, "num_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8,
             "intermediate_size": 28672}  # fmt: skip

LLM_FOUNDRY = {
    "h100": """
        70b 64 2048 8 2048 1 1039, 70b 32 2048 2 1024 1 882, 30b 8 8192 1 168 1 1384, 30b 8 4096 1 168 1 1802,
        30b 32 2048 14 1344 1 2308, 30b 16 2048 10 480 1 2263, 30b 8 2048 3 504 1 2002, 30b 8 1024 6 1008 1 2084,
        13b 8 32768 1 24 1 1976, 13b 8 16384 3 72 1 2985, 13b 8 4096 10 240 1 4717 fitted, 13b 64 2048 2 128 0 4800,
        13b 32 2048 2 64 0 4811, 13b 16 2048 2 32 0 4767, 13b 8 2048 2 16 0 4792 fitted,
        13b 8 1024 40 960 1 5502 fitted, 7b 8 65536 1 16 1 1956, 7b 8 32768 2 32 1 3318, 7b 8 8192 8 128 1 6935,
        7b 8 4096 16 256 1 8611 fitted, 7b 8 2048 6 48 0 10643 fitted, 7b 8 1024 64 1024 1 10203 fitted,
        3b 8 65536 1 16 1 3262, 3b 8 32768 3 144 1 5873, 3b 8 16384 1 48 0 11152, 3b 8 8192 3 144 0 16578,
        3b 8 4096 5 240 0 20964, 3b 64 2048 6 1152 0 22525, 3b 32 2048 6 576 0 23021, 3b 16 2048 10 480 0 24142,
        3b 8 1024 20 960 0 27046, 3b 8 512 40 1920 0 27965, 1b 8 65536 1 16 1 5506, 1b 8 32768 1 32 0 12025,
        1b 8 16384 2 64 0 19649, 1b 8 8192 3 96 0 29157, 1b 8 4096 7 224 0 38535, 1b 64 2048 20 1280 0 44402,
        1b 32 2048 20 640 0 45130, 1b 16 2048 20 320 0 46037, 1b 8 2048 14 112 0 45455, 1b 8 1024 18 576 0 48910,
        1b 8 512 56 1792 0 52275
    """,
    "a100-80gb": """
        70b 64 2048 8 2048 1 410, 70b 32 2048 2 1024 1 373, 30b 8 8192 1 168 1 574, 30b 8 4096 1 168 1 814,
        30b 8 2048 3 504 1 916, 30b 8 1024 6 1008 1 946, 30b 8 512 12 2016 1 967, 13b 8 32768 1 24 1 1016,
        13b 8 16384 3 72 1 1431, 13b 8 8192 5 120 1 1795, 13b 8 4096 10 240 1 2060 fitted,
        13b 8 2048 2 48 0 2262 fitted, 13b 8 1024 40 960 1 2330 fitted, 7b 8 65536 1 16 1 1013,
        7b 8 32768 2 32 1 1672, 7b 8 16384 4 64 1 2453, 7b 8 8192 8 128 1 3206, 7b 8 4096 16 256 1 3684 fitted,
        7b 8 2048 6 96 0 4641 fitted, 7b 8 1024 64 1024 1 4357 fitted, 3b 8 65536 1 16 1 1767,
        3b 8 32768 3 144 1 3029, 3b 8 16384 1 48 0 5529, 3b 8 8192 3 144 0 7695, 3b 8 4096 5 240 0 9457,
        3b 8 2048 10 160 0 10811, 3b 8 1024 20 960 0 11580, 3b 8 512 40 1920 0 12127, 1b 8 65536 1 16 1 3044,
        1b 8 32768 1 32 0 6275, 1b 8 16384 2 64 0 9956, 1b 8 8192 3 96 0 13814, 1b 8 4096 7 224 0 17807,
        1b 8 2048 14 448 0 20513 fitted, 1b 8 1024 18 576 0 22112, 1b 8 512 56 1792 0 23148
    """,
    "a100-40gb": """
        70b 128 2048 4 512 1 376, 70b 64 2048 2 128 1 276, 30b 128 2048 6 768 1 865, 30b 32 2048 4 128 1 857,
        13b 8 8192 1 128 1 1407, 13b 8 4096 2 256 1 1603, 13b 128 2048 16 2048 1 1972, 13b 64 2048 16 1024 1 1976,
        13b 32 2048 14 448 1 1998, 13b 16 2048 10 160 1 1993, 13b 8 2048 4 512 1 1668, 13b 8 1024 8 1024 1 1727,
        13b 8 512 16 2048 1 1763, 7b 8 16384 1 32 1 2249, 7b 8 8192 3 96 1 2887, 7b 8 4096 6 192 1 3366,
        7b 128 2048 18 2304 1 3623, 7b 64 2048 18 1152 1 3665, 7b 32 2048 18 576 1 3725, 7b 16 2048 16 256 1 3645,
        7b 8 2048 12 384 1 3679 fitted, 7b 8 1024 24 768 1 3854, 7b 8 512 48 1536 1 3895, 3b 8 32768 1 32 1 2955,
        3b 8 16384 2 128 1 4465, 3b 8 8192 1 64 0 7149, 3b 8 4096 2 128 0 8777, 3b 128 2048 6 768 0 9538,
        3b 64 2048 6 384 0 9736, 3b 32 2048 6 192 0 9914, 3b 16 2048 5 80 0 9750, 3b 8 2048 5 320 0 10065,
        3b 8 1024 10 640 0 10731, 3b 8 512 20 1280 0 11324, 1b 8 32768 1 32 1 5095, 1b 8 16384 1 64 0 9715,
        1b 8 8192 2 128 0 13474, 1b 8 4096 4 256 0 16856, 1b 128 2048 10 1280 0 18647, 1b 64 2048 10 640 0 19001,
        1b 32 2048 10 320 0 15555, 1b 16 2048 8 128 0 19085, 1b 8 2048 8 512 0 19271 fitted,
        1b 8 1024 16 1024 0 20959, 1b 8 512 32 2048 0 21782
    """,
}
"""Arguments of `mpt`; the rows from which the cluster files were fitted say so."""


def _llm_foundry() -> Iterator[Row]:
    for cluster, text in LLM_FOUNDRY.items():
        yield from (mpt(cluster, row.strip()) for row in text.split(","))


ROWS = (
    *_llm_foundry(),
    llama("Llama 2 13B", 4096, 2, 0, 2162, **LLAMA_13B),
    llama("Llama 2 13B", 4096, 2, 0.5, 1914, **LLAMA_13B),
    llama("Llama 3 8B", 8192, 1, 0.5, 2904, **LLAMA_8B),
    llama("Llama 2 70B", 4096, 2, 1, 353, **LLAMA_70B, vocab_size=32000),
    llama("Llama 3 70B", 8192, 1, 1, 331, **LLAMA_70B, vocab_size=128256),
    megatron("1.7B", 2304, 24, 24, 1, 1, 1, 16, 512, 32, 137),
    megatron("3.6B", 3072, 30, 32, 2, 1, 1, 16, 512, 64, 138),
    megatron("7.5B", 4096, 36, 32, 4, 1, 1, 16, 512, 128, 142),
    megatron("18.4B", 6144, 40, 48, 8, 1, 1, 8, 1024, 256, 135),
    megatron("39.1B", 8192, 48, 64, 8, 2, 1, 4, 1536, 512, 138),
    megatron("76.1B", 10240, 60, 80, 8, 4, 3, 2, 1792, 1024, 140),
    megatron("145.6B", 12288, 80, 96, 8, 8, 2, 2, 2304, 1536, 148),
    megatron("310.1B", 16384, 96, 128, 8, 16, 2, 1, 2160, 1920, 155),
    megatron("529.6B", 20480, 105, 128, 8, 35, 3, 1, 2520, 2520, 163),
    megatron("1008B", 25600, 128, 160, 8, 64, 1, 1, 3072, 3072, 163),
    Row(
        "neox", "GPT-NeoX-20B", "a100-40gb", 96,
        {"arch": "neox", "hidden_size": 6144, "num_layers": 44, "num_attention_heads": 64, "vocab_size": 50432},
        2048, 4, 1536, 1, 117e12 / (6 * 20_554_567_680 + 60 * 2048 * 44 * 6144), attention="unfused",
        parallel={"zero_stage": 1, "reduce_precision": "bf16", "tensor": 2, "pipeline": 4},
        # Four adapters of 200 Gb/s for eight GPUs (section 2.3), 0.9 of it as in the cluster files.
        hardware={"inter_node_gb_per_second": 11.25},
    ),
)  # fmt: skip

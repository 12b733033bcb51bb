"""Does the planner predict what published runs reached?

    python benchmarks/plan_published.py

Tokens per second and device, on which every definition of MFU agrees, of runs whose shape, batch, layout and machines
are published: all rows of the tables that `_published.py` cites from 1B parameters up, whether they are predicted well
or not.

Four values of configs/cluster were fitted, to the rows marked so and in coarse steps: matmul_efficiency of A100 and of
H100, and memory_efficiency and overlap for both. Nothing is adjusted per row. The cluster files describe our engine,
with FlashAttention-2. Of runs with other attention kernels only cluster.attention_efficiency differs: `flash_1` for
llm-foundry of 2023, and for Megatron and NeoX of 2021 what their kernels read and write (`unfused`).
"""

from functools import cache

from _published import ROWS, Row
from _report import report

from jp_llm.config.app import composed
from jp_llm.config.build import build
from jp_llm.config.cluster import ClusterConfig
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.plan.run import PlanConfig
from jp_llm.plan.time import step_time

LIMIT = 0.15


def flash_1(cluster: ClusterConfig) -> float:
    """attention_efficiency of FlashAttention 1 in Triton.

    FlashAttention-2 is 1.3 to 1.5 times as fast forward and about twice as fast backward (Dao 2023, section 4.1), where
    the backward pass has 2.5 times the FLOPs: (1.4 + 2.5 x 2) / 3.5 = 1.83 times. The same for every device.
    """
    return cluster.attention_efficiency / ((1.4 + 2.5 * 2) / 3.5)


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
    head_dim = row.model["hidden_size"] // row.model["num_attention_heads"]
    efficiency = {
        "flash 2": config.attention_efficiency,
        "flash 1": flash_1(config),
        "unfused": unfused(config, head_dim),
    }
    return config.model_copy(update={"attention_efficiency": efficiency[row.attention]})


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


def described(row: Row) -> dict[str, object]:
    """A row of the report."""
    layout = f"ZeRO-{row.parallel['zero_stage']}"
    for key, letter in (("tensor", "tp"), ("pipeline", "pp"), ("virtual_stages", "v")):
        layout += f" {letter}{row.parallel[key]}" if row.parallel.get(key, 1) > 1 else ""
    guess = predicted(row)
    return {
        "group": row.group,
        "source": row.source,
        "model": row.name,
        "devices": f"{row.devices} {row.cluster}",
        "layout": layout,
        "length": row.seq_length,
        "micro-batch": row.micro_batch,
        "global batch": row.global_batch,
        "recomputed": row.recomputed,
        "attention": row.attention,
        "published tokens/s/device": round(row.published),
        "predicted": round(guess),
        "error": f"{guess / row.published - 1:+.1%}",
        "fitted": "yes" if row.fitted else "",
    }


def tallied(rows: list[Row]) -> dict[str, object]:
    """How many rows are how far off."""
    errors = [abs(predicted(row) / row.published - 1) for row in rows]
    return {
        "rows": len(errors),
        f"within {LIMIT:.0%}": sum(error <= LIMIT for error in errors),
        "mean error": f"{sum(errors) / len(errors):.1%}",
        "largest error": f"{max(errors):.1%}",
    }


def main() -> None:
    """Print the table, group by group, and how many rows of each are within the limit."""
    groups = sorted({row.group for row in ROWS})
    rows = sorted(ROWS, key=lambda row: groups.index(row.group))
    summary = {group: tallied([row for row in rows if row.group == group]) for group in groups}
    summary["fitted"] = tallied([row for row in rows if row.fitted])
    summary["not fitted"] = tallied([row for row in rows if not row.fitted])
    summary["all"] = tallied(rows)
    report("Predicted and published speed", [described(row) for row in rows], summary=summary)
    for group, counts in summary.items():
        print(f"{group}: {counts}")


if __name__ == "__main__":
    main()

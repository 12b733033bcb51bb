"""Memory, state and work of every pipeline stage, as a table."""

from dataclasses import fields

from jp_llm.arch.parameters import parameter_shapes
from jp_llm.config.layout import Layout
from jp_llm.config.memory import Device, chunks
from jp_llm.config.run import RunConfig
from jp_llm.config.stages import Stage
from jp_llm.plan.memory import RankMemory, stage_memory
from jp_llm.train.plan import RankPlan, plan
from jp_llm.train.summary import format_rows

Plans = tuple[tuple[RankPlan, ...], ...]
"""By pipeline rank, then by tensor rank."""

MIB, GIB = 2**20, 2**30
MEMORY = [field.name for field in fields(RankMemory)]
COLUMNS = ["stage", "layers", "parameters (owned)", *MEMORY, "sum", "FLOPs"]
EXPLANATION = """\
Per process of each stage, in {unit}, at the fullest moment of a step{checkpointing}. Parameters: held (owned, over the
tensor ranks: of what several hold alike, one owns it). Optimizer: fp32 weights and moments. Tied: the copy of a tied
embedding and the buffers of its gradient. Gathered: weights that ZeRO-3 has whole at a time. Activations: of all
micro-batches in flight under 1F1B. Communication: buckets of gradients, and NCCL's buffers. Step: what the optimizer
step needs beyond that. Runtime: of a process without a model. Margin: what the allocator cannot use. Host: in host
memory, not in the sum. All of this is computed, nothing measured: docs/planning-memory.md has formulas and sources."""


def stage_report(config: RunConfig, layout: Layout) -> str:
    """Build and check every module, and describe what each process has and does."""
    plans = plan(config, layout)
    modules = [rank for stage in plans for rank in stage]
    owned = sum(rank.owned for rank in modules)
    checked = (
        f"{len(modules)} different modules built and run for their shapes; between them they own each of "
        f"{len(parameter_shapes(config.model))} parameters exactly once ({owned:,} numbers)"
    )
    rows = [("checked", checked), ("divided", _divided(modules)), ("saved", _saved(config, modules))]
    rows += _balance(config, layout)
    return "\n".join([format_rows(rows), "", *stage_table(config, layout, plans)])


def _divided(modules: list[RankPlan]) -> str:
    """How evenly the data-parallel ranks share the optimizer state."""
    held = [share.elements for rank in modules for share in rank.shares]
    fullest = max(
        max(share.elements for share in rank.shares) * len(rank.shares) / sum(share.elements for share in rank.shares)
        for rank in modules
    )
    padding = max(share.padding for rank in modules for share in rank.shares)
    return (
        f"over {len(modules[0].shares)} data ranks: {min(held):,} to {max(held):,} parameters each, at most "
        f"{fullest - 1:.2%} more than the mean of its group, and up to {padding:,} of padding"
    )


def _saved(config: RunConfig, modules: list[RankPlan]) -> str:
    """A checkpoint: fp32 weights and two moments, one file per process that holds any."""
    shares = [share for rank in modules for share in rank.shares if share.saved_pieces]
    sizes = [12 * share.saved_elements for share in shares]
    return (
        f"a checkpoint has {3 * sum(share.saved_pieces for share in shares):,} tensors in {len(shares):,} files of "
        f"{_size(min(sizes))} to {_size(max(sizes))}, {_size(sum(sizes))} in all"
        + (", and each process a copy of its own in host memory" if config.checkpoint.asynchronous else "")
    )


def _balance(config: RunConfig, layout: Layout) -> list[tuple[str, str]]:
    if layout.pipeline == 1:
        return []
    shares = flops_shares(config)
    longer = max(shares) * layout.pipeline - 1
    return [("balance", f"the dearest stage has {max(shares):.1%} of the FLOPs, {longer:.1%} more than the mean")]


def flops_shares(config: RunConfig) -> list[float]:
    """Per pipeline stage, its share of the FLOPs of the model."""
    costs = [sum(part.flops_per_token for part in parts) for parts in chunks(config)]
    return [cost / sum(costs) for cost in costs]


def stage_memories(config: RunConfig, layout: Layout) -> list[RankMemory]:
    """By pipeline rank, on the device that is wanted; a GPU, if the run is to take what there is."""
    device: Device = "cpu" if config.train.device == "cpu" else "cuda"
    return [stage_memory(config, layout, rank, device=device) for rank in range(layout.pipeline)]


def stage_table(config: RunConfig, layout: Layout, plans: Plans) -> list[str]:
    """Lines of a table with one row per pipeline stage, and what its columns mean."""
    memories = stage_memories(config, layout)
    unit = "GiB" if max(memory.total for memory in memories) >= GIB else "MiB"

    def size(number: int) -> str:
        return f"{number / (GIB if unit == 'GiB' else MIB):,.2f}" if number else "-"

    rows = [COLUMNS]
    for number, memory in enumerate(memories):
        parts, ranks = chunks(config)[number], plans[number]
        rows.append(
            [
                str(number),
                " ".join(_part(part) for part in parts),
                f"{_range([rank.parameters for rank in ranks])} ({_range([rank.owned for rank in ranks])})",
                *(size(getattr(memory, name)) for name in MEMORY),
                size(memory.total),
                f"{flops_shares(config)[number]:.1%}",
            ]
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    explanation = EXPLANATION.format(
        unit=unit,
        checkpointing=", with activation checkpointing" if config.train.activation_checkpointing else "",
    )
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return [*lines, "", explanation]


def _part(part: Stage) -> str:
    layers = f"{part.layers.start}-{part.layers.stop - 1}"
    return f"{'embedding+' if part.embedding else ''}{layers}{'+head' if part.head else ''}"


def _range(numbers: list[int]) -> str:
    low, high = f"{min(numbers):,}", f"{max(numbers):,}"
    return low if low == high else f"{low}-{high}"


def _size(number: int) -> str:
    return f"{number / GIB:,.2f} GiB" if number >= GIB else f"{number / MIB:,.2f} MiB"

"""The plan as people read it."""

import shlex
from collections.abc import Sequence
from dataclasses import fields, replace

from jp_llm.config.arithmetic import num_parameters
from jp_llm.plan.expectation import MEMORY_PARTS, SECONDS_PER_DAY, Expectation
from jp_llm.plan.search import GIB, Estimate


def report(kinds: Sequence[Estimate], command: Sequence[str], notes: Sequence[str] = ()) -> str:
    """Text of a plan.

    Args:
        kinds: the best estimate, then others worth a look.
        command: words of the training command of the best one.
    """
    best = Expectation(kinds[0])
    config, cluster = kinds[0].config, kinds[0].cluster
    rows = [
        (
            "model",
            f"{config.model.arch} {config.model.size}: {num_parameters(config.model):,} parameters, vocabulary "
            f"{config.model.vocab_size:,}",
        ),
        (
            "cluster",
            f"{cluster.name}: {cluster.nodes} nodes x {cluster.devices_per_node} = {cluster.world_size} devices of "
            f"{cluster.memory_gib:g} GiB",
        ),
        (
            "run",
            f"{config.train.num_steps:,} steps x {best.tokens_per_step:,} tokens = {best.tokens:,} tokens",
        ),
        *(("note", note) for note in notes),
        ("", ""),
        ("best", shlex.join(command)),
        ("", ""),
        ("layout", f"{kinds[0].layout}, {config.num_micro_batches(kinds[0].layout.data)} micro-batches"),
        ("memory", _memory(kinds[0])),
        ("step", _step(kinds[0])),
        (
            "speed",
            f"{best.tokens_per_second:,.0f} tokens/s ({best.tokens_per_second_per_device:,.0f} per device, MFU "
            f"{best.mfu:.1%}), {best.tokens_per_second * SECONDS_PER_DAY:.3g} tokens per day",
        ),
        (
            "budget",
            f"{best.days:,.2f} days, {best.days * 24 * cluster.world_size:,.0f} device hours, {best.cost:,.0f} "
            f"{cluster.currency} at {cluster.price_per_device_hour:g} per device hour",
        ),
        ("saving", _saving(best)),
        ("", ""),
    ]
    head = "\n".join(f"{name:>8}  {text}".rstrip() for name, text in rows)
    table = _table([_row(estimate) for estimate in kinds])
    return f"{head}\n{table}\n\nEstimated, not measured; docs/planning.md says how, and how far off it was elsewhere."


def _memory(estimate: Estimate) -> str:
    memory, config = estimate.memory, estimate.config
    parts = [f"{part} {getattr(memory, part) / GIB:.1f}" for part in MEMORY_PARTS if getattr(memory, part) > 0.05 * GIB]
    other = not config.train.activation_checkpointing
    train = config.train.model_copy(update={"activation_checkpointing": other})
    changed = replace(estimate, config=config.model_copy(update={"train": train})).memory
    host = f"; {memory.host / GIB:.1f} of host memory" if memory.host else ""
    return (
        f"{memory.total / GIB:.1f} of {estimate.cluster.memory_gib:g} GiB on the fullest device: {', '.join(parts)}"
        f"{host} (activations {'with' if other else 'without'} checkpointing: {changed.activations / GIB:.1f})"
    )


def _step(estimate: Estimate) -> str:
    time = estimate.time
    parts = [(field.name, getattr(time, field.name)) for field in fields(time)]
    shares = ", ".join(f"{name} {seconds / time.total:.1%}" for name, seconds in parts if seconds)
    return f"{time.total:.3g} s: {shares}"


def _saving(expectation: Expectation) -> str:
    found = expectation.checkpoints
    return (
        f"checkpoints of {found.bytes / GIB:,.1f} GiB, training stands still {found.stall_seconds:.1f} s, written in "
        f"{found.write_seconds:,.0f} s; best checkpoint.every_steps={found.every_steps} "
        f"({found.interval_seconds / 60:,.0f} min; {found.lost_share:.2%} of the time lost to saving and failures)"
    )


def _row(estimate: Estimate) -> dict[str, str]:
    parallel, train, figures = estimate.config.parallel, estimate.config.train, Expectation(estimate)
    gather = {"per_micro_batch": " micro", "per_step": " step"}[parallel.gather_policy]
    virtual = f"x{parallel.virtual_stages}" if parallel.virtual_stages > 1 else ""
    return {
        "ZeRO": f"{parallel.zero_stage}{gather if parallel.zero_stage == 3 else ''}",
        "tensor": str(parallel.tensor),
        "pipeline": f"{parallel.pipeline}{virtual}",
        "data": str(estimate.layout.data),
        "micro-batch": str(train.micro_batch_size),
        "recompute": "yes" if train.activation_checkpointing else "no",
        "GiB": f"{estimate.memory.total / GIB:.1f}",
        "s/step": f"{estimate.time.total:.3g}",
        "tokens/s/device": f"{figures.tokens_per_second_per_device:,.0f}",
        "MFU": f"{figures.mfu:.1%}",
        "bubble": f"{figures.bubble_share:.1%}",
        "network": f"{figures.communication_share:.1%}",
        "days": f"{figures.days:,.2f}",
        "cost": f"{figures.cost:,.0f}",
    }


def _table(rows: Sequence[dict[str, str]]) -> str:
    widths = {name: max(len(name), *(len(row[name]) for row in rows)) for name in rows[0]}
    lines = [{name: name for name in rows[0]}, *rows]
    return "\n".join("  ".join(line[name].rjust(width) for name, width in widths.items()) for line in lines)

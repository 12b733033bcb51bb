"""What a run will be, in a few lines. Loads no torch."""

from jp_llm.config.arithmetic import (
    bubble,
    flops_per_token,
    num_embedding_parameters,
    num_parameters,
)
from jp_llm.config.memory import effective_stage, stage_state
from jp_llm.config.run import RunConfig
from jp_llm.runtime.env import World
from jp_llm.train.preflight import Preflight


def summary(preflight: Preflight) -> str:
    """Model, data, batch, layout and memory of a run."""
    config, data = preflight.config, preflight.train_data
    epochs = data.epochs(config.train.global_batch_size * config.train.num_steps)
    left_out = [source for source in data.sources if source not in preflight.evaluated_sources]
    described = f"{data.describe()}; epochs " + ", ".join(f"{source} {count:.2f}" for source, count in epochs.items())
    rows = summary_rows(config, preflight.world, described)
    if left_out:
        needed = "held-out text" if config.data.documents == "whole" else f"{config.seq_length + 1} held-out tokens"
        missing = f"not evaluated, for want of {needed}: {', '.join(left_out)}"
        rows.append(("note", missing))
    return format_rows(rows)


def summary_rows(config: RunConfig, world: World, data: str) -> list[tuple[str, str]]:
    """Name and text of each line, for any number of processes; `data` is what there is to say about the dataset."""
    model, train, layout = config.model, config.train, config.parallel.layout(world.size)
    parameters, embedding = num_parameters(model), num_embedding_parameters(model)
    tokens_per_step = train.global_batch_size * config.seq_length
    total = tokens_per_step * train.num_steps
    up_to = "up to " if config.data.documents == "whole" else ""
    micro_batches = config.num_micro_batches(layout.data)
    state = max(stage_state(config, layout, stage).total for stage in range(layout.pipeline))
    rows = [
        (
            "model",
            f"{model.arch} {model.size}: {parameters:,} parameters ({parameters - embedding:,} without embeddings), "
            f"{model.num_layers} layers x {model.hidden_size} wide x {model.num_attention_heads} heads, vocabulary "
            f"{model.vocab_size:,} padded to {model.padded_vocab_size:,}",
        ),
        *([("init", f"step 0: weights of {config.init_from}, moments and counters zero")] if config.init_from else []),
        ("data", data),
        (
            "run",
            f"{train.num_steps:,} steps x {up_to}{tokens_per_step:,} tokens = {total:,} tokens, "
            f"{total * flops_per_token(model, config.seq_length):.2e} FLOPs",
        ),
        ("layout", f"{world.size} processes = {layout}"),
        (
            "batch",
            f"{train.global_batch_size} sequences of {config.seq_length} = {layout.data} data ranks x "
            f"{micro_batches} micro-batches x {train.micro_batch_size}",
        ),
    ]
    if layout.pipeline > 1:
        virtual = config.parallel.virtual_stages
        waits = bubble(layout.pipeline, virtual, micro_batches)
        interleaved = f" x {virtual} parts" if virtual > 1 else ""
        rows.append(
            ("stages", f"{layout.pipeline}{interleaved}; each waits {waits:.1%} of a step if all cost the same")
        )
    rows += [
        (
            "state",
            f"ZeRO-{effective_stage(config)}, {train.precision}: {state / 2**20:,.0f} MiB per process"
            f"{' of the largest stage' if layout.pipeline > 1 else ''} (weights, gradients, AdamW; activations and "
            "what ZeRO-3 gathers come on top)",
        ),
        ("folder", config.run_dir),
    ]
    note = _node_note(layout.tensor, world)
    return [*rows, ("note", note)] if note else rows


def format_rows(rows: list[tuple[str, str]]) -> str:
    """Names to the left, texts to the right."""
    return "\n".join(f"{name:>7}  {text}" for name, text in rows)


def _node_note(tensor: int, world: World) -> str:
    """A tensor group that spans nodes is legal but slow; empty if none does."""
    per_node = world.local_size
    if tensor == 1:
        return ""
    if per_node is None:
        return f"the processes of each node must be a multiple of {tensor}: tensor groups that span nodes are slow"
    if per_node % tensor:
        return f"tensor groups of {tensor} span nodes of {per_node} processes: every layer waits for the network"
    return ""

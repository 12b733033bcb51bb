"""What a run will be, in a few lines. Loads no torch."""

from jp_llm.config.arithmetic import (
    flops_per_token,
    num_embedding_parameters,
    num_parameters,
    state_bytes_per_process,
)
from jp_llm.config.run import RunConfig
from jp_llm.train.preflight import Preflight


def summary(preflight: Preflight) -> str:
    """Model, data, batch and memory of a run."""
    config, data, world = preflight.config, preflight.train_data, preflight.world
    model, train = config.model, config.train
    parameters, embedding = num_parameters(model), num_embedding_parameters(model)
    tokens_per_step = train.global_batch_size * config.seq_length
    total = tokens_per_step * train.num_steps
    state = state_bytes_per_process(parameters, config.parallel.zero_stage, train.precision, world.size)
    epochs = data.epochs(train.global_batch_size * train.num_steps)
    left_out = [source for source in data.sources if source not in preflight.evaluated_sources]
    rows = {
        "model": f"{model.arch} {model.size}: {parameters:,} parameters ({parameters - embedding:,} without "
        f"embeddings), {model.num_layers} layers x {model.hidden_size} wide x {model.num_attention_heads} heads",
        "data": f"{config.data.path}: {data.num_windows * config.seq_length:,} tokens, "
        f"vocabulary {model.vocab_size:,} padded to {model.padded_vocab_size:,}; "
        "epochs " + ", ".join(f"{source} {count:.2f}" for source, count in epochs.items()),
        "run": f"{train.num_steps:,} steps x {tokens_per_step:,} tokens = {total:,} tokens, "
        f"{total * flops_per_token(model, config.seq_length):.2e} FLOPs",
        "batch": f"{train.global_batch_size} sequences of {config.seq_length} = {world.size} processes x "
        f"{config.num_micro_batches(world.size)} micro-batches x {train.micro_batch_size}",
        "state": f"ZeRO-{effective_stage(config)}, {train.precision}: {state / 2**20:,.0f} MiB per process "
        "(weights, gradients, AdamW; activations and what ZeRO-3 gathers come on top)",
        "folder": config.run_dir,
    }
    if left_out:
        rows["note"] = f"not evaluated, for want of {config.seq_length + 1} held-out tokens: {', '.join(left_out)}"
    return "\n".join(f"{name:>7}  {text}" for name, text in rows.items())


def effective_stage(config: RunConfig) -> int:
    """The ZeRO stage that runs: stage 0 in bf16 is done as stage 1 (see `jp_llm.engine.zero`)."""
    bf16 = config.train.precision == "bf16"
    return 1 if bf16 and config.parallel.zero_stage == 0 else config.parallel.zero_stage

"""What a run will be, in a few lines. Loads no torch."""

from jp_llm.config.arithmetic import (
    flops_per_token,
    num_embedding_parameters,
    num_parameters,
    state_bytes_per_process,
)
from jp_llm.train.preflight import Preflight


def summary(preflight: Preflight) -> str:
    """Model, data, batch and memory of a run."""
    config, manifest, world = preflight.config, preflight.manifest, preflight.world
    model, train = config.model, config.train
    parameters, embedding = num_parameters(model), num_embedding_parameters(model)
    tokens_per_step = train.global_batch_size * config.seq_length
    total, available = tokens_per_step * train.num_steps, manifest.tokens("train")
    state = state_bytes_per_process(parameters, config.parallel.zero_stage, train.precision, world.size)
    sources = ", ".join(manifest.sources)
    rows = {
        "model": f"{model.arch} {model.size}: {parameters:,} parameters ({parameters - embedding:,} without "
        f"embeddings), {model.num_layers} layers x {model.hidden_size} wide x {model.num_attention_heads} heads",
        "data": f"{config.data.path}: {available:,} tokens ({sources}), vocabulary {model.vocab_size:,} "
        f"padded to {model.padded_vocab_size:,}",
        "run": f"{train.num_steps:,} steps x {tokens_per_step:,} tokens = {total:,} tokens = "
        f"{total / available:.2f} epochs, {total * flops_per_token(model, config.seq_length):.2e} FLOPs",
        "batch": f"{train.global_batch_size} sequences of {config.seq_length} = {world.size} processes x "
        f"{config.num_micro_batches(world.size)} micro-batches x {train.micro_batch_size}",
        "state": f"ZeRO-{config.parallel.zero_stage}, {train.precision}: {state / 2**20:,.0f} MiB per process "
        "(weights, gradients, AdamW; activations come on top)",
        "folder": config.run_dir,
    }
    return "\n".join(f"{name:>7}  {text}" for name, text in rows.items())

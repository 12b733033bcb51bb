"""Held-out loss of the model in training, by source."""

import math
from typing import Any

import torch
from torch import Tensor

from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.model.loss import IGNORED
from jp_llm.parallel.grid import Grid
from jp_llm.train.preflight import Preflight


def evaluate(engine: Engine, preflight: Preflight) -> dict[str, Any]:
    """Evaluate `preflight.evaluated_sources`, and their sum under `all`; every process calls this together.

    Returns:
        Per source: samples, loss (nats per token), perplexity, bits per character and per byte. The last two are the
        loss times tokens per character (byte) of the source's whole held-out split.
    """
    config, dataset = preflight.config, preflight.validation_data
    assert dataset is not None
    manifest = dataset.manifest
    bos_id = manifest.tokenizer.start_id if config.model.document_mask else None
    results: dict[str, Any] = {}
    total_characters = total_bytes = total_loss = total_tokens = 0.0
    for source in preflight.evaluated_sources:
        windows = dataset.evaluation_samples(source, config.train.eval_samples)
        loss_sum = engine.summed_losses(_micro_batches(torch.from_numpy(windows), config, engine.grid, bos_id))
        tokens = len(windows) * config.seq_length
        split_tokens = manifest.tokens("validation", source)
        characters = tokens * manifest.characters("validation", source) / split_tokens
        num_bytes = tokens * manifest.bytes("validation", source) / split_tokens
        results[source] = _measures(loss_sum, tokens, characters, num_bytes) | {"samples": len(windows)}
        total_loss, total_tokens = total_loss + loss_sum, total_tokens + tokens
        total_characters, total_bytes = total_characters + characters, total_bytes + num_bytes
    if len(results) > 1:
        results["all"] = _measures(total_loss, total_tokens, total_characters, total_bytes)
    return results


def _measures(loss_sum: float, tokens: float, characters: float, num_bytes: float) -> dict[str, float]:
    loss, bits = loss_sum / tokens, loss_sum / math.log(2)
    return {
        "loss": loss,
        "perplexity": math.exp(min(loss, 700.0)),
        "bits_per_character": bits / characters,
        "bits_per_byte": bits / num_bytes,
    }


def _micro_batches(windows: Tensor, config: RunConfig, grid: Grid, bos_id: int | None) -> list[Microbatch]:
    """This data-parallel rank's share of `windows` [N, T + 1]; each gets as many, filled up with ignored targets."""
    size = config.train.micro_batch_size
    share = math.ceil(len(windows) / grid.layout.data)
    own = windows[grid.data_rank * share : (grid.data_rank + 1) * share]
    found = []
    for start in range(0, share, size):
        part = own[start : start + size]
        filling = windows[:1].expand(min(size, share - start) - len(part), -1)
        micro_batch = Microbatch.of(torch.cat((part, filling)), bos_id)
        micro_batch.targets_BT[len(part) :] = IGNORED
        found.append(micro_batch)
    return found

"""Held-out loss of the model in training, by source."""

import math
from typing import Any

import torch

from jp_llm.config.data import IGNORED
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Microbatch
from jp_llm.engine.engine import Engine
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
    bos_id = dataset.manifest.tokenizer.start_id if config.model.document_mask else None
    results: dict[str, Any] = {}
    total_characters = total_bytes = total_loss = total_tokens = 0.0
    for source in preflight.evaluated_sources:
        rows, numbers = dataset.evaluation_samples(source, config.train.eval_samples)
        documents = None if numbers is None else torch.from_numpy(numbers)
        samples = Microbatch.of(torch.from_numpy(rows), bos_id, documents)
        loss_sum = engine.summed_losses(_micro_batches(samples, config, engine.grid))
        tokens = int((samples.targets_BT != IGNORED).sum())
        measure = dataset.measure(source)
        characters = tokens * measure.characters / measure.tokens
        num_bytes = tokens * measure.bytes / measure.tokens
        results[source] = _measures(loss_sum, tokens, characters, num_bytes) | {"samples": len(rows)}
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


def _micro_batches(samples: Microbatch, config: RunConfig, grid: Grid) -> list[Microbatch]:
    """This data-parallel rank's share of the samples; each gets as many, filled up with ignored targets."""
    size, count = config.train.micro_batch_size, len(samples.tokens_BT)
    share = math.ceil(count / grid.layout.data)
    found = []
    for start in range(0, share, size):
        first = min(grid.data_rank * share + start, count)
        own = range(first, min(first + min(size, share - start), (grid.data_rank + 1) * share, count))
        filling = min(size, share - start) - len(own)
        rows = torch.tensor([*own, *[0] * filling])
        micro_batch = Microbatch(
            samples.tokens_BT[rows],
            samples.targets_BT[rows],
            None if samples.document_ids_BT is None else samples.document_ids_BT[rows],
        )
        micro_batch.targets_BT[len(own) :] = IGNORED
        found.append(micro_batch)
    return found

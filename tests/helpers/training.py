"""The same few training steps twice: in a plain PyTorch loop, and through the engine on any layout."""

from functools import cache
from typing import Any

import torch
import torch.distributed
import torch.nn.functional as F
from tiny import VOCAB_SIZE, run_config
from torch import Tensor

from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initialize
from jp_llm.optim.groups import decays
from jp_llm.parallel.grid import Grid

STEPS = 4
RATES = (1e-2, 8e-3, 6e-3, 4e-3)

History = list[tuple[float, float]]
"""(loss, gradient norm) of each step."""


def rows_of_step(config: RunConfig, step: int) -> Tensor:
    """The global batch of a step, [samples, T + 1]."""
    generator = torch.Generator().manual_seed(step)
    shape = (config.train.global_batch_size, config.seq_length + 1)
    return torch.randint(0, VOCAB_SIZE, shape, generator=generator)


def plain_optimizer(decoder: Decoder, config: RunConfig) -> torch.optim.AdamW:
    """The optimizer of PyTorch for a whole decoder."""
    named, placements = dict(decoder.named_parameters()), decoder.placements()
    decayed = {name: all(decays(part.name) for part in placements[name].slices) for name in named}
    decay = [p for name, p in named.items() if decayed[name]]
    spared = [p for name, p in named.items() if not decayed[name]]
    assert decay
    assert spared
    return torch.optim.AdamW(
        [{"params": decay, "weight_decay": config.optim.weight_decay}, {"params": spared, "weight_decay": 0.0}],
        betas=(config.optim.beta1, config.optim.beta2),
        eps=config.optim.eps,
    )


def canonical_weights(decoder: Decoder) -> dict[str, Tensor]:
    """Copies of the canonical parameters of a whole decoder."""
    named, weights = dict(decoder.named_parameters()), {}
    for name, placement in decoder.placements().items():
        sizes = [part.numel for part in placement.slices]
        for part, values in zip(placement.slices, named[name].detach().flatten().split(sizes), strict=True):
            weights[part.name] = values.view(part.shape).clone()
    return weights


def plain_update(
    decoder: Decoder, optimizer: torch.optim.Optimizer, config: RunConfig, loss: Tensor, step: int
) -> float:
    """One update by the loss of a step; the gradient norm before clipping."""
    optimizer.zero_grad()
    loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(decoder.parameters(), config.optim.gradient_clipping)
    for group in optimizer.param_groups:
        group["lr"] = RATES[step]
    optimizer.step()
    return norm.item()


def plain_training(config: RunConfig) -> tuple[History, dict[str, Tensor]]:
    """History and final canonical weights, without any of our engine."""
    decoder = Decoder(config.model)
    initialize(decoder, config.model, config.seed)
    optimizer = plain_optimizer(decoder, config)
    history = []
    for step in range(STEPS):
        rows = rows_of_step(config, step)
        logits = decoder.logits(decoder(rows[:, :-1]))
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        history.append((loss.item(), plain_update(decoder, optimizer, config, loss, step)))
    return history, canonical_weights(decoder)


@cache
def _grid(layout: Layout, key_value_heads: int, virtual_stages: int) -> Grid:
    # Process groups are dear, and a worker of the tests plays many cases.
    return Grid(layout, key_value_heads=key_value_heads, virtual_stages=virtual_stages)


def grid_of(config: RunConfig) -> Grid:
    """The grid of a configuration over all processes of the test."""
    layout = config.parallel.layout(torch.distributed.get_world_size())
    return _grid(layout, config.model.key_value_heads, config.parallel.virtual_stages)


def build_engine(config: RunConfig) -> Engine:
    """An engine with the weights of step 0."""
    engine = Engine(config, torch.device("cpu"), grid_of(config))
    engine.initialize()
    return engine


def batch_of_step(config: RunConfig, grid: Grid, step: int) -> Batch:
    """The part of a global batch that belongs to this process."""
    own = rows_of_step(config, step).chunk(grid.layout.data)[grid.data_rank]
    micro_batches = tuple(Microbatch.of(part, None) for part in own.split(config.train.micro_batch_size))
    return Batch(micro_batches, range(0), 0)


def owned_weights(engine: Engine) -> dict[str, Tensor]:
    """Canonical parameters with what this process owns of them, NaN elsewhere."""
    weights: dict[str, Tensor] = {}
    for piece, state in engine.owned_state():
        whole = weights.setdefault(piece.part.name, torch.full(piece.part.whole, torch.nan))
        box = whole[piece.part.index]
        flat = box.reshape(-1).clone()
        flat[piece.start : piece.stop] = state["weight"]
        box.copy_(flat.view(box.shape))
    return weights


def engine_training(config: RunConfig) -> tuple[History, dict[str, Tensor]]:
    """The same through the engine; runs in a process group and returns the weights that this process owns."""
    engine = build_engine(config)
    history = []
    for step in range(STEPS):
        result = engine.train_step(batch_of_step(config, engine.grid, step), RATES[step])
        assert result.applied
        history.append((result.loss, result.grad_norm))
    assert engine.zero.applied_updates == STEPS
    return history, owned_weights(engine)


def merged(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The whole weights: every element is owned by exactly one process."""
    result = {}
    for name in {name for part in parts for name in part}:
        stacked = torch.stack([part[name] for part in parts if name in part])
        assert ((~stacked.isnan()).sum(dim=0) == 1).all(), name
        result[name] = stacked.nan_to_num(0.0).sum(dim=0)
    return result


def compare(by_rank: list[tuple[History, dict[str, Tensor]]], config: RunConfig, case: str) -> None:
    """Loss, gradient norm and weights on every process against the plain loop."""
    expected_history, expected = plain_training(config)
    for history, _ in by_rank:
        torch.testing.assert_close(
            torch.tensor(history), torch.tensor(expected_history), rtol=1e-5, atol=0, msg=lambda m: f"{case}: {m}"
        )
    weights = merged([found for _, found in by_rank])
    assert weights.keys() == expected.keys(), case
    for name, values in expected.items():
        torch.testing.assert_close(
            weights[name], values, rtol=1e-5, atol=1e-5, msg=lambda m, name=name: f"{case}, {name}: {m}"
        )
    # Clipping must have been at work, or its parity would say nothing.
    assert min(norm for _, norm in expected_history) > config.optim.gradient_clipping


def all_cases(cases: list[dict[str, Any]]) -> list[tuple[History, dict[str, Tensor]]]:
    """`engine_training` of many configurations, given as overrides of the tiny one."""
    return [engine_training(run_config(**overrides)) for overrides in cases]

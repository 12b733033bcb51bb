"""Every ZeRO stage on one and two processes against a plain PyTorch loop."""

from typing import Any

import pytest
import torch
import torch.distributed
import torch.nn.functional as F
from gloo import Processes
from tiny import VOCAB_SIZE, run_config
from torch import Tensor

from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initialize
from jp_llm.optim.groups import decays

STEPS = 4
RATES = (1e-2, 8e-3, 6e-3, 4e-3)

# Two architectures at every stage, the others once: tied and untied heads, fused projections with and without bias.
CASES = [("llama", stage) for stage in (0, 1, 2, 3)] + [("gpt2", stage) for stage in (0, 1, 2, 3)]
CASES += [("neox", 2), ("palm", 3)]


def rows_of_step(config: RunConfig, step: int) -> Tensor:
    generator = torch.Generator().manual_seed(step)
    shape = (config.train.global_batch_size, config.seq_length + 1)
    return torch.randint(0, VOCAB_SIZE, shape, generator=generator)


def plain_training(config: RunConfig) -> tuple[list[tuple[float, float]], dict[str, Tensor]]:
    """(loss, gradient norm) per step and final canonical weights, without any of our engine."""
    decoder = Decoder(config.model)
    initialize(decoder, config.model, config.seed)
    named = dict(decoder.named_parameters())
    decay = [p for name, p in named.items() if all(decays(part.name) for part in decoder.slices()[name])]
    spared = [p for name, p in named.items() if not all(decays(part.name) for part in decoder.slices()[name])]
    assert decay
    assert spared
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": config.optim.weight_decay}, {"params": spared, "weight_decay": 0.0}],
        betas=(config.optim.beta1, config.optim.beta2),
        eps=config.optim.eps,
    )
    history = []
    for step in range(STEPS):
        rows = rows_of_step(config, step)
        logits = decoder.logits(decoder(rows[:, :-1]))
        loss = F.cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(decoder.parameters(), config.optim.gradient_clipping)
        for group in optimizer.param_groups:
            group["lr"] = RATES[step]
        optimizer.step()
        history.append((loss.item(), norm.item()))
    weights = {}
    for name, slices in decoder.slices().items():
        for part, values in zip(slices, named[name].detach().flatten().split([s.numel for s in slices]), strict=True):
            weights[part.name] = values.view(part.shape).clone()
    return history, weights


def engine_training(config: RunConfig) -> tuple[list[tuple[float, float]], dict[str, Tensor]]:
    """The same through the engine; runs in a process group and returns the weights that this process owns."""
    engine = Engine(config, torch.device("cpu"))
    engine.initialize()
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    history = []
    for step in range(STEPS):
        rows = rows_of_step(config, step)
        own = rows.chunk(size)[rank]
        micro_batches = tuple(Microbatch.of(part, None) for part in own.split(config.train.micro_batch_size))
        result = engine.train_step(Batch(micro_batches, range(0), 0), RATES[step])
        assert result.applied
        history.append((result.loss, result.grad_norm))
    weights: dict[str, Tensor] = {}
    for piece, state in engine.owned_state():
        flat = weights.setdefault(piece.part.name, torch.full(piece.part.whole, torch.nan)).view(-1)
        flat[piece.start : piece.stop] = state["weight"]
    assert engine.zero.applied_updates == STEPS
    return history, weights


def all_cases(precision: str, cases: list[tuple[str, int]]) -> list[Any]:
    return [
        engine_training(run_config(model__arch=arch, parallel={"zero_stage": stage}, train__precision=precision))
        for arch, stage in cases
    ]


def merged(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """The whole weights: every element is owned by exactly one process."""
    result = {}
    for name in {name for part in parts for name in part}:
        stacked = torch.stack([part[name] for part in parts if name in part])
        assert ((~stacked.isnan()).sum(dim=0) == 1).all(), name
        result[name] = stacked.nan_to_num(0.0).sum(dim=0)
    return result


@pytest.mark.distributed
@pytest.mark.parametrize("size", [1, 2])
def test_every_stage_trains_to_the_weights_of_a_plain_loop(
    size: int, one_process: Processes, two_processes: Processes
) -> None:
    processes = one_process if size == 1 else two_processes
    by_rank = processes.run(all_cases, "fp32", CASES)
    for index, (arch, stage) in enumerate(CASES):
        expected_history, expected = plain_training(run_config(model__arch=arch))
        case = f"{arch}, stage {stage}, {size} processes"
        for history, _ in (found[index] for found in by_rank):
            torch.testing.assert_close(
                torch.tensor(history), torch.tensor(expected_history), rtol=1e-5, atol=0, msg=case
            )
        weights = merged([found[index][1] for found in by_rank])
        assert weights.keys() == expected.keys(), case
        for name, values in expected.items():
            torch.testing.assert_close(weights[name], values, rtol=1e-5, atol=1e-5, msg=f"{case}: {name}")
        # Clipping must have been at work, or its parity would say nothing.
        assert min(norm for _, norm in expected_history) > run_config().optim.gradient_clipping


@pytest.mark.distributed
def test_bf16_stays_near_fp32(two_processes: Processes) -> None:
    cases = [("llama", 0), ("llama", 1), ("llama", 2), ("llama", 3)]
    expected, _ = plain_training(run_config())
    for found, case in zip(two_processes.run(all_cases, "bf16", cases)[0], cases, strict=True):
        history, _ = found
        torch.testing.assert_close(torch.tensor(history), torch.tensor(expected), rtol=2e-2, atol=0, msg=str(case))


def step_with_poison(stage: int, precision: str) -> tuple[bool, bool, bool, bool]:
    """A gradient that is not finite on the last process only, then a sound step."""
    config = run_config(parallel={"zero_stage": stage}, train__precision=precision)
    engine = Engine(config, torch.device("cpu"))
    engine.initialize()
    rank, size = torch.distributed.get_rank(), torch.distributed.get_world_size()
    rows = rows_of_step(config, 0).chunk(size)[rank]
    batch = Batch(tuple(Microbatch.of(part, None) for part in rows.split(config.train.micro_batch_size)), range(0), 0)
    before = [state["weight"].clone() for _, state in engine.state()]
    hook = None
    if rank == size - 1:
        parameter = next(p for n, p in engine.zero.engine.module.named_parameters() if n.endswith("qkv.weight"))
        hook = parameter.register_hook(lambda gradient: gradient * float("nan"))
    poisoned = engine.train_step(batch, 1e-2)
    kept = all(torch.equal(old, state["weight"]) for old, (_, state) in zip(before, engine.state(), strict=True))
    empty = all(bool((state["exp_avg"] == 0).all()) for _, state in engine.state())
    if hook is not None:
        hook.remove()
    sound = engine.train_step(batch, 1e-2)
    return poisoned.applied, kept, empty, sound.applied


@pytest.mark.distributed
@pytest.mark.parametrize(("stage", "precision"), [(0, "fp32"), (1, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16")])
def test_a_gradient_that_is_not_finite_anywhere_skips_the_update_everywhere(
    stage: int, precision: str, two_processes: Processes
) -> None:
    expected = (False, True, True, True)
    assert two_processes.run(step_with_poison, stage, precision) == [expected, expected]


def losses_under(settings: list[dict[str, Any]]) -> list[list[tuple[float, float]]]:
    return [engine_training(run_config(**overrides))[0] for overrides in settings]


@pytest.mark.distributed
def test_ways_of_computing_do_not_change_what_is_computed(one_process: Processes) -> None:
    settings: list[dict[str, Any]] = [
        {},
        {"train__micro_batch_size": 8},
        {"train__activation_checkpointing": True},
        {"train__activation_checkpointing": True, "parallel": {"zero_stage": 3}},
        {"train__loss_chunk_tokens": 3},
    ]
    (plain, *others) = one_process.run(losses_under, settings)[0]
    for found, overrides in zip(others, settings[1:], strict=True):
        torch.testing.assert_close(torch.tensor(found), torch.tensor(plain), rtol=1e-5, atol=0, msg=str(overrides))

"""How much slower is a training step through the engine than through plain DeepSpeed, and than a bare PyTorch loop?

    python benchmarks/training_step.py [rounds] [micro-batches per step]

All three train the same decoder in fp32 on the CPU, one process, with clipping and AdamW. Plain DeepSpeed is what its
documentation tells: `initialize` with gradient accumulation, then forward, backward and step per micro-batch; its other
settings are those of the engine. Steps of the three alternate, so that whatever else the machine does meets all; a
ratio is the median over the rounds.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from typing import Any

import torch
from _report import report
from torch import nn

from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.layout import Layout
from jp_llm.config.run import RunConfig
from jp_llm.config.stages import divide
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.engine.module import StageModule
from jp_llm.engine.prepare import prepare
from jp_llm.engine.zero import construction
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initialize
from jp_llm.model.loss import summed_loss
from jp_llm.optim.groups import decays
from jp_llm.parallel.grid import Grid
from jp_llm.parallel.tensor import TensorAxis
from jp_llm.runtime.env import World
from jp_llm.runtime.master import complete_environment

VOCAB_SIZE = 8000


def config_of(stage: int, micro_batches: int) -> RunConfig:
    """A llama of 29 million parameters."""
    return RunConfig.model_validate(
        {
            "model": {
                "hidden_size": 512,
                "num_layers": 6,
                "max_position_embeddings": 256,
                "vocab_size": VOCAB_SIZE,
            },
            "train": {"micro_batch_size": 4, "global_batch_size": 4 * micro_batches, "precision": "fp32"},
            "parallel": {"zero_stage": stage},
            "data": {"path": "unused"},
        }
    )


def batch_of(config: RunConfig) -> Batch:
    """Random tokens."""
    shape = (config.train.global_batch_size, config.seq_length + 1)
    rows = torch.randint(0, VOCAB_SIZE, shape, generator=torch.Generator().manual_seed(0))
    return Batch(tuple(Microbatch.of(part, None) for part in rows.split(config.train.micro_batch_size)), range(0), 0)


def optimizer_of(config: RunConfig, module: nn.Module, decoder: Decoder, prefix: str) -> torch.optim.AdamW:
    """AdamW with the two groups of the engine."""
    placements = decoder.placements()
    decayed = {f"{prefix}{name}": all(decays(s.name) for s in found.slices) for name, found in placements.items()}
    groups = [
        {"params": [p for name, p in module.named_parameters() if decayed[name] == wanted], "weight_decay": decay}
        for wanted, decay in ((True, config.optim.weight_decay), (False, 0.0))
    ]
    return torch.optim.AdamW(groups, lr=config.optim.learning_rate, betas=(0.9, 0.95), fused=True)


def bare_step(config: RunConfig) -> Callable[[Batch], None]:
    """The loop that anybody would write."""
    decoder = Decoder(config.model)
    initialize(decoder, config.model, config.seed)
    optimizer = optimizer_of(config, decoder, decoder, "")
    tokens = config.train.global_batch_size * config.seq_length

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        for part in batch.microbatches:
            head = decoder.head_weight()
            assert head is not None
            loss, _ = summed_loss(decoder(part.tokens_BT), head, part.targets_BT, vocab_size=VOCAB_SIZE)
            (loss / tokens).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), config.optim.gradient_clipping)
        optimizer.step()

    return step


def deepspeed_step(config: RunConfig, grid: Grid, settings: dict[str, Any]) -> Callable[[Batch], None]:
    """The loop of DeepSpeed's documentation around the same module, with the same settings but its own accumulation."""
    import deepspeed

    stage, count = config.parallel.zero_stage, config.num_micro_batches(1)
    with construction(stage, "fp32", grid):
        module = StageModule(config, divide(config.model, 1, 1, config.seq_length), TensorAxis())
    decoder = module.chunks[0]
    assert isinstance(decoder, Decoder)
    with deepspeed.zero.GatheredParameters(list(module.parameters()), modifier_rank=0, enabled=stage == 3):
        initialize(decoder, config.model, config.seed)
    own = {"gradient_accumulation_steps": count, "gradient_clipping": config.optim.gradient_clipping}
    others = {key: value for key, value in settings.items() if key != "managed_gradient_accumulation"}
    optimizer = optimizer_of(config, module, decoder, "chunks.0.")
    with redirect_stdout(StringIO()):
        engine, *_ = deepspeed.initialize(
            model=module, optimizer=optimizer, config={**others, **own}, dist_init_required=False
        )
    tokens = config.train.global_batch_size * config.seq_length

    def step(batch: Batch) -> None:
        for part in batch.microbatches:
            objective, *_ = engine(0, part.tokens_BT, part.targets_BT)
            engine.backward(objective * (count / tokens))  # DeepSpeed divides by the number of micro-batches
            engine.step()

    return step


def timed(step: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def alternating(config: RunConfig, rounds: int) -> list[tuple[float, float, float]]:
    """Seconds of the bare step, of DeepSpeed's and of the engine's; each begins a round in turn."""
    grid = Grid(Layout())
    engine = Engine(config, torch.device("cpu"), grid)
    engine.initialize()
    batch, bare = batch_of(config), bare_step(config)
    plain = deepspeed_step(config, grid, engine.zero.settings)
    steps = [lambda: bare(batch), lambda: plain(batch), lambda: engine.train_step(batch, 1e-4)]

    def one_round(first: int) -> tuple[float, float, float]:
        found = {which % 3: timed(steps[which % 3]) for which in range(first, first + 3)}
        return found[0], found[1], found[2]

    for warm_up in range(2):
        one_round(warm_up)
    return [one_round(number) for number in range(rounds)]


def main(rounds: int, micro_batches: int) -> None:
    """Measure every stage."""
    warnings.simplefilter("ignore")
    complete_environment(World())
    prepare(torch.device("cpu"))
    rows = []
    for stage in (0, 1, 2, 3):
        found = alternating(config_of(stage, micro_batches), rounds)
        bare, plain, ours = (statistics.median(column) for column in zip(*found, strict=True))
        ratios = sorted(third / second for _, second, third in found)
        rows.append(
            {
                "ZeRO stage": stage,
                "bare loop (s)": bare,
                "plain DeepSpeed (s)": plain,
                "engine (s)": ours,
                "engine / DeepSpeed": statistics.median(ratios),
                "lowest": ratios[0],
                "highest": ratios[-1],
                "engine / bare": statistics.median(third / first for first, _, third in found),
            }
        )
    torch.distributed.destroy_process_group()
    model = config_of(0, micro_batches).model
    report(
        "Training step through the engine against plain DeepSpeed and a bare PyTorch loop",
        rows,
        parameters=num_parameters(model),
        rounds=rounds,
        micro_batches=micro_batches,
        threads=torch.get_num_threads(),
    )


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["5", "4"][len(sys.argv) - 1 :])))

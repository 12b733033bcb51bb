"""How much slower is a training step through the engine than a bare PyTorch loop over the same model?

    python benchmarks/training_step.py [rounds] [micro-batches per step]

Both train the same decoder in fp32 on the CPU, one process, with clipping and AdamW. Steps
of the two alternate, so that whatever else the machine does meets both; the ratio is the median over the pairs.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable

import torch
from _report import report

from jp_llm.config.arithmetic import num_parameters
from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Batch, Microbatch
from jp_llm.engine.engine import Engine
from jp_llm.engine.zero import prepare
from jp_llm.model.decoder import Decoder
from jp_llm.model.init import initialize
from jp_llm.model.loss import summed_loss
from jp_llm.optim.groups import decays
from jp_llm.runtime.env import World, complete_environment

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


def bare_step(config: RunConfig) -> Callable[[Batch], None]:
    """The loop that anybody would write."""
    decoder = Decoder(config.model)
    initialize(decoder, config.model, config.seed)
    slices = decoder.slices()
    groups = [
        {
            "params": [p for n, p in decoder.named_parameters() if all(decays(s.name) for s in slices[n]) == wanted],
            "weight_decay": decay,
        }
        for wanted, decay in ((True, config.optim.weight_decay), (False, 0.0))
    ]
    optimizer = torch.optim.AdamW(groups, lr=config.optim.learning_rate, betas=(0.9, 0.95), fused=True)
    tokens = config.train.global_batch_size * config.seq_length

    def step(batch: Batch) -> None:
        optimizer.zero_grad()
        for part in batch.microbatches:
            loss, _ = summed_loss(
                decoder(part.tokens_BT), decoder.head_weight(), part.targets_BT, vocab_size=VOCAB_SIZE
            )
            (loss / tokens).backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), config.optim.gradient_clipping)
        optimizer.step()

    return step


def timed(step: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def alternating(config: RunConfig, rounds: int) -> list[tuple[float, float]]:
    """Seconds of the bare step and of the engine's, in turn."""
    batch, bare, engine = batch_of(config), bare_step(config), Engine(config, torch.device("cpu"))
    engine.initialize()

    def pair() -> tuple[float, float]:
        return timed(lambda: bare(batch)), timed(lambda: engine.train_step(batch, 1e-4))

    pair(), pair()
    return [pair() for _ in range(rounds)]


def main(rounds: int, micro_batches: int) -> None:
    """Measure every stage against the bare loop."""
    warnings.simplefilter("ignore")
    complete_environment(World())
    prepare(torch.device("cpu"))
    rows = []
    for stage in (0, 1, 2, 3):
        pairs = alternating(config_of(stage, micro_batches), rounds)
        plain, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(slower / faster for faster, slower in pairs)
        rows.append({"ZeRO stage": stage, "bare loop (s)": plain, "engine (s)": ours, "engine / bare": ratio})
    torch.distributed.destroy_process_group()
    model = config_of(0, micro_batches).model
    report(
        "Training step through the engine against a bare PyTorch loop",
        rows,
        parameters=num_parameters(model),
        rounds=rounds,
        micro_batches=micro_batches,
        threads=torch.get_num_threads(),
    )


if __name__ == "__main__":
    main(*(int(word) for word in (sys.argv[1:] + ["5", "4"][len(sys.argv) - 1 :])))

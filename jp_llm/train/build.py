"""The front hall: from a checked configuration to a run, and through it."""

import sys
from contextlib import ExitStack

import torch
import torch.distributed
import yaml

from jp_llm.config.arithmetic import flops_per_token, peak_flops
from jp_llm.data.dataset import TokenDataset
from jp_llm.data.loader import Loader
from jp_llm.engine.engine import Engine
from jp_llm.engine.zero import prepare
from jp_llm.optim.schedule import build_schedule
from jp_llm.runtime.env import World, complete_environment
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from jp_llm.train.loop import Run, fit
from jp_llm.train.preflight import Preflight
from jp_llm.train.records import Records
from jp_llm.train.saver import Saver
from jp_llm.train.state import TrainState
from jp_llm.train.summary import summary
from jp_llm.train.throughput import Throughput


def run(preflight: Preflight) -> None:
    """Train, from the beginning or from the newest checkpoint of the run folder, to the last step."""
    complete_environment(preflight.world)
    device = pick_device(preflight.config.train.device, preflight.world)
    prepare(device)
    with ExitStack() as stack:
        stack.callback(_leave)
        fit(build(preflight, device, stack))


def build(preflight: Preflight, device: torch.device, stack: ExitStack) -> Run:
    """Put a run together; what must be closed is left to `stack`. Every process calls this."""
    config, world = preflight.config, preflight.world
    run_dir = preflight.run_dir
    resolved = config.model_dump(mode="json")
    if world.is_main:
        run_dir.mkdir(parents=True, exist_ok=True)
        with atomic_writer(run_dir / "config.resolved.yaml") as file:
            file.write(yaml.safe_dump(resolved, allow_unicode=True, sort_keys=False).encode())
    torch.distributed.barrier()

    records = Records(config.train.loggers, world, run_dir, config.train.num_steps, resolved)
    stack.callback(records.close)
    dataset = _dataset(preflight, "train")
    saver = Saver(preflight, dataset.fingerprint, records)
    engine = Engine(config, device)
    state = saver.restore(engine)
    if state is None:
        state = TrainState()
        engine.initialize()
    loader = Loader(
        dataset,
        global_batch_size=config.train.global_batch_size,
        micro_batch_size=config.train.micro_batch_size,
        data_parallel_rank=world.rank,
        data_parallel_size=world.size,
        consumed_samples=state.consumed_samples,
        prefetch_steps=config.data.prefetch_steps,
        document_mask=config.model.document_mask,
    )
    stack.callback(loader.close)
    peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    if world.is_main:
        print(summary(preflight), flush=True)
        print(f"  start  step {state.step} of {config.train.num_steps} on {device.type}", flush=True)
    return Run(
        config=config,
        world=world,
        engine=engine,
        loader=loader,
        validation=_validation(preflight),
        tokenizer=preflight.tokenizer,
        schedule=build_schedule(config.optim.schedule, config.optim.schedule_options),
        state=state,
        records=records,
        saver=saver,
        throughput=Throughput(flops_per_token(config.model, config.seq_length), peak and peak * world.size),
    )


def pick_device(wanted: str, world: World) -> torch.device:
    """The device of this process.

    Raises:
        UserError: a GPU is wanted and there is none, or fewer than processes on this machine.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if torch.cuda.device_count() <= world.local_rank:
        raise UserError(
            f"train.device: process {world.local_rank} of this machine finds {torch.cuda.device_count()} GPUs; start "
            "as many processes as there are GPUs, or set train.device=cpu"
        )
    device = torch.device("cuda", world.local_rank)
    torch.cuda.set_device(device)
    return device


def _dataset(preflight: Preflight, split: str) -> TokenDataset:
    config = preflight.config
    return TokenDataset(
        preflight.data_folder,
        preflight.manifest,
        split=split,
        seq_length=config.seq_length,
        seed=config.seed,
        weights=config.data.weights if split == "train" else None,
    )


def _validation(preflight: Preflight) -> TokenDataset | None:
    """The held-out windows, or None if no source has one."""
    manifest, seq_length = preflight.manifest, preflight.config.seq_length
    long_enough = any(manifest.tokens("validation", source) > seq_length for source in manifest.sources)
    return _dataset(preflight, "validation") if long_enough else None


def _leave() -> None:
    # Without the barrier a process that leaves early takes the connections of the others with it.
    if sys.exc_info()[0] is None:
        torch.distributed.barrier()
    torch.distributed.destroy_process_group()

"""The front hall: from a checked configuration to a run, and through it."""

import os
import socket
import sys
from contextlib import ExitStack
from datetime import timedelta

import torch
import torch.distributed
import yaml

from jp_llm.config.arithmetic import flops_per_token, peak_flops
from jp_llm.config.watchdog import WatchdogConfig
from jp_llm.data.loader import Loader
from jp_llm.engine.engine import Engine
from jp_llm.engine.prepare import prepare
from jp_llm.guard.guard import Guard
from jp_llm.optim.schedule import build_schedule
from jp_llm.parallel.grid import Grid
from jp_llm.plan.expectation import expected
from jp_llm.plan.shortage import shortage
from jp_llm.runtime.env import World
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import atomic_writer, write_json
from jp_llm.runtime.master import complete_environment
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.control import Control, Orders, Signals
from jp_llm.train.loop import fit
from jp_llm.train.meeting import meet, member, report
from jp_llm.train.preflight import Preflight
from jp_llm.train.records import Records
from jp_llm.train.replica_check import ReplicaCheck
from jp_llm.train.rewind import read_interventions, stand
from jp_llm.train.run import Run
from jp_llm.train.saver import Saver
from jp_llm.train.status import LastWords, Status
from jp_llm.train.straggler import Stragglers, slow_step
from jp_llm.train.summary import format_rows, summary
from jp_llm.train.throughput import Throughput
from jp_llm.watch.heartbeat import Pulse


def run(preflight: Preflight, pulse: Pulse | None = None, signals: Signals | None = None) -> ExitCode:
    """Train, from the beginning or from the newest checkpoint of the run folder, to the last step or to an order.

    Process 0 holds the run folder (`jp_llm.train.status.held`).
    """
    with ExitStack() as stack:
        complete_environment(preflight.world)
        device = pick_device(preflight.config.train.device, preflight.world)
        join(preflight, device)
        stack.callback(_leave)
        run = build(preflight, device, stack, pulse, signals)
        # Said before anything is closed, which may wait for processes that have died.
        stack.push(run.last_words.on_exit)
        return _trained(run)


def _trained(run: Run) -> ExitCode:
    """Train unless the run was asked to stop while it started, and say how it ended."""
    orders = Orders()
    if run.state.step < run.config.train.num_steps:
        run.last_words.status.running()
        # Until here the processes could agree on nothing, and nothing was trained that would have to be saved.
        votes = torch.tensor(run.control.votes(), dtype=torch.float64, device=run.engine.zero.device)
        torch.distributed.all_reduce(votes)
        orders = run.control.orders(tuple(votes.tolist()))
    try:
        code = ExitCode.SAVED if orders.stop else fit(run)
    except OSError as error:
        # Before training it is a refusal; in the middle of it a disk or a network may come back.
        raise RuntimeError(f"step {run.state.step + 1}: {error}") from error
    run.last_words.say(code, run.control.stop_reason)
    if code == ExitCode.SAVED and run.preflight.world.is_main:
        step, last = run.state.step, run.config.train.num_steps
        print(f"stopped at step {step} of {last} ({run.control.stop_reason}); the same command continues there")
    return code


def join(preflight: Preflight, device: torch.device) -> None:
    """Meet the other processes, and make the process group with them.

    Raises:
        UserError: not all came, or they are about to do different things.
    """
    config, world = preflight.config, preflight.world
    own = member(world, device, config.model_dump(mode="json"))
    members, store = meet(own, world, preflight.layout)
    if world.is_main:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        print(format_rows(report(members, world, address)), flush=True)
    prepare(device, collective_timeout(config.watchdog))
    del store  # the group has it now


def collective_timeout(watchdog: WatchdogConfig) -> timedelta:
    """How long a collective may take: the watchdog, which can name who stands still, must be the first to speak."""
    longest = max(watchdog.step_seconds, watchdog.other_seconds)
    return timedelta(seconds=longest + 10 * watchdog.beat_seconds + watchdog.grace_seconds + 60)


def build(
    preflight: Preflight,
    device: torch.device,
    stack: ExitStack,
    pulse: Pulse | None = None,
    signals: Signals | None = None,
) -> Run:
    """Put a run together; what must be closed is left to `stack`. Every process calls this.

    Args:
        pulse: that the process beats with already; None for a run that nobody watches.
        signals: that the process listens to; None for a run that hears none.
    """
    config, world = preflight.config, preflight.world
    folder = RunFolder(preflight.run_dir)
    control = Control(folder, world, signals or Signals())
    pulse = pulse or Pulse(folder, world, config.watchdog)
    status = Status(folder, world)
    last_words = LastWords(status, pulse)
    stack.push(last_words.on_exit)
    grid = Grid(
        config.parallel.layout(world.size),
        key_value_heads=config.model.key_value_heads,
        virtual_stages=config.parallel.virtual_stages,
        timeout=collective_timeout(config.watchdog),
    )
    saver = Saver(preflight)
    stack.callback(saver.close)
    guard = Guard(config.guard, read_interventions(saver))
    engine = Engine(config, device, grid)
    state = stand(saver, engine, guard)
    status.state = state
    saver.reserve(engine)
    # Only now: a run that is refused must not touch the records of the one that is there.
    resolved = config.model_dump(mode="json")
    if world.is_main and state.step < config.train.num_steps:
        with atomic_writer(folder.resolved_config) as file:
            file.write(yaml.safe_dump(resolved, allow_unicode=True, sort_keys=False).encode())
        if config.cluster is not None:
            plan = expected(config, world.size)
            write_json(folder.plan, plan)
            if missing := shortage(config, world.size):
                print(f"warning: {missing}", file=sys.stderr, flush=True)
            if words := slow_step(plan["step_seconds"], config.watchdog, "by the plan a step takes"):
                print(words, file=sys.stderr, flush=True)
    records = Records(config.train.loggers, world, preflight.run_dir, config.train.num_steps, resolved)
    stack.callback(records.close)
    loader = Loader(
        preflight.train_data,
        global_batch_size=config.train.global_batch_size,
        micro_batch_size=config.train.micro_batch_size,
        data_parallel_rank=grid.data_rank,
        data_parallel_size=grid.layout.data,
        consumed_samples=state.consumed_samples,
        prefetch_steps=config.data.prefetch_steps,
        document_mask=config.model.document_mask,
        left_out=guard.interventions.left_out,
    )
    stack.callback(loader.close)
    peak = peak_flops(torch.cuda.get_device_name(device)) if device.type == "cuda" else None
    if world.is_main:
        print(summary(preflight), flush=True)
        print(f"  start  step {state.step} of {config.train.num_steps} on {device.type}", flush=True)
        for samples in guard.interventions.left_out:
            print(f"   note  samples {samples.start} to {samples.stop - 1} are left out ({folder.interventions})")
    return Run(
        preflight=preflight,
        engine=engine,
        loader=loader,
        schedule=build_schedule(config.optim),
        state=state,
        records=records,
        saver=saver,
        throughput=Throughput(flops_per_token(config.model, config.seq_length), peak and peak * world.size),
        guard=guard,
        control=control,
        pulse=pulse,
        last_words=last_words,
        stragglers=Stragglers(config, world, engine, saver.events, records),
        replicas=ReplicaCheck(engine, folder, saver.events, every_steps=config.guard.replica_check_every_steps),
    )


def pick_device(wanted: str, world: World) -> torch.device:
    """The device of this process.

    Raises:
        UserError: a GPU is wanted and there is none, or fewer than processes on this machine.
    """
    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    gpus, index = torch.cuda.device_count(), world.local_rank
    if gpus == 1:
        # Schedulers may show each process its own GPU alone (srun --gpus-per-task=1). DeepSpeed asks the environment.
        # Whether it is really its own is seen when all meet.
        index = 0
        os.environ["LOCAL_RANK"] = "0"
    if gpus <= index:
        raise UserError(
            f"train.device: process {world.rank} is number {index} of its machine, {socket.gethostname()}, where it "
            f"finds {gpus} GPUs (CUDA_VISIBLE_DEVICES={os.environ.get('CUDA_VISIBLE_DEVICES', 'not set')}); start "
            "as many processes as there are GPUs, or set train.device=cpu",
            # A GPU that fell off looks the same: a supervisor tries again, and leaves the machine out in the end.
            code=ExitCode.UNEXPECTED,
        )
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return device


def _leave() -> None:
    # After an error others may be in the middle of a collective, and giving back a group would wait for it.
    if sys.exc_info()[0] is None:
        # Without the barrier a process that leaves early takes the connections of the others with it.
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()

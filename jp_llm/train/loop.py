"""The training loop: one step after another, and what happens between them."""

import math
from dataclasses import dataclass
from typing import Any

import torch

from jp_llm.config.run import RunConfig
from jp_llm.data.loader import Loader
from jp_llm.engine.engine import Engine, StepResult
from jp_llm.guard.guard import Guard
from jp_llm.optim.schedule import Schedule, learning_rate
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.train.complete import completions
from jp_llm.train.control import Control
from jp_llm.train.evaluate import evaluate
from jp_llm.train.preflight import Preflight
from jp_llm.train.records import Records
from jp_llm.train.saver import Saver
from jp_llm.train.state import TrainState
from jp_llm.train.throughput import Throughput
from jp_llm.watch.heartbeat import Pulse

MOST_SKIPS_IN_A_ROW = 8


@dataclass
class Run:
    """Everything a run is made of; `jp_llm.train.build` puts it together."""

    preflight: Preflight
    engine: Engine
    loader: Loader
    schedule: Schedule
    state: TrainState
    records: Records
    saver: Saver
    throughput: Throughput
    guard: Guard
    control: Control
    pulse: Pulse

    @property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return self.preflight.config


def fit(run: Run) -> ExitCode:
    """Train from `run.state` to the last step, or until the run is asked to stop.

    Returns:
        DONE, or SAVED if the run was stopped from outside.

    Raises:
        UserError: the gradients stopped being finite, or the last checkpoint could not be written.
    """
    config, state = run.config.train, run.state
    if state.step >= config.num_steps:
        if run.preflight.world.is_main:
            print(f"already finished: {run.config.run_dir} stands at step {state.step}; raise train.num_steps to go on")
        return ExitCode.DONE
    run.saver.events.write(
        "resume" if state.step else "start",
        step=state.step,
        world_size=run.preflight.world.size,
        device=_device_name(run.engine.zero.device),
    )
    skips_in_a_row = 0
    while state.step < config.num_steps:
        run.pulse.at("data", state.step + 1)
        batch = next(run.loader)
        run.pulse.at("step", state.step + 1)
        rate = learning_rate(run.config.optim, run.schedule, state.step + 1, config.num_steps)
        result = run.engine.train_step(batch, rate, votes=run.control.votes(), judge=run.guard.judge)

        state.step += 1
        state.consumed_samples = run.loader.consumed_samples
        state.consumed_tokens += config.global_batch_size * run.config.seq_length
        state.applied_updates += result.applied
        state.skipped_updates += not result.applied
        skips_in_a_row = 0 if result.applied else skips_in_a_row + 1
        last = state.step == config.num_steps

        run.throughput.add(config.global_batch_size * run.config.seq_length)
        if not result.applied:
            run.saver.events.write("skip", step=state.step, first_sample=batch.first_sample)
        if state.step % config.log_every_steps == 0 or last or not result.applied:
            run.records.log(_train_record(run, result, rate))
        if skips_in_a_row == MOST_SKIPS_IN_A_ROW:
            raise UserError(
                f"step {state.step}: the gradient norm was not finite {MOST_SKIPS_IN_A_ROW} times in a row; "
                "go back to an older checkpoint with a lower optim.learning_rate, or look at the samples of these "
                f"steps (events.jsonl; the last ones begin at sample {batch.first_sample})"
            )
        if run.preflight.evaluated_sources and _due(state.step, config.eval_every_steps, last):
            run.pulse.at("evaluate", state.step)
            held_out = evaluate(run.engine, run.preflight)
            run.records.log({"kind": "eval", "step": state.step, "sources": held_out})
        if _due(state.step, config.sample_every_steps, last and config.sample_every_steps > 0):
            run.pulse.at("sample", state.step)
            for record in completions(run.engine, run.preflight.tokenizer, state.step):
                run.records.log(record)
        run.saver.report()
        orders = run.control.orders(result.votes)
        if orders.save or _due(state.step, run.config.checkpoint.every_steps, last):
            run.pulse.at("save", state.step)
            run.saver.save(run.engine, state, guard=run.guard.state(), final=last or orders.stop)
        if orders.stop and not last:
            run.saver.events.write("stop", step=state.step, reason=orders.reason)
            return ExitCode.SAVED
        run.throughput.forget_pause()
    run.saver.events.write("end", step=state.step)
    return ExitCode.DONE


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _due(step: int, every: int, last: bool) -> bool:
    return last or (every > 0 and step % every == 0)


def _finite(value: float) -> float | None:
    # JSON has no NaN.
    return value if math.isfinite(value) else None


def _train_record(run: Run, result: StepResult, rate: float) -> dict[str, Any]:
    speed = run.throughput.take()
    left = (run.config.train.num_steps - run.state.step) * run.config.train.global_batch_size * run.config.seq_length
    return {
        "kind": "train",
        "step": run.state.step,
        "consumed_tokens": run.state.consumed_tokens,
        "loss": _finite(result.loss),
        "z_loss": _finite(result.z_loss),
        "grad_norm": _finite(result.grad_norm),
        "learning_rate": rate,
        "applied": result.applied,
        "tokens_per_second": speed.tokens_per_second,
        "mfu": speed.mfu,
        "seconds_left": left / speed.tokens_per_second,
    }

"""The training loop: one step after another, and what happens between them."""

import math
import sys
from typing import Any

import torch

from jp_llm.engine.engine import StepResult
from jp_llm.guard.guard import Decision
from jp_llm.optim.schedule import learning_rate
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.train.complete import completions
from jp_llm.train.degenerate import Degeneration
from jp_llm.train.evaluate import evaluate
from jp_llm.train.rewind import rewind
from jp_llm.train.run import Run

WHAT_TO_DO = "look at these samples, or go on from an older checkpoint with a lower optim.learning_rate"


def fit(run: Run) -> ExitCode:
    """Train from `run.state` to the last step, or until the run is asked to stop.

    Returns:
        DONE, or SAVED if the run was stopped from outside.

    Raises:
        UserError: the run diverged (NOT_TRUSTWORTHY), processes have not what they must hold alike (RERUN_ELSEWHERE),
            or the last checkpoint could not be written.
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
        consumed_samples=state.consumed_samples,
        global_batch_size=config.global_batch_size,
    )
    run.replicas.now(state.step)
    degeneration = Degeneration(config.num_steps, run.guard)
    while state.step < config.num_steps:
        run.pulse.at("data", state.step + 1)
        run.stragglers.begin()
        batch = next(run.loader)
        run.stragglers.mark("data")
        run.pulse.at("step", state.step + 1)
        rate = learning_rate(run.config.optim, run.schedule, state.step + 1, config.num_steps)
        votes = run.control.votes()
        run.stragglers.mark("host")
        result = run.engine.train_step(
            batch,
            rate,
            votes=votes,
            judge=run.guard.judge,
            before_update=run.replicas.before_update(state.step + 1),
        )

        state.step += 1
        state.consumed_samples = run.loader.consumed_samples
        state.consumed_tokens += result.predicted_tokens
        state.applied_updates += result.applied
        state.skipped_updates += not result.applied
        last = state.step == config.num_steps

        run.throughput.add(result.predicted_tokens)
        run.stragglers.end(state.step)
        decision = _judge(run, result, batch.first_sample, rate)
        if decision.action == "rewind":
            run.pulse.at("start", state.step)
            rewind(run, decision)
            run.replicas.now(state.step)
            orders = run.control.orders(result.votes)
            if orders.save:
                # It stands at a checkpoint, or at the beginning: there is nothing to save.
                reason = f"{orders.reason}; nothing to save right after a rewind"
                run.saver.events.write("order", step=state.step, reason=reason, stop=orders.stop)
            if orders.stop:
                run.saver.events.write("stop", step=state.step, reason=orders.reason)
                return ExitCode.SAVED
            run.throughput.forget_pause()
            continue
        if run.preflight.evaluated_sources and _due(state.step, config.eval_every_steps, last):
            run.pulse.at("evaluate", state.step)
            held_out = evaluate(run.engine, run.preflight)
            run.records.log({"kind": "eval", "step": state.step, "sources": held_out})
        if _due(state.step, config.sample_every_steps, last and config.sample_every_steps > 0):
            run.pulse.at("sample", state.step)
            _sample(run, degeneration)
        run.saver.report()
        orders = run.control.orders(result.votes)
        if orders.save:
            run.saver.events.write("order", step=state.step, reason=orders.reason, stop=orders.stop)
        if orders.save or _due(state.step, run.config.checkpoint.every_steps, last):
            run.pulse.at("save", state.step)
            run.replicas.now(state.step)
            run.saver.save(run.engine, state, guard=run.guard.state(), final=last or orders.stop)
        if orders.stop and not last:
            run.saver.events.write("stop", step=state.step, reason=orders.reason)
            return ExitCode.SAVED
        run.throughput.forget_pause()
    run.saver.events.write("end", step=state.step)
    return ExitCode.DONE


def _sample(run: Run, degeneration: Degeneration) -> None:
    step = run.state.step
    records, repetitions = completions(run.engine, run.preflight.tokenizer, step)
    if not records:
        return
    measured, warn = degeneration.look(step, repetitions)
    for record in [*records, measured]:
        run.records.log(record)
    if warn:
        run.saver.events.write("degenerate", **{key: value for key, value in measured.items() if key != "kind"})
        if run.preflight.world.is_main:
            print(f"warning: step {step}: most samples repeat themselves, not for the first time", file=sys.stderr)


def _judge(run: Run, result: StepResult, first_sample: int, rate: float) -> Decision:
    """Write down how the step went, and decide what follows from it.

    Raises:
        UserError: the run diverged, or processes have not what they must hold alike.
    """
    config, step = run.config.train, run.state.step
    samples = range(first_sample, first_sample + config.global_batch_size)
    if not result.applied:
        run.saver.events.write("skip", **_skip_event(run, result, samples))
    if step % config.log_every_steps == 0 or step == config.num_steps or not result.applied:
        run.records.log(_train_record(run, result, rate))
    decision = run.guard.after(step, samples, result.loss, result.grad_norm, result.refused)
    if decision.action != "go_on" or not (math.isfinite(result.loss) and math.isfinite(result.grad_norm)):
        # It may be the machine and not the data. A refused update does not heal the weights that are computed with.
        run.replicas.now(step)
    if decision.action == "stop":
        raise UserError(f"step {step}: {decision.reason}; {WHAT_TO_DO}", code=ExitCode.NOT_TRUSTWORTHY)
    if decision.action == "go_on" and decision.reason:
        run.saver.events.write("level", step=step, reason=decision.reason)
    return decision


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _peak_memory(device: torch.device) -> int | None:
    """The most that tensors of this process have taken of its GPU since the start."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None


def _due(step: int, every: int, last: bool) -> bool:
    return last or (every > 0 and step % every == 0)


def _finite(value: float) -> float | None:
    # JSON has no NaN.
    return value if math.isfinite(value) else None


def _skip_event(run: Run, result: StepResult, samples: range) -> dict[str, Any]:
    return {
        "step": run.state.step,
        "first_sample": samples.start,
        "last_sample": samples.stop - 1,
        "loss": _finite(result.loss),
        "grad_norm": _finite(result.grad_norm),
        "reason": result.refused,
        **run.guard.levels(),
    }


def _train_record(run: Run, result: StepResult, rate: float) -> dict[str, Any]:
    speed = run.throughput.take()
    return {
        "kind": "train",
        "step": run.state.step,
        "consumed_tokens": run.state.consumed_tokens,
        "loss": _finite(result.loss),
        "z_loss": _finite(result.z_loss),
        "grad_norm": _finite(result.grad_norm),
        "learning_rate": rate,
        "applied": result.applied,
        **({} if result.applied else {"reason": result.refused}),
        "tokens_per_second": speed.tokens_per_second,
        "mfu": speed.mfu,
        "peak_memory_bytes": _peak_memory(run.engine.zero.device),
        "seconds_left": (run.config.train.num_steps - run.state.step) * speed.seconds_per_step,
    }

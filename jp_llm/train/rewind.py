"""Going back to before an outbreak, and standing where a run stands: both through the checkpoints and one file.

The order makes a kill at any moment harmless. First `interventions.json` is written. From then on it says by itself
which checkpoints were given up and which samples are left out, and whoever loads the run obeys it: this process, a
moment later, or any restart.
"""

import sys
import time

from jp_llm.engine.engine import Engine
from jp_llm.guard.guard import Decision, Guard, Outbreak
from jp_llm.guard.interventions import Intervention, Interventions
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.host import host_name
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.begin import begin
from jp_llm.train.run import Run
from jp_llm.train.saver import Saver
from jp_llm.train.state import TrainState

FAR = 10
"""Times `guard.rewind_steps`: a run that is older and has no checkpoint does not begin again by itself."""


def read_interventions(saver: Saver) -> Interventions:
    """Those of the run folder, as process 0 sees it; every process calls this together.

    Raises:
        UserError: the file is damaged.
    """
    path = RunFolder(saver.preflight.run_dir).interventions
    text = saver.from_main(lambda: path.read_bytes() if path.exists() else None)
    return Interventions.parse(text, path)


def stand(saver: Saver, engine: Engine, guard: Guard, *, known_good: int | None = None) -> TrainState:
    """Bring engine and guard to the newest good checkpoint that was not given up, or to the beginning.

    Args:
        known_good: step of a checkpoint that was found whole a moment ago.
    """
    restored = saver.restore(engine, guard.interventions, known_good=known_good)
    if restored is None:
        begin(saver, engine, guard.interventions)
        guard.restore({})
        return TrainState()
    state, remembered = restored
    guard.restore(remembered)
    return state


def rewind(run: Run, decision: Decision) -> None:
    """Go back to before the outbreak and leave out the batches around it; every process calls this.

    Raises:
        UserError: there is no checkpoint from before it (NOT_TRUSTWORTHY).
        RuntimeError: the run folder could not be read or written, which may be over when the run is started again.
    """
    outbreak = decision.outbreak
    assert outbreak is not None
    try:
        _rewind(run, decision.reason, outbreak)
    except UserError as error:
        if error.code != ExitCode.PREFLIGHT_REFUSED:
            raise
        raise RuntimeError(f"step {run.state.step}: in the middle of a rewind: {error}") from error


def _rewind(run: Run, reason: str, outbreak: Outbreak) -> None:
    step = run.state.step
    # A save that is under way ends first: it belongs to what is given up.
    run.saver.finish()
    first = _first_left_out(run, outbreak)
    target = _target(run, outbreak, first)
    path = RunFolder(run.preflight.run_dir).interventions

    def write() -> Intervention:
        found = _intervention(run, outbreak, target, max(first, target.consumed_samples))
        Interventions([*run.guard.interventions, found]).write(path)
        return found

    record = run.saver.from_main(write)
    run.guard.interventions.add(record)
    run.saver.events.write("rewind", reason=reason, **record.model_dump(exclude={"time"}))
    if run.preflight.world.is_main:
        print(
            f"step {step}: the loss {reason}. Going back to step {record.to_step}; samples "
            f"{record.from_sample} to {record.to_sample - 1} are left out ({path})",
            file=sys.stderr,
            flush=True,
        )
    run.state.become(stand(run.saver, run.engine, run.guard, known_good=target.step))
    run.loader.seek(run.state.consumed_samples, run.guard.interventions.left_out)


def _first_left_out(run: Run, outbreak: Outbreak) -> int:
    """Where the run stood in the data `guard.rewind_steps` steps before the first outlier."""
    batches = run.guard.settings.rewind_steps - 1
    return run.guard.interventions.back(outbreak.first_sample, batches * run.config.train.global_batch_size)


def _target(run: Run, outbreak: Outbreak, first: int) -> TrainState:
    """Where to go back to: the newest good checkpoint from before sample `first` is used. Were it any other than the
    newest, one behind it would be continued instead: what is left out does not reach back to it."""
    target = run.saver.before(first, outbreak.first_sample)
    if target is not None:
        return target
    settings, every = run.guard.settings, run.config.checkpoint.every_steps
    if (every and outbreak.first_step > every) or outbreak.first_step > FAR * settings.rewind_steps:
        raise UserError(
            f"step {run.state.step}: the loss has stayed at {outbreak.loss:.4f} since step {outbreak.first_step} "
            f"({outbreak.median:.4f} before), and no good checkpoint from before that is left in "
            f"{run.saver.store.folder} to go back to (checkpoint.every_steps={every}); restore one, or set "
            "guard.enabled=false to go on as it is",
            code=ExitCode.NOT_TRUSTWORTHY,
        )
    return TrainState()


def _intervention(run: Run, outbreak: Outbreak, target: TrainState, first: int) -> Intervention:
    settings, batch = run.guard.settings, run.config.train.global_batch_size
    behind_all_seen = run.loader.consumed_samples + settings.patience_steps * batch
    return Intervention(
        step=run.state.step,
        first_outlier_step=outbreak.first_step,
        to_step=target.step,
        from_sample=first,
        to_sample=max(first + settings.skip_batches * batch, behind_all_seen),
        loss=outbreak.loss,
        median=outbreak.median,
        sigma=outbreak.sigma,
        host=host_name(),
        time=round(time.time(), 3),
    )

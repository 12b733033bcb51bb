"""Going back to before an outbreak, and standing where a run stands: both through the checkpoints and one file.

The order makes a kill at any moment harmless. First `interventions.json` is written. From then on it says by itself
which checkpoints were given up and which samples are left out, and whoever loads the run obeys it: this process, a
moment later, or any restart.
"""

import socket
import sys
import time

from jp_llm.engine.engine import Engine
from jp_llm.guard.guard import Decision, Guard, Outbreak
from jp_llm.guard.interventions import Intervention, Interventions
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.run import Run
from jp_llm.train.saver import Saver
from jp_llm.train.state import TrainState


def read_interventions(saver: Saver) -> Interventions:
    """Those of the run folder, as process 0 sees it; every process calls this together.

    Raises:
        UserError: the file is damaged.
    """
    path = RunFolder(saver.preflight.run_dir).interventions
    text = saver.from_main(lambda: path.read_bytes() if path.exists() else None)
    return Interventions.parse(text, path)


def stand(saver: Saver, engine: Engine, guard: Guard) -> TrainState:
    """Bring engine and guard to the newest good checkpoint that was not given up, or to the beginning."""
    restored = saver.restore(engine, guard.interventions)
    if restored is None:
        engine.initialize()
        guard.restore({})
        return TrainState()
    state, remembered = restored
    guard.restore(remembered)
    return state


def rewind(run: Run, decision: Decision) -> None:
    """Go back to before the outbreak and leave out the batches from there to behind it; every process calls this.

    Raises:
        UserError: there is no checkpoint from before it, or `interventions.json` cannot be written.
    """
    outbreak = decision.outbreak
    assert outbreak is not None
    step = run.state.step
    # A save that is under way ends first: it belongs to what is given up.
    run.saver.finish()
    target = _target(run, outbreak)
    path = RunFolder(run.preflight.run_dir).interventions

    def write() -> Intervention:
        found = _intervention(run, outbreak, target)
        Interventions([*run.guard.interventions, found]).write(path)
        return found

    record = run.saver.from_main(write)
    run.guard.interventions.add(record)
    run.saver.events.write("rewind", reason=decision.reason, **record.model_dump(exclude={"time"}))
    if run.preflight.world.is_main:
        print(
            f"step {step}: the loss {decision.reason}. Going back to step {record.to_step}; samples "
            f"{record.from_sample} to {record.to_sample - 1} are left out ({path})",
            file=sys.stderr,
            flush=True,
        )
    run.state.become(stand(run.saver, run.engine, run.guard))
    run.loader.seek(run.state.consumed_samples, run.guard.interventions.left_out)


def _target(run: Run, outbreak: Outbreak) -> TrainState:
    """Where to go back to."""
    target = run.saver.before(outbreak.first_step, run.guard.settings.rewind_steps)
    every = run.config.checkpoint.every_steps
    if target is not None:
        return target
    if every and outbreak.first_step > every:
        raise UserError(
            f"step {run.state.step}: the loss has stayed at {outbreak.loss:.4f} since step {outbreak.first_step} "
            f"({outbreak.median:.4f} before), and no good checkpoint from before that is left in "
            f"{run.saver.store.folder} to go back to; restore one, or set guard.enabled=false to go on as it is",
            code=ExitCode.NOT_TRUSTWORTHY,
        )
    return TrainState()


def _intervention(run: Run, outbreak: Outbreak, target: TrainState) -> Intervention:
    settings, batch = run.guard.settings, run.config.train.global_batch_size
    first = target.consumed_samples
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
        host=socket.gethostname(),
        time=round(time.time(), 3),
    )

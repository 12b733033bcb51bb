"""When replicas are compared in a run, and what is left behind where they differ."""

from collections.abc import Callable
from functools import partial

import torch.distributed

from jp_llm.engine.engine import Engine
from jp_llm.engine.replicas import ReplicaMismatch
from jp_llm.runtime.bad_hosts import add_bad_host
from jp_llm.runtime.run_folder import RunFolder
from jp_llm.train.records import Events, attempt


class ReplicaCheck:
    """Compares what processes hold alike every `every_steps` steps, and whenever it is asked to."""

    def __init__(self, engine: Engine, folder: RunFolder, events: Events, *, every_steps: int) -> None:
        """
        Args:
            every_steps: 0 never compares.
        """
        self._engine = engine
        self._folder = folder
        self._events = events
        self._every_steps = every_steps

    def before_update(self, step: int) -> Callable[[], None] | None:
        """What `Engine.train_step` has to call in this step, if it is one in which is compared."""
        due = self._every_steps > 0 and step % self._every_steps == 0
        return partial(self._compare, step) if due else None

    def now(self, step: int) -> None:
        """Compare, if anything is ever compared; every process calls this together.

        Raises:
            ReplicaMismatch: with the event written, and the host named for restarts if there is no doubt about it.
        """
        if self._every_steps > 0:
            self._compare(step)

    def _compare(self, step: int) -> None:
        try:
            self._engine.replicas.check()
        except ReplicaMismatch as mismatch:
            self._events.write(
                "replica_mismatch",
                step=step,
                tensors=[difference.tensor for difference in mismatch.differences],
                processes=sorted(mismatch.hosts),
                hosts=sorted(set(mismatch.hosts.values())),
                bad_hosts=list(mismatch.bad_hosts),
            )
            for host in mismatch.bad_hosts if self._events.is_main else ():
                attempt(partial(add_bad_host, self._folder, host))
            # A launcher ends all processes as soon as one has ended, and the main process has something to write.
            torch.distributed.barrier()
            raise

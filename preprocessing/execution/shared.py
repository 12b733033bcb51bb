"""Tasks of a stage that several processes work at: each takes the next one that nobody has claimed."""

import time
from collections import deque
from collections.abc import Callable

from preprocessing.execution.claims import Claims
from preprocessing.executor import Stage, Task


class SharedTasks:
    """See `preprocessing.executor.Tasks`."""

    def __init__(
        self, stage: Stage, claims: Claims, start: float = 0.0, check: Callable[[], None] = lambda: None
    ) -> None:
        """
        Args:
            stage: what to work at.
            claims: of this process.
            start: share of the list, 0 to 1, at which this process begins, so that not all try the same tasks first.
            check: is called again and again, and raises when the others have stopped.
        """
        self._stage = stage
        self._claims = claims
        self._check = check
        todo = stage.unfinished()
        first = int(len(todo) * start)
        self._unmarked = {task.name: task for task in [*todo[first:], *todo[:first]]}
        self._untried = deque(self._unmarked.values())
        self._mine: set[str] = set()
        self._elsewhere: list[Task] = []
        self._looked = time.monotonic()
        self._look_seconds = 0.0

    def take(self) -> Task | None:
        self._check()
        while self._untried:
            task = self._untried.popleft()
            if task.name not in self._unmarked or task.name in self._mine or self._marked(task):
                continue
            if self._claims.take(self._claim(task)):
                if not self._marked(task):  # its worker may have finished just before the claim
                    self._mine.add(task.name)
                    return task
                self._claims.release(self._claim(task))
        return None

    def done(self, task: Task) -> None:
        self._mine.discard(task.name)
        self._unmarked.pop(task.name, None)
        self._claims.release(self._claim(task))

    def left(self) -> bool:
        self._check()
        started = time.monotonic()
        # A large folder on a network disk takes long to list: spend a tenth of the time on it at most.
        if started - self._looked >= 10 * self._look_seconds:
            marked = self._stage.marked()
            for name in [name for name in self._unmarked if name in marked and name not in self._mine]:
                self._elsewhere.append(self._unmarked.pop(name))
            self._untried = deque(task for task in self._unmarked.values() if task.name not in self._mine)
            self._looked = time.monotonic()
            self._look_seconds = self._looked - started
        return bool(self._unmarked)

    def done_elsewhere(self) -> list[Task]:
        found, self._elsewhere = self._elsewhere, []
        return found

    def _marked(self, task: Task) -> bool:
        if not self._stage.mark(task).exists():
            return False
        self._elsewhere.append(self._unmarked.pop(task.name))
        return True

    def _claim(self, task: Task) -> str:
        return f"{self._stage.name}/{task.name}"

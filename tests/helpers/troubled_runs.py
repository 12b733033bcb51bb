"""Whole runs in which something is wrong at a moment: losses or gradients of some samples, a kill, a disk, a weight."""

import errno
import json
import math
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed
from tiny import run_config
from torch import Tensor

from jp_llm.checkpoint.reader import CheckpointReader
from jp_llm.checkpoint.store import CheckpointStore
from jp_llm.engine.engine import Engine
from jp_llm.engine.working import working_weights
from jp_llm.guard.guard import Guard
from jp_llm.guard.interventions import Interventions
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.files import read_json_lines
from jp_llm.train.build import build
from jp_llm.train.control import Control
from jp_llm.train.loop import fit
from jp_llm.train.preflight import check

BATCH, STEPS = 8, 30
FIRST_BAD = 16 * BATCH  # the batch of step 17
LASTING = [(FIRST_BAD, 10 * BATCH, 3.0, 0.0)]
"""(first sample, samples, factor, addend) of losses that are not what they should be."""
GUARD = {
    "window": 16,
    "active_from": 6,
    "max_skips_in_a_row": 2,
    "patience_steps": 4,
    "rewind_steps": 5,
    "skip_batches": 10,
}
KINDS = ("weight", "exp_avg", "exp_avg_sq")
Trouble = Sequence[tuple[int, int, float, float]]


class Killed(BaseException):
    """Nothing in a run may catch it."""


@contextmanager
def troubled(trouble: Trouble, poison: Sequence[int], refuse: Sequence[int], seen: list[int]) -> Iterator[None]:
    """Losses and gradients of some samples, a gradient that is not finite on the last process (batches that begin at
    `poison`), and refusals without a cause; `seen` takes the first sample of each step."""
    original_step, original_run, original_judge = Engine.train_step, Engine._run, Guard.judge
    now = 0

    def step(self: Engine, batch: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal now
        now = batch.first_sample
        seen.append(now)
        with ExitStack() as stack:
            if now in poison and self.grid.rank == torch.distributed.get_world_size() - 1:
                named_parameters = self.zero.engine.module.named_parameters()
                parameter = next(p for name, p in named_parameters if name.endswith("down.weight"))
                stack.callback(parameter.register_hook(lambda gradient: gradient * math.nan).remove)
            return original_step(self, batch, *arguments, **named)

    def run(self: Engine, *arguments: Any) -> Any:
        output = original_run(self, *arguments)
        for first, count, factor, addend in trouble:
            if isinstance(output, tuple) and len(output) == 3 and first <= now < first + count:
                tokens = arguments[-1].numel()
                objective, loss, z_loss = output
                output = objective * factor, loss * factor + addend * tokens, z_loss
        return output

    def judge(self: Guard, loss: float, grad_norm: float) -> str | None:
        return "for the test" if now in refuse else original_judge(self, loss, grad_norm)

    with (
        patch.object(Engine, "train_step", step),
        patch.object(Engine, "_run", run),
        patch.object(Guard, "judge", judge),
    ):
        yield


@contextmanager
def killed_at(moment: str, seen: list[int], engine: Engine) -> Iterator[None]:
    """An exception where a kill would strike, or something else at a moment: a disk that fails, a weight of the second
    process that is not finite, a file SAVE."""
    if not moment:
        yield
        return
    where, _, when = moment.partition(" ")
    if where == "step":
        original_step = Engine.train_step

        def step(self: Engine, *arguments: Any, **named: Any) -> Any:
            if len(seen) == int(when):
                raise Killed
            return original_step(self, *arguments, **named)

        with patch.object(Engine, "train_step", step):
            yield
        return
    if where in ("spoil", "order"):
        original_votes = Control.votes

        def votes(self: Control) -> Any:
            if len(seen) == int(when) and where == "order":
                self.folder.save_order.touch()
                self._looked = -math.inf
            elif len(seen) == int(when) and engine.grid.rank == 1:
                weights = working_weights(engine.zero)
                next(w.tensor for w in weights if w.parameter.endswith("1.mlp.down.weight")).view(-1)[3] = math.nan
            return original_votes(self)

        with patch.object(Control, "votes", votes):
            yield
        return
    owner, name = {"write": (Interventions, "write"), "abandon": (CheckpointStore, "abandon")}.get(
        where, (Engine, where)
    )
    original = getattr(owner, name)
    calls: list[int] = []

    def struck(*arguments: Any, **named: Any) -> Any:
        calls.append(1)
        if when == "before":
            raise Killed
        if when == "fails":
            raise OSError(errno.EIO, "Input/output error")
        if when == "half":
            original(arguments[0], arguments[1][:1])
            raise Killed
        original(*arguments, **named)
        raise Killed

    with patch.object(owner, name, struck):
        yield


def train(
    overrides: dict[str, Any],
    trouble: Trouble = (),
    poison: Sequence[int] = (),
    refuse: Sequence[int] = (),
    kill: str = "",
) -> tuple[str, list[int], int]:
    """How a run ended, the first samples of its steps, and the exit code."""
    values = {
        "guard": GUARD,
        "checkpoint": {"every_steps": 4, "keep_last": 1},
        "train__num_steps": STEPS,
        # Small, so that the loss falls slowly and an outlier is one.
        "optim__learning_rate": 1e-3,
        **overrides,
    }
    seen: list[int] = []
    try:
        with ExitStack() as stack:
            stack.enter_context(troubled(trouble, poison, refuse, seen))
            run = build(check(run_config(**values)), torch.device("cpu"), stack)
            stack.enter_context(killed_at(kill, seen, run.engine))
            return "ended", seen, fit(run)
    except UserError as error:
        return str(error), seen, error.code
    except RuntimeError as error:
        return f"restart: {error}", seen, ExitCode.UNEXPECTED
    except Killed:
        return "killed", seen, -9


def final(run_dir: Path, step: int = STEPS) -> dict[tuple[str, str], Tensor]:
    reader = CheckpointReader(CheckpointStore(run_dir).path(step))
    found = {(name, kind): reader.read(name, kind) for name in reader.names for kind in KINDS}
    numbers = {**reader.manifest.state, "guard": reader.manifest.guard}
    return found | {("counters", json.dumps(numbers, sort_keys=True)): torch.zeros(())}


def same(one: Path, other: Path) -> bool:
    """Weights, moments, counters and the guard's memory at the last step."""
    a, b = final(one), final(other)
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def events(run_dir: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_json_lines(run_dir / "events.jsonl") if event["event"] == kind]

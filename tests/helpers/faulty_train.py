"""launch/train.py with a fault in it: FAULT="kill rank=1 step=7" python tests/helpers/faulty_train.py <words>

The fault happens in one process (rank=all: in all), right before the training step with that number, and once in a
run folder, however often the run is started again (`always=1` for every start). Several are separated by ";". Start
it as launch/train.py would be, by any launcher.
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def kill(**_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def stop(**_: Any) -> None:
    """As a debugger or a sick kernel would."""
    os.kill(os.getpid(), signal.SIGSTOP)


def sleep_outside_collectives(seconds: str = "10000", **_: Any) -> None:
    time.sleep(float(seconds))


def hold_interpreter(**_: Any) -> None:
    """In one call of a library that keeps the lock of the interpreter: no other thread of the process runs."""
    # PyDLL, unlike CDLL, does not release it. Nothing but SIGKILL ends the wait for a lock that one holds oneself.
    lock = ctypes.create_string_buffer(64)
    ctypes.PyDLL(None).pthread_mutex_lock(lock)
    ctypes.PyDLL(None).pthread_mutex_lock(lock)


def be_slow(seconds: str = "0.05", part: str = "host", **_: Any) -> None:
    """From now on in every step: before it, while it waits for data, or in its forward passes."""
    from jp_llm.data.loader import Loader
    from jp_llm.engine.engine import Engine
    from jp_llm.train import loop

    holder, name = {"host": (loop, "learning_rate"), "data": (Loader, "__next__"), "compute": (Engine, "_run")}[part]
    original = getattr(holder, name)

    def slow(*args: Any, **keywords: Any) -> Any:
        time.sleep(float(seconds))
        return original(*args, **keywords)

    setattr(holder, name, slow)


def send(name: str = "USR2", **_: Any) -> None:
    os.kill(os.getpid(), signal.Signals[f"SIG{name}"])


def send_in_save(name: str = "USR2", **_: Any) -> None:
    """In the middle of the next save: before its manifest is written."""
    from jp_llm.train import saver

    original = saver.write

    def interrupted(folder: Path, *words: Any) -> None:
        def at_first_piece(state: Any) -> Any:
            send(name)
            time.sleep(0.5)
            yield from state

        saver.write = original
        original(folder, at_first_piece(words[0]), *words[1:])

    saver.write = interrupted


def fail(**_: Any) -> None:
    raise RuntimeError("a fault of the test")


def nan_gradient(**_: Any) -> None:
    """One matrix of this process gets a gradient that is not finite, in the step that comes."""
    from jp_llm.engine.engine import Engine

    original = Engine.train_step

    def poisoned(self: Any, *arguments: Any, **named: Any) -> Any:
        Engine.train_step = original  # type: ignore[method-assign]
        named_parameters = self.zero.engine.module.named_parameters()
        parameter = next(p for name, p in named_parameters if name.endswith("down.weight"))
        hook = parameter.register_hook(lambda gradient: gradient * float("nan"))
        try:
            return original(self, *arguments, **named)
        finally:
            hook.remove()

    Engine.train_step = poisoned  # type: ignore[method-assign]


def loss_factor(factor: str = "100", steps: str = "3", **_: Any) -> None:
    """What this process finds as loss, and its gradients, times `factor` for so many steps; rank=all for a real one."""
    from jp_llm.engine.engine import Engine

    original_step, original_run, left = Engine.train_step, Engine._run, int(steps)

    def step(self: Any, *arguments: Any, **named: Any) -> Any:
        nonlocal left
        try:
            return original_step(self, *arguments, **named)
        finally:
            left -= 1
            if left == 0:
                Engine.train_step, Engine._run = original_step, original_run  # type: ignore[method-assign]

    def run(self: Any, *arguments: Any) -> Any:
        output = original_run(self, *arguments)
        last = isinstance(output, tuple) and len(output) == 3
        return tuple(each * float(factor) for each in output) if last else output

    Engine.train_step, Engine._run = step, run  # type: ignore[method-assign]


def flip_bit(engine: Any, parameter: str, **_: Any) -> None:
    """One bit of the mantissa, in the first weight whose name ends so, as this process computes with it."""
    import torch

    from jp_llm.engine.working import working_weights

    weight = next(each.tensor for each in working_weights(engine.zero) if each.parameter.endswith(parameter))
    integers = {2: torch.int16, 4: torch.int32}[weight.element_size()]
    weight.view(-1)[:1].view(integers).bitwise_xor_(1 << 4)


FAULTS: dict[str, Callable[..., None]] = {
    "kill": kill,
    "stop": stop,
    "sleep": sleep_outside_collectives,
    "hold": hold_interpreter,
    "slow": be_slow,
    "send": send,
    "send_in_save": send_in_save,
    "fail": fail,
    "nan_gradient": nan_gradient,
    "loss_factor": loss_factor,
    "flip_bit": flip_bit,
}
"""Each is called with the words behind its name, `engine` (of this process) and `run_dir`."""


def install(fault: str, run_dir: Path) -> None:
    """Let `fault` happen before its step."""
    name, *words = fault.split()
    details = dict(word.split("=", 1) for word in words)
    here = os.environ.get("RANK", os.environ.get("SLURM_PROCID", "0"))
    rank, step = details.pop("rank", "0"), int(details.pop("step"))
    always = details.pop("always", "0") == "1"
    if rank not in (here, "all"):
        return
    from jp_llm.engine.engine import Engine
    from jp_llm.train import loop

    engines: list[Any] = []
    construct = Engine.__init__

    def remembered(engine: Any, *args: Any, **keywords: Any) -> None:
        construct(engine, *args, **keywords)
        engines.append(engine)

    Engine.__init__ = remembered  # type: ignore[method-assign]
    original = loop.learning_rate

    def at_step(optim: Any, schedule: Any, current: int, num_steps: int) -> float:
        # The loop asks for the rate of each step just before it.
        marker = run_dir / f".fault_{name}_{here}_{step}"
        if current == step and (always or not marker.exists()):
            marker.touch()
            FAULTS[name](run_dir=run_dir, engine=engines[-1], **details)
        return original(optim, schedule, current, num_steps)

    loop.learning_rate = at_step


def main() -> int:
    from jp_llm.config.app import run
    from jp_llm.config.run import RunConfig
    from jp_llm.runtime.errors import ExitCode
    from launch.train import train

    def with_fault(config: RunConfig) -> ExitCode:
        for fault in filter(None, os.environ.get("FAULT", "").split(";")):
            install(fault, Path(config.run_dir))
        return train(config)

    return run("train", RunConfig, with_fault)


if __name__ == "__main__":
    sys.exit(main())

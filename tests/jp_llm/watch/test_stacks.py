"""Stacks that faulthandler really writes."""

import faulthandler
import threading
from pathlib import Path

from jp_llm.watch.stacks import Frame, Stack, parse


def dumped(path: Path) -> str:
    with path.open("w") as file:
        file.write(f"main thread 0x{threading.main_thread().ident:016x}\n")
        file.flush()
        faulthandler.dump_traceback(file, all_threads=True)
    return path.read_text()


def test_the_main_thread_is_found_among_others(tmp_path: Path) -> None:
    done = threading.Event()
    thread = threading.Thread(target=done.wait)
    thread.start()
    try:
        text = dumped(tmp_path / "stacks")
    finally:
        done.set()
        thread.join()
    stack = parse(text)
    assert stack is not None
    assert stack.frames[0].function == "dumped"
    assert stack.own is not None
    assert stack.own.file == __file__
    assert not stack.waits
    assert "in wait" in text

    # Without the line that names it, it is the last one.
    assert parse(text.split("\n", 1)[1]) == stack


def test_the_later_of_two_dumps_counts(tmp_path: Path) -> None:
    first = dumped(tmp_path / "first")
    second = dumped(tmp_path / "second")
    assert parse(first + second) == parse(second) != parse(first)


def test_the_innermost_line_that_is_ours() -> None:
    frames = (
        Frame("/venv/lib/python3.11/site-packages/torch/distributed/distributed_c10d.py", 3, "all_reduce"),
        Frame("/home/me/jp_llm/engine/engine.py", 280, "train_step"),
        Frame("/home/me/jp_llm/train/loop.py", 60, "fit"),
    )
    assert Stack(frames).waits
    assert str(Stack(frames).own) == "/home/me/jp_llm/engine/engine.py:280 in train_step"
    assert not Stack(frames[1:]).waits
    assert Stack(frames[:1]).own == frames[0]
    assert Stack(()).own is None


def test_no_stack() -> None:
    assert parse("") is None
    assert parse("main thread 0x0000000000000001\n") is None

"""The page at the end of a run, however it ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jp_llm.report.config import PAGE_FILE
from jp_llm.report.lines import json_object
from jp_llm.report.page import write_page
from jp_llm.report.run_record import read_run
from jp_llm.runtime.errors import UserError, code_of, reason_of
from jp_llm.runtime.run_folder import RunFolder


@contextmanager
def reported(run_dir: Path, is_main: bool, *, is_run: bool = True) -> Iterator[None]:
    """Write `report.html` into the run folder when the block ends, also with an exception; the main process does.

    A page that cannot be written is said, and changes nothing about how the block ends.

    Args:
        run_dir: of the run.
        is_main: whether this process writes.
        is_run: whether the block is the run, which holds its folder; it looks after the run otherwise.
    """
    error: BaseException | None = None
    before = _status(run_dir) if is_main else {}
    try:
        yield
    except BaseException as caught:
        error = caught
        raise
    finally:
        if is_main:
            _write(run_dir, before, error, is_run)


def _write(run_dir: Path, before: dict[str, Any], error: BaseException | None, is_run: bool) -> None:
    try:
        run = read_run(run_dir)
        if is_run:
            run.is_alive = False  # it is this process that holds the folder
            # A run that failed before it said anything: status.json is that of the last one.
            if error is not None and run.status == before and before.get("state") != "done":
                run.status |= {"state": "failed", "code": code_of(error), "reason": reason_of(error)}
        write_page(run_dir / PAGE_FILE, [run])
    except UserError:
        pass  # it ended before anything was written that a page could show
    except Exception as problem:
        print(f"warning: {run_dir / PAGE_FILE} was not written: {problem}", file=sys.stderr, flush=True)


def _status(run_dir: Path) -> dict[str, Any]:
    return json_object(RunFolder(run_dir).status, [], expected=False)

"""The page at the end of a run, however it ends."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jp_llm.report.config import PAGE_FILE
from jp_llm.report.page import write_page
from jp_llm.report.run_record import read_run


@contextmanager
def reported(run_dir: Path, is_main: bool) -> Iterator[None]:
    """Write `report.html` into the run folder when the block ends, also with an exception; the main process does.

    A page that cannot be written is said, and changes nothing about how the run ends.
    """
    try:
        yield
    finally:
        if is_main:
            try:
                write_page(run_dir / PAGE_FILE, [read_run(run_dir)])
            except Exception as error:
                print(f"warning: {run_dir / PAGE_FILE} was not written: {error}", file=sys.stderr, flush=True)

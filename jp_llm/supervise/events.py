"""What the supervisor says: lines of events.jsonl, and words on stderr."""

import sys
import time
from typing import Any

from jp_llm.runtime.files import append_json_line
from jp_llm.runtime.run_folder import RunFolder


def write_event(folder: RunFolder, event: str, **details: Any) -> None:
    """One line of events.jsonl."""
    append_json_line(folder.events, {"event": event, "time": round(time.time(), 3), **details})


def say(words: str) -> None:
    """One line for the person, who may have closed the terminal."""
    try:
        print(f"supervise: {words}", file=sys.stderr, flush=True)
    except OSError:
        return

"""What the supervisor says: lines of events.jsonl, and words on stderr."""

import sys
import time
from typing import Any

from jp_llm.runtime.files import append_json_line
from jp_llm.runtime.run_folder import RunFolder


class Events:
    """events.jsonl, as the supervisor adds to it."""

    def __init__(self, folder: RunFolder) -> None:
        self.path = folder.events

    def write(self, event: str, **details: Any) -> None:
        """One line."""
        append_json_line(self.path, {"event": event, "time": round(time.time(), 3), **details})


def say(words: str) -> None:
    """One line for the person, who may have closed the terminal."""
    try:
        print(f"supervise: {words}", file=sys.stderr, flush=True)
    except OSError:
        return

"""`metrics.jsonl` and `samples.jsonl` in the run folder."""

from pathlib import Path
from typing import Any

from jp_llm.runtime.files import append_json_line


class JsonLines:
    """One JSON object per line, appended. After a resume a step may stand twice; the later line counts."""

    def __init__(self, *, run_dir: Path, **_: Any) -> None:
        self.run_dir = run_dir

    def log(self, record: dict[str, Any]) -> None:
        """Append `record`."""
        append_json_line(self.run_dir / ("samples.jsonl" if record["kind"] == "sample" else "metrics.jsonl"), record)

    def close(self) -> None:
        """Nothing is held."""

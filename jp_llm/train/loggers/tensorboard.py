"""TensorBoard event files in `run_dir`/tensorboard."""

from pathlib import Path
from typing import Any

from jp_llm.train.records import flat_numbers


class TensorBoard:
    """Scalars and sample texts."""

    def __init__(self, *, run_dir: Path, **_: Any) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        self.writer = SummaryWriter(log_dir=str(run_dir / "tensorboard"))

    def log(self, record: dict[str, Any]) -> None:
        """Write the numbers of `record` as scalars under its kind."""
        if record["kind"] == "sample":
            self.writer.add_text(record["prompt"], record["completion"], record["step"])
            return
        for key, value in flat_numbers(record).items():
            self.writer.add_scalar(key, value, record["step"])

    def close(self) -> None:
        """Flush and close the event file."""
        self.writer.close()

"""Weights & Biases: online with an account, otherwise offline files in `run_dir`/wandb for `wandb sync`."""

import netrc
import os
from pathlib import Path
from typing import Any

from jp_llm.runtime.files import fingerprint_of
from jp_llm.train.records import flat_numbers


class WeightsAndBiases:
    """One W&B run per run folder, continued after a resume."""

    def __init__(self, *, run_dir: Path, config: dict[str, Any], **_: Any) -> None:
        import wandb

        self.run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "jp-llm"),
            name=run_dir.name,
            id=fingerprint_of(str(run_dir.resolve()))[:16],
            resume="allow",
            dir=str(run_dir),
            config=config,
            # None leaves the choice to WANDB_MODE.
            mode=None if "WANDB_MODE" in os.environ or has_account() else "offline",
        )

    def log(self, record: dict[str, Any]) -> None:
        """Log the numbers of `record`, or a sample as text."""
        if record["kind"] == "sample":
            self.run.log({f"sample/{record['prompt']}": record["completion"]}, step=record["step"])
        else:
            self.run.log(flat_numbers(record), step=record["step"])

    def close(self) -> None:
        """Upload or flush what is pending."""
        self.run.finish()


def has_account() -> bool:
    """Whether a key for W&B is at hand: WANDB_API_KEY or a line in ~/.netrc."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (FileNotFoundError, netrc.NetrcParseError):
        return False

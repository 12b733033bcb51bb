"""launch/train.py with a pause before each step, so that a test finds time to interfere: SECONDS_PER_STEP=0.5"""

import os
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))


def main() -> int:
    from jp_llm.config.app import run
    from jp_llm.config.run import RunConfig
    from jp_llm.runtime.errors import ExitCode
    from launch.train import train

    def slowly(config: RunConfig) -> ExitCode:
        from jp_llm.train import loop

        original = loop.learning_rate

        def paused(*words: Any) -> float:
            # The loop asks for the rate of each step just before it.
            time.sleep(float(os.environ["SECONDS_PER_STEP"]))
            return original(*words)

        loop.learning_rate = paused
        return train(config)

    return run("train", RunConfig, slowly)


if __name__ == "__main__":
    sys.exit(main())

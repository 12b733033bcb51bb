"""Train a quality scorer: `python launch/train_quality.py good=[good.jsonl] bad=[bad.jsonl] output=quality.npz`."""

import sys

from jp_llm.config import app
from preprocessing.quality.train import TrainQualityConfig, run

if __name__ == "__main__":
    sys.exit(app.run("quality", TrainQualityConfig, run))

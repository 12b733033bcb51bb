"""Train a tokenizer alone: `python launch/train_tokenizer.py inputs=[documents] output_dir=tokenizers/first`."""

import sys

from jp_llm.config import app
from preprocessing.encode.train_tokenizer import TrainTokenizerConfig, run

if __name__ == "__main__":
    sys.exit(app.run("tokenizer", TrainTokenizerConfig, run))

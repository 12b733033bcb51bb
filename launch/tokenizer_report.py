"""Tokenizers side by side: `python launch/tokenizer_report.py tokenizers=[corpora/demo] data=[corpora/demo]`."""

import sys

from jp_llm.config import app
from jp_llm.evaluate.tokenizer_report import TokenizerReportConfig, run

if __name__ == "__main__":
    sys.exit(app.run("tokenizer_report", TokenizerReportConfig, run))

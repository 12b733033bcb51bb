"""Divide text into sentences and words: `python launch/segment.py inputs=[documents] output=words.txt.zst`."""

import sys

from jp_llm.config import app
from preprocessing.segment.run import SegmentConfig, run

if __name__ == "__main__":
    sys.exit(app.run("segment", SegmentConfig, run))

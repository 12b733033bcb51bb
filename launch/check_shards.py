"""Compare shards with their manifests: `python launch/check_shards.py path=corpora/aozora`."""

import sys

from jp_llm.config import app
from jp_llm.shards.check import CheckShardsConfig, run

if __name__ == "__main__":
    sys.exit(app.run("check_shards", CheckShardsConfig, run))

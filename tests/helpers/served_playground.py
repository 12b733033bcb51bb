"""The page of models that take 50 ms per token, with a near-copy guard that accepts everything:
`served_playground.py <folder> ...`."""

import sys
import time
from typing import Any
from unittest.mock import patch

from jp_llm.export.inference import LoadedModel, open_model
from jp_llm.playground import run
from jp_llm.playground.config import PlaygroundConfig


def open_slow_model(*arguments: Any) -> LoadedModel:
    loaded = open_model(*arguments)
    loaded.model.register_forward_pre_hook(lambda *_: time.sleep(0.05))
    return loaded


def open_guard(_folder: object) -> object:
    return lambda text: f"Accepted: {len(text)} characters"


with patch.object(run, "open_model", open_slow_model), patch.object(run, "open_guard", open_guard):
    run.run(PlaygroundConfig(model=tuple(sys.argv[1:]), near_copies="index", prompt="春の朝、", port=0))

"""`launch/playground.py`: a page on which models can be tried."""

import os
from pathlib import Path

from jp_llm.export.inference import open_model
from jp_llm.playground.config import PlaygroundConfig
from jp_llm.playground.page import build_page, import_gradio, serve
from jp_llm.playground.trial import Trials, open_guard


def run(config: PlaygroundConfig) -> None:
    """Open the models, and serve the page until it is interrupted.

    Raises:
        UserError: a model, the index, gradio or the port is not there.
    """
    _keep_to_this_machine(config.host)
    import_gradio()
    guard = open_guard(Path(config.near_copies).expanduser()) if config.near_copies else None
    models = {name: open_model(Path(name), config.device, config.precision) for name in config.model}
    page = build_page(Trials(models, guard), config.prompt, has_guard=guard is not None)
    serve(page, config.host, config.port, block=True)


def _keep_to_this_machine(host: str) -> None:
    """Before the first import: gradio and what it brings ask other machines for versions otherwise."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_OFFLINE"] = "1"
    # Gradio asks its own page whether it is there, and a proxy for the world does not know it.
    without = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    names = [name for name in without.split(",") if name.strip()]
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*names, "127.0.0.1", "localhost", "::1", host])

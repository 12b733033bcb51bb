"""The Gradio page. It fetches nothing from other machines and tells them nothing."""

import socket
from collections.abc import Iterator
from typing import Any

from jp_llm.generate.config import SamplingConfig
from jp_llm.playground.trial import Trials
from jp_llm.runtime.errors import UserError

_FONTS = ("system-ui", "Noto Sans CJK JP", "Hiragino Sans", "Yu Gothic", "sans-serif")
_SLIDERS: tuple[tuple[str, float, float, float, str], ...] = (
    ("max_new_tokens", 1, 1024, 1, "most tokens after the prompt"),
    ("min_new_tokens", 0, 1024, 1, "the text does not end before"),
    ("temperature", 0.05, 2.0, 0.05, "higher is more surprising"),
    ("top_p", 0.05, 1.0, 0.01, "draw from the likeliest tokens with this probability together; 1 from all"),
    ("top_k", 0, 1000, 1, "draw from this many likeliest tokens; 0 from all"),
    ("min_p", 0.0, 0.5, 0.01, "draw from tokens at least this many times as likely as the likeliest; 0 from all"),
    ("repetition_penalty", 1.0, 2.0, 0.05, "above 1 makes what was said less likely"),
    ("no_repeat_ngram_size", 0, 10, 1, "no sequence of this many tokens occurs twice; 0 allows it"),
)
"""Setting, least, largest, step, words."""


def build_page(trials: Trials, prompt: str, *, has_guard: bool) -> Any:
    """The page as `gradio.Blocks`, not served yet.

    Raises:
        UserError: gradio is not installed.
    """
    gradio = import_gradio()
    names = list(trials.models)
    defaults = SamplingConfig()
    with gradio.Blocks(title="jp-llm playground", analytics_enabled=False) as page:
        gradio.Markdown("# Try a model")
        with gradio.Row():
            with gradio.Column():
                model = gradio.Dropdown(names, value=names[0], label="model", visible=len(names) > 1, elem_id="model")
                text = gradio.Textbox(prompt, label="prompt", lines=12, max_lines=20, elem_id="prompt")
                with gradio.Row():
                    write = gradio.Button("Write", variant="primary", elem_id="write")
                    stop = gradio.Button("Stop", elem_id="stop")
            with gradio.Column():
                output = gradio.Textbox(label="text", lines=12, max_lines=40, elem_id="text", buttons=["copy"])
                words = gradio.Textbox(label="notes", lines=1, max_lines=6, elem_id="notes")
                verdict = gradio.Textbox(
                    label="near-copy guard", lines=2, max_lines=8, elem_id="verdict", visible=has_guard
                )
        with gradio.Group(), gradio.Row():
            seed = gradio.Number(
                defaults.seed, label="seed", info="the same seed gives the same text", precision=0, min_width=340
            )
            sliders = [
                gradio.Slider(
                    least, most, value=getattr(defaults, name), step=step, label=name, info=info, min_width=340
                )
                for name, least, most, step, info in _SLIDERS
            ]

        def run(model: str, prompt: str | None, seed: float | None, *values: float) -> Iterator[tuple[str, str, str]]:
            settings: dict[str, Any] = {"seed": int(seed or 0)}
            for (name, *_), value in zip(_SLIDERS, values, strict=True):
                settings[name] = type(getattr(defaults, name))(value)
            for shown in trials.run(model, prompt or "", settings):
                yield shown.text, shown.words, shown.verdict

        inputs, outputs = [model, text, seed, *sliders], [output, words, verdict]
        running = write.click(run, inputs, outputs, concurrency_limit=1, show_progress="hidden", api_name=False)
        stop.click(None, cancels=[running], api_name=False)
    return page


def serve(page: Any, host: str, port: int, *, block: bool) -> str:
    """Serve the page on this machine; returns its address.

    Args:
        page: of `build_page`.
        host: an address of this machine.
        port: 0 takes a free one.
        block: until the process is interrupted.

    Raises:
        UserError: the page cannot be served, for instance because the port is taken.
    """
    gradio = import_gradio()
    # The explanations of this theme are too pale to be read.
    theme = gradio.themes.Base(font=_FONTS, font_mono=("ui-monospace", "monospace"))
    theme.set(block_info_text_color="*neutral_600", block_info_text_color_dark="*neutral_300")
    try:
        _, address, _ = page.launch(
            server_name=host,
            server_port=port or free_port(),
            share=False,
            run_history=False,
            enable_monitoring=False,
            mcp_server=False,
            ssr_mode=False,
            pwa=False,
            footer_links=[],
            theme=theme,
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise UserError(
            f"port: the page cannot be served at {host}, port {port}, which another program may have; choose another "
            f"port, or port=0 for a free one ({error})"
        ) from error
    except Exception as error:
        # Gradio raises plain exceptions too, and what its HTTP library raises.
        raise UserError(f"the page cannot be served at {host}: {error}") from error
    print(f"open {address} in a browser of this machine; Ctrl-C ends it", flush=True)
    if block:
        page.block_thread()
    return str(address)


def free_port() -> int:
    """One that nobody has at the moment; Gradio itself looks at a hundred fixed ones only."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def import_gradio() -> Any:
    """Gradio.

    Raises:
        UserError: it is not installed.
    """
    try:
        import gradio
    except ImportError as error:
        raise UserError("gradio is not installed: pip install 'jp-llm[playground]'") from error
    return gradio

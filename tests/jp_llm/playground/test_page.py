"""The Gradio page, served on this machine and looked at in a browser."""

import importlib.util
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import browser

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("gradio") is None, reason="gradio is not there: pip install 'jp-llm[playground]'"
)


@pytest.fixture(scope="module")
def address(exported: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a page with two models, in a process of its own that is ended in every case."""
    other = tmp_path_factory.mktemp("other") / "model"
    other.symlink_to(exported)
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "GRADIO_TEMP_DIR": str(tmp_path_factory.mktemp("gradio")),
        # What a person may have set for other programs must not open the page to the world.
        "GRADIO_SHARE": "True",
        "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": "1",
        # Nor may a way out into the world be the way to the page.
        "http_proxy": "http://127.0.0.1:9",
        "all_proxy": "http://127.0.0.1:9",
        "NO_PROXY": "example.org",
    }
    words = [sys.executable, str(ROOT / "tests" / "helpers" / "served_playground.py"), str(exported), str(other)]
    with subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("open http://127.0.0.1:"), line
            yield line.split()[1]
        finally:
            process.kill()


@pytest.mark.slow
def test_it_answers_on_this_machine_only(address: str) -> None:
    with urllib.request.urlopen(address, timeout=20) as answer:
        assert "jp-llm playground" in answer.read().decode()
    port = int(address.rstrip("/").rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    addresses = {line.split()[1] for line in listening if line.split()[3] == "0A"}
    assert f"0100007F:{port:04X}" in addresses
    assert f"00000000:{port:04X}" not in addresses


@pytest.mark.slow
def test_a_text_comes_token_by_token_in_a_browser(address: str) -> None:
    value = "document.querySelector('#{} textarea').value".format
    with browser() as page:
        page.open(address)
        page.wait_for("!!document.querySelector('#write') && !!document.querySelector('#model')")
        page.wait_for(f"{value('prompt')} === '春の朝、'")
        page.evaluate(
            f"window.seen = new Set(); setInterval(() => window.seen.add({value('text')}), 5);"
            "document.querySelector('#write').click()"
        )
        page.wait_for(f"{value('verdict')}.startsWith('Accepted: ')")
        assert page.evaluate(value("text")).startswith("春の朝、")
        assert "tokens/s" in page.evaluate(value("notes"))
        assert page.evaluate("window.seen.size") > 3
        page.evaluate("window.before = document.querySelector('#notes textarea').value")
        page.evaluate("document.querySelector('#write').click()")
        page.wait_for(f"{value('notes')} !== window.before && {value('notes')}.includes('tokens/s')")
        page.evaluate("document.querySelector('#stop').click()")
        pause = "new Promise(done => setTimeout(() => done(true), {}))".format
        page.wait_for(
            f"(async () => {{ const a = {value('notes')}; await {pause(1000)}; return a === {value('notes')}; }})()"
        )
        # It did not come to its end.
        assert page.evaluate(value("verdict")) == ""
        page.evaluate(
            "(() => { const box = document.querySelector('#prompt textarea'); box.value = '春の朝、'.repeat(99);"
            "box.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )
        # What was typed reaches the page's own state a moment later.
        page.wait_for(pause(300))
        page.evaluate("document.querySelector('#write').click()")
        page.wait_for(f"{value('notes')}.includes('shorten the prompt')")
        if folder := os.environ.get("JP_LLM_SCREENSHOTS"):
            page.screenshot(Path(folder) / "playground.png")
        assert page.problems == []
        assert [url for url in page.requests if not url.startswith((address, "data:", "blob:"))] == []

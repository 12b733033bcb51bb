"""The page of a run from folders written by hand: long, hostile, cut off, empty."""

import itertools
import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import yaml
from browser import browser
from parsed_html import ParsedHtml
from run_folders import HOSTILE, SOURCES, train_record, write_lines, write_troubled_run

from jp_llm.report.at_end import reported
from jp_llm.report.config import ReportConfig
from jp_llm.report.mix import consumed
from jp_llm.report.page import page_of
from jp_llm.report.pictures import _at, _series
from jp_llm.report.run_record import read_run
from jp_llm.report.summary import run
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.lock import locked
from jp_llm.shards.manifest import DatasetManifest, ShardManifest, TokenizerRecord


@pytest.fixture
def troubled(tmp_path: Path) -> Path:
    return write_troubled_run(tmp_path / "<i>run 一号")


def text_of(page: str) -> str:
    return "|".join(ParsedHtml(page).text)


def test_everything_that_a_run_says_is_on_the_page(troubled: Path) -> None:
    text = text_of(page_of([read_run(troubled)]))
    for expected in (
        "Died without a word at step 300 of 400",
        "metrics.jsonl: 1 line could not be read; the file ends in the middle of a line.",
        "(any more), so its sources are not known",
        "30,000",  # tokens
        "2.067 bits/character",
        "4 on H200",
        "1, 1, 1",  # skips, rewinds, hangs
        *("Loss (nats per token)", "Learning rate", "Gradient norm", "Throughput", "Model FLOPs utilisation"),
        *("Held-out text", "Progress (step)", "Repetition in samples", "Most memory"),
        *("skip", "rewind", "restart", "hang", "stop", "given up by a restart or a rewind"),
        "100人の子がいた。",
        *("Plan against actual", "1.96", "0.80", "0.75"),  # step seconds, MFU, memory over the plan
        *("c" * 64, "d" * 64, "e" * 64, "step_00000280"),
        "num_steps: 400",
        "bits per character",
    ):
        assert expected in text, expected


def test_later_records_count(troubled: Path) -> None:
    train = read_run(troubled).train
    assert train["step"].tolist() == list(range(1, 301))
    assert np.isfinite(train.given_up("step")).sum() == 30 + 50
    # A branch that was given up and has not come as far again does not count beyond where it goes on.
    write_lines(troubled / "metrics.jsonl", [train_record(step) for step in (1, 2, 3, 4, 5, 3)])
    assert read_run(troubled).train["step"].tolist() == [1, 2, 3]


def test_what_was_measured_on_a_branch_that_was_given_up_does_not_count(troubled: Path) -> None:
    write_lines(troubled / "metrics.jsonl", [])

    def log(*steps: int) -> None:
        with (troubled / "metrics.jsonl").open("a") as file:
            for step in steps:
                sources = {"books": {"bits_per_character": step / 100}}
                records = [train_record(step), {"kind": "eval", "step": step, "sources": sources}]
                records.append({"kind": "repetition", "step": step, "repeated_4grams": 0.1})
                file.writelines(json.dumps(record) + "\n" for record in records[: 3 if step % 50 == 0 else 1])

    log(50, 100, 150, 200, 250, 300, 110, 120)
    record = read_run(troubled)
    assert [list(record.evaluations), list(record.repetition)] == [[50, 100]] * 2
    assert [list(steps) for steps in record.samples.values()] == [[50, 100]] * 2
    assert "held-out books|1.000 bits/character" in text_of(page_of([record]))
    # The broken line does not lead from one branch into the next.
    log(130, 111, 140, 141, 112)
    page = page_of([read_run(troubled)])
    broken = next(values["d"] for _, values in ParsedHtml(page).tags if values.get("class") == "line line1 faint")
    assert broken is not None
    assert broken.count("M") == 3


def test_the_step_of_a_run_that_went_back(troubled: Path) -> None:
    happened = [
        {"event": "resume", "time": 1.0, "step": 280},
        {"event": "stop", "time": 2.0, "step": 290},
        {"event": "rewind", "time": 3.0, "step": 310, "to_step": 150},
    ]
    write_lines(troubled / "events.jsonl", happened)
    (troubled / "status.json").write_text(json.dumps({"state": "running", "step": 290, "time": 1.0}))
    (troubled / "checkpoints" / "step_00000280").rename(troubled / "checkpoints" / "abandoned_step_00000280")
    write_lines(troubled / "metrics.jsonl", [train_record(step) for step in (300, 160)])
    record = read_run(troubled)
    assert (record.last_step, record.last_start) == (160, 150)


def test_the_line_over_time_is_broken_where_nothing_ran(troubled: Path) -> None:
    words = (
        "start 0, save 300, stop 300, exit 0, damaged_checkpoint 300, requeue 300, resume 200, damaged_checkpoint 100"
    )
    happened = [word.split() for word in f"{words}, save 250".split(", ")]
    rows = [{"event": name, "time": 60.0 * place, "step": int(step)} for place, (name, step) in enumerate(happened)]
    write_lines(troubled / "events.jsonl", rows)
    figure = page_of([read_run(troubled)]).rpartition("Progress (step)")[2]
    line = next(values["d"] for _, values in ParsedHtml(figure).tags if values.get("class") == "line line0")
    assert line is not None
    heights = [[float(point.split()[1]) for point in piece.split("L")] for piece in line.split("M")[1:]]
    assert [len(piece) for piece in heights] == [3, 2]
    assert heights[0][0] > heights[1][0] > heights[1][1] > heights[0][1] == heights[0][2]


def test_the_newest_checkpoint_is_the_one_of_most_steps(troubled: Path) -> None:
    for name in ("step_100000000", "step_100000001.tmp"):
        (troubled / "checkpoints" / name).mkdir()
        (troubled / "checkpoints" / name / "manifest.json").write_text('{"state": {"step": 100000000}}')
    assert read_run(troubled).checkpoint["name"] == "step_100000000"


def test_the_plan_is_compared_with_the_last_start(troubled: Path) -> None:
    # A third of every window is padding, and until step 280 there were twice as many processes.
    speeds = [(step, 50 if step > 280 else 100) for step in range(1, 301)]
    records = [
        {**train_record(step), "tokens_per_second": speed, "seconds_left": (400 - step) * 75 / speed}
        for step, speed in speeds
    ]
    write_lines(troubled / "metrics.jsonl", records)
    text = text_of(page_of([read_run(troubled)]))
    assert "seconds per step|1|1.5|1.50" in text
    assert "tokens per second|100|50|0.50" in text


def test_a_second_start_from_the_beginning_is_a_restart(troubled: Path) -> None:
    write_lines(troubled / "events.jsonl", [{"event": "start", "time": time, "step": 0} for time in (1.0, 2.0)])
    page = page_of([read_run(troubled)])
    assert "restarts|1|" in text_of(page)
    assert ">step 0: restart; </title>" in page


def test_no_text_becomes_markup(troubled: Path) -> None:
    page = page_of([read_run(troubled), read_run(write_troubled_run(troubled.parent / HOSTILE[0].replace("/", "")))])
    parsed = ParsedHtml(page)
    assert not {"script", "img", "iframe", "link", "base", "object"} & {tag for tag, _ in parsed.tags}
    names = {name for _, values in parsed.tags for name in values}
    assert not any(name.startswith("on") or name in ("src", "href") for name in names)
    text = "".join(parsed.text)
    assert all(hostile in text for hostile in (*HOSTILE, SOURCES[2], "<i>run 一号"))


def test_runs_side_by_side(troubled: Path) -> None:
    other = write_troubled_run(troubled.parent / "second", seed=2)
    text = text_of(page_of([read_run(troubled), read_run(other)]))
    assert "seed|1|2" in text
    assert "run_dir|" in text
    assert (
        "hidden_size|" not in text.split("Differences of the configurations")[1].split("Events")[0].split("second")[0]
    )
    assert f"Held-out {SOURCES[1]} (bits per character)" in text
    assert "|step|" in text
    assert "|tokens|" not in text.split("Curves")[1]
    # Of runs with batches of another size, those that have read the same stand at the same place.
    records = [{**train_record(step), "consumed_tokens": 400 * step, "mfu": None} for step in (25, 50, 75)]
    evaluated = {"kind": "eval", "step": 50, "sources": {"books": {"bits_per_character": 2.0}}}
    write_lines(other / "metrics.jsonl", [*records, evaluated])
    text = text_of(page_of([read_run(troubled), read_run(other)]))
    assert "|step|" not in text.split("Curves")[1].split("Differences")[0]
    assert "|tokens|" in text.split("Curves")[1]
    (series,) = _series(read_run(other), "loss", "consumed_tokens", 1, single=False)
    assert series.x.tolist() == [10_000, 20_000, 30_000]
    assert _at(read_run(other), [50], "consumed_tokens").tolist() == [20_000]


@pytest.mark.parametrize("missing", ["metrics.jsonl", "events.jsonl", "config.resolved.yaml", "status.json"])
def test_a_file_that_is_missing_is_named(troubled: Path, missing: str) -> None:
    (troubled / missing).unlink()
    text = text_of(page_of([read_run(troubled)]))
    assert f"{missing} is missing." in text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"[1, 2]\n", b"null\n{}\n", b'{"kind": "train"}\n'])
def test_a_file_that_holds_something_else(troubled: Path, content: bytes) -> None:
    for name in ("metrics.jsonl", "events.jsonl", "samples.jsonl", "status.json", "plan.json", "evaluation.json"):
        (troubled / name).write_bytes(content)
    (troubled / "config.resolved.yaml").write_bytes(content)
    text = text_of(page_of([read_run(troubled)]))
    assert "How the run ended is not known" in text
    assert "metrics.jsonl holds no training step" in text
    assert "nan" not in text.lower().replace("nano", "").replace("finance", "")


def test_losses_that_are_no_numbers(troubled: Path) -> None:
    rows = [train_record(1), {**train_record(2), "loss": None}]
    write_lines(troubled / "metrics.jsonl", rows)
    with (troubled / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 3, "loss": NaN, "grad_norm": "much", "mfu": true}\n')
    record = read_run(troubled)
    assert np.isnan(record.train["loss"]).tolist() == [False, True, True]
    text = text_of(page_of([record]))
    assert "2 of 3 recorded steps have no finite loss." in text
    assert not [note for note in record.notes if "could not be read" in note]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ({"state": "done", "code": 0, "step": 400}, "Done: 400 steps of 400"),
        ({"state": "saved", "code": 85, "step": 380, "reason": "file KILL"}, "Stopped at step 380 of 400 with every"),
        (
            {"state": "failed", "code": 17, "step": 380, "reason": "diverged"},
            "17 (not trustworthy): diverged",
        ),
    ],
)
def test_how_it_ended(troubled: Path, status: dict[str, object], words: str) -> None:
    (troubled / "status.json").write_text(json.dumps(status))
    assert words in text_of(page_of([read_run(troubled)]))


def test_a_run_that_goes_on_is_told_from_one_that_died(troubled: Path) -> None:
    with locked(troubled):
        assert "Running: at step 300 of 400." in text_of(page_of([read_run(troubled)]))
    assert "Died without a word" in text_of(page_of([read_run(troubled)]))


def test_a_run_that_ends_while_it_is_read_did_not_die(troubled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with ExitStack() as held:
        held.enter_context(locked(troubled))
        monkeypatch.setattr("jp_llm.report.run_record._read_samples", lambda *_: held.close())
        assert "Running: at step 300 of 400." in text_of(page_of([read_run(troubled)]))


def test_ten_thousand_prompts_make_no_large_page(troubled: Path) -> None:
    rows = [{"step": 9, "prompt": f"{place}" + "長" * 5000, "completion": "文" * 5000} for place in range(10_000)]
    write_lines(troubled / "samples.jsonl", rows)
    page = page_of([read_run(troubled)])
    assert "9,980 more are in samples.jsonl" in page
    assert len(page) < 200_000


def shard(source: str, tokens: int) -> ShardManifest:
    sizes = {"documents": 1, "characters": 9, "bytes": 27, "bin_bytes": 2 * tokens, "idx_bytes": 8}
    hashes = {"bin_sha256": "a", "idx_sha256": "b"}
    return ShardManifest(name=f"shards/{source}/train-00000", tokens=tokens, dtype="uint16", **sizes, **hashes)


@pytest.mark.parametrize(
    ("data", "shares"),
    [
        ({}, {"books": (0.75, 10.0), "web": (0.25, 10.0)}),
        ({"weights": {"books": 1, "web": 3}}, {"books": (0.25, 10 / 3), "web": (0.75, 30.0)}),
        (
            {"replay": {"path": "old", "share": 0.2}},
            {"books": (0.6, 8.0), "web": (0.2, 8.0), "replay/books": (0.15, 2.0), "replay/web": (0.05, 2.0)},
        ),
    ],
)
def test_the_data_mix(troubled: Path, data: dict[str, object], shares: dict[str, tuple[float, float]]) -> None:
    manifest = DatasetManifest(
        TokenizerRecord("tokenizer", "f", "sentencepiece", "0", 512, 0, 1, 2, 3),
        "uint16",
        "c",
        {"books": {"train": (shard("books", 2250),)}, "web": {"train": (shard("web", 750),)}},
    )
    manifest.save(troubled / "data")
    if "replay" in data:
        manifest.save(troubled / "old")
        data = {"replay": {"path": str(troubled / "old"), "share": 0.2}}
    config = yaml.safe_load((troubled / "config.resolved.yaml").read_text())
    config["data"] = {"path": str(troubled / "data"), **data}
    (troubled / "config.resolved.yaml").write_text(yaml.safe_dump(config))
    found = {one.source: (one.share, one.epochs) for one in consumed(read_run(troubled))}
    assert found == {name: pytest.approx(numbers) for name, numbers in shares.items()}


def test_at_the_end_of_a_run_however_it_ends(troubled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="diverged"), reported(troubled, True):
        raise UserError("diverged")
    assert (troubled / "report.html").stat().st_size > 10_000
    (troubled / "report.html").unlink()
    with reported(troubled, False):
        pass
    assert not (troubled / "report.html").exists()
    with reported(troubled / "nothing", True):
        pass
    assert not capsys.readouterr().err
    (troubled / "report.html").mkdir()
    with reported(troubled, True):
        pass
    assert "was not written" in capsys.readouterr().err


def test_a_start_that_fails_before_it_says_how_the_run_stands(troubled: Path) -> None:
    def page_of_a_failure(state: str) -> str:
        (troubled / "status.json").write_text(json.dumps({"state": state, "step": 300, "reason": "of the last start"}))
        with pytest.raises(OSError, match="no beat"), locked(troubled), reported(troubled, True):
            raise OSError("no beat")
        return text_of((troubled / "report.html").read_text())

    for state in ("running", "failed"):
        assert "Failed at step 300 of 400 with exit code 1 (unexpected): OSError: no beat" in page_of_a_failure(state)
    assert "Done: 300 steps of 400" in page_of_a_failure("done")


LARGE = [{"kind": "train", "step": step, "loss": loss, "grad_norm": loss} for step, loss in enumerate((1e308, -1e308))]
SMALL = [
    {"kind": "train", "step": step, "loss": loss, "grad_norm": 1 - loss, "tokens_per_second": loss}
    for step, loss in enumerate((5e-324, 0))
]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("events.jsonl", '{"event": ["x"], "time": 1}\n'),
        ("metrics.jsonl", "\n".join(map(json.dumps, LARGE))),
        ("metrics.jsonl", "\n".join(map(json.dumps, SMALL))),
        ("config.resolved.yaml", "a: " + "[" * 3000),
        ("evaluation.json", '{"a": ' + "[" * 400 + "]" * 400 + "}"),
    ],
)
def test_extreme_records(troubled: Path, name: str, text: str) -> None:
    (troubled / name).write_text(text)
    assert "What happened" in text_of(page_of([read_run(troubled)]))


def test_the_door_writes_a_page_of_one_and_of_several(troubled: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(ReportConfig(run_dir=str(troubled)))  # type: ignore[arg-type]
    assert (troubled / "report.html").exists()
    assert "Died without a word" in capsys.readouterr().out
    other = write_troubled_run(troubled.parent / "second", seed=2)
    output = troubled.parent / "compare.html"
    run(ReportConfig(run_dir=[str(troubled), str(other)], output=str(output)))  # type: ignore[arg-type]
    assert "2 runs" in output.read_text()
    several = ReportConfig(run_dir=["a", "b"], texts="c")  # type: ignore[arg-type]
    assert [problem.partition(":")[0] for problem in several.problems()] == ["texts", "output"]


def test_very_many_records_in_little_memory(troubled: Path) -> None:
    """As dictionaries they alone would take twice what is allowed."""
    before, after = json.dumps({**train_record(1), "step": "STEP"}).split('"STEP"')
    with (troubled / "metrics.jsonl").open("w") as file:
        file.writelines(f"{before}{step}{after}\n" for step in range(1, 200_001))
    code = f"""
from pathlib import Path
from jp_llm.report.page import write_page
from jp_llm.report.run_record import read_run
folder = Path({str(troubled)!r})
write_page(folder / "report.html", [read_run(folder)])
# Not getrusage, which counts what stood there before the exec.
print(next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in line))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    # A list of all records alone would take more.
    assert int(done.stdout) * 1024 < 128 << 20, done.stdout
    assert (troubled / "report.html").stat().st_size < 400_000


@pytest.mark.slow
def test_in_a_browser(troubled: Path) -> None:
    run(ReportConfig(run_dir=str(troubled)))  # type: ignore[arg-type]
    overlaps = """[...document.querySelectorAll('svg')].flatMap(svg => {
      const boxes = [...svg.querySelectorAll('text.label, text.end')].map(text => text.getBoundingClientRect());
      return boxes.flatMap((a, i) => boxes.slice(i + 1).filter(b => a.left < b.right && b.left < a.right &&
        a.top < b.bottom - 1 && b.top < a.bottom - 1)); }).length"""
    with browser() as page:
        for dark, width in itertools.product((False, True), (1280, 400)):
            page.open((troubled / "report.html").as_uri(), width=width, dark=dark)
            assert page.evaluate("document.title") == "Run <i>run 一号"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"wider than {width}"
            paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
            assert (paper == "rgb(255, 255, 255)") is not dark
            assert page.evaluate(overlaps) == 0
            assert page.evaluate("document.querySelectorAll('svg').length") >= 9
    assert page.problems == []
    assert {url.partition(":")[0] for url in page.requests} == {"file"}

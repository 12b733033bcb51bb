"""The bot with a clock and an X of its own; what is on X is counted there."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from jp_llm.bot import run as module
from jp_llm.bot.config import BotConfig, ScheduleConfig
from jp_llm.bot.journal import JOURNAL, REJECTED, Journal
from jp_llm.bot.poster import CREDENTIALS, Outcome
from jp_llm.bot.run import Bot, run
from jp_llm.bot.source import Candidate
from jp_llm.config.app import run as run_door
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.lock import locked

ROOT = Path(__file__).resolve().parents[3]
NOON = datetime(2026, 7, 1, 3, tzinfo=UTC)  # 12:00 in Tokyo
TEXTS = ["一つ目の文。", "二つ目の文。", "三つ目の文。", "四つ目の文。"]


class FakeClock:
    def __init__(self) -> None:
        self.time = NOON
        self.waits_left = 1000

    def now(self) -> datetime:
        return self.time

    def wait_until(self, moment: datetime) -> bool:
        if moment > self.time:
            self.waits_left -= 1
            if self.waits_left < 0:
                return False
            self.time = moment
        return True


class FakeX:
    """Takes posts, or answers with the outcomes that it was given first."""

    def __init__(self, clock: FakeClock, *outcomes: Outcome) -> None:
        self.clock = clock
        self.outcomes = list(outcomes)
        self.calls: list[str] = []
        self.posts: list[tuple[datetime, str]] = []

    def post(self, text: str) -> Outcome:
        self.calls.append(text)
        outcome = self.outcomes.pop(0) if self.outcomes else Outcome("posted", number=str(len(self.posts)))
        if outcome.answer == "posted":
            self.posts.append((self.clock.now(), text))
        return outcome


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "texts.jsonl"
    path.write_text("".join(json.dumps({"prompt": "", "text": text}) + "\n" for text in TEXTS))
    return path


def configured(pool: Path, **values: Any) -> BotConfig:
    schedule = ScheduleConfig(interval_minutes=60, jitter_minutes=5)
    return BotConfig(state_dir=str(pool.parent / "bot"), texts=str(pool), post=True, schedule=schedule).model_copy(
        update=values
    )


def started(config: BotConfig, clock: FakeClock, x: FakeX | None) -> Bot:
    Path(config.state_dir).mkdir(exist_ok=True)
    return Bot(config, x, clock, random.Random(1))


def journal_of(pool: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (pool.parent / "bot" / JOURNAL).read_text().splitlines()]


def test_the_pool_is_posted_once_on_schedule(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    x = FakeX(clock)
    started(configured(pool), clock, x).run()
    assert [text for _, text in x.posts] == TEXTS
    times = [time for time, _ in x.posts]
    assert times[0] == NOON
    assert all(timedelta(minutes=55) <= b - a <= timedelta(minutes=65) for a, b in pairwise(times))
    assert "no other text is left" in capsys.readouterr().out
    assert [entry["event"] for entry in journal_of(pool)] == ["intent", "posted"] * 4
    started(configured(pool), clock, x).run()
    assert len(x.calls) == 4


def test_a_new_start_keeps_the_interval_and_quiet_hours_are_kept(pool: Path) -> None:
    clock = FakeClock()
    x = FakeX(clock)
    started(configured(pool, most_posts=1), clock, x).run()
    started(configured(pool, most_posts=1), clock, x).run()
    assert x.posts[1][0] - x.posts[0][0] >= timedelta(minutes=55)
    clock.time = NOON + timedelta(hours=11, minutes=29)  # 23:29
    started(configured(pool, most_posts=2), clock, x).run()
    assert x.posts[2][0] == NOON + timedelta(hours=11, minutes=29)
    assert NOON + timedelta(hours=18.5) <= x.posts[3][0] <= NOON + timedelta(hours=18.5, minutes=5)


def test_once_posts_now_but_not_in_quiet_hours(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    x = FakeX(clock)
    for _ in range(2):
        started(configured(pool, once=True), clock, x).run()
    assert x.posts == [(NOON, TEXTS[0]), (NOON, TEXTS[1])]
    clock.time = NOON + timedelta(hours=12)
    started(configured(pool, once=True), clock, x).run()
    assert len(x.calls) == 2
    assert "quiet hours until 2026-07-02 06:30:00 JST; nothing was posted" in capsys.readouterr().out


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_kill_between_intent_and_answer_never_posts_twice(
    pool: Path, when: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The process ends inside of the call to X, before or after X took the post."""
    code = f"""
import os, random, sys
from pathlib import Path
from jp_llm.bot.clock import SystemClock
from jp_llm.bot.config import BotConfig, ScheduleConfig
from jp_llm.bot.run import Bot
class X:
    def post(self, text):
        if {when == "after"}:
            Path({str(pool.parent / "on_x")!r}).write_text(text)
        os._exit(9)
folder = {str(pool.parent / "bot")!r}
os.mkdir(folder)
config = BotConfig(state_dir=folder, texts={str(pool)!r}, schedule=ScheduleConfig(quiet_hours=None))
Bot(config, X(), SystemClock(), random.Random(1)).run()
"""
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, check=False
    )
    assert result.returncode == 9
    assert (pool.parent / "on_x").exists() == (when == "after")
    (intent,) = journal_of(pool)
    clock = FakeClock()
    clock.time = datetime.fromisoformat(intent["time"]) + timedelta(minutes=1)
    x = FakeX(clock)
    schedule = ScheduleConfig(quiet_hours=None, interval_minutes=60, jitter_minutes=5)
    started(configured(pool, schedule=schedule), clock, x).run()
    assert [text for _, text in x.posts] == TEXTS[1:]
    assert x.posts[0][0] >= datetime.fromisoformat(intent["time"]) + timedelta(minutes=55)
    said = capsys.readouterr().out
    assert f"{TEXTS[0]!r}. Whether it is on X is not known; it will not be posted again" in said
    started(configured(pool), clock, x).run()
    assert "not known" not in capsys.readouterr().out
    assert len(x.calls) == 3


@pytest.mark.parametrize("change", [{"with_prompt": False}, {"most_weight": 20}, {"shorten": False}])
@pytest.mark.parametrize("first", [Outcome("posted", number="1"), Outcome("unknown"), Outcome("not_sent")])
def test_another_part_of_a_text_is_the_same_text(pool: Path, change: dict[str, Any], first: Outcome) -> None:
    long = "とても長い文。" * 20
    pool.write_text(json.dumps({"prompt": "昔々、", "text": f"猫がいた。{long}"}) + "\n")
    clock = FakeClock()
    x = FakeX(clock, first)
    with contextlib.suppress(UserError):
        started(configured(pool, most_failures=1), clock, x).run()
    assert len(x.calls) == 1
    started(configured(pool, **{"most_weight": 300, **change}), clock, x).run()
    assert len(x.calls) == (2 if first.answer == "not_sent" else 1)


def test_an_intent_that_was_half_written_is_posted(pool: Path) -> None:
    """X cannot have heard of it, because the intent is on disk first."""
    clock = FakeClock()
    x = FakeX(clock)
    started(configured(pool, most_posts=1), clock, x).run()
    path = pool.parent / "bot" / JOURNAL
    with path.open("ab") as file:
        file.write(b'{"event": "intent", "key": "')
    started(configured(pool), clock, x).run()
    assert [text for _, text in x.posts] == TEXTS
    assert len(journal_of(pool)) == 8


def test_a_damaged_journal_is_no_empty_one(pool: Path) -> None:
    clock = FakeClock()
    started(configured(pool, most_posts=2), clock, FakeX(clock)).run()
    path = pool.parent / "bot" / JOURNAL
    whole = path.read_text()
    for field in ("key", "event", "time", "text"):
        path.write_text(whole.replace(f'"{field}"', '"no"', 1))
        with pytest.raises(UserError, match=r"journal\.jsonl: line 1 is damaged"):
            started(configured(pool), clock, FakeX(clock))


def test_a_damaged_line_of_rejected_texts_may_be_deleted(pool: Path) -> None:
    clock = FakeClock()
    started(configured(pool), clock, FakeX(clock))
    (pool.parent / "bot" / REJECTED).write_text("{\n")
    with pytest.raises(UserError, match=r"rejected\.jsonl: line 1 is damaged; delete it"):
        started(configured(pool), clock, FakeX(clock))


def test_a_last_post_that_is_to_come_counts_as_now(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    clock.time = NOON + timedelta(days=1000)
    started(configured(pool, most_posts=1), clock, FakeX(clock)).run()
    clock.time = NOON
    x = FakeX(clock)
    started(configured(pool, most_posts=1), clock, x).run()
    assert timedelta(minutes=55) <= x.posts[0][0] - NOON <= timedelta(minutes=65)
    assert "which is to come; it counts as posted now" in capsys.readouterr().out


def test_rate_limits_and_lost_connections_try_the_same_text_again(pool: Path) -> None:
    clock = FakeClock()
    limit = Outcome("not_sent", problem="TooManyRequests", retry_at=NOON + timedelta(hours=3))
    x = FakeX(clock, Outcome("not_sent", problem="no route"), Outcome("not_sent", problem="no route"), limit)
    started(configured(pool, most_posts=1), clock, x).run()
    assert x.calls == [TEXTS[0]] * 4
    assert x.posts == [(NOON + timedelta(hours=3), TEXTS[0])]


def test_a_retry_waits_for_the_end_of_the_quiet_hours(pool: Path) -> None:
    clock = FakeClock()
    x = FakeX(clock, Outcome("not_sent", problem="limit", retry_at=NOON + timedelta(hours=13)))
    started(configured(pool, most_posts=1), clock, x).run()
    assert x.posts == [(NOON + timedelta(hours=18.5), TEXTS[0])]


def test_what_may_be_on_x_is_not_posted_again(pool: Path) -> None:
    clock = FakeClock()
    x = FakeX(clock, Outcome("unknown", problem="ReadTimeout"), Outcome("refused", problem="duplicate"))
    started(configured(pool), clock, x).run()
    assert x.calls == TEXTS
    assert [text for _, text in x.posts] == TEXTS[2:]
    assert x.posts[0][0] - NOON >= timedelta(minutes=55)
    started(configured(pool), clock, x).run()
    assert len(x.calls) == 4


@pytest.mark.parametrize(
    ("outcome", "calls", "code"),
    [
        (Outcome("not_sent", problem="no route"), 8, ExitCode.UNEXPECTED),
        (Outcome("not_sent", problem="bad credentials", is_final=True), 1, ExitCode.PREFLIGHT_REFUSED),
        (Outcome("refused", problem="text is bad"), 3, ExitCode.PREFLIGHT_REFUSED),
    ],
)
def test_a_bot_gives_up_in_words(pool: Path, outcome: Outcome, calls: int, code: ExitCode) -> None:
    clock = FakeClock()
    x = FakeX(clock, *[outcome] * 20)
    with pytest.raises(UserError, match=f"gave up after {calls} .*, the last one: {outcome.problem}") as caught:
        started(configured(pool), clock, x).run()
    assert len(x.calls) == calls
    assert caught.value.code == code
    if outcome.answer == "not_sent":
        x.outcomes = []
        started(configured(pool, most_posts=1), clock, x).run()
        assert x.posts[0][1] == TEXTS[0]


def test_rejected_texts_are_logged_once_with_the_reason(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pool.open("a") as file:
        file.write(json.dumps({"text": "あ" * 150}) + "\n" + json.dumps({"text": "@neko 見て"}) + "\n")
    clock = FakeClock()
    x = FakeX(clock)
    for _ in range(2):
        started(configured(pool), clock, x).run()
    assert len(x.calls) == 4
    lines = [json.loads(line) for line in (pool.parent / "bot" / REJECTED).read_text().splitlines()]
    assert [line["reason"] for line in lines] == ["too long: it weighs 300 of 280", "names an account: @neko"]
    assert capsys.readouterr().out.count("rejected, too long") == 1


def test_a_pool_that_grows_is_read_on(pool: Path) -> None:
    clock = FakeClock()
    x = FakeX(clock)
    bot = started(configured(pool, most_posts=5), clock, x)
    taken = x.post

    def post(text: str) -> Outcome:
        if len(x.calls) == 3:
            with pool.open("a") as file:
                file.write(json.dumps({"prompt": "それは", "text": "五つ目。"}) + '\n{"text": "六つ')
        return taken(text)

    x.post = post  # type: ignore[method-assign]
    bot.run()
    assert [text for _, text in x.posts] == [*TEXTS, "それは五つ目。"]


def test_a_real_signal_lets_the_post_under_way_be_written_down(pool: Path) -> None:
    """SIGTERM while X takes its time over the first of four posts."""
    code = f"""
import sys
from jp_llm.bot import run as module
from jp_llm.bot.config import BotConfig, ScheduleConfig
from jp_llm.bot.poster import Outcome
class X:
    def post(self, text):
        print("posting", flush=True)
        sys.stdin.readline()
        return Outcome("posted", number="1")
module.XPoster = X
schedule = ScheduleConfig(quiet_hours=None)
module.run(BotConfig(state_dir={str(pool.parent / "bot")!r}, texts={str(pool)!r}, post=True, schedule=schedule))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as bot:
        try:
            assert bot.stdout is not None
            while bot.stdout.readline() != "posting\n":
                assert bot.poll() is None
            bot.send_signal(signal.SIGTERM)
            said, _ = bot.communicate("\n", timeout=60)
        finally:
            bot.kill()
    assert said.endswith("asked to end\n")
    assert bot.returncode == 0
    assert [entry["event"] for entry in journal_of(pool)] == ["intent", "posted"]


def test_a_signal_ends_the_wait(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    clock.waits_left = 0
    x = FakeX(clock)
    started(configured(pool), clock, x).run()
    assert len(x.posts) == 1
    assert capsys.readouterr().out.endswith("asked to end\n")


def test_without_post_nothing_is_posted_or_written(pool: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pool.open("a") as file:
        file.write(json.dumps({"text": "@neko"}) + "\n")
    run(configured(pool, post=False, schedule=ScheduleConfig(quiet_hours=None)))
    said = capsys.readouterr().out
    assert said.count("rejected, names an account") == 1
    assert said.count("would post (weight 12)") == 4
    assert "post=true posts" in said
    assert not (pool.parent / "bot").exists()


def test_the_words_of_the_door(pool: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in CREDENTIALS.values():
        monkeypatch.delenv(name, raising=False)
    words = [f"texts={pool}", f"state_dir={pool.parent / 'bot'}", "schedule.quiet_hours=02:00-06:30", "most_posts=2"]
    words += ["schedule.time_zone=Europe/Paris", "limits.longest_run=30", "with_prompt=false"]
    assert run_door("bot", BotConfig, run, words) == ExitCode.DONE
    assert capsys.readouterr().out.count("would post") == 2
    assert run_door("bot", BotConfig, run, [*words, "post=true"]) == ExitCode.PREFLIGHT_REFUSED
    said = capsys.readouterr().err
    assert all(name in said for name in CREDENTIALS.values())
    assert run_door("bot", BotConfig, run, [f"texts={pool}.no", "state_dir=b"]) == ExitCode.PREFLIGHT_REFUSED
    assert "cannot be read" in capsys.readouterr().err


def test_live_texts_are_generated_until_one_passes(
    pool: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = iter([Candidate("", text) for text in ["あ" * 200, "", "よい文。", "次の文。"] + ["あ" * 200] * 600])
    monkeypatch.setattr(module, "candidates", lambda _config: texts)
    clock = FakeClock()
    x = FakeX(clock)
    with pytest.raises(UserError, match=r"500 texts in a row were rejected \(500 x too long\)"):
        started(configured(pool, texts="", model="models/first"), clock, x).run()
    assert [text for _, text in x.posts] == ["よい文。", "次の文。"]


@pytest.mark.parametrize("post", [True, False])
def test_a_model_that_repeats_itself_ends_the_bot(pool: Path, monkeypatch: pytest.MonkeyPatch, post: bool) -> None:
    monkeypatch.setattr(module, "candidates", lambda _config: iter([Candidate("", "同じ文。")] * 1000))
    clock = FakeClock()
    bot = started(configured(pool, texts="", model="models/first"), clock, FakeX(clock) if post else None)
    with pytest.raises(UserError, match=r"500 texts in a row were rejected \(500 x posted or shown before\)"):
        bot.run()


def test_only_one_bot_works_in_a_folder(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "XPoster", lambda: FakeX(FakeClock()))
    config = configured(pool)
    with locked(Path(config.state_dir)), pytest.raises(UserError, match="another run is working"):
        run(config)


def test_the_journal_is_on_disk_before_x_hears_of_a_text(pool: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    synced = os.fsync
    monkeypatch.setattr("jp_llm.bot.journal.os.fsync", lambda descriptor: (order.append("disk"), synced(descriptor))[1])
    clock = FakeClock()
    x = FakeX(clock)
    taken = x.post
    x.post = lambda text: (order.append("x"), taken(text))[1]  # type: ignore[method-assign]
    started(configured(pool, most_posts=1), clock, x).run()
    assert order[0] == "disk"
    assert order[-2:] == ["x", "disk"]
    assert Journal(Path(configured(pool).state_dir)).is_spent(TEXTS[0], TEXTS[0])

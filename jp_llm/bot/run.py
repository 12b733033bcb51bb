"""`launch/bot.py`: take a text, check it, wait until it is due, write the intent down, post, write the answer down."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import datetime, timedelta
from pathlib import Path

from jp_llm.bot.checks import Checks
from jp_llm.bot.clock import Clock, SystemClock
from jp_llm.bot.config import BotConfig
from jp_llm.bot.journal import JOURNAL, Journal
from jp_llm.bot.length import weight
from jp_llm.bot.poster import Outcome, Poster, XPoster
from jp_llm.bot.schedule import end_of_quiet, next_post, shown
from jp_llm.bot.source import Candidate, candidates
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.runtime.lock import locked

_SHOWN = 10
"""Posts that are shown without post=true where no number is given."""
_MOST_REJECTED = 500
"""Texts of a model that are rejected, or were posted before, in a row before the bot gives up."""
_MOST_REFUSED = 3
"""Texts that X refuses in a row before the bot gives up: then it is hardly about the texts."""
_LONGEST_WAIT_MINUTES = 60.0
"""After the first failure a bot waits for one minute, then twice as long each time, up to this."""


def run(config: BotConfig) -> None:
    """Post as configured, or show what would be posted.

    Raises:
        UserError: something that the bot needs is missing, another one works in state_dir, or it gave up.
    """
    clock = SystemClock()
    folder = Path(config.state_dir).expanduser()
    poster = XPoster() if config.post else None
    with locked(folder) if config.post else nullcontext(), clock.listening():
        Bot(config, poster, clock, random.Random()).run()


class Bot:
    """One account's bot.

    Args:
        poster: None only shows what would be posted, and writes nothing.
    """

    def __init__(self, config: BotConfig, poster: Poster | None, clock: Clock, generator: random.Random) -> None:
        self._config = config
        self._poster = poster
        self._clock = clock
        self._generator = generator
        self._checks = Checks(config)
        self._journal = Journal(Path(config.state_dir).expanduser())
        self._texts: Iterator[Candidate] = candidates(config)
        self._failures = self._refused = 0
        self._shown: set[str] = set()
        self._rejected: set[tuple[str, str]] = set()

    def run(self) -> None:
        """Until the pool is used up, enough is posted, or a signal comes.

        Raises:
            UserError: the bot gave up.
        """
        self._settle()
        if self._poster is None:
            self._show()
            return
        posted = 0
        most = 1 if self._config.once else self._config.most_posts
        while most is None or posted < most:
            if self._config.once and (end := end_of_quiet(self._clock.now(), self._config.schedule)) is not None:
                print(f"quiet hours until {self._time(end)}; nothing was posted")
                return
            if (found := self._next_text()) is None:
                print(self._why_no_text())
                return
            due = next_post(
                self._journal.last_post,
                self._clock.now(),
                self._config.schedule,
                self._generator,
                at_once=self._config.once,
            )
            if due > self._clock.now():
                print(f"next post at {self._time(due)}", flush=True)
            outcome = self._post(*found, due)
            if outcome is None:
                print("asked to end")
                return
            posted += outcome.answer in ("posted", "unknown")

    def _settle(self) -> None:
        """Say once what a crash left unanswered, it counts as posted; and what a wrong clock wrote."""
        if (last := self._journal.last_post) is not None and last > self._clock.now():
            print(
                f"the last post is noted at {self._time(last)}, which is to come; it counts as posted now", flush=True
            )
        for item in self._journal.unanswered:
            print(
                f"the bot ended while it posted, at {self._time(item.time)}: {item.text!r}. Whether it is on X is not "
                "known; it will not be posted again",
                flush=True,
            )
            if self._poster is not None:
                self._journal.answer(item.text, "unknown", item.time, problem="the bot ended while it posted")

    def _next_text(self) -> tuple[str, str] | None:
        """The next text that passes the checks, as it is posted and as it was written; None at the end of the pool,
        which may have grown meanwhile."""
        found = self._following()
        if found is None and self._config.texts:
            self._texts = candidates(self._config)
            found = self._following()
        return found

    def _following(self) -> tuple[str, str] | None:
        reasons: Counter[str] = Counter()
        for candidate in self._texts:
            if self._is_asked_to_end():
                return None
            text = self._checks.prepared(candidate)
            if text in self._shown or self._journal.is_spent(text, candidate.written):
                reasons["posted or shown before"] += 1
            elif (reason := self._checks.reason(text)) is None:
                return text, candidate.written
            else:
                self._reject(text, reason)
                reasons[reason.partition(":")[0]] += 1
            if self._config.model and reasons.total() >= _MOST_REJECTED:
                often = "; ".join(f"{count} x {words}" for words, count in reasons.most_common(3))
                raise UserError(f"{reasons.total()} texts in a row were rejected ({often})")
        return None

    def _why_no_text(self) -> str:
        return "asked to end" if self._is_asked_to_end() else f"{self._config.texts}: no other text is left"

    def _is_asked_to_end(self) -> bool:
        return not self._clock.wait_until(self._clock.now())

    def _reject(self, text: str, reason: str) -> None:
        is_new = (text, reason) not in self._rejected
        self._rejected.add((text, reason))
        if is_new and (self._poster is None or self._journal.reject(text, reason, self._clock.now())):
            print(f"rejected, {reason}: {text!r}", flush=True)

    def _post(self, text: str, written: str, due: datetime) -> Outcome | None:
        """Post one text, which is tried again only while X cannot have seen it; None if the bot is asked to end."""
        assert self._poster is not None
        while self._clock.wait_until(due):
            if (end := end_of_quiet(self._clock.now(), self._config.schedule)) is not None:
                due = end  # a retry, or the machine was suspended
                continue
            self._journal.intend(text, written, self._clock.now())
            outcome = self._poster.post(text)
            details = {"number": outcome.number} if outcome.number else {"problem": outcome.problem}
            self._journal.answer(text, outcome.answer, self._clock.now(), **details)
            self._say(text, outcome)
            if outcome.answer == "posted":
                self._failures = self._refused = 0
                return outcome
            self._failures += 1
            self._refused = self._refused + 1 if outcome.answer == "refused" else 0
            self._give_up_if_hopeless(outcome)
            if outcome.answer != "not_sent":
                return outcome
            due = self._retry_at(outcome)
            print(f"next attempt at {self._time(due)}", flush=True)
        return None

    def _give_up_if_hopeless(self, outcome: Outcome) -> None:
        restart_helps = not outcome.is_final and self._refused < _MOST_REFUSED
        if restart_helps and self._failures < self._config.most_failures:
            return
        raise UserError(
            f"gave up after {self._failures} failures in a row, the last one: {outcome.problem}; {JOURNAL} says what "
            "became of every text",
            code=ExitCode.UNEXPECTED if restart_helps else ExitCode.PREFLIGHT_REFUSED,
        )

    def _retry_at(self, outcome: Outcome) -> datetime:
        due = self._clock.now() + timedelta(minutes=min(_LONGEST_WAIT_MINUTES, 2.0 ** (self._failures - 1)))
        return due if outcome.retry_at is None else max(due, outcome.retry_at)

    def _say(self, text: str, outcome: Outcome) -> None:
        now = self._time(self._clock.now())
        match outcome.answer:
            case "posted":
                print(f"{now} posted as {outcome.number}: {text!r}", flush=True)
            case "refused":
                print(f"{now} X refused it ({outcome.problem}), it will not be tried again: {text!r}", flush=True)
            case "not_sent":
                print(f"{now} not posted: {outcome.problem}", flush=True)
            case _:
                print(
                    f"{now} whether it is on X is not known ({outcome.problem}); it will not be posted again: {text!r}",
                    flush=True,
                )

    def _show(self) -> None:
        most = 1 if self._config.once else self._config.most_posts or _SHOWN
        last, now = self._journal.last_post, self._clock.now()
        for _ in range(most):
            if (found := self._next_text()) is None:
                print(self._why_no_text())
                break
            text, _ = found
            self._shown.add(text)
            last = now = next_post(last, now, self._config.schedule, self._generator, at_once=self._config.once)
            print(f"{self._time(now)} would post (weight {weight(text)}): {text!r}", flush=True)
        print("nothing was posted or written; post=true posts")

    def _time(self, moment: datetime) -> str:
        return shown(moment, self._config.schedule)

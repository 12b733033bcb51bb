"""What `launch/bot.py` reads (`configs/bot.yaml`). Loads no torch."""

import re
from datetime import time
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from jp_llm.bot.length import MOST
from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.generate.config import SamplingConfig
from jp_llm.near_copies.verdict import NearCopyLimits

_QUIET = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)-([01]?\d|2[0-3]):([0-5]\d)")


class ScheduleConfig(Section):
    """When a bot posts."""

    interval_minutes: PositiveFloat = 180.0
    """From one post to the next; a bot that is started again counts from its last post."""
    jitter_minutes: NonNegativeFloat = 20.0
    """Every interval is longer or shorter by up to this much, at random."""
    quiet_hours: str | None = "23:30-06:30"
    """No posts in these hours, as HH:MM-HH:MM; null posts at all hours."""
    time_zone: str = "Asia/Tokyo"
    """Of quiet_hours and of the times that are printed."""

    @property
    def quiet(self) -> tuple[time, time] | None:
        """Beginning and end of the quiet hours."""
        found = _QUIET.fullmatch(self.quiet_hours) if self.quiet_hours is not None else None
        if found is None:
            return None
        hours = list(map(int, found.groups()))
        return time(hours[0], hours[1]), time(hours[2], hours[3])

    def problems(self) -> list[str]:
        found = []
        if self.jitter_minutes >= self.interval_minutes:
            found.append(f"jitter_minutes: {self.jitter_minutes:g} must be less than interval_minutes")
        if self.quiet_hours is not None and self.quiet is None:
            found.append(f"quiet_hours: {self.quiet_hours!r} is not HH:MM-HH:MM, e.g. 23:30-06:30")
        elif self.quiet is not None and self.quiet[0] == self.quiet[1]:
            found.append("quiet_hours: begin when they end; write null to post at all hours")
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            found.append(
                f"time_zone: {self.time_zone!r} is not known; write one like Asia/Tokyo (where even that is not known, "
                "pip install tzdata)"
            )
        return found


class BotConfig(Section):
    """Texts in, posts on X out; without post=true it only shows what it would post."""

    state_dir: str = ""
    """Folder of this bot: what it posted and rejected, so that nothing is posted twice. One for every account."""
    texts: str = ""
    """Pool: a .jsonl file as launch/generate.py or launch/find_near_copies.py writes it. Lines may be added while the
    bot runs."""
    model: str = ""
    """Generate live instead: a Hugging Face folder, a run folder or a step_N folder."""
    prompts: OneOrSeveral = ("",)
    """Beginnings of texts that are generated live; one is drawn for each."""
    sampling: SamplingConfig = SamplingConfig()
    """Of texts that are generated live; every start draws another seed."""
    with_prompt: bool = True
    """Post the prompt with its text; false posts what comes after it."""
    post: bool = False
    """Post really. The credentials are read from X_CONSUMER_KEY, X_CONSUMER_SECRET, X_ACCESS_TOKEN and
    X_ACCESS_TOKEN_SECRET."""
    once: bool = False
    """One post now, then end, for cron; not in quiet hours."""
    most_posts: PositiveInt | None = None
    """End after this many posts; null goes on until the pool is used up (without post=true: 10)."""
    schedule: ScheduleConfig = ScheduleConfig()
    index: OneOrSeveral = ()
    """Indexes of the training text (launch/index_near_copies.py): near copies are not posted."""
    limits: NearCopyLimits = NearCopyLimits()
    words_file: str | None = None
    """Texts that hold one of these words are not posted: UTF-8, one per line; # begins a comment."""
    allow_links: bool = False
    """Post texts with links."""
    allow_mentions: bool = False
    """Post texts that name accounts (@name). X forbids automated mentions of people who did not ask for them."""
    most_weight: PositiveInt = Field(default=MOST, le=25_000)
    """Length that a post may have as X counts it, where a Japanese character weighs 2."""
    shorten: bool = True
    """Shorten what is too long to its last whole sentence that fits; false rejects it."""
    most_failures: PositiveInt = 8
    """Rate limits, network errors and refusals in a row before the bot gives up."""

    def problems(self) -> list[str]:
        found = []
        if not self.state_dir:
            found.append("state_dir: name a folder for what the bot remembers, e.g. state_dir=bots/first")
        if bool(self.texts) == bool(self.model):
            found.append("texts, model: name one of them, a pool of texts or a model that writes them")
        if not self.prompts:
            found.append('prompts: name some, or [""] to begin texts without')
        return found

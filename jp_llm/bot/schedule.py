"""When the next post is due."""

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from jp_llm.bot.config import ScheduleConfig


def next_post(
    last: datetime | None, now: datetime, schedule: ScheduleConfig, generator: random.Random, *, at_once: bool = False
) -> datetime:
    """When to post: an interval after `last` (now, if there is none or it is longer ago), outside of the quiet hours.

    Args:
        last: time of the last post; one that is to come (the clock was wrong) counts as now.
        now: with a time zone, as all times here.
        at_once: whatever the interval is.
    """
    due = now
    if last is not None and not at_once:
        jitter = generator.uniform(-schedule.jitter_minutes, schedule.jitter_minutes)
        due = max(now, min(last, now) + timedelta(minutes=schedule.interval_minutes + jitter))
    end = end_of_quiet(due, schedule)
    if end is None:
        return due
    # Not on the minute, so that the first post of a day has no pattern either.
    return end + timedelta(minutes=generator.uniform(0, schedule.jitter_minutes))


def end_of_quiet(moment: datetime, schedule: ScheduleConfig) -> datetime | None:
    """When the quiet hours end that `moment` is in; None outside of them."""
    if schedule.quiet is None:
        return None
    begin, end = schedule.quiet
    local = moment.astimezone(ZoneInfo(schedule.time_zone))
    clock = local.time().replace(tzinfo=None)
    over_midnight = begin > end
    if not (clock >= begin or clock < end if over_midnight else begin <= clock < end):
        return None
    day = local.date() + timedelta(days=1 if over_midnight and clock >= begin else 0)
    # Where clocks change, an hour comes twice or not at all: the later reading, which is never in the past.
    return max(datetime.combine(day, end.replace(fold=fold), local.tzinfo).astimezone(UTC) for fold in (0, 1))


def shown(moment: datetime, schedule: ScheduleConfig) -> str:
    """A time in words, in the zone of the schedule."""
    return moment.astimezone(ZoneInfo(schedule.time_zone)).strftime("%Y-%m-%d %H:%M:%S %Z")

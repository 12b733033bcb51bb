import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.bot.config import BotConfig, ScheduleConfig
from jp_llm.bot.schedule import end_of_quiet, next_post
from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError

TOKYO = ZoneInfo("Asia/Tokyo")


def tokyo(day: int, hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 7, day, hour, minute, tzinfo=TOKYO)


@pytest.mark.parametrize(
    ("moment", "quiet", "end"),
    [
        (tokyo(1, 23, 29), "23:30-06:30", None),
        (tokyo(1, 23, 30), "23:30-06:30", tokyo(2, 6, 30)),
        (tokyo(2, 0), "23:30-06:30", tokyo(2, 6, 30)),
        (tokyo(2, 6, 30), "23:30-06:30", None),
        (tokyo(2, 12), "12:00-13:00", tokyo(2, 13)),
        (tokyo(2, 13), "12:00-13:00", None),
        (tokyo(2, 3), None, None),
        (datetime(2026, 7, 1, 15, tzinfo=UTC), "23:30-06:30", tokyo(2, 6, 30)),  # midnight in Tokyo
    ],
)
def test_quiet_hours_are_those_of_the_time_zone(moment: datetime, quiet: str | None, end: datetime | None) -> None:
    assert end_of_quiet(moment, ScheduleConfig(quiet_hours=quiet)) == end


def test_quiet_hours_end_once_where_an_hour_comes_twice() -> None:
    london = ScheduleConfig(quiet_hours="23:30-01:30", time_zone="Europe/London")
    for minute in (10, 70):
        moment = datetime(2026, 10, 25, tzinfo=UTC) + timedelta(minutes=minute)
        assert end_of_quiet(moment, london) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


@given(
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC))
    | st.datetimes(
        datetime(2026, 3, 28, 23), datetime(2026, 3, 29, 2), timezones=st.just(UTC)
    )  # London's clocks change
    | st.datetimes(datetime(2026, 10, 24, 23), datetime(2026, 10, 25, 2), timezones=st.just(UTC)),
    st.none() | st.floats(-3000, 3000),
    st.sampled_from([None, "23:30-06:30", "00:00-12:00", "09:00-09:30", "23:30-01:30"]),
    st.sampled_from(["Asia/Tokyo", "America/New_York", "Europe/London"]),
    st.integers(),
)
def test_no_post_is_early_or_in_quiet_hours(
    now: datetime, minutes_ago: float | None, quiet: str | None, zone: str, seed: int
) -> None:
    schedule = ScheduleConfig(interval_minutes=60, jitter_minutes=10, quiet_hours=quiet, time_zone=zone)
    last = None if minutes_ago is None else now - timedelta(minutes=minutes_ago)
    due = next_post(last, now, schedule, random.Random(seed))
    assert due >= now
    end = end_of_quiet(now, schedule)
    assert end is None or end > now
    assert end_of_quiet(due, schedule) is None
    if last is not None:
        last = min(last, now)
        assert due >= last + timedelta(minutes=50)
        if quiet is None:
            assert due <= max(now, last + timedelta(minutes=70))
    elif end is None:
        assert due == now


def test_all_that_is_wrong_with_the_words_is_said_at_once() -> None:
    schedule = {"quiet_hours": "25:00-06:00", "time_zone": "Asia/Atlantis", "jitter_minutes": 180}
    with pytest.raises(UserError) as caught:
        build(BotConfig, {"schedule": schedule, "texts": "a.jsonl", "model": "b", "prompts": []})
    keys = {problem.partition(":")[0] for problem in caught.value.problems}
    assert keys == {
        "state_dir",
        "texts, model",
        "prompts",
        "schedule.quiet_hours",
        "schedule.time_zone",
        "schedule.jitter_minutes",
    }

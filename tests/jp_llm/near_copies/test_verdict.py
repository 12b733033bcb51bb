from dataclasses import replace

import pytest

from jp_llm.near_copies.index import Match
from jp_llm.near_copies.verdict import NearCopyLimits, verdict

MATCH = Match(100, 23, "どこで生れたか", "猫", 0.24, 24, 3, "坊っちゃん", "親譲りの")
LIMITS = NearCopyLimits(longest_run=24, containment=0.25, shared_grams=20)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, None),
        ({"longest_run": 24}, "a run of 24 characters is in 猫 (rejected from 24): どこで生れたか"),
        (
            {"containment": 0.25},
            "25% of its 4-character grams (24) are in one passage of 坊っちゃん (rejected from 25%): 親譲りの",
        ),
        ({"containment": 0.9, "shared_grams": 19}, None),
    ],
)
def test_each_limit_rejects_by_itself_and_says_why(change: dict[str, float], words: str | None) -> None:
    assert verdict(replace(MATCH, **change), LIMITS) == words

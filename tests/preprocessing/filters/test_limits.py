"""Limits that nothing could pass, that make no sense, or that check nothing."""

import pytest

from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError
from preprocessing.config import SourceConfig


def problems(*steps: dict[str, object]) -> tuple[str, ...]:
    try:
        build(SourceConfig, {"reader": {"type": "text"}, "paths": ["a.txt"], "steps": list(steps)})
    except UserError as error:
        return tuple(error.problems)
    return ()


@pytest.mark.parametrize(
    ("step", "problem"),
    [
        ({"type": "repetition", "frequent_ngrams": {"-3": 0.5}}, "steps.0.frequent_ngrams"),
        ({"type": "repetition", "duplicate_ngrams": {0: 0.1}}, "steps.0.duplicate_ngrams"),
        ({"type": "repetition", "frequent_ngrams": {2: 2}}, "steps.0.frequent_ngrams"),
        ({"type": "swallow", "frequent_ngrams": {"-3": 5}}, "steps.0.frequent_ngrams"),
        ({"type": "swallow", "minimum_mean_sentence": 90, "maximum_mean_sentence": 10}, "below minimum_mean_sentence"),
        ({"type": "compression", "minimum": 0.8, "maximum": 0.3}, "steps.0.maximum: 0.3 is below minimum 0.8"),
        ({"type": "sentences", "minimum_mean": 90, "maximum_mean": 10}, "maximum_mean: 10.0 is below minimum_mean"),
        ({"type": "length", "minimum": 90, "maximum": 10}, "maximum: 10 is below minimum 90"),
        ({"type": "sentences"}, "steps.0.minimum_mean: set at least one of minimum_mean, "),
        ({"type": "layout"}, "steps.0.maximum_short: set at least one of maximum_short, "),
        ({"type": "repetition"}, "steps.0.maximum_duplicate_lines: set at least one of "),
        ({"type": "script"}, "steps.0.kana_within: set at least one of "),
    ],
)
def test_limits_are_checked(step, problem):
    assert any(problem in found for found in problems(step)), problems(step)


def test_limits_of_any_size_are_taken():
    assert problems({"type": "repetition", "frequent_ngrams": {"2": 1, 3: 0}}) == ()
    assert problems({"type": "layout", "maximum_short": 0}) == ()
    assert problems({"type": "sentences", "minimum_mean": 10, "maximum_mean": 10}) == ()


@pytest.mark.parametrize(
    ("types", "problem"),
    [
        (["whitespace", "lines"], "lines must stand before whitespace"),
        (["unicode", "tweet_text"], "tweet_text must stand before unicode"),
        (["kutoten", "mojibake"], "mojibake must stand before kutoten"),
    ],
)
def test_steps_that_destroy_what_others_need(types, problem):
    steps = [{"type": name} for name in types]
    assert [problem in found for found in problems(*steps)] == [True]
    assert problems(*reversed(steps)) == ()


def test_spaces_that_stay_do_no_harm_to_lines():
    assert problems({"type": "whitespace", "ideographic_space": "keep"}, {"type": "lines"}) == ()

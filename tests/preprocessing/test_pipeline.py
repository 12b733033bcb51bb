import itertools
import json

from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing import pipeline
from preprocessing.counts import Counts, reasons
from preprocessing.document import Document, Rejected
from preprocessing.filters.length import LengthFilter
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.mappers.whitespace import WhitespaceMapper
from preprocessing.pipeline import cleaned
from preprocessing.report.samples import Samples, key_of


def numbered(number, text="これは十文字の文です"):
    return Document(f"web/file.txt#{number}", text, "web")


def test_every_record_is_accounted_for():
    bad = Rejected("a.txt", None, 7, "encoding", "b'\\x81'")
    records = [document("短い"), bad, document("▁これは 十分に長い文です。 "), document("\u200b\u3000\n")]
    counts, rejects = Counts(), []
    steps = [UnicodeMapper(), WhitespaceMapper(), LengthFilter(minimum=0), LengthFilter(minimum=5)]
    texts = [found.text for found in cleaned(records, steps, counts, rejects.append)]
    assert texts == ["_これは 十分に長い文です。"]
    assert rejects == [bad]
    assert counts.documents_in == 3
    assert counts.rejected == {"encoding": 1}
    assert counts.dropped == {"length.too_short": 2}
    assert counts.changed == {"unicode.sentencepiece_space": 1}


def test_an_empty_text_is_dropped_without_any_filter():
    counts = Counts()
    assert list(cleaned([document(" \n")], [], counts, [].append)) == []
    assert counts.dropped == {"empty": 1}


def test_what_went_into_each_step_and_what_it_took_away():
    records = [
        document("短い"),
        document("\u200bこれは十分に長い文です。"),
        document("最後まで残る▁文です。"),
        document(" "),
    ]
    counts = Counts()
    steps = [LengthFilter(minimum=2), UnicodeMapper(), LengthFilter(minimum=5)]
    assert len(list(cleaned(records, steps, counts, [].append))) == 2
    assert (counts.characters_in, counts.bytes_in) == (27, 3 * 26 + 1)
    assert list(counts.steps) == ["length", "unicode", "length#2", "empty"]
    first, unicode, second, empty = counts.steps.values()
    assert (first.documents_in, first.characters_in, first.dropped) == (4, 27, {"too_short": 1})
    assert (first.dropped_characters, first.dropped_bytes) == ({"too_short": 1}, {"too_short": 1})
    assert (unicode.documents_in, unicode.characters_in, unicode.characters_out) == (3, 26, 25)
    assert (unicode.documents_changed, unicode.characters_removed, unicode.characters_added) == (2, 1, 0)
    assert unicode.changed == {"sentencepiece_space": 1}
    assert (second.documents_in, second.documents_out, second.characters_out) == (3, 2, 23)
    assert second.dropped_bytes == {"too_short": 6}
    assert (empty.documents_in, empty.documents_out) == (2, 2)
    assert counts.dropped_characters == {"length.too_short": 3}


def test_time_is_taken_of_one_document_in_16_but_never_of_a_first_call(monkeypatch):
    clock = itertools.count(step=1000)
    monkeypatch.setattr(pipeline, "perf_counter_ns", lambda: next(clock))
    monkeypatch.setattr(pipeline, "thread_time_ns", lambda: next(clock))
    timed = next(number for number in range(1000) if key_of(f"web/file.txt#{number}") % 16 == 0)
    counts = Counts()
    list(cleaned([numbered(timed), numbered(timed), numbered(0)], [LengthFilter()], counts, [].append))
    assert (counts.steps["length"].timed_nanoseconds, counts.steps["length"].timed_characters) == (1000, 10)
    assert counts.steps["length"].seconds == 3 * 1000 / 1e9
    assert counts.steps["empty"].seconds is None


def test_a_time_in_which_another_process_was_at_work_does_not_count(monkeypatch):
    clock = itertools.count(step=1_000_000)
    monkeypatch.setattr(pipeline, "perf_counter_ns", lambda: next(clock))
    monkeypatch.setattr(pipeline, "thread_time_ns", lambda: 5)
    counts = Counts()
    list(cleaned([numbered(number) for number in range(100)], [LengthFilter()], counts, [].append))
    assert counts.steps["length"].seconds is None


@given(st.lists(st.text("あ亜A \u200b▁\n", max_size=12)), st.integers(1, 5))
def test_the_sum_over_units_is_that_of_the_whole_and_everything_adds_up(texts, size):
    def clean(part):
        counts, samples = Counts(), Samples()
        list(cleaned([numbered(number, texts[number]) for number in part], steps, counts, [].append, samples))
        for step in counts.steps.values():
            step.timed_nanoseconds = step.timed_characters = 0  # which call is the first depends on the unit
        return counts, samples

    steps = [LengthFilter(minimum=1), UnicodeMapper(), WhitespaceMapper(), LengthFilter(minimum=3, maximum=9)]
    whole, samples = clean(range(len(texts)))
    counts, merged = Counts(), Samples()
    for start in range(0, len(texts), size):
        part, found = clean(range(start, min(start + size, len(texts))))
        counts.add(Counts.from_json(json.loads(json.dumps(part.to_json()))))
        merged.add(found)
    if texts:
        assert counts == whole
    assert merged.to_json() == samples.to_json()
    stations = list(whole.steps.values())
    assert stations[0].characters_in == sum(map(len, texts))
    for one, following in itertools.pairwise(stations):
        assert (one.documents_out, one.characters_out) == (following.documents_in, following.characters_in)
    assert whole.dropped.total() == len(texts) - stations[-1].documents_out


def test_counts_add_up_and_come_back_from_json():
    one, other = Counts(documents_in=2, bytes=10), Counts(documents_in=3, cpu_seconds=0.5)
    one.dropped["length.too_short"] += 1
    other.dropped.update({"length.too_short": 2, "empty": 1})
    one.add(other)
    assert (one.documents_in, one.bytes, one.cpu_seconds) == (5, 10, 0.5)
    assert Counts.from_json(one.to_json()) == one
    assert reasons(one.dropped) == "length.too_short 3, empty 1"

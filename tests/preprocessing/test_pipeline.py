from raw import document

from preprocessing.counts import Counts, reasons
from preprocessing.document import Rejected
from preprocessing.filters.length import LengthFilter
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.mappers.whitespace import WhitespaceMapper
from preprocessing.pipeline import cleaned


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


def test_counts_add_up_and_come_back_from_json():
    one, other = Counts(documents_in=2, bytes=10), Counts(documents_in=3, cpu_seconds=0.5)
    one.dropped["length.too_short"] += 1
    other.dropped.update({"length.too_short": 2, "empty": 1})
    one.add(other)
    assert (one.documents_in, one.bytes, one.cpu_seconds) == (5, 10, 0.5)
    assert Counts.from_json(one.to_json()) == one
    assert reasons(one.dropped) == "length.too_short 3, empty 1"

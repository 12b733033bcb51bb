import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.decontaminate.benchmarks import Item
from preprocessing.decontaminate.index import COMMON, LONG, MIDDLE, RUN, BenchmarkIndex
from preprocessing.text.characters import codes_of
from preprocessing.text.keys import near_key

QUESTION = "電車の線路が道路と交わる場所の名前"  # 17 characters
LONG_TEXT = "".join(chr(0x4E00 + number * 7) for number in range(100))


def found(items, text, short=True):
    index = BenchmarkIndex(items)
    return sorted(hit.name for hit in index.hits(codes_of(near_key(text)), short=short))


@given(st.integers(0, 100 - RUN), st.integers(0, 40), st.integers(0, 5))
def test_any_run_of_a_long_item_is_found(first, before, seed):
    rng = random.Random(seed)
    padding = "".join(chr(rng.randint(0x9000, 0x9FFF)) for _ in range(before))
    text = padding + LONG_TEXT[first : first + RUN] + padding
    hits = list(BenchmarkIndex([Item("a", LONG_TEXT)]).hits(codes_of(text), short=False))
    assert [(hit.start, hit.end) for hit in hits] == [(before, before + RUN)]
    assert found([Item("a", LONG_TEXT)], padding + LONG_TEXT[first : first + RUN - 1] + padding) == []


@settings(max_examples=30)
@given(st.text("あいう", min_size=MIDDLE, max_size=LONG - 1), st.text("あいう", max_size=200))
def test_middle_items_are_found_exactly_where_they_stand(key, text):
    assert found([Item("a", key)], text) == (["a"] if key in text else [])


@settings(max_examples=30)
@given(st.text("あいう", min_size=LONG, max_size=60), st.text("あいう", max_size=200))
def test_long_items_are_found_where_a_run_of_them_stands(key, text):
    runs = any(key[place : place + RUN] in text for place in range(len(key) - RUN + 1))
    assert found([Item("a", key)], text) == (["a"] if runs else [])


def test_looks_do_not_hide_an_item():
    text = f"問題：「電車の線路が、道路と\n交わる場所　の名前」は何でしょう。{QUESTION[:9]}"
    assert found([Item("a", f"{QUESTION}？")], text) == ["a"]
    assert found([Item("a", f"{QUESTION}？")], text.replace("線路", "路線")) == []


def test_short_items_need_an_answer_near_by():
    items = [Item("a", "海の水の味は?", ("塩辛い",)), Item("b", "空の色の名は?")]
    assert found(items, "海の水の味は、もちろん塩辛い。空の色の名は青。") == ["a"]
    assert found(items, f"海の水の味は{'何だろうと考えた' * 20}塩辛い") == []
    assert found(items, "海の水の味は、もちろん塩辛い。", short=False) == []


def test_an_answer_near_by_is_noticed():
    index = BenchmarkIndex([Item("a", QUESTION, ("踏切",))])
    for text, answered in ((f"{QUESTION}は踏切です", True), (f"{QUESTION}{'違' * 300}踏切", False)):
        (hit,) = index.hits(codes_of(near_key(text)), short=False)
        assert hit.answered == answered


def test_phrases_of_many_items_are_no_content():
    prompt = "次の文章をよく読んで後に続く問いに日本語で答えてください必要なら計算も行うこと"
    items = [Item(f"{number}", prompt + LONG_TEXT[number * 3 :][:30]) for number in range(COMMON + 2)]
    assert found(items, f"前{prompt}後") == []
    assert "3" in found(items, LONG_TEXT[9:][:30] + "前" + prompt + LONG_TEXT[9:][:30])


def test_hostile_text_is_read_in_linear_time():
    """An anchor that repeats a million times."""
    items = [Item("a", "あ" * 20), Item("b", "あ" * 90 + "い")]
    assert found(items, "あ" * 1_000_000) == ["a", "b"]


def test_nothing_to_find():
    assert found([], "文") == []
    assert found([Item("a", "短い")], "短い文") == []


@pytest.mark.parametrize("text", ["", "あ", "あ" * 12])
def test_texts_shorter_than_an_anchor(text):
    assert found([Item("a", "あ" * 13), Item("b", "いろはにほへ", ("と",))], text) == []

"""Spellings."""

from random import Random

from preprocessing.sample.spelling import respell


def spellings(text, count=60):
    return {respell(Random(seed), text) for seed in range(count)}


def test_a_word_is_spelled_in_every_known_way():
    assert spellings("子どもが走る。") == {"子どもが走る。", "子供が走る。", "こどもが走る。"}


def test_a_document_keeps_to_one_spelling():
    for seed in range(30):
        first, _, second = respell(Random(seed), "友だち、友だち").partition("、")
        assert first == second


def test_longer_words_in_kanji_are_not_cut():
    assert spellings("人口が減少した。") == {"人口が減少した。"}
    assert spellings("少し減る。") == {"少し減る。", "すこし減る。"}

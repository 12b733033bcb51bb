"""The language of the corpus as a whole: varied, consistent in style, and near what is usual in Japanese."""

import re
from collections import Counter
from random import Random

import pytest

from preprocessing.sample.compose import compose_long_page, compose_page, compose_work

POLITE = re.compile(r"(です|ます|でした|ました|ません|でしょう|ましょう)$")
PLAIN_PAST = re.compile(r"(?<![まで])(った|いた|れた|した|えた|けた)$")
DEMO_BEGINNINGS = ("昔々、", "日本の首都は", "人工知能とは、", "今日の天気は")


@pytest.fixture(scope="module")
def pages():
    return [compose_page(Random(f"pages/{index}")) for index in range(1200)]


def sentences(text):
    return [sentence for sentence in re.split("[。\n]", re.sub("「[^」]*」", "", text)) if sentence]


def test_sentences_hardly_repeat(pages):
    found = [sentence for page in pages for sentence in sentences(page.text)]
    assert len(found) > 5000
    assert len(set(found)) > 0.85 * len(found)


def test_share_of_hiragana_is_usual(pages):
    for register in {page.register for page in pages}:
        text = "".join(page.text for page in pages if page.register == register)
        assert 0.3 < len(re.findall("[ぁ-ゖ]", text)) / len(text) < 0.7, register


def test_a_document_keeps_to_polite_or_plain_endings(pages):
    mixed = 0
    for page in pages:
        ends = sentences(page.text)
        polite = sum(bool(POLITE.search(end)) for end in ends)
        plain = sum(bool(PLAIN_PAST.search(end)) for end in ends)
        mixed += min(polite, plain) > 0.2 * (polite + plain)
    assert mixed < 0.02 * len(pages)


def test_every_register_is_drawn(pages):
    assert len({page.register for page in pages}) >= 20


def test_beginnings_that_the_demo_completes_occur(pages):
    lines = [line for page in pages for line in page.text.split("\n")]
    counts = Counter(beginning for line in lines for beginning in DEMO_BEGINNINGS if beginning in line)
    assert all(counts[beginning] >= 4 for beginning in DEMO_BEGINNINGS), counts


def test_pages_have_no_ideographic_spaces_and_no_empty_lines(pages):
    for page in pages:
        assert "\u3000" not in page.text
        assert all(line.strip() for line in page.text.split("\n"))


def test_long_pages_are_long():
    page = compose_long_page(Random(1), 3000)
    assert len(page.text) >= 3000
    assert re.search(r"^2\. ", page.text, re.MULTILINE)


def test_works_can_be_written_in_cp932():
    for seed in range(40):
        _, chapters = compose_work(Random(f"work/{seed}"), 3)
        assert len(chapters) == 3
        for chapter in chapters:
            assert chapter.title
            "\n".join((chapter.title, *chapter.lines)).encode("cp932")

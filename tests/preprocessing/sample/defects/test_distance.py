"""The bit-vector distance against the textbook's table."""

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.sample.defects.distance import edit_distance

TEXTS = st.text("あいう。", max_size=90)


def by_table(first, second):
    row = list(range(len(second) + 1))
    for place, character in enumerate(first, 1):
        previous, row[0] = row[0], place
        for other, letter in enumerate(second, 1):
            previous, row[other] = row[other], min(row[other] + 1, row[other - 1] + 1, previous + (character != letter))
    return row[-1]


@given(TEXTS, TEXTS)
def test_it_is_the_least_number_of_edits(first, second):
    assert edit_distance(first, second) == by_table(first, second)


def test_long_texts():
    first = "国境の長いトンネルを抜けると" * 20
    assert edit_distance(first, first.replace("長い", "短い", 7)) == 7
    assert edit_distance(first, "") == len(first)

"""The vectorised rules against the published ones, which `published_rules` spells out with Counters of strings."""

from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_rules import swallow
from raw import document

from jp_llm.texts.streams import decompressed
from preprocessing.archives import members
from preprocessing.document import Document
from preprocessing.filters.swallow import SwallowFilter
from preprocessing.raw_file import RawFile
from preprocessing.readers.aozora import AozoraReader
from preprocessing.sample.grammar import load_registers
from preprocessing.sample.writer import Writer

KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねの"
KANJI = "".join(map(chr, range(0x4E00, 0x5E00)))


def prose(length: int, sentence: int = 40, start: int = 0) -> str:
    """Sentences of one length; every second character is hiragana, and no two 3-grams are equal."""
    letters = [KANA[i % 25] if i % 2 else KANJI[start + i] for i in range(length)]
    return "".join("。" if i % sentence == sentence - 1 else letter for i, letter in enumerate(letters))


def paragraphs(number: int, length: int = 40, end: str = "。", start: int = 0) -> list[str]:
    """Different paragraphs of one sentence each."""
    return [prose(length - len(end), 1000, start + i * length) + end for i in range(number)]


def foreign(length: int) -> str:
    """Sentences without a Japanese letter."""
    return "".join("!" if i % 40 == 39 else chr(0x100 + i) for i in range(length))


def reason(text: str, **fields) -> str | None:
    return SwallowFilter(**{"blank_lines": "count", **fields}).reason(document(text))


# Kept, dropped by one character or line more, and the reason for that.
LIMITS = [
    (prose(400), prose(399), "too_short"),
    # ー is no Japanese letter.
    (prose(400) + "ー" * 30, prose(399) + "ー" * 30, "few_japanese"),
    (prose(400) + foreign(400), prose(400) + foreign(401), "not_japanese"),
    (prose(400, 20), prose(400, 19), "short_sentences"),
    (prose(450, 90), prose(455, 91), "long_sentences"),
    (prose(240, 30) + prose(200, 200, 240), prose(240, 30) + prose(201, 201, 240), "long_sentence"),
    # 2 of 10 sentences and 3 of 14.
    (
        "\n".join(paragraphs(8, 60) + paragraphs(1, end="…", start=900) + paragraphs(1, end="・", start=990)),
        "\n".join(paragraphs(11) + paragraphs(3, end="… ", start=900)),
        "ellipses",
    ),
    # 3 of 10 paragraphs repeat an earlier one, and 4 of 13; they are short, so that their characters do not count.
    (
        "\n".join([*paragraphs(6, 80), *["短い。"] * 4]),
        "\n".join([*paragraphs(8, 60), *["短い。"] * 5]),
        "duplicate_paragraphs",
    ),
    # 20 of 100 characters, and a little more.
    (
        "\n".join([*paragraphs(15), *paragraphs(1) * 3, *paragraphs(2, 40, start=1900)]),
        "\n".join([*paragraphs(15), *paragraphs(1) * 5]),
        "duplicate_paragraphs",
    ),
    # Sentences of paragraphs that are all different.
    (
        "\n".join(f"{a}{b}" for a, b in zip(paragraphs(10), ["また来年。"] * 4 + [""] * 6, strict=True)),
        "\n".join(f"{a}{b}" for a, b in zip(paragraphs(10), ["また来年。"] * 7 + [""] * 3, strict=True)),
        "duplicate_sentences",
    ),
]


@pytest.mark.parametrize(("kept", "dropped", "why"), LIMITS)
def test_at_the_limit_and_beyond(kept, dropped, why):
    assert (reason(kept), swallow(kept)) == (None, True)
    assert (reason(dropped), swallow(dropped)) == (why, False)


def test_kinds_of_letters():
    # 1 of 5 Japanese letters is hiragana; 。 counts as Japanese, too.
    def little(hiragana: int) -> str:
        rng = Random(0)
        letters = [rng.choice(KANA) for _ in range(hiragana)] + [KANJI[i] for i in range(490 - hiragana)]
        rng.shuffle(letters)
        return "".join("".join(letters[i : i + 49]) + "。" for i in range(0, 490, 49))

    assert (reason(little(100)), swallow(little(100))) == (None, True)
    assert (reason(little(99)), swallow(little(99))) == ("little_hiragana", False)

    def much(katakana: int) -> str:
        rng = Random(0)
        letters = [chr(rng.randrange(0x30A1, 0x30FB)) for _ in range(katakana)]
        letters += [rng.choice(KANA) for _ in range(490 - katakana)]
        rng.shuffle(letters)
        return "".join("".join(letters[i : i + 49]) + "。" for i in range(0, 490, 49))

    assert (reason(much(250)), swallow(much(250))) == (None, True)
    assert (reason(much(251)), swallow(much(251))) == ("much_katakana", False)


@pytest.mark.parametrize(("size", "share"), [(2, 0.20), (3, 0.18), (4, 0.16)])
def test_the_most_frequent_ngram(size, share):
    def text(times: int) -> str:
        """A word of `size` characters, each time between others; 600 n-grams in all."""
        word = "のとにを"[:size]
        others = iter(prose(2000, 100000).replace("の", "ぺ").replace("と", "ぽ").replace("に", "ぴ"))
        pieces = [word + next(others) + ("。" if i % 8 == 7 else next(others)) for i in range(times)]
        found = "".join(pieces)
        while len(found) < 600 + size - 1:
            found += "".join(islice(others, 39)) + "。"
        return found[: 600 + size - 1]

    limit = round(600 * share)
    others = {
        "duplicate_ngrams": {},
        "frequent_ngrams": {size: share},
        "maximum_duplicates": 1,
        "minimum_mean_sentence": 1,
    }
    assert reason(text(limit), **others) is None
    assert reason(text(limit + 1), **others) == "frequent_ngram"


@pytest.mark.parametrize(("size", "share"), [(5, 0.15), (6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)])
def test_duplicate_ngrams_are_counted_by_kinds_not_by_occurrences(size, share):
    # A passage of p characters that stands 3 times makes p - size + 1 kinds of n-grams that occur more than once.
    def text(kinds: int) -> str:
        passage = "".join(KANJI[2000 + i] for i in range(kinds + size - 1))
        others = prose(1000, 40)
        return passage + others[:500] + passage + others[500:] + passage

    def different(text: str) -> int:
        return len({text[i : i + size] for i in range(len(text) - size + 1)})

    kinds = next(k for k in range(1, 500) if k / different(text(k)) > share)
    only = {"duplicate_ngrams": {size: share}, "minimum_hiragana": 0, "maximum_sentence": 2000, "maximum_duplicates": 1}
    only |= {"maximum_mean_sentence": 2000, "maximum_duplicate_characters": 1}
    assert reason(text(kinds - 1), **only) is None
    assert reason(text(kinds), **only) == "duplicate_ngrams"
    # Three occurrences of each kind: by occurrences even a third of the kinds is too much.
    assert reason(text(kinds // 2), **only, ngrams="occurrences") == "duplicate_ngrams"


def test_blank_lines_are_paragraphs_as_published_but_not_by_default():
    text = "\n\n".join(paragraphs(20))
    # 19 empty paragraphs, 18 of them copies: 18 of 39.
    assert (reason(text), swallow(text)) == ("duplicate_paragraphs", False)
    assert SwallowFilter().reason(document(text)) is None


def test_where_the_published_code_fails_the_text_is_too_short():
    for text in ("", "あ", "あああ"):
        with pytest.raises((ValueError, IndexError)):
            swallow(text)
        assert reason(text) == SwallowFilter().reason(document(text)) == "too_short"
    assert reason("", minimum_letters=0, minimum_japanese_letters=0) == "too_short"
    marks = {"minimum_letters": 0, "minimum_japanese_letters": 0, "minimum_japanese": 0, "minimum_hiragana": 0}
    assert reason("！？！？！？", **marks) == "too_short"


PIECES = st.sampled_from(
    [
        *paragraphs(3, 30),
        prose(40, 1000, 500),
        prose(90, 45, 700),
        "\n",
        "\n\n",
        "。",
        "……",
        "・\n",
        "！？",
        "ー",
        "テレビ",
        "abc 123 ",
        "、そして",
        "𠮷",
    ]
)


@settings(max_examples=150)
@given(st.lists(PIECES, max_size=30), st.integers(0, 2000), st.sampled_from([20, 39, 91, 180]))
def test_the_same_verdict_as_published_on_any_text(pieces, length, sentence):
    text = prose(length, sentence, 1000) + "".join(pieces)
    try:
        expected = swallow(text)
    except (ValueError, IndexError):
        expected = False
    assert (reason(text) is None) == expected


def test_the_same_verdict_as_published_on_generated_pages():
    registers, rng = list(load_registers().values()), Random(0)
    pages = ["\n".join(line for _ in range(3) for line in Writer(rng.choice(registers), rng).compose().lines)]
    pages += ["\n".join(rng.choices(pages[0].split("\n"), k=rng.randrange(5, 40))) for _ in range(30)]
    verdicts = [reason(page) is None for page in pages]
    assert verdicts == [swallow(page) for page in pages]
    assert len(set(verdicts)) == 2


def test_the_same_verdict_as_published_on_books(real_data):
    verdicts, expected = [], []
    for text in islice(chunks(real_data), 60):
        verdicts.append(reason(text) is None)
        expected.append(swallow(text))
    assert verdicts == expected
    assert len(set(verdicts)) == 2


def chunks(real_data):
    """Pieces of books, up to 4,000 characters of whole lines."""
    path = real_data / "aozora-akutagawa.tar.zst"
    with path.open("rb") as file:
        for member in members(decompressed(file, path.name, max_ratio=1000), path.name):
            if not member.name.endswith(".txt"):
                continue
            raw = RawFile("aozora", path.name, member.name, member.name, member.stream)
            for record in AozoraReader().read(raw):
                if isinstance(record, Document) and len(record.text) > 1000:
                    yield record.text[:4000].rpartition("\n")[0] or record.text[:4000]

import unicodedata

from jp_llm.export.probe_texts import probe_texts


def test_the_same_texts_for_the_same_seed() -> None:
    assert probe_texts(300) == probe_texts(300)
    assert probe_texts(300, seed=1) != probe_texts(300)
    assert probe_texts(500)[:300] == probe_texts(300)


def test_number_and_variety() -> None:
    texts = probe_texts()
    assert len(texts) == 2000
    assert len(set(texts)) > 1980
    assert max(map(len, texts)) >= 4000
    categories = {unicodedata.category(character) for character in "".join(texts)}
    assert categories >= {
        "Lo",
        "Lu",
        "Ll",
        "Lm",
        "Nd",
        "No",
        "So",
        "Sk",
        "Mn",
        "Zs",
        "Zl",
        "Cc",
        "Cf",
        "Co",
        "Pd",
        "Ps",
    }


def test_what_must_be_there_is_there() -> None:
    texts = probe_texts()
    everything = "".join(texts)
    for text in ("", "\n", " ", "　", "<s>", "<0x41>"):
        assert text in texts
    for fragment in ("ｶ", "👨‍👩‍👧‍👦", "\u3099", "\U000e0100", "０", "\r\n", "\t", "\x1b", "https://"):
        assert fragment in everything
    for first, last in ((0x4E00, 0x9FFF), (0x20000, 0x2A6DF), (0xF900, 0xFAD9)):
        assert any(first <= ord(character) <= last for character in everything)


def test_nothing_that_cannot_come_back() -> None:
    everything = "".join(probe_texts())
    assert "▁" not in everything
    assert everything.encode().decode() == everything

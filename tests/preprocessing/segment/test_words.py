import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_tokenizer import texts

from jp_llm.runtime.errors import UserError
from preprocessing.segment.words import WordSplitter, missing, word_splitter

for package in ("fugashi", "sudachipy", "unidic_lite"):
    pytest.importorskip(package, reason=f"{package} is not installed (pip install 'jp-llm[corpus]')")

PROGRAM = """#!{python}
# Words are runs of one kind of character; comments and long lines are refused as the real program refuses them.
import re, sys
for line in sys.stdin.buffer:
    line = line.decode().rstrip("\\n")
    assert line and not line.startswith("# ") and " " not in line and len(line.encode()) <= 4096
    print(" ".join(re.findall("[ぁ-ゖ]+|[ァ-ヶー]+|[一-鿿]+|[０-９]+|.", line)))
"""
TEXT = st.text(max_size=40) | st.text(st.sampled_from("猫はいる。「」 　\t\n\0aA1、ー𠮷が\u3099#"), max_size=60)


@pytest.fixture(scope="module", autouse=True)
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Something that behaves like jumanpp, first in PATH."""
    path = tmp_path_factory.mktemp("bin") / "jumanpp"
    path.write_text(PROGRAM.format(python=sys.executable))
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")
        yield path


@pytest.fixture(params=["mecab", "sudachi_a", "sudachi_c", "jumanpp"], scope="module")
def splitter(request: pytest.FixtureRequest, program: Path) -> WordSplitter:
    return word_splitter(request.param)


def test_words_joined_are_the_text(splitter: WordSplitter) -> None:
    @given(st.lists(TEXT, max_size=5))
    @settings(max_examples=10 if "Juman" in type(splitter).__name__ else 100)
    def check(sentences: list[str]) -> None:
        found = splitter.batch(sentences)
        assert ["".join(words) for words in found] == sentences
        assert all(all(words) for words in found)

    check()


def test_real_words(splitter: WordSplitter) -> None:
    words = splitter.words("東京の　友人は 図書館で2冊の本を読んだ。")
    assert {"の", "は", "本", "を", "。", "　", " "} <= set(words)
    assert splitter.words("") == []


def test_the_modes_of_sudachi() -> None:
    assert word_splitter("sudachi_a").words("国家公務員") == ["国家", "公務", "員"]
    assert word_splitter("sudachi_b").words("国家公務員") == ["国家", "公務員"]
    assert word_splitter("sudachi_c").words("国家公務員") == ["国家公務員"]


def test_what_is_not_whitespace_to_the_analyser_keeps_its_place(splitter: WordSplitter) -> None:
    # MeCab ends a text at NUL, Juman++ takes a line that begins with # for a comment.
    for text in ("猫\0犬\n鳥", "# 見出し", "  ", "a b  c", "ＡAＡ", "\t\t"):
        assert "".join(splitter.words(text)) == text


def test_texts_longer_than_an_analyser_takes(splitter: WordSplitter) -> None:
    line = "".join(text.replace("\n", "") for text in texts(60))
    long = [line, "あ" * 60_000, "a1" * 30_000]
    assert all(len(text.encode()) > 49_149 for text in long)
    found = splitter.batch(long)
    assert ["".join(words) for words in found] == long
    assert len(found[0]) > 5_000


def test_any_number_of_texts_in_order(splitter: WordSplitter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preprocessing.segment.words._BATCH_CHARACTERS", 1000)
    lines = [line for text in texts(20) for line in text.split("\n")]
    assert ["".join(words) for words in splitter.split(iter(lines))] == lines
    assert list(splitter.split([])) == []


def test_loaded_once_per_process() -> None:
    assert word_splitter("mecab") is word_splitter("mecab")


def test_a_program_that_fails_is_named(program: Path) -> None:
    good = program.read_text()
    try:
        program.write_text(f"#!{sys.executable}\nimport sys\nsys.exit('model not found')\n")
        with pytest.raises(UserError, match=r"exit status 1, 0 lines for 1; it said: model not found"):
            word_splitter("jumanpp").words("猫")
        program.write_text(f"#!{sys.executable}\nprint('猫')\nprint('犬')\n")
        with pytest.raises(UserError, match="2 lines for 1"):
            word_splitter("jumanpp").words("猫")
    finally:
        program.write_text(good)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert [missing(name) for name in ("mecab", "sudachi_a", "jumanpp")] == [None] * 3
    assert "known: mecab, sudachi_a" in str(missing("mecap"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no such program in PATH" in str(missing("jumanpp"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert missing("mecab") == "mecab needs fugashi and unidic_lite: pip install 'jp-llm[corpus]'"
    word_splitter.cache_clear()
    with pytest.raises(UserError, match=r"jp-llm\[corpus\]"):
        word_splitter("sudachi_b")

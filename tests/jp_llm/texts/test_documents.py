"""Reading documents, and choosing among them by content."""

import gzip
import hashlib
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from jp_llm.runtime.errors import UserError
from jp_llm.texts.documents import Text, choose, find_files, read_documents

ROWS = [{"id": "a#0", "source": "wiki", "text": "春の朝。\n", "meta": {}}, {"text": "夏\u2028の夜"}]
TEXTS = [Text("wiki", "春の朝。\n"), Text("held", "夏\u2028の夜")]
LINES = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in ROWS).encode()


def two_frames(data: bytes) -> bytes:
    return b"".join(zstandard.ZstdCompressor().compress(part) for part in (data[:30], data[30:]))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("held.jsonl", LINES),
        ("held.jsonl", LINES.removesuffix(b"\n")),
        ("held.jsonl.gz", gzip.compress(LINES, mtime=0)),
        ("held.jsonl.zst", zstandard.ZstdCompressor().compress(LINES)),
        ("held.jsonl.zst", two_frames(LINES)),
    ],
)
def test_records_are_read(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert list(read_documents(tmp_path / name)) == TEXTS


def test_a_plain_text_is_one_document_and_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "novel.txt").write_bytes("\ufeff一\r\n\n二 ".encode())
    assert list(read_documents(tmp_path / "novel.txt")) == [Text("novel", "一\r\n\n二 ")]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.jsonl.zst", zstandard.ZstdCompressor().compress(LINES * 50)[:-9], r"a.jsonl.zst: .*cut off"),
        ("a.jsonl.zst", two_frames(LINES)[:-3], r"a.jsonl.zst: .*cut off"),
        ("a.jsonl.gz", gzip.compress(LINES * 50, mtime=0)[:-9], r"a.jsonl.gz: .*cut off"),
        ("a.jsonl", LINES + b'{"text": ', r"a.jsonl: line 3: not JSON"),
        ("a.jsonl", b'{"body": "x"}\n', r'line 1: no object with a "text"'),
        ("a.jsonl", b'{"text": 3}\n', r"line 1: no object"),
        ("a.jsonl", b'["text"]\n', r"line 1: no object"),
        ("a.jsonl", '{"text": "春"}'.encode("cp932"), r"a.jsonl: line 1: not (UTF-8|JSON)"),
        ("a.txt", "春".encode("cp932"), r"a.txt: not UTF-8"),
    ],
)
def test_damage_is_reported_with_the_file(name: str, data: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(UserError, match=message):
        list(read_documents(tmp_path / name))


def test_a_dataset_folder_means_its_held_out_documents(tmp_path: Path) -> None:
    for name in ("wiki/validation-00001-000", "wiki/train-00000-000", "news/validation-00000-000"):
        path = tmp_path / "documents" / f"{name}.jsonl.zst"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "more.txt").touch()
    found = find_files([tmp_path, tmp_path / "more.txt"])
    assert [path.relative_to(tmp_path).as_posix() for path in found] == [
        "documents/news/validation-00000-000.jsonl.zst",
        "documents/wiki/validation-00001-000.jsonl.zst",
        "more.txt",
    ]


def test_the_training_part_is_named_by_its_word(tmp_path: Path) -> None:
    path = tmp_path / "documents" / "wiki" / "train-00000-000.jsonl.zst"
    path.parent.mkdir(parents=True)
    path.touch()
    assert find_files([tmp_path], "train") == [path]
    with pytest.raises(UserError, match="no held-out documents"):
        find_files([tmp_path])


def test_all_wrong_paths_are_reported_together(tmp_path: Path) -> None:
    (tmp_path / "table.csv").touch()
    with pytest.raises(UserError) as caught:
        find_files([tmp_path, tmp_path / "nowhere.txt", tmp_path / "table.csv"])
    reasons = [problem.split(": ")[1] for problem in caught.value.problems]
    assert [reason[:10] for reason in reasons] == ["no held-ou", "no such fi", "not one of"]


texts = st.lists(st.builds(Text, st.sampled_from("ab"), st.text("あいう", min_size=1, max_size=8)), max_size=30)
limits = st.one_of(st.none(), st.integers(1, 40))


def expected(texts: list[Text], max_documents: int | None, max_characters: int | None) -> list[Text]:
    """The definition: sort by hash, take while it fits."""
    result = []
    for source in sorted({text.source for text in texts}):
        own = sorted(
            (text for text in texts if text.source == source),
            key=lambda text: hashlib.sha256(text.text.encode()).digest(),
        )
        kept: list[Text] = []
        for text in own:
            kept.append(text)
            too_many = max_documents is not None and len(kept) > max_documents
            if too_many or (max_characters is not None and sum(len(each.text) for each in kept) > max_characters):
                if len(kept) > 1:
                    kept.pop()
                break
        result += kept
    return result


@given(texts, limits, limits, st.randoms())
def test_the_choice_follows_from_the_content(
    texts: list[Text], max_documents: int | None, max_characters: int | None, random: object
) -> None:
    unique = list(dict.fromkeys(texts))
    wanted = expected(unique, max_documents, max_characters)
    found = list(choose(unique, max_documents, max_characters))
    assert sorted(found, key=repr) == sorted(wanted, key=repr)
    random.shuffle(unique)  # type: ignore[attr-defined]
    assert set(choose(unique, max_documents, max_characters)) == set(wanted)


@given(texts, st.integers(1, 20), st.integers(0, 20))
def test_a_larger_limit_only_adds(texts: list[Text], small: int, more: int) -> None:
    unique = list(dict.fromkeys(texts))
    assert set(choose(unique, small, None)) <= set(choose(unique, small + more, None))
    assert set(choose(unique, None, small)) <= set(choose(unique, None, small + more))


def test_without_limits_nothing_is_held_back() -> None:
    endless = (Text("a", str(number)) for number in range(10**9))
    chosen = choose(endless, None, None)
    assert [next(chosen).text for _ in range(3)] == ["0", "1", "2"]

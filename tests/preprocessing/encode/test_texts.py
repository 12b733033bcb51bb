import gzip
from pathlib import Path

import pytest
import zstandard
from small_tokenizer import write_documents

from jp_llm.runtime.errors import UserError
from preprocessing.encode.texts import find_texts, read_texts


def test_documents_of_preprocessing(tmp_path: Path) -> None:
    texts = ["一つ目\n二行目", "", "U+2028\u2028とU+0085\u0085は行末でない"]
    path = write_documents(tmp_path / "web" / "train-00000-000.jsonl.zst", texts, source="web")
    assert list(read_texts(path)) == [("web", text) for text in texts]


def test_json_lines_without_source_take_the_name_of_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "news.jsonl.gz"
    path.write_bytes(gzip.compress('{"text": "本文"}\n\n{"text": "次", "source": "別"}\n'.encode()))
    assert list(read_texts(path)) == [(tmp_path.name, "本文"), ("別", "次")]


def test_numbers_that_are_no_doubles_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "本文", "meta": {"a": NaN, "b": 1e999}}\n')
    assert list(read_texts(path)) == [(tmp_path.name, "本文")]


def test_every_line_of_plain_text_is_a_document(tmp_path: Path) -> None:
    path = tmp_path / "corpus.txt"
    path.write_bytes("　一行目 \r\n\n二行目".encode())
    assert list(read_texts(path)) == [(tmp_path.name, "　一行目 "), (tmp_path.name, "二行目")]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("a.jsonl", b'{"text": "x"}\n{"text"\n', r"a\.jsonl: line 2: not JSON"),
        ("a.jsonl", b'{"text": 5}\n', 'line 1: no object with a "text"'),
        ("a.jsonl", b'{"body": "x"}\n', 'line 1: no object with a "text"'),
        ("a.jsonl", b'["text"]\n', 'line 1: no object with a "text"'),
        ("a.jsonl", b'{"text": "\\ud83d"}\n', "line 1: not UTF-8"),
        ("a.txt", b"ok\n\x83\x65\n", "line 2: not UTF-8"),
    ],
)
def test_a_line_that_is_no_text_is_named(tmp_path: Path, name: str, content: bytes, problem: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=problem):
        list(read_texts(tmp_path / name))


def test_a_file_may_be_called_like_a_pattern(tmp_path: Path) -> None:
    (tmp_path / "data[1].txt").touch()
    (tmp_path / "data1.txt").touch()
    assert find_texts([str(tmp_path / "data[1].txt")]) == [tmp_path / "data[1].txt"]


def test_half_a_file_is_refused(tmp_path: Path) -> None:
    path = write_documents(tmp_path / "train-00000-000.jsonl.zst", ["文書" * 500] * 100)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match=r"train-00000-000\.jsonl\.zst: .*cut off"):
        list(read_texts(path))


def test_several_frames_are_one_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.zst"
    frames = [zstandard.ZstdCompressor().compress(f'{{"text": "{text}"}}\n'.encode()) for text in "一二"]
    path.write_bytes(b"".join(frames))
    assert [text for _, text in read_texts(path)] == ["一", "二"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.txt: cannot be read"):
        list(read_texts(tmp_path / "absent.txt"))

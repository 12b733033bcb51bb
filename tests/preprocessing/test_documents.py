import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import cleaned

from preprocessing.document import Document
from preprocessing.documents import DOCUMENTS, DocumentsFile, DocumentWriter, in_split_order, split_of


def write(output, documents, file_bytes=1 << 20):
    with DocumentWriter(output, DOCUMENTS, "web", 3, file_bytes) as writer:
        for split, document in documents:
            writer.write(split, document)
    return writer.files


def test_documents_come_back(tmp_path):
    document = Document("web/a.txt#0", '改行\nと\u3000"引用"と\x01', "web", {"n": 1 << 80, "nested": {"url": None}})
    write(tmp_path, [("train", document), ("validation", Document("web/b#1", "二", "web"))])
    assert cleaned(tmp_path) == [
        {"id": "web/a.txt#0", "source": "web", "text": document.text, "meta": {"n": 1 << 80, "nested": {"url": None}}}
    ]
    assert [record["text"] for record in cleaned(tmp_path, split="validation")] == ["二"]


def test_files_are_rotated_by_size_and_sorted(tmp_path):
    documents = [Document(f"web/{number}", "あ" * 100, "web") for number in range(25)]
    found = write(tmp_path, [("train", document) for document in documents], file_bytes=3500)
    assert [file.name for file in found] == [f"documents/web/train-00003-{part:03d}.jsonl.zst" for part in range(3)]
    assert all((tmp_path / file.name).stat().st_size == file.size for file in found)
    assert [record["id"] for record in cleaned(tmp_path)] == [document.id for document in documents]
    assert {file.split for file in found} == {"train"}


def test_a_full_last_file_is_followed_by_none(tmp_path):
    documents = [("train", Document(f"web/{number}", "あ" * 100, "web")) for number in range(2)]
    files = write(tmp_path, [*documents, ("validation", documents[0][1])], file_bytes=100)
    assert [file.name for file in files] == [
        f"documents/web/{name}.jsonl.zst" for name in ("train-00003-000", "train-00003-001", "validation-00003-000")
    ]
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.zst")} == {file.name for file in files}


def test_files_are_in_the_order_of_their_numbers_not_of_their_names():
    names = [("b", "train", 1), ("a", "validation", 99_999), ("a", "train", 99_999), ("a", "train", 100_000)]
    files = [DocumentsFile(source, split, f"{split}-{unit:05d}-000", 1) for source, split, unit in names]
    assert in_split_order(files, ["a", "b"]) == [files[2], files[3], files[1], files[0]]


@pytest.mark.parametrize("failure", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")])
def test_nothing_half_written_has_a_final_name(tmp_path, failure):
    def documents():
        yield "train", Document("web/a", "一", "web")
        yield "validation", Document("web/b", "二", "web")
        raise failure

    with pytest.raises(type(failure)):
        write(tmp_path, documents())
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_copies_stay_on_one_side_whatever_their_line_breaks():
    for number in range(200):
        text = f"第{number}話　昔々、あるところに\nおじいさんが いました。"
        assert split_of(text, 0.5) == split_of("".join(text.split()), 0.5)


def test_the_share_of_held_out_documents():
    texts = [f"{number}番目の文書" for number in range(10_000)]
    held_out = sum(split_of(text, 0.1) == "validation" for text in texts)
    assert abs(held_out - 1000) < 100  # 3.3 standard deviations
    assert all(split_of(text, 0.0) == "train" for text in texts)


@given(st.text(), st.floats(0, 0.99), st.floats(0, 0.99))
def test_a_larger_share_contains_a_smaller_one(text, one, other):
    if split_of(text, min(one, other)) == "validation":
        assert split_of(text, max(one, other)) == "validation"

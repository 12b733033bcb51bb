"""Damaged files: each ends in the error that the key names, and none passes in silence."""

from collections import Counter

from jp_llm.texts.streams import DamagedFile, decompressed
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers.jsonl import JsonLinesReader
from preprocessing.readers.text import TextReader


def outcome(path):
    reader = JsonLinesReader() if "jsonl" in path.name else TextReader()
    with path.open("rb") as file:
        raw = RawFile("damaged", str(path), None, path.name, decompressed(file, str(path), 200.0))
        documents = 0
        try:
            for record in reader.read(raw):
                if isinstance(record, Rejected):
                    return documents, record.reason
                assert isinstance(record, Document)
                documents += 1
        except DamagedFile as error:
            return documents, "truncated" if "cut off" in str(error) else str(error)
    return documents, None


def test_every_file_fails_as_the_key_says(corpus, answers):
    expected = {answer["file"]: answer["reason"] for answer in answers if answer["source"] == "damaged"}
    found = {f"damaged/{path.name}": outcome(path) for path in (corpus / "damaged").iterdir()}
    assert {file: reason for file, (_, reason) in found.items()} == expected
    assert Counter(expected.values()) == {"truncated": 3, "encoding": 2, "utf16": 1}
    assert all(documents > 0 for file, (documents, _) in found.items() if file.endswith(".gz"))

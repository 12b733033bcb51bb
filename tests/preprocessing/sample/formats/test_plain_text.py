"""Plain text, as it lies on disk."""

from collections import defaultdict


def test_one_file_is_one_document_or_documents_with_empty_lines_between(corpus, answers):
    files = defaultdict(list)
    for answer in answers:
        if answer["file"].startswith("plain/"):
            files[answer["file"]].append(answer)
    shapes = {len(lines) > 1 for lines in files.values()}
    assert shapes == {True, False}
    for file, lines in files.items():
        text = (corpus / file).read_bytes().decode("utf-8")
        documents = text.removesuffix("\n").removesuffix("\n").split("\n\n")
        assert len(documents) == len(lines)
        for answer, document in zip(lines, documents, strict=True):
            assert document.strip("\n") == document != ""
            if not answer["defects"]:
                assert document == answer["clean"]


def test_long_documents_occur(answers):
    assert max(len(answer["clean"] or "") for answer in answers if answer["source"] == "plain") > 1000

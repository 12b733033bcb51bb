"""Plain text in UTF-8: one document per file, or a paragraph per line with an empty line after each document (CC-100).

No document has an empty line inside, so a reader may take both for the second kind.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from preprocessing.sample.document import SampleDocument
from preprocessing.sample.formats.placed import Placed

FOLDER = "plain"


def write_files(corpus: Path, documents: Iterable[SampleDocument]) -> Iterator[Placed]:
    """`plain/<id>.txt`, each with a line end after its last line."""
    (corpus / FOLDER).mkdir(parents=True, exist_ok=True)
    for document in documents:
        file = f"{FOLDER}/{document.id}.txt"
        (corpus / file).write_bytes(f"{document.raw}\n".encode())
        yield Placed(document, file)


def write_paragraph_lines(corpus: Path, documents: Iterable[SampleDocument], name: str) -> Iterator[Placed]:
    """One file of all documents, `plain/<name>.txt`."""
    file = f"{FOLDER}/{name}.txt"
    (corpus / FOLDER).mkdir(parents=True, exist_ok=True)
    with (corpus / file).open("wb") as stream:
        for ordinal, document in enumerate(documents):
            stream.write(f"{document.raw}\n\n".encode())
            yield Placed(document, file, ordinal)

"""Parquet: a column of texts, read page by page."""

import importlib.util
from collections.abc import Iterator
from typing import Any

from pydantic import PositiveInt

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile
from preprocessing.decoding import Undecodable
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._tables import json_value, text_of_row
from preprocessing.step import Reader

_BATCH_ROWS = 64
_BATCH_BYTES = 1 << 22
"""Fewer rows are taken at once where their mean size says so."""
_BUFFER_BYTES = 1 << 20


class ParquetReader(Reader):
    """Parquet files, not in an archive and not compressed once more. A document's offset is the number of its row."""

    text_field: str = "text"
    """Column of the text."""
    meta_fields: tuple[str, ...] = ()
    """Other columns that are kept with the document, where the file has them."""
    max_document_bytes: PositiveInt = 16 << 20
    """Longer texts are rejected."""

    def problems(self) -> list[str]:
        missing = importlib.util.find_spec("pyarrow") is None
        return ["type: parquet needs pyarrow: pip install 'jp-llm[corpus]'"] if missing else []

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile

        if not raw.stream.seekable():
            raise UserError(
                f"{raw.file}{f': {raw.member}' if raw.member else ''}: a Parquet file is read from its end, not "
                "inside an archive or a compressed file; unpack it"
            )
        row = 0
        try:
            with ParquetFile(raw.stream, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
                columns = file.schema_arrow.names
                if self.text_field not in columns:
                    problem = f"no column {self.text_field!r}; text_field may be one of {', '.join(columns)}"
                    raise DamagedFile(raw.file, problem, 0)
                wanted = [self.text_field, *(name for name in self.meta_fields if name in columns)]
                for values in _rows(file, wanted):
                    yield self._record(raw, row, values[0], dict(zip(wanted[1:], values[1:], strict=True)))
                    row += 1
        except (pa.ArrowException, OSError) as error:
            problem = f"the Parquet file is damaged after row {row:,} ({' '.join(str(error).split())})"
            raise DamagedFile(raw.file, problem, row) from error

    def _record(self, raw: RawFile, row: int, text: Any, meta: dict[str, Any]) -> Document | Rejected:
        try:
            return raw.document(row, text_of_row(text, self.max_document_bytes), json_value(meta))
        except Undecodable as error:
            return raw.reject(row, error.reason, text if isinstance(text, bytes) else str(text)[:1000].encode())


def _rows(file: Any, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    """The values of each row. One group of rows at a time: a damaged one does not cost those before it."""
    for group in range(file.num_row_groups):
        for batch in file.iter_batches(
            _batch_rows(file.metadata.row_group(group)), row_groups=[group], columns=columns, use_threads=False
        ):
            yield from zip(*(map(_value, batch.column(name)) for name in columns), strict=True)


def _batch_rows(group: Any) -> int:
    """Rows that are decoded at once."""
    mean = max(group.total_byte_size, 1) / max(group.num_rows, 1)
    return max(1, min(_BATCH_ROWS, int(_BATCH_BYTES / mean)))


def _value(item: Any) -> Any:
    """The value of a cell; a string that is no UTF-8 (Parquet does not check) as bytes."""
    try:
        return item.as_py()
    except UnicodeDecodeError:
        return bytes(item.as_buffer()) if hasattr(item, "as_buffer") else None

"""Any dataset that the Hugging Face `datasets` package opens, streamed: no copy of it is made on disk."""

import importlib.util
import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

from jp_llm.runtime.errors import UserError
from jp_llm.texts.streams import DamagedFile
from preprocessing.decoding import Undecodable
from preprocessing.document import Document, Rejected
from preprocessing.raw_file import RawFile
from preprocessing.readers._tables import json_value, text_of_row
from preprocessing.step import Reader

_PART = re.compile(r".+-(\d{5,})-of-(\d{5,})")
_SHOWN_CHARACTERS = 120


class DatasetsReader(Reader):
    """A dataset by its name on the Hugging Face Hub, a folder of data files, or a folder written by `save_to_disk`.

    Every shard of the dataset is a unit; a document's offset is the number of its row in the shard. Takes no `paths`.
    """

    path: str
    """Name (`owner/name`) or folder. `json`, `parquet`, `text` ... with `data_files`."""
    name: str | None = None
    """Configuration of the dataset, e.g. a language."""
    split: str = "train"
    """Part of the dataset."""
    data_files: tuple[str, ...] = ()
    """Files of the dataset to take; empty takes those of the split."""
    revision: str | None = None
    """Commit of a dataset on the Hub. Without one, a dataset that changes between two runs is noticed only by its
    number of shards."""
    text_field: str = "text"
    """Column of the text."""
    meta_fields: tuple[str, ...] = ()
    """Other columns that are kept with the document."""
    max_document_bytes: PositiveInt = 16 << 20
    """Longer texts are rejected."""

    @property
    def takes_paths(self) -> bool:
        return False

    def problems(self) -> list[str]:
        missing = importlib.util.find_spec("datasets") is None
        return ["type: datasets needs the package of that name: pip install 'jp-llm[corpus]'"] if missing else []

    def parts(self) -> tuple[str, ...]:
        count = _shards(_load(self))
        return tuple(f"{self.split}-{index:05d}-of-{count:05d}" for index in range(count))

    def read(self, raw: RawFile) -> Iterator[Document | Rejected]:
        raise NotImplementedError("reads parts, not files")

    def read_part(self, source: str, part: str) -> Iterator[Document | Rejected]:
        match = _PART.fullmatch(part)
        assert match is not None
        index, count = (int(number) for number in match.groups())
        dataset = _load(self)
        if _shards(dataset) != count:
            raise UserError(
                f"dataset {self.path}: has {_shards(dataset):,} shards and had {count:,} when the work was planned; "
                "set revision, and begin again in another output_dir"
            )
        for row, record in enumerate(_rows(dataset, count, index, self)):
            try:
                text = text_of_row(record[self.text_field], self.max_document_bytes)
            except Undecodable as error:
                start = repr(record[self.text_field])[:_SHOWN_CHARACTERS]
                yield Rejected(f"{self.path}/{part}", None, row, error.reason, start)
            else:
                meta = {key: json_value(record[key]) for key in self.meta_fields if key in record}
                yield Document(f"{source}/{part}#{row}", text, source, meta)


@lru_cache(maxsize=4)
def _load(reader: DatasetsReader) -> Any:
    """The dataset, opened once per process."""
    import datasets

    try:
        if (Path(reader.path) / "state.json").is_file():
            return datasets.load_from_disk(reader.path)
        if (Path(reader.path) / "dataset_dict.json").is_file():
            return datasets.load_from_disk(reader.path)[reader.split]
        return datasets.load_dataset(
            reader.path,
            reader.name,
            data_files=list(reader.data_files) or None,
            split=reader.split,
            revision=reader.revision,
            streaming=True,
        )
    except (OSError, ValueError, KeyError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        raise UserError(
            f"dataset {reader.path}: cannot be opened ({type(error).__name__}: {_first_line(error)}). Check path, "
            "name, split and revision, or download it and name its folder"
        ) from error


def _shards(dataset: Any) -> int:
    """Streamed datasets state their shards; a saved one has one per file."""
    import datasets

    if isinstance(dataset, datasets.Dataset):
        return max(len(dataset.cache_files), 1)
    return max(int(dataset.num_shards), 1)


def _rows(dataset: Any, count: int, index: int, reader: DatasetsReader) -> Iterator[dict[str, Any]]:
    """The rows of a shard; errors say which dataset and shard."""
    import datasets

    if dataset.column_names is not None and reader.text_field not in dataset.column_names:
        columns = ", ".join(dataset.column_names)
        raise UserError(f"dataset {reader.path}: no column {reader.text_field!r}; text_field may be one of {columns}")
    if count > 1:
        dataset = dataset.shard(num_shards=count, index=index)
    row = 0
    try:
        for record in dataset:
            if reader.text_field not in record:
                raise UserError(f"dataset {reader.path}: a row has no {reader.text_field!r} but {', '.join(record)}")
            yield record
            row += 1
    except (OSError, ValueError, RuntimeError, datasets.exceptions.DatasetsError) as error:
        problem = (
            f"shard {index} of {count} is damaged after row {row:,} ({type(error).__name__}: {_first_line(error)})"
        )
        raise DamagedFile(f"dataset {reader.path}", problem, row) from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]

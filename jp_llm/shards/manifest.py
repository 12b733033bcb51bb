"""What a shard and a dataset say about themselves: sizes, hashes, tokenizer."""

import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import fingerprint_of, read_json, sha256_of, write_json
from jp_llm.shards.format import DTYPES, HEADER_BYTES, IndexHeader, bin_path, idx_path

DATASET_FILE = "dataset.json"
FORMAT = 1
REMEDY = "delete the .bin and run launch/preprocess.py again to write this shard anew, or copy the dataset again"
"""What to do about a shard whose bytes are not those of its manifest."""

_RENAMED = {"library": "package", "library_version": "package_version"}
"""Keys of a tokenizer record from before tokenizers could be adopted, and their names now."""

Record = TypeVar("Record")


@dataclass(frozen=True)
class ShardManifest:
    """Sizes and hashes of one shard. Characters and bytes count the text before tokenization."""

    name: str
    """Path of the shard relative to the dataset folder, without suffix: shards/<source>/<split>-00000."""
    documents: int
    tokens: int
    characters: int
    """Unicode code points of the text."""
    bytes: int
    """UTF-8 bytes of the text."""
    dtype: str
    bin_bytes: int
    bin_sha256: str
    idx_bytes: int
    idx_sha256: str

    def to_json(self) -> dict[str, Any]:
        """The fields as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "ShardManifest":
        """Read the fields from a JSON object.

        Raises:
            ValueError: a field is missing, unknown or of the wrong type.
        """
        manifest = _record(cls, value)
        if manifest.dtype not in DTYPES:
            raise ValueError(f"dtype: {manifest.dtype!r} is none of {', '.join(DTYPES)}")
        if manifest.bin_bytes != manifest.tokens * DTYPES[manifest.dtype].itemsize:
            raise ValueError(f"bin_bytes: {manifest.bin_bytes} cannot hold {manifest.tokens} {manifest.dtype} tokens")
        return manifest

    def bin_problems(self, folder: Path, *, hashes: bool = False) -> list[str]:
        """What is wrong with the `.bin` file below the dataset folder: absent, other size, other hash."""
        return _file_problems(bin_path(folder / self.name), self.bin_bytes, self.bin_sha256 if hashes else None)

    def idx_problems(self, folder: Path, *, hashes: bool = False) -> list[str]:
        """What is wrong with the `.idx` file below the dataset folder: absent, other size, header or hash."""
        path = idx_path(folder / self.name)
        problems = _file_problems(path, self.idx_bytes, self.idx_sha256 if hashes else None)
        return problems or self.header_problems(path)

    def header_problems(self, path: Path) -> list[str]:
        """What is wrong with the header of an `.idx` file that has the right size."""
        try:
            with path.open("rb") as file:
                header = IndexHeader.unpack(file.read(HEADER_BYTES))
        except ValueError as error:
            return [f"{path}: {error}; {REMEDY}"]
        except OSError as error:
            return [f"{path}: cannot be read: {error.strerror}; {REMEDY}"]
        expected = IndexHeader(self.dtype, self.documents)
        if header != expected:
            return [
                f"{path}: an index of {header.documents} documents of {header.dtype}, but the manifest says "
                f"{expected.documents} of {expected.dtype}; it belongs to another shard; {REMEDY}"
            ]
        return []


@dataclass(frozen=True)
class TokenizerRecord:
    """Which tokenizer the ids of a dataset come from."""

    folder: str
    """Relative to the dataset folder."""
    fingerprint: str
    """SHA-256 of what decides the ids."""
    package: str
    """Python package that made the ids."""
    package_version: str
    vocab_size: int
    unk_id: int | None
    """This and the next three are None where the tokenizer has no such token; one of bos and eos is there."""
    bos_id: int | None
    eos_id: int | None
    pad_id: int | None

    @property
    def start_id(self) -> int:
        """What every document begins with: bos, or eos where there is no bos."""
        start = self.eos_id if self.bos_id is None else self.bos_id
        assert start is not None  # `DatasetManifest.from_json` refuses others
        return start


@dataclass(frozen=True)
class DatasetManifest:
    """`dataset.json`: the sources of a dataset, each with its shards per split, in the order of the token stream."""

    tokenizer: TokenizerRecord
    dtype: str
    corpus_config_sha256: str
    sources: Mapping[str, Mapping[str, tuple[ShardManifest, ...]]]
    """Source -> split (train, validation) -> shards."""

    @classmethod
    def load(cls, folder: Path) -> "DatasetManifest":
        """Read `folder/dataset.json`.

        Raises:
            UserError: it is absent or not what preprocessing writes.
        """
        path = folder / DATASET_FILE
        try:
            return cls.from_json(read_json(path))
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(
                f"{path}: no such file; name the output folder of launch/preprocess.py (it writes {DATASET_FILE} last, "
                "so an unfinished folder has none)"
            ) from None
        except ValueError as error:
            raise UserError(f"{path}: {error}; run launch/preprocess.py again to write it anew") from error

    def save(self, folder: Path) -> None:
        """Write `folder/dataset.json`."""
        write_json(folder / DATASET_FILE, self.to_json())

    def to_json(self) -> dict[str, Any]:
        """The manifest as a JSON object."""
        return {
            "format": FORMAT,
            "tokenizer": asdict(self.tokenizer),
            "dtype": self.dtype,
            "corpus_config_sha256": self.corpus_config_sha256,
            "sources": {
                source: {split: [shard.to_json() for shard in shards] for split, shards in splits.items()}
                for source, splits in self.sources.items()
            },
        }

    @classmethod
    def from_json(cls, value: Any) -> "DatasetManifest":
        """Read the manifest from a JSON object.

        Raises:
            ValueError: another format, or a field is missing, unknown or of the wrong type.
        """
        names = {"format", "tokenizer", "dtype", "corpus_config_sha256", "sources"}
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise ValueError(f"not a dataset manifest of format {FORMAT}")
        _check_names(value, names)
        try:
            sources = {
                source: {split: tuple(map(ShardManifest.from_json, shards)) for split, shards in splits.items()}
                for source, splits in value["sources"].items()
            }
        except (AttributeError, TypeError):
            raise ValueError("sources: must be {source: {split: [shard, ...]}}") from None
        tokenizer = value["tokenizer"]
        if isinstance(tokenizer, dict):
            tokenizer = {_RENAMED.get(name, name): content for name, content in tokenizer.items()}
        manifest = cls(_record(TokenizerRecord, tokenizer), value["dtype"], value["corpus_config_sha256"], sources)
        manifest._check()
        return manifest

    def _check(self) -> None:
        if self.dtype not in list(DTYPES):
            raise ValueError(f"dtype: {self.dtype!r} is none of {', '.join(DTYPES)}")
        if self.tokenizer.bos_id is None and self.tokenizer.eos_id is None:
            raise ValueError("tokenizer: bos_id and eos_id are both null, so no token begins documents")
        seen: set[str] = set()
        for shard in self.shards():
            if shard.dtype != self.dtype:
                raise ValueError(f"dtype: {self.dtype}, but {shard.name} holds {shard.dtype}")
            if shard.name in seen:
                raise ValueError(f"{shard.name} is listed twice")
            seen.add(shard.name)

    @cached_property
    def fingerprint(self) -> str:
        """Hex SHA-256 over the tokenizer and the bytes of all shards in their order."""
        files = [
            [source, split, [[shard.bin_sha256, shard.idx_sha256] for shard in shards]]
            for source, splits in self.sources.items()
            for split, shards in splits.items()
        ]
        return fingerprint_of([self.tokenizer.fingerprint, files])

    def shards(self, split: str | None = None, source: str | None = None) -> Iterator[ShardManifest]:
        """Shards of one split (or all) of one source (or all), in the order of the token stream."""
        for name, splits in self.sources.items():
            if source in (None, name):
                for key, shards in splits.items():
                    if split in (None, key):
                        yield from shards

    def documents(self, split: str, source: str | None = None) -> int:
        """Documents of a split, of one source or all."""
        return sum(shard.documents for shard in self.shards(split, source))

    def tokens(self, split: str, source: str | None = None) -> int:
        """Tokens of a split, `<s>` and `</s>` included, of one source or all."""
        return sum(shard.tokens for shard in self.shards(split, source))

    def characters(self, split: str, source: str | None = None) -> int:
        """Unicode code points of the text of a split, of one source or all."""
        return sum(shard.characters for shard in self.shards(split, source))

    def bytes(self, split: str, source: str | None = None) -> int:
        """UTF-8 bytes of the text of a split, of one source or all."""
        return sum(shard.bytes for shard in self.shards(split, source))

    def check_files(self, folder: Path, *, hashes: bool) -> list[str]:
        """Compare every shard file with the manifest: presence, size, index header and, with `hashes`, all bytes.

        Returns one message per problem, in the order of the shards; each names the file and what to do.
        """

        def problems(shard: ShardManifest) -> list[str]:
            return shard.bin_problems(folder, hashes=hashes) + shard.idx_problems(folder, hashes=hashes)

        # Hashing releases the interpreter lock, so threads use all cores.
        with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
            return [problem for found in pool.map(problems, self.shards()) for problem in found]


def _file_problems(path: Path, size: int, sha256: str | None) -> list[str]:
    try:
        actual = path.stat().st_size
        if actual != size:
            return [f"{path}: {actual:,} bytes, but the manifest says {size:,}; {REMEDY}"]
        if sha256 is not None and sha256_of(path) != sha256:
            return [f"{path}: its bytes have changed since it was written (SHA-256 is not the manifest's); {REMEDY}"]
    except FileNotFoundError:
        return [f"{path}: missing; {REMEDY}"]
    except OSError as error:
        return [f"{path}: cannot be read: {error.strerror}; {REMEDY}"]
    return []


def _check_names(value: Mapping[str, Any], names: set[str]) -> None:
    if missing := sorted(names - value.keys()):
        raise ValueError(f"missing: {', '.join(missing)}")
    if unknown := sorted(value.keys() - names):
        raise ValueError(f"unknown: {', '.join(unknown)}")


def _record(record: type[Record], value: Any) -> Record:
    """Build a dataclass of strings and integers >= 0 (or None) from a JSON object; ValueError if it does not fit."""
    types = {field.name: field.type for field in fields(record)}  # type: ignore[arg-type]
    if not isinstance(value, dict):
        raise ValueError(f"an object with {', '.join(types)} expected, found {value!r}")
    _check_names(value, set(types))
    for name, expected in types.items():
        found = value[name]
        if found is None and expected == int | None:
            continue
        fits = type(found) is str if expected is str else type(found) is int and found >= 0
        if not fits:
            raise ValueError(f"{name}: {'a string' if expected is str else 'a count'} expected, found {found!r}")
    return record(**value)

"""One file of cleaned documents becomes one shard, its documents in an order that only their content decides."""

import os
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_llm.shards.format import DTYPES, dtype_name
from jp_llm.shards.manifest import ShardManifest
from jp_llm.shards.writer import ShardWriter
from jp_llm.tokenizer.batches import batches
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.encode.texts import read_texts


@contextmanager
def _on_one_core() -> Iterator[None]:
    """Processes share the files and the cores, so none may take all cores for one file, as `tokenizers` would."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


@_on_one_core()
def encode_file(documents: Path, tokenizer: Tokenizer, shard_prefix: Path) -> ShardManifest:
    """Encode a documents file; every document becomes `<s> ids </s>`.

    Where one id both begins and ends documents (as <|endoftext|> of GPT-2 and GPT-NeoX), it stands in front alone, as
    the separator that it is for such models: the document mask and packing find where documents start.

    Documents are sorted by a hash of their text, which shuffles them. The ids of the whole file are held in memory:
    under a byte per byte of text (two where ids take four bytes), and 32 bytes per document.

    Raises:
        UserError: the file is damaged, the installed package is not the tokenizer's, or the disk is full.
    """
    tokenizer.require_package()
    dtype = dtype_name(tokenizer.vocab_size)
    start = np.array([tokenizer.start_id], np.int32)
    end = np.array([] if tokenizer.end_id is None else [tokenizer.end_id], np.int32)
    hashes, tokens, characters, sizes = array("Q"), array("q"), array("q"), array("q")
    stream: list[NDArray[Any]] = []
    for texts in batches(text for _, text in read_texts(documents)):
        batch = []
        for text, ids in zip(texts, tokenizer.encode_batch(texts), strict=True):
            data = text.encode()
            hashes.append(int.from_bytes(blake2b(data, digest_size=8).digest(), "little"))
            tokens.append(len(start) + len(ids) + len(end))
            characters.append(len(text))
            sizes.append(len(data))
            batch += [start, ids, end]
        stream.append(np.concatenate(batch, dtype=DTYPES[dtype], casting="unsafe"))

    all_ids = np.concatenate([*stream, np.empty(0, DTYPES[dtype])])
    ends = np.cumsum(tokens, dtype=np.int64)
    with ShardWriter(shard_prefix, dtype) as writer:
        for index in np.argsort(np.array(hashes), kind="stable").tolist():
            ids = all_ids[ends[index] - tokens[index] : ends[index]]
            writer.add(ids, characters=characters[index], num_bytes=sizes[index])
    return writer.manifest

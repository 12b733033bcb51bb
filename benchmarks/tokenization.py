"""How fast does text become token ids on one core, and does everyone agree on the ids?

Real text is Aozora Bunko (aozora-pretrain.tar.zst in JP_LLM_DATA, default ../shared/data), through our reader; without
it, generated text. Both kinds of model are trained on it first, unless --tokenizer names one. Peers have the same
vocabulary: SentencePiece called text by text as its manual does, and tokenizers on one thread with the tokenizer.json
that we export. Rates are UTF-8 bytes per second of CPU time, the best of --repeat runs.

    python benchmarks/tokenization.py [--megabytes 20] [--tokenizer FOLDER]
"""

import argparse
import os
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

# The library reads this when its first batch is encoded.
os.environ["TOKENIZERS_PARALLELISM"] = "false"

import orjson
import sentencepiece
import tokenizers
import zstandard
from _report import report
from _timing import measure

from jp_llm.export.tokenizer import write_hf_tokenizer
from jp_llm.texts.streams import decompressed
from jp_llm.tokenizer.batches import batches
from jp_llm.tokenizer.manifest import MODEL_FILE
from jp_llm.tokenizer.tokenizer import Tokenizer
from preprocessing.archives import members
from preprocessing.document import Document
from preprocessing.encode.tokenize import encode_file
from preprocessing.encode.train_tokenizer import TokenizerConfig, train
from preprocessing.raw_file import RawFile
from preprocessing.readers.aozora import AozoraReader
from preprocessing.sample.grammar import load_registers
from preprocessing.sample.writer import Writer

DATA = Path(__file__).parents[1] / os.environ.get("JP_LLM_DATA", "../shared/data")
ARCHIVE = DATA / "aozora-pretrain.tar.zst"


def aozora(archive: Path) -> Iterator[str]:
    """Works, without header, ruby and colophon."""
    with archive.open("rb") as file:
        for member in members(decompressed(file, archive.name, max_ratio=1000), archive.name):
            if member.name.endswith(".txt"):
                raw = RawFile("aozora", archive.name, member.name, member.name, member.stream)  # type: ignore[arg-type]
                yield from (record.text for record in AozoraReader().read(raw) if isinstance(record, Document))


def generated() -> Iterator[str]:
    """Endless documents of the project's own sample."""
    registers, rng = list(load_registers().values()), random.Random(0)
    while True:
        yield "\n".join(Writer(rng.choice(registers), rng).compose().lines)


def take(texts: Iterator[str], size: int) -> list[str]:
    """The first texts that reach `size` bytes together."""
    taken = []
    for text in texts:
        taken.append(text)
        size -= len(text.encode())
        if size <= 0:
            break
    return taken


def write_documents(path: Path, texts: Sequence[str]) -> Path:
    """A file as preprocessing writes it."""
    lines = [orjson.dumps({"id": str(n), "source": "a", "text": text, "meta": {}}) for n, text in enumerate(texts)]
    path.write_bytes(zstandard.ZstdCompressor().compress(b"\n".join(lines)))
    return path


def rows(tokenizer: Tokenizer, texts: Sequence[str], folder: Path, repeat: int) -> Iterator[dict[str, Any]]:
    """One way of encoding after the other, all on the same texts."""
    processor = sentencepiece.SentencePieceProcessor(model_file=str(tokenizer.folder / MODEL_FILE))
    write_hf_tokenizer(tokenizer, folder, model_max_length=1 << 30)
    backend = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    backend.encode_special_tokens = True
    lines = [line for text in texts for line in text.split("\n")]
    documents = write_documents(folder / "train-00000-000.jsonl.zst", texts)
    ways: dict[str, Callable[[], Any]] = {
        "encode_batch": lambda: [ids for batch in batches(texts) for ids in tokenizer.encode_batch(batch)],
        "encode_batch, a line a text": lambda: [tokenizer.encode_batch(batch) for batch in batches(lines)],
        "jsonl.zst -> shard": lambda: encode_file(documents, tokenizer, folder / "shard"),
        "peer: sentencepiece, text by text": lambda: [processor.encode(text) for text in texts],
        "peer: tokenizers, encode_batch": lambda: backend.encode_batch(list(texts), add_special_tokens=False),
    }
    ours = [tokenizer.encode(text) for text in texts]
    size, tokens = sum(len(text.encode()) for text in texts), sum(map(len, ours))
    for name, way in ways.items():
        seconds, found = measure(way, repeat)
        equal = "-"
        if isinstance(found, list) and len(found) == len(texts):
            ids = [item.ids if isinstance(item, tokenizers.Encoding) else list(item) for item in found]
            equal = f"{sum(a == b for a, b in zip(ids, ours, strict=True)):,} of {len(ours):,}"
        yield {
            "model": f"{tokenizer.recipe['model_type']} {tokenizer.vocab_size:,}",
            "way": name,
            "MB/s per core": size / seconds / 1e6,
            "million tokens/s": tokens / seconds / 1e6,
            "texts with equal ids": equal,
            "characters per token": sum(map(len, texts)) / tokens,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=20, help="UTF-8 text to encode")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the best counts")
    parser.add_argument("--tokenizer", type=Path, action="append", help="folder of a tokenizer; may be given again")
    parser.add_argument("--vocab-size", type=int, default=8_000, help="of the tokenizers that are trained")
    parser.add_argument("--sample-bytes", type=int, default=5_000_000, help="text that they are trained on")
    arguments = parser.parse_args()
    texts = take(aozora(ARCHIVE) if ARCHIVE.is_file() else generated(), int(arguments.megabytes * 1e6))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.tokenizer:
            models = [Tokenizer.load(path) for path in arguments.tokenizer]
        else:
            documents = [write_documents(folder / "train.jsonl.zst", texts)]
            models = [
                train(
                    documents,
                    TokenizerConfig(
                        model_type=kind,
                        vocab_size=arguments.vocab_size,
                        sample_bytes=arguments.sample_bytes,
                        num_threads=2,
                    ),
                    folder / kind,
                )
                for kind in ("unigram", "bpe")
            ]
        table = [row for model in models for row in rows(model, texts, folder, arguments.repeat)]
    report(
        "Text to token ids on one core",
        table,
        text=ARCHIVE.name if ARCHIVE.is_file() else "generated",
        documents=len(texts),
        bytes=sum(len(text.encode()) for text in texts),
        sentencepiece=sentencepiece.__version__,
        tokenizers=tokenizers.__version__,
    )


if __name__ == "__main__":
    main()

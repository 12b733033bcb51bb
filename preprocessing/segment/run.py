"""Files of documents to one file of sentences, a line each, their words divided by spaces."""

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import zstandard
from pydantic import PositiveInt

from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.runtime.files import atomic_writer
from jp_llm.tokenizer.batches import batches
from preprocessing.encode.texts import find_texts, read_texts
from preprocessing.executor import available_cores
from preprocessing.segment.sentences import split_sentences
from preprocessing.segment.words import missing, word_splitter


class SegmentConfig(Section):
    """What `launch/segment.py` reads (`configs/segment.yaml`)."""

    inputs: OneOrSeveral = ()
    """A documents folder of preprocessing (its training documents are taken), files, or patterns such as
    raw/**/*.jsonl.zst: JSON Lines with a "text", or plain text with one document per line; compressed or not."""
    output: str = ""
    """File of sentences; compressed if its name ends in .zst."""
    splitter: Literal["none", "mecab", "sudachi_a", "sudachi_b", "sudachi_c", "jumanpp"] = "mecab"
    """mecab, sudachi_a, sudachi_b, sudachi_c or jumanpp; none divides into sentences only."""
    num_workers: PositiveInt | None = None
    """Processes; null takes one per core. The output does not depend on it."""

    def problems(self) -> list[str]:
        found = [] if self.inputs else ["inputs: name folders or files, e.g. 'inputs=[corpora/demo/documents]'"]
        if not self.output:
            found.append("output: name a file, e.g. output=segmented.txt.zst")
        if self.splitter != "none" and (problem := missing(self.splitter)):
            found.append(f"splitter: {problem}")
        return found


def run(config: SegmentConfig) -> None:
    """Divide the documents of the inputs, in their order, and write the output file.

    Raises:
        UserError: a pattern matches nothing, a file is damaged, or the splitter failed.
    """
    files = find_texts(config.inputs)
    texts = (text for file in files for _, text in read_texts(file))
    workers = config.num_workers or available_cores()
    sentences = 0
    output = Path(config.output)
    with ExitStack() as stack:
        file = stack.enter_context(atomic_writer(output))
        if output.suffix == ".zst":
            file = stack.enter_context(zstandard.ZstdCompressor().stream_writer(file, closefd=False))
        for lines in _in_order(batches(texts), config.splitter, workers):
            file.write(lines)
            sentences += lines.count(b"\n")
    print(f"{output}: {sentences:,} sentences of {len(files):,} files")


def segmented(texts: list[str], splitter: str) -> bytes:
    """The sentences of some texts as lines. Whitespace between words becomes the space, empty lines go."""
    sentences = [sentence.strip() for text in texts for sentence in split_sentences(text)]
    if splitter == "none":
        lines: Iterable[str] = (" ".join(sentence.split()) for sentence in sentences)
    else:
        words = word_splitter(splitter).split(sentences)
        lines = (" ".join(" ".join(line).split()) for line in words)
    return "".join(f"{line}\n" for line in lines if line).encode()


def _in_order(batches: Iterable[list[str]], splitter: str, workers: int) -> Iterator[bytes]:
    """`segmented` of every batch, over processes, a few batches ahead."""
    waiting: deque[Future[bytes]] = deque()
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        for batch in batches:
            waiting.append(pool.submit(segmented, batch, splitter))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

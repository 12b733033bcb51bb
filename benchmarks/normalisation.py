"""How fast is every mapper on one core, beside the libraries that people use for normalisation?

Text is the project's own sample without defects (short documents) and, if it is there, Aozora Bunko
(aozora-pretrain.tar.zst in JP_LLM_DATA, default ../shared/data; whole books). Rates are UTF-8 bytes per second of CPU
time, the best of --repeat runs; every run starts from documents of which nothing has been computed.

    python benchmarks/normalisation.py [--megabytes 10]
"""

import argparse
import time
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import neologdn
from _report import report
from tokenization import ARCHIVE, aozora, generated, take

from preprocessing.document import Document
from preprocessing.mappers.kutoten import KutotenMapper
from preprocessing.mappers.lines import LinesMapper
from preprocessing.mappers.llmjp_lines import LlmjpLinesMapper
from preprocessing.mappers.neologdn import NeologdnMapper
from preprocessing.mappers.personal_data import PersonalDataMapper
from preprocessing.mappers.repeats import RepeatsMapper
from preprocessing.mappers.swallow_footer import SwallowFooterMapper
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.mappers.whitespace import WhitespaceMapper
from preprocessing.step import Mapper

MAPPERS: Mapping[str, Sequence[Mapper]] = {
    "unicode": [UnicodeMapper()],
    "unicode, half_width_alphanumerics": [UnicodeMapper(half_width_alphanumerics=True)],
    "unicode, nfkc": [UnicodeMapper(nfkc=True)],
    "kutoten": [KutotenMapper()],
    "repeats": [RepeatsMapper()],
    "whitespace": [WhitespaceMapper()],
    "lines": [LinesMapper()],
    "swallow_footer": [SwallowFooterMapper()],
    "llmjp_lines": [LlmjpLinesMapper()],
    "personal_data": [PersonalDataMapper()],
    "neologdn": [NeologdnMapper()],
    "web: unicode to personal_data": [
        UnicodeMapper(half_width_alphanumerics=True),
        KutotenMapper(),
        RepeatsMapper(),
        LinesMapper(),
        WhitespaceMapper(),
        PersonalDataMapper(),
    ],
}
PEERS: Mapping[str, Callable[[str], Any]] = {
    "peer: neologdn.normalize": neologdn.normalize,
    "peer: unicodedata.normalize NFKC": lambda text: unicodedata.normalize("NFKC", text),
}


def seconds(texts: Sequence[str], function: Callable[[Document], Any], repeat: int) -> float:
    """CPU time of the fastest run over all texts."""
    best = float("inf")
    for _ in range(repeat):
        documents = [Document("", text, "benchmark") for text in texts]
        start = time.process_time()
        for document in documents:
            function(document)
        best = min(best, time.process_time() - start)
    return best


def mapped(mappers: Sequence[Mapper]) -> Callable[[Document], None]:
    """The mappers one after the other, as the pipeline calls them."""

    def run(document: Document) -> None:
        for mapper in mappers:
            document.text = mapper.map(document, Counter())

    return run


def rows(texts: Sequence[str], repeat: int) -> list[dict[str, Any]]:
    """Every mapper and peer on the same texts."""
    size = sum(len(text.encode()) for text in texts) / 1e6
    rates = {name: size / seconds(texts, lambda item, f=f: f(item.text), repeat) for name, f in PEERS.items()}  # type: ignore[misc]
    rates = {name: size / seconds(texts, mapped(mappers), repeat) for name, mappers in MAPPERS.items()} | rates
    neologd, nfkc = (rates[name] for name in PEERS)
    return [
        {"step": name, "MB/s per core": rate, "x neologdn": rate / neologd, "x NFKC": rate / nfkc}
        for name, rate in rates.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=10, help="UTF-8 text of each kind")
    parser.add_argument("--repeat", type=int, default=3, help="runs; the best counts")
    arguments = parser.parse_args()
    size = int(arguments.megabytes * 1e6)
    kinds = {"generated, short documents": generated()} | (
        {"Aozora Bunko": aozora(ARCHIVE)} if ARCHIVE.is_file() else {}
    )
    for kind, source in kinds.items():
        texts = take(source, size)
        report(f"Mappers: {kind}", rows(texts, arguments.repeat), documents=len(texts), megabytes=arguments.megabytes)


if __name__ == "__main__":
    main()

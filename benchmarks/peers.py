"""How do we compare with HojiChar and datatrove on the same text, with the nearest equal rules?

    python benchmarks/peers.py --peers-python /path/to/venv/bin/python [--megabytes 4 | --jsonl FILE]

The environment of the peers is made with benchmarks/peers_requirements.txt. Text is generated (preprocessing/sample),
or the `text` of every line of a JSONL file. Every contender is a process of its own with one thread, gets the same
texts, and tells the processor time of the best of its passes (those that are fast do several) after a warm-up on a few
texts, not counting start, imports and reading. Rates are 10^6 bytes of UTF-8 per second of processor time. Peak memory
is the largest resident size while all rules run together, with all texts in memory. All rules run as both are used:
our pipeline, which counts and samples, HojiChar's Compose, datatrove's filters one after the other; single rules alone.

Where a rule changes texts (masks), `kept` counts those that it leaves alone. `same verdict` is the share of documents
on which both agree. Rules differ where ours cannot be made equal:

    DiscardTooManySpecialToken   counts 。 and line ends as special, lacks most symbols; ours goes by Unicode category
    MaskPersonalInformation      masks any 10 digits; ours numbers that can be telephone numbers
    datatrove's n-grams          of words (spaCy, SudachiPy), ours of characters with Swallow's limits; both over lines,
                                 2 to 10 long
    MinHash                      5-grams of words after NFD without marks, ours of characters; both 14 x 8
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

# This file also runs in the environment of the peers: nothing but the standard library is imported here.

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 2.0
"""A contender repeats its passes for so long."""
WARM_UP = 20
ALL = "all rules in a row"
WORDS = "NgWordsFilterJa"
TARGETS = {"hojichar": 5.0, "datatrove": 5.0, "minhash": 20.0}

Verdicts = list[bool]
"""Of each text: whether it was kept, or left alone."""
Work = Callable[[Sequence[str]], Verdicts]

HOJICHAR_RULES: dict[str, list[dict[str, Any]]] = {
    "DocumentLengthFilter": [{"type": "length", "minimum": 200, "maximum": 50_000}],
    "AcceptJapanese": [{"type": "script", "kana_within": 50}],
    "DiscardRareKuten": [{"type": "sentences", "characters_per_kuten": 100}],
    WORDS: [{"type": "words", "of": "WORDS", "maximum_hits": 0}],
    "CharRepetitionRatioFilter": [{"type": "repetition", "top_ngrams": {5: 0.33}}],
    "SingleCharacterRepetitionFilter": [{"type": "repetition", "maximum_run": 199}],
    "DiscardTooManySpecialToken": [{"type": "symbols", "maximum": 0.4}],
    "MaskPersonalInformation": [{"type": "personal_data", "kinds": ["phone", "mail"], "disguised_mail": False}],
}
"""Filter of HojiChar -> ours, in the order in which both stand."""
DATATROVE_RULES: dict[str, list[dict[str, Any]]] = {
    "GopherRepetitionFilter": [
        {
            "type": "repetition",
            "maximum_duplicate_lines": 0.3,
            "maximum_duplicate_line_characters": 0.2,
            "frequent_ngrams": {2: 0.2, 3: 0.18, 4: 0.16},
            "duplicate_ngrams": {5: 0.15, 6: 0.14, 7: 0.13, 8: 0.12, 9: 0.11, 10: 0.1},
        }
    ],
    "FineWebQualityFilter": [
        {"type": "repetition", "maximum_duplicate_line_characters": 0.01},
        {"type": "layout", "minimum_ended": 0.12, "brackets_end": False, "short_line": 30, "maximum_short": 0.67},
    ],
    "PIIFormatter": [{"type": "personal_data", "kinds": ["mail", "ip"], "disguised_mail": False}],
}
"""Step of datatrove, language ja, default limits -> ours."""


def ours(rules: dict[str, list[dict[str, Any]]]) -> dict[str, Work]:
    """Our steps: all as the pipeline runs them, counted and sampled; each alone without that."""
    from preprocessing.config import SourceConfig
    from preprocessing.counts import Counts
    from preprocessing.document import Document
    from preprocessing.pipeline import cleaned
    from preprocessing.step import Filter, Mapper

    def built(steps: Sequence[dict[str, Any]]) -> list[Mapper | Filter]:
        return SourceConfig(reader={"type": "text"}, steps=tuple(steps)).build_steps()

    def pipeline(steps: Sequence[Mapper | Filter]) -> Work:
        def run(texts: Sequence[str]) -> Verdicts:
            documents = (Document(f"peers/{number}#0", text, str(number)) for number, text in enumerate(texts))
            verdicts = [False] * len(texts)
            for document in cleaned(documents, steps, Counts(), lambda rejected: None):
                verdicts[int(document.source)] = True
            return verdicts

        return run

    def alone(steps: Sequence[Mapper | Filter]) -> Work:
        def verdict(text: str) -> bool:
            document = Document("", text, "")
            for step in steps:
                if isinstance(step, Mapper):
                    if step.map(document, Counter()) != text:
                        return False
                elif step.reason(document):
                    return False
            return True

        return lambda texts: [verdict(text) for text in texts]

    found = {
        name: pipeline(built([step for rule in chosen for step in rules[rule]])) for name, chosen in rows(rules).items()
    }
    return found | {name: alone(built(steps)) for name, steps in rules.items()}


def rows(rules: dict[str, list[dict[str, Any]]]) -> dict[str, list[str]]:
    """The rules that run together: all, and all but the list of words, which can cost more than the rest."""
    together = {ALL: list(rules)}
    return together | {"all but the words": [rule for rule in rules if rule != WORDS]} if WORDS in rules else together


def hojichar(words: str) -> dict[str, Work]:
    """HojiChar: one filter after the other, then its Compose."""
    from hojichar import Compose, Document
    from hojichar.filters import document_filters as filters

    made = {
        "DocumentLengthFilter": filters.DocumentLengthFilter(min_doc_len=200, max_doc_len=50_000),
        WORDS: filters.NgWordsFilterJa(words, ignore_confused=True),
    }
    made |= {name: getattr(filters, name)() for name in HOJICHAR_RULES if name not in made}

    def work(step: Any, masks: bool) -> Work:
        def run(texts: Sequence[str]) -> Verdicts:
            done = (step.apply(Document(text)) for text in texts)
            return [
                document.text == text if masks else not document.is_rejected
                for document, text in zip(done, texts, strict=True)
            ]

        return run

    found = {
        name: work(Compose([made[rule] for rule in chosen]), False) for name, chosen in rows(HOJICHAR_RULES).items()
    }
    return found | {name: work(made[name], name.startswith("Mask")) for name in HOJICHAR_RULES}


def datatrove() -> dict[str, Work]:
    """datatrove: the methods of its steps, without its executor, readers and writers."""
    from datatrove.data import Document
    from datatrove.pipeline.filters import FineWebQualityFilter, GopherRepetitionFilter
    from datatrove.pipeline.formatters import PIIFormatter

    steps = [GopherRepetitionFilter(language="ja"), FineWebQualityFilter(language="ja")]
    masks = PIIFormatter()

    def filtering(chosen: Sequence[Any], masked: bool) -> Work:
        def run(texts: Sequence[str]) -> Verdicts:
            verdicts = []
            for number, text in enumerate(texts):
                document = Document(text=text, id=str(number))
                kept = all(step.filter(document) is True for step in chosen)
                if kept and masked:
                    document.text = masks.format(document.text)
                verdicts.append(kept)
            return verdicts

        return run

    return {
        ALL: filtering(steps, True),
        "GopherRepetitionFilter": filtering(steps[:1], False),
        "FineWebQualityFilter": filtering(steps[1:], False),
        "PIIFormatter": lambda texts: [masks.format(text) == text for text in texts],
    }


def our_minhash() -> dict[str, Work]:
    """Keys and signatures of batches, as deduplication computes them; nothing is written."""
    from preprocessing.deduplicate.minhash import MinHash
    from preprocessing.text.keys import near_keys

    minhash = MinHash(ngram=5, bands=14, rows=8, seed=1)

    def run(texts: Sequence[str]) -> Verdicts:
        verdicts: Verdicts = []
        for start in range(0, len(texts), 256):
            batch = texts[start : start + 256]
            long = near_keys(batch).lengths >= minhash.ngram
            keys = near_keys([text for text, enough in zip(batch, long, strict=True) if enough])
            minhash.band_keys(minhash.signatures(keys))
            verdicts += long.tolist()
        return verdicts

    return {"MinhashDedupSignature": run}


def datatrove_minhash() -> dict[str, Work]:
    """The signatures of datatrove; nothing is written."""
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupSignature

    with tempfile.TemporaryDirectory() as folder:
        step = MinhashDedupSignature(folder, MinhashConfig(n_grams=5, num_buckets=14, hashes_per_bucket=8), "ja")

    def run(texts: Sequence[str]) -> Verdicts:
        verdicts = []
        for text in texts:
            shingles = step.get_shingles(text)
            verdicts.append(bool(shingles.size))
            if shingles.size:
                step.get_signature(shingles)
        return verdicts

    return {"MinhashDedupSignature": run}


def contend(name: str, texts: Sequence[str], words: str) -> dict[str, Any]:
    """All measurements of one contender, in this process."""
    filled = {
        rule: [step | {"of": words} if step.get("of") == "WORDS" else step for step in steps]
        for rule, steps in HOJICHAR_RULES.items()
    }
    makers: dict[str, Callable[[], dict[str, Work]]] = {
        "ours-hojichar": lambda: ours(filled),
        "hojichar": lambda: hojichar(words),
        "ours-datatrove": lambda: ours(DATATROVE_RULES),
        "datatrove": datatrove,
        "ours-minhash": our_minhash,
        "minhash": datatrove_minhash,
    }
    found: dict[str, Any] = {}
    peak = 0
    for rule, work in makers[name]().items():
        verdicts, seconds = measure(work, texts)
        # The first is all rules together; a peak cannot be taken back.
        peak = peak or peak_memory()
        found[rule] = {"verdicts": verdicts, "seconds": seconds}
    return {"rules": found, "peak": peak}


def measure(work: Work, texts: Sequence[str]) -> tuple[Verdicts, float]:
    """What one pass gives, and the processor seconds of the fastest."""
    work(texts[:WARM_UP])
    best, spent = float("inf"), 0.0
    while True:
        started = time.process_time()
        verdicts = work(texts)
        seconds = time.process_time() - started
        best, spent = min(best, seconds), spent + seconds
        if spent >= SECONDS:
            return verdicts, best


def peak_memory() -> int:
    """Largest resident size of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def started(python: str, name: str, texts: Path, words: str) -> dict[str, Any]:
    """What a contender says, in an interpreter of its own."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = os.environ | threads | {"HF_HUB_OFFLINE": "1", "PYTHONHASHSEED": "0"}
    if name.startswith("ours"):
        environment["PYTHONPATH"] = str(ROOT)
    else:
        environment.pop("PYTHONPATH", None)
    command = [python, str(Path(__file__)), "--contender", name, "--jsonl", str(texts), "--words", words]
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def compare(peer: str, python: str, texts: Path, words: str, megabytes: float) -> list[dict[str, Any]]:
    """One row per rule, ours beside the peer's."""
    mine, theirs = started(sys.executable, f"ours-{peer}", texts, words), started(python, peer, texts, words)
    lines: list[dict[str, Any]] = []
    for rule, their in theirs["rules"].items():
        my = mine["rules"][rule]
        same = sum(one == other for one, other in zip(my["verdicts"], their["verdicts"], strict=True))
        lines.append(
            {
                "rule": rule,
                "kept, ours": sum(my["verdicts"]),
                "kept, peer": sum(their["verdicts"]),
                "same verdict %": 100 * same / len(my["verdicts"]),
                "MB/s, ours": megabytes / my["seconds"],
                "MB/s, peer": megabytes / their["seconds"],
                "ratio": their["seconds"] / my["seconds"],
            }
        )
    for number, line in enumerate(lines):
        for who, peak in (("ours", mine["peak"]), ("peer", theirs["peak"])):
            line[f"peak MB, {who}"] = "" if number else peak / 1e6
    return lines


def texts_of(path: Path, megabytes: float | None = None) -> list[str]:
    """The texts of a JSONL file, the first `megabytes` of them."""
    texts, left = [], float("inf") if megabytes is None else megabytes * 1e6
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            texts.append(json.loads(line)["text"])
            left -= len(texts[-1].encode())
            if left <= 0:
                break
    return texts


def generated(folder: Path, megabytes: float) -> Iterable[str]:
    """Web pages of the sample corpus, as our reader gives them, defects and all."""
    from jp_llm.texts.streams import decompressed
    from preprocessing.config import SourceConfig
    from preprocessing.document import Document
    from preprocessing.raw_file import RawFile
    from preprocessing.sample.generate import generate

    # Half of the characters are web pages, of about three bytes each.
    generate(folder / "sample", seed=1234, characters=int(megabytes * 1e6 / 3 * 2.2))
    reader = SourceConfig(reader={"type": "jsonl"}).build_reader()
    for path in sorted((folder / "sample" / "jsonl").iterdir()):
        with path.open("rb") as file:
            stream = decompressed(file, path.name, max_ratio=1000)
            for record in reader.read(RawFile("web", str(path), None, path.name, stream)):
                if isinstance(record, Document):
                    yield record.text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peers-python", help="interpreter of the environment of the peers")
    parser.add_argument("--megabytes", type=float, default=4.0, help="of text; datatrove needs some 20 s for 4 MB")
    parser.add_argument("--jsonl", type=Path, help="texts of your own")
    parser.add_argument("--only", choices=sorted(TARGETS), action="append", help="one of the comparisons")
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--words", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contender:
        print(json.dumps(contend(arguments.contender, texts_of(arguments.jsonl), arguments.words)))
        return
    if not arguments.peers_python:
        parser.error("--peers-python: name the interpreter of an environment with benchmarks/peers_requirements.txt")

    from _report import report

    # The list that both check: the one that HojiChar brings.
    asked = "import hojichar, pathlib; print(pathlib.Path(hojichar.__file__).parent / 'dict' / 'adult_keywords_ja.txt')"
    words = subprocess.run([arguments.peers_python, "-c", asked], stdout=subprocess.PIPE, text=True, check=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = (
            texts_of(arguments.jsonl, arguments.megabytes)
            if arguments.jsonl
            else generated(folder, arguments.megabytes)
        )
        lengths: Counter[str] = Counter()
        with (folder / "texts.jsonl").open("w", encoding="utf-8") as file:
            for text in source:
                file.write(json.dumps({"text": text}, ensure_ascii=False) + "\n")
                lengths += Counter(documents=1, bytes=len(text.encode()))
        megabytes = lengths["bytes"] / 1e6
        for peer in arguments.only or TARGETS:
            lines = compare(peer, arguments.peers_python, folder / "texts.jsonl", words.stdout.strip(), megabytes)
            report(
                f"{'datatrove, MinHash' if peer == 'minhash' else peer}: {lengths['documents']:,} documents, "
                f"{megabytes:.1f} MB, one core",
                lines,
                target=TARGETS[peer],
                reached=lines[0]["ratio"] >= TARGETS[peer],
            )


if __name__ == "__main__":
    main()

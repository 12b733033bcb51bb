"""`launch/tokenizer_report.py`: tokenizers side by side on the same text, ours and any that transformers loads."""

import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import PositiveInt

import jp_llm
from jp_llm.config.section import OneOrSeveral, Section
from jp_llm.evaluate.tokenizers import AnyTokenizer, open_tokenizer
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of, write_json
from jp_llm.texts.documents import choose, find_files, read_documents
from jp_llm.tokenizer.batches import batches

Split = Callable[[Iterable[str]], Iterable[list[str]]]
"""Divides each of some lines into words, which joined are the line."""
_EXAMPLES = 3
_AROUND = 20
"""Characters of an example before and behind the first difference."""
_TOTAL = "(all)"


class TokenizerReportConfig(Section):
    """How well tokenizers do on text: characters and bytes per token, unknown and byte tokens, the way back, speed."""

    tokenizers: OneOrSeveral = ()
    """Tokenizer folders of launch/train_tokenizer.py, dataset folders, Hugging Face folders, or names on the Hugging
    Face hub (those need transformers)."""
    data: OneOrSeveral = ()
    """Dataset folders (their held-out documents), .txt files (one document each), or .jsonl, .jsonl.gz and .jsonl.zst
    files (a "text" per line, and a "source" if there is one)."""
    output: str | None = None
    """JSON file for the results; null only prints the table."""
    max_characters: PositiveInt | None = 1_000_000
    """At most this many characters of each source; which documents follows from their content, not from their order."""
    words: str | None = None
    """Also count tokens per word of this splitter."""

    def problems(self) -> list[str]:
        found = []
        if not self.tokenizers:
            found.append("tokenizers: name folders, e.g. tokenizers=[corpora/demo/tokenizer]")
        if not self.data:
            found.append("data: name a dataset folder or text files, e.g. data=[corpora/demo]")
        return found


@dataclass
class Measure:
    """One tokenizer on the texts of one source."""

    documents: int = 0
    characters: int = 0
    bytes: int = 0
    words: int = 0
    tokens: int = 0
    unknown_tokens: int = 0
    byte_tokens: int = 0
    """Tokens that hold no whole character: bytes of one that is not in the vocabulary."""
    cpu_seconds: float = 0.0
    """Of encoding alone."""
    changed_documents: int = 0
    """Documents that do not come back as they were."""
    examples: list[dict[str, str]] = field(default_factory=list)
    """The surroundings of the first difference, of the first such documents."""

    def add(self, other: "Measure") -> None:
        """Take the counts of another source in."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        del self.examples[_EXAMPLES:]

    def to_json(self) -> dict[str, Any]:
        """Counts and what follows from them; null where nothing was counted."""
        return {
            **vars(self),
            "characters_per_token": _ratio(self.characters, self.tokens),
            "bytes_per_token": _ratio(self.bytes, self.tokens),
            "unknown_share": _ratio(self.unknown_tokens, self.tokens),
            "byte_share": _ratio(self.byte_tokens, self.tokens),
            "tokens_per_word": _ratio(self.tokens, self.words),
            "tokens_per_cpu_second": _ratio(self.tokens, self.cpu_seconds),
            "megabytes_per_cpu_second": _ratio(self.bytes / 1e6, self.cpu_seconds),
        }


def run(config: TokenizerReportConfig, split: Split | None = None) -> None:
    """Measure as configured, with the splitter that `config.words` names; print the table, write the result file."""
    # One core, so that speeds compare; the library reads this when it encodes its first batch.
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    result = report(config, split)
    print(table(result))
    if config.output is not None:
        write_json(Path(config.output), result)


def report(config: TokenizerReportConfig, split: Split | None = None) -> dict[str, Any]:
    """The result as it is written to `output`.

    Raises:
        UserError: a tokenizer cannot be loaded (all of those are named), or there is no text.
    """
    tokenizers: list[AnyTokenizer] = []
    problems: list[str] = []
    for name in config.tokenizers:
        try:
            tokenizers.append(open_tokenizer(name))
        except UserError as error:
            problems += error.problems
    if problems:
        raise UserError(*problems)
    files = find_files(Path(path).expanduser() for path in config.data)
    texts: dict[str, list[str]] = defaultdict(list)
    for text in choose((text for path in files for text in read_documents(path)), None, config.max_characters):
        texts[text.source].append(text.text)
    if not any(map(any, texts.values())):
        raise UserError(f"data: there is no text in {', '.join(map(str, files))}")
    words = {source: _count_words(texts[source], split) if split else 0 for source in texts}
    measured = {
        tokenizer.name: {source: measure(tokenizer, texts[source], words[source]) for source in sorted(texts)}
        for tokenizer in tokenizers
    }
    for sources in measured.values():
        if len(sources) > 1:
            total = Measure()
            for source in sorted(texts):
                total.add(sources[source])
            sources[_TOTAL] = total
    return {
        "format": 1,
        "tokenizers": {
            tokenizer.name: {
                **tokenizer.about,
                "vocab_size": tokenizer.vocab_size,
                "sources": {source: found.to_json() for source, found in measured[tokenizer.name].items()},
            }
            for tokenizer in tokenizers
        },
        "settings": {"max_characters": config.max_characters, "words": config.words},
        "data": {str(path): sha256_of(path) for path in files},
        "versions": {"jp-llm": jp_llm.__version__},
    }


def measure(tokenizer: AnyTokenizer, texts: Sequence[str], words: int = 0) -> Measure:
    """Encode and decode some texts, which have so many words together."""
    found = Measure(documents=len(texts), words=words)
    tokenizer.encode(["a"])  # what a library does at its first call is no encoding
    for batch in batches(texts):
        start = time.process_time()
        encoded = tokenizer.encode(batch)
        found.cpu_seconds += time.process_time() - start
        for text, ids in zip(batch, encoded, strict=True):
            found.characters += len(text)
            found.bytes += len(text.encode())
            found.tokens += len(ids)
            found.unknown_tokens += sum(map(tokenizer.unknown_ids.__contains__, ids))
            found.byte_tokens += sum(map(tokenizer.byte_ids.__contains__, ids))
            back = tokenizer.decode(ids)
            if back != text:
                found.changed_documents += 1
                if len(found.examples) < _EXAMPLES:
                    found.examples.append(_difference(text, back))
    return found


def table(result: dict[str, Any]) -> str:
    """Markdown: a row per source and tokenizer, then the examples of texts that do not come back."""
    with_words = result["settings"]["words"] is not None
    head = ["source", "tokenizer", "pieces", "chars/token", "bytes/token", "unknown", "bytes of characters"]
    head += ["tokens/word"] * with_words + ["documents changed", "million tokens/s"]
    rows = []
    sources = dict.fromkeys(source for item in result["tokenizers"].values() for source in item["sources"])
    for source in sources:
        for name, item in result["tokenizers"].items():
            found = item["sources"][source]
            rows.append(
                [source, name, f"{item['vocab_size']:,}"]
                + [_number(found[key]) for key in ("characters_per_token", "bytes_per_token")]
                + [_percent(found[key]) for key in ("unknown_share", "byte_share")]
                + [_number(found["tokens_per_word"])] * with_words
                + [f"{found['changed_documents']:,} of {found['documents']:,}"]
                + [_number(found["tokens_per_cpu_second"], 1e6)]
            )
    lines = [_line(head), "|" + "---|" * len(head), *map(_line, rows)]
    for name, item in result["tokenizers"].items():
        examples = [
            example for source in sources if source != _TOTAL for example in item["sources"][source]["examples"]
        ]
        lines += [f"\n{name} turns {one['text']!r} into {one['back']!r}" for one in examples[:_EXAMPLES]]
    return "\n".join(lines)


def _count_words(texts: Sequence[str], split: Split) -> int:
    lines = (line for text in texts for line in text.split("\n"))
    return sum(not word.isspace() for words in split(lines) for word in words)


def _difference(text: str, back: str) -> dict[str, str]:
    ends = (place for place, (left, right) in enumerate(zip(text, back, strict=False)) if left != right)
    place = next(ends, min(len(text), len(back)))
    around = slice(max(0, place - _AROUND), place + _AROUND)
    return {"text": text[around], "back": back[around]}


def _ratio(count: float, of: float) -> float | None:
    return count / of if of else None


def _number(value: float | None, unit: float = 1.0) -> str:
    return "-" if value is None else f"{value / unit:.3f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.3%}"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"

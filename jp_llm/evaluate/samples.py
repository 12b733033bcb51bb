"""`launch/evaluate_samples.py`: what a model writes, measured by repetition, variety, ends and copies."""

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from jp_llm.evaluate.config import EvaluateSamplesConfig
from jp_llm.evaluate.interval import wilson
from jp_llm.evaluate.result import common, dtype_of, markdown_table, number, percent, publish
from jp_llm.export.inference import LoadedModel, model_hashes, open_model
from jp_llm.generate.config import SamplingConfig
from jp_llm.generate.output import settings_path
from jp_llm.generate.text import complete
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json, sha256_of
from jp_llm.texts.repetition import Repetition, distinct_ngrams, repeated_ngrams

TITLE = "samples"
UNKNOWN = "unknown"
"""Who wrote a file of texts that has no settings beside it."""


@dataclass(frozen=True)
class Sample:
    """A text that a model wrote."""

    prompt: str
    text: str
    """Without the prompt."""
    tokens: list[int]
    """The end of the document included, if the model put one."""


class Match(Protocol):
    """What an index of near copies says of a text (jp_llm.near_copies)."""

    @property
    def longest_run(self) -> int: ...
    @property
    def containment(self) -> float: ...


class Guard(Protocol):
    """Looks a text up in the training text."""

    def __call__(self, text: str) -> tuple[Match, str | None]:
        """What resembles it most, and why it counts as a copy, or None."""


def run(config: EvaluateSamplesConfig) -> None:
    """Measure as configured, print the table, write the result file."""
    result = evaluate_samples(config)
    if config.model_card and result["settings"].get("written_by") == UNKNOWN:
        print(
            f"{config.samples}: no .settings.json beside it says which model wrote these texts, so they do not go into "
            "a model card",
            file=sys.stderr,
        )
        config = config.model_copy(update={"model_card": False})
    publish(config, TITLE, result, table(result))


def evaluate_samples(config: EvaluateSamplesConfig, guard: Guard | None = None) -> dict[str, Any]:
    """The result as it is written to `output`.

    Args:
        guard: takes the place of the index that `near_copies` names.

    Raises:
        UserError: no model, no texts, a damaged file of texts, one of another model, or no index.
    """
    if guard is None and config.near_copies is not None:
        guard = _open_guard(Path(config.near_copies).expanduser())
    written = None if config.samples is None else Path(config.samples).expanduser()
    samples = [] if written is None else list(read_samples(written))
    loaded = open_model(Path(config.model), config.device, config.precision)
    if written is None:
        completions = complete(loaded, config.prompts or ("",), config, config.batch_size)
        samples = [Sample(each.prompt, each.text, each.tokens) for each in completions]
        sampling = {key: getattr(config, key) for key in SamplingConfig.model_fields}
        settings = sampling | {"device": loaded.device.type, "precision": dtype_of(loaded)}
    else:
        settings = _written_with(written, loaded)
    return common(config, loaded) | {
        "samples": measure(samples, loaded.end_ids, guard),
        "settings": {
            "prompts": list(dict.fromkeys(sample.prompt for sample in samples)),
            **settings,
            "near_copies": config.near_copies,
        },
        "data": {str(written): sha256_of(written)} if written else {},
    }


def _written_with(path: Path, loaded: LoadedModel) -> dict[str, Any]:
    """The settings of a file of texts, as they lie beside it.

    Raises:
        UserError: another model wrote it, or the settings are damaged.
    """
    try:
        settings = read_json(settings_path(path))
        own = settings["model_files_sha256"]
    except FileNotFoundError:
        return {"written_by": UNKNOWN}
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"samples: {settings_path(path)}: damaged; remove it to measure {path.name} without") from error
    if own != model_hashes(loaded.folder):
        raise UserError(f"samples: {path}: written by another model than {loaded.folder}; name that one as model")
    kept = (*SamplingConfig.model_fields, "precision", "part", "parts")
    return {key: settings[key] for key in kept if key in settings}


def read_samples(path: Path) -> Iterator[Sample]:
    """The texts of a file of launch/generate.py.

    Raises:
        UserError: there is no such file, it holds no texts, or a line is none of launch/generate.py.
    """
    if not path.is_file():
        raise UserError(f"samples: {path}: no such file; write it with launch/generate.py output={path}")
    count = 0
    with path.open("rb") as file:
        for number_, line in enumerate(file, start=1):
            try:
                record = json.loads(line)
                prompt, text, tokens = record["prompt"], record["text"], record["tokens"]
                strings = isinstance(prompt, str) and isinstance(text, str)
                if not strings or not all(isinstance(token, int) for token in tokens):
                    raise TypeError
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f'samples: {path}, line {number_}: no "prompt", "text" and "tokens"; '
                    "name a file of launch/generate.py"
                ) from error
            yield Sample(prompt, text, tokens)
            count += 1
    if not count:
        raise UserError(f"samples: {path}: holds no texts")


def measure(samples: Sequence[Sample], ends: frozenset[int], guard: Guard | None = None) -> dict[str, Any]:
    """Figures of some texts together; shares are 0 to 1, None where there is nothing to divide by.

    `repeated` is the mean over the texts of the share of n-grams that stand in the text before (rep-n) and `diversity`
    is the product of 1 - rep-n for n = 2, 3, 4 (both Su et al. 2022, section 4); `distinct` takes all texts together
    (Li et al. 2016). Tokens do not include the end of the document.
    """
    tokens = [sample.tokens[:-1] if _ended(sample, ends) else sample.tokens for sample in samples]
    texts = [sample.text for sample in samples]
    ended = sum(_ended(sample, ends) for sample in samples)
    degenerate = sum(Repetition.of(each).degenerate for each in tokens)
    found: dict[str, Any] = {
        "texts": len(samples),
        "empty": sum(not text.strip() for text in texts),
        "characters": sum(map(len, texts)),
        "tokens": sum(map(len, tokens)),
        "ended": ended / len(samples) if samples else None,
        "degenerate": degenerate / len(samples) if samples else None,
    }
    for kind, sequences in (("tokens", tokens), ("characters", texts)):
        repeated = {n: fmean(repeated_ngrams(each, n) for each in sequences) if sequences else 0.0 for n in (2, 3, 4)}
        found[f"of_{kind}"] = {
            "distinct": {str(n): distinct_ngrams(sequences, n) for n in (1, 2, 3)},
            "repeated": {str(n): share for n, share in repeated.items()},
            "diversity": (1 - repeated[2]) * (1 - repeated[3]) * (1 - repeated[4]),
        }
    if guard is not None:
        found["copies"] = _copies(texts, guard)
    return found


def table(result: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    found = result["samples"]
    rows = [
        ["texts", f"{found['texts']:,}", f"{found['texts']:,}"],
        ["length of all", f"{found['tokens']:,}", f"{found['characters']:,}"],
    ]
    by_tokens, by_characters = found["of_tokens"], found["of_characters"]
    for n in ("1", "2", "3"):
        rows.append([f"distinct-{n}", number(by_tokens["distinct"][n], 4), number(by_characters["distinct"][n], 4)])
    for n in ("2", "3", "4"):
        rows.append([f"repeated {n}-grams", percent(by_tokens["repeated"][n]), percent(by_characters["repeated"][n])])
    rows += [
        ["diversity", number(by_tokens["diversity"], 4), number(by_characters["diversity"], 4)],
        ["texts with more repetition than text", percent(found["degenerate"]), ""],
        ["texts that end", percent(found["ended"]), ""],
    ]
    if copies := found.get("copies"):
        low, high = copies["interval"]
        rows += [
            [f"copies of the training text ({percent(low)} – {percent(high)})", "", percent(copies["share"])],
            ["longest run in the training text, mean", "", number(copies["mean_longest_run"], 1)],
            ["longest run in the training text, most", "", f"{copies['longest_run']:,}"],
        ]
    return markdown_table(("samples", "by tokens", "by characters"), rows)


def _ended(sample: Sample, ends: frozenset[int]) -> bool:
    return bool(sample.tokens) and sample.tokens[-1] in ends


def _copies(texts: Sequence[str], guard: Guard) -> dict[str, Any]:
    matches, reasons = [], []
    for text in texts:
        match, reason = guard(text)
        matches.append(match)
        reasons.append(reason)
    copied = sum(reason is not None for reason in reasons)
    return {
        "texts": copied,
        "share": copied / len(texts) if texts else None,
        "interval": wilson(copied, len(texts)),
        "mean_containment": fmean(match.containment for match in matches) if matches else None,
        "mean_longest_run": fmean(match.longest_run for match in matches) if matches else None,
        "longest_run": max((match.longest_run for match in matches), default=0),
    }


def _open_guard(folder: Path) -> Guard:
    from jp_llm.near_copies.index import NearCopyIndex
    from jp_llm.near_copies.verdict import NearCopyLimits, verdict

    index, limits = NearCopyIndex.open(folder), NearCopyLimits()

    def look_up(text: str) -> tuple[Match, str | None]:
        match = index.look_up(text)
        return match, verdict(match, limits)

    return look_up

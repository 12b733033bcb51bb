"""Train the scorer on files of good and of bad examples, and say how well it tells held-out ones apart."""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt

from jp_llm.config.section import Section
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import sha256_of
from preprocessing.encode.texts import find_texts, read_texts
from preprocessing.quality.model import QualityModel, buckets
from preprocessing.text.characters import Codes, codes_of
from preprocessing.text.folding import folded

_DAMPING = 1e-8
"""Added to the sums of squared gradients: as much as one document of some 10,000 n-grams adds."""
_MINIMUM_EXAMPLES = 20


class QualityConfig(Section):
    """The recipe; with the examples it decides the model."""

    ngram_sizes: tuple[PositiveInt, ...] = (1, 2, 3)
    """Characters of the n-grams."""
    bits: int = Field(default=18, ge=8, le=26)
    """2**bits weights of 4 bytes, shared by n-grams whose hashes meet."""
    epochs: PositiveInt = 5
    """How often each example is seen."""
    learning_rate: PositiveFloat = 1.0
    """Of AdaGrad; falls to 0 in a straight line."""
    maximum_characters: PositiveInt = 4000
    """Of each example; what follows is not looked at in training."""
    maximum_examples: PositiveInt = 20_000
    """Of each kind; a sample by hash of the text, if there are more. Copies count once."""
    held_out: float = Field(default=0.1, gt=0, lt=1)
    """Share of the examples that are only used for the figures."""
    seed: int = 0
    """Decides the order of the examples."""


class TrainQualityConfig(Section):
    """What `launch/train_quality.py` reads (`configs/quality.yaml`)."""

    good: tuple[str, ...] = ()
    """Files, folders of documents or patterns of texts to keep: JSON Lines with a "text", or plain text with one
    document per line; compressed or not."""
    bad: tuple[str, ...] = ()
    """The same of texts to drop."""
    output: str = ""
    """File of the model, by custom with the ending .npz."""
    quality: QualityConfig = QualityConfig()

    def problems(self) -> list[str]:
        found = [
            f"{key}: name files, e.g. '{key}=[{key}.jsonl.zst]'" for key in ("good", "bad") if not getattr(self, key)
        ]
        return found + ([] if self.output else ["output: name a file, e.g. output=models/quality.npz"])


@dataclass(frozen=True)
class Examples:
    """Texts with their labels, as folded code points."""

    texts: list[Codes]
    labels: list[int]
    """1 good, 0 bad."""


def run(config: TrainQualityConfig) -> None:
    """Train, print the figures, write the model.

    Raises:
        UserError: a file is missing or damaged, or there are too few examples.
    """
    model = train(find_texts(config.good, "good"), find_texts(config.bad, "bad"), config.quality)
    model.save(Path(config.output))
    figures = model.manifest["held_out"]
    print(f"examples: {model.manifest['good']:,} good, {model.manifest['bad']:,} bad")
    print(f"held out: {figures['examples']:,}; accuracy {figures['accuracy']:.3f}, AUC {figures['auc']:.4f}")
    for row in figures["limits"]:
        print(f"  minimum {row['minimum']}: keeps {row['good_kept']:.1%} of good, {row['bad_kept']:.1%} of bad texts")
    print(f"{config.output}: written")


def train(good: Sequence[Path], bad: Sequence[Path], config: QualityConfig) -> QualityModel:
    """Train on what the files hold; the figures of held-out examples are in the manifest.

    Raises:
        UserError: a file is damaged, or there are too few examples.
    """
    samples = {1: _sample(good, config), 0: _sample(bad, config)}
    shared = {digest for digest, _ in samples[1]} & {digest for digest, _ in samples[0]}
    if shared:
        raise UserError(f"good, bad: {len(shared):,} texts are in both")
    training, held_out = Examples([], []), Examples([], [])
    for label, sample in samples.items():
        for digest, text in sample:
            # Another part of the digest than the one that the sample is taken by.
            is_held_out = int.from_bytes(digest[8:], "big") < config.held_out * 2.0**64
            examples = held_out if is_held_out else training
            examples.texts.append(folded(text, codes_of(text))[1])
            examples.labels.append(label)
    for name, examples in (("to train on", training), ("held out", held_out)):
        for label, kind in ((1, "good"), (0, "bad")):
            number = examples.labels.count(label)
            if number < (_MINIMUM_EXAMPLES if examples is training else 1):
                raise UserError(f"{kind}: only {number} examples {name}; give more texts")
    weights, bias = _fit(training, config)
    manifest = {
        "recipe": config.model_dump(mode="json"),
        "good": len(samples[1]),
        "bad": len(samples[0]),
        "files": {str(file): sha256_of(file) for file in (*good, *bad)},
    }
    model = QualityModel.of_floats(weights, bias, config.ngram_sizes, manifest)
    model.manifest["held_out"] = _figures(model, held_out)
    return model


def _sample(files: Sequence[Path], config: QualityConfig) -> list[tuple[bytes, str]]:
    """Digest and beginning of the texts with the lowest digests, by digest, each text once."""
    # A heap of the highest digests on top, which give way.
    heap: list[tuple[int, str]] = []
    known: set[int] = set()
    for text in _beginnings(files, config.maximum_characters):
        key = -int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest(), "big")
        if key in known:
            continue
        if len(heap) < config.maximum_examples:
            heapq.heappush(heap, (key, text))
        elif key > heap[0][0]:
            known.discard(heapq.heapreplace(heap, (key, text))[0])
        else:
            continue
        known.add(key)
    return [((-key).to_bytes(16, "big"), text) for key, text in sorted(heap, reverse=True)]


def _beginnings(files: Sequence[Path], characters: int) -> Iterator[str]:
    for file in files:
        for _, text in read_texts(file):
            if beginning := text.strip()[:characters]:
                yield beginning


def _fit(examples: Examples, config: QualityConfig) -> tuple[NDArray[np.float64], float]:
    """Weights and bias of the logistic regression, by AdaGrad, one example at a time; both kinds weigh the same."""
    weights = np.zeros(1 << config.bits)
    squares = np.full(1 << config.bits, _DAMPING)
    bias, bias_square = 0.0, 1.0
    labels = np.array(examples.labels)
    of_kind = {label: len(labels) / (2 * np.count_nonzero(labels == label)) for label in (0, 1)}
    random = np.random.default_rng(config.seed)
    steps, step = config.epochs * len(labels), 0
    for _ in range(config.epochs):
        for index in random.permutation(len(labels)).tolist():
            label = examples.labels[index]
            places, values = _features(examples.texts[index], config)
            margin = bias + float((weights[places] * values).sum())
            error = (1 / (1 + np.exp(-margin)) - label) * of_kind[label]
            rate = config.learning_rate * (1 - step / steps)
            gradient = error * values
            squares[places] += gradient * gradient
            weights[places] -= rate * gradient / np.sqrt(squares[places])
            bias_square += error * error
            bias -= float(rate * error / np.sqrt(bias_square))
            step += 1
    return weights, bias


def _features(codes: Codes, config: QualityConfig) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Buckets, and the share of the n-grams that lies in each."""
    found = np.concatenate([buckets(codes, size, config.bits) for size in config.ngram_sizes])
    places, counts = np.unique(found, return_counts=True)
    return places, counts / max(len(found), 1)


def _figures(model: QualityModel, examples: Examples) -> dict[str, Any]:
    scores = np.array([model.score(codes) for codes in examples.texts])
    good = np.array(examples.labels) == 1
    return {
        "examples": len(scores),
        "accuracy": float(np.mean((scores >= 0.5) == good)),
        "auc": area_under_curve(scores, good),
        "limits": [
            {
                "minimum": limit,
                "good_kept": float(np.mean(scores[good] >= limit)),
                "bad_kept": float(np.mean(scores[~good] >= limit)),
            }
            for limit in (0.1, 0.3, 0.5, 0.7, 0.9)
        ],
    }


def area_under_curve(scores: NDArray[np.float64], good: NDArray[np.bool_]) -> float:
    """The chance that a good text has a higher score than a bad one; equal scores count half."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[places]
    number = int(good.sum())
    others = len(good) - number
    return float((ranks[good].sum() - number * (number + 1) / 2) / (number * others))

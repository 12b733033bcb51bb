"""The scorer: the mean weight of a text's character n-grams, as a probability.

    score = sigmoid(bias + mean of weight[bucket] over all n-grams of the folded text)

An n-gram has the bucket that its hash says. Weights are integers in units of 2**-16, so that a score is the same on
every machine. As means, scores do not grow with the length of a text.
"""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import atomic_writer
from preprocessing.text.characters import Codes
from preprocessing.text.ngrams import ngram_hashes

FORMAT = 1
_UNIT = 1 << 16
_FACTOR = 0xD6E8FEB86659FD93
_BLOCK = 1 << 20
"""Characters whose n-grams are looked up at a time."""


def buckets(codes: Codes, size: int, bits: int) -> NDArray[np.int64]:
    """The bucket of the `size`-gram at each position, below `2**bits`, int64 [positions]."""
    hashes = ngram_hashes(codes, size)
    hashes += np.uint64(size)
    hashes *= np.uint64(_FACTOR)
    hashes >>= np.uint64(64 - bits)
    return hashes.view(np.int64)


class QualityModel:
    """Weights, and how they came about."""

    def __init__(self, weights: NDArray[np.int32], bias: float, sizes: Sequence[int], manifest: dict[str, Any]) -> None:
        """
        Args:
            weights: int32 [2**bits], in units of 2**-16.
            bias: added to their mean.
            sizes: of the n-grams.
            manifest: recipe, data and figures, as JSON.
        """
        self.weights = weights
        self.bias = bias
        self.sizes = tuple(sizes)
        self.manifest = manifest
        self._bits = len(weights).bit_length() - 1

    @classmethod
    def of_floats(
        cls, weights: NDArray[np.float64], bias: float, sizes: Sequence[int], manifest: dict[str, Any]
    ) -> "QualityModel":
        """A model of these weights, rounded."""
        limit = np.iinfo(np.int32)
        rounded = np.clip(np.rint(weights * _UNIT), limit.min, limit.max)
        return cls(rounded.astype(np.int32), bias, sizes, manifest)

    def score(self, codes: Codes) -> float:
        """How likely a text is a good one, 0 to 1.

        Args:
            codes: code points of the folded text (`TextView.folded`).
        """
        total = number = 0
        for start in range(0, len(codes), _BLOCK):
            for size in self.sizes:
                found = self.weights[buckets(codes[start : start + _BLOCK + size - 1], size, self._bits)]
                total += int(found.sum(dtype=np.int64))
                number += len(found)
        margin = self.bias + (total / number / _UNIT if number else 0.0)
        return 1 / (1 + math.exp(-max(min(margin, 500.0), -500.0)))

    def save(self, path: Path) -> None:
        """Write one file in the .npz format of numpy, atomically."""
        arrays = {
            "weights": self.weights,
            "bias": np.float64(self.bias),
            "sizes": np.array(self.sizes, np.int64),
            "manifest": np.frombuffer(json.dumps({"format": FORMAT, **self.manifest}).encode(), np.uint8),
        }
        with atomic_writer(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> "QualityModel":
        """Read what `save` wrote.

        Raises:
            UserError: there is no such file, or it is no quality model.
        """
        try:
            with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                manifest = json.loads(arrays["manifest"].tobytes())
                weights, sizes = arrays["weights"], arrays["sizes"].tolist()
                fits = manifest.pop("format") == FORMAT and weights.dtype == np.int32 and weights.ndim == 1
                if not fits or len(weights).bit_count() != 1:
                    raise ValueError("another format")
                return cls(weights, float(arrays["bias"]), sizes, manifest)
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
        except Exception as error:
            # numpy, zipfile and zlib raise what they like for damaged files.
            raise UserError(f"{path}: no quality model of launch/train_quality.py ({error})") from error

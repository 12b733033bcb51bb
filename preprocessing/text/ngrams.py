"""How often the n-grams of a sequence of numbers occur, with one sort and without strings.

The hash of an n-gram is a polynomial over its characters modulo 2**64. Two different ones of a text meet with a chance
of 2**-64 per pair, so that counts are those of the n-grams themselves. Verdicts need few sorts, because of two bounds,
which only skip work and never change a verdict:

    Every occurrence of an n-gram begins with an occurrence of its first character, so no n-gram is more frequent than
    the most frequent character.
    Where an n-gram stands that occurs twice, an (n-1)-gram stands that occurs twice.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
_BASE = 0x9E3779B97F4A7C15
_MODULUS = 1 << 64


def ngram_hashes(codes: NDArray[np.unsignedinteger], size: int) -> Hashes:
    """A number for the `size`-gram that begins at each position, uint64 [positions]; empty if there is none."""
    if len(codes) < size:
        return np.empty(0, np.uint64)
    # By doubling: the hash of 10 characters from those of 8 and 2, that of 8 from two of 4.
    powers: dict[int, Hashes] = {1: codes.astype(np.uint64)}
    width = 1
    while width * 2 <= size:
        powers[width * 2] = _joined(powers[width], powers[width], width, width)
        width *= 2
    found, covered = powers[width], width
    for step in sorted(powers, reverse=True):
        if covered + step <= size:
            found = _joined(found, powers[step], covered, step)
            covered += step
    return found


def _joined(left: Hashes, right: Hashes, left_size: int, right_size: int) -> Hashes:
    """Hashes of `left_size + right_size` characters."""
    number = len(right) - left_size
    joined = left[:number] * np.uint64(pow(_BASE, right_size, _MODULUS))
    joined += right[left_size:]
    return joined


def frequencies(values: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """How often each distinct value occurs, int64 [distinct values], in no meaningful order."""
    if not len(values):
        return np.empty(0, np.int64)
    ordered = np.sort(values)
    return _lengths(ordered)


def highest_frequency(values: NDArray[np.unsignedinteger]) -> int:
    """How often the most frequent value occurs; 0 without values."""
    return int(frequencies(values).max(initial=0))


def frequent(codes: NDArray[np.unsignedinteger], limits: Mapping[int, float]) -> int | None:
    """The first size whose most frequent n-gram is more than `limits[size]` of all n-grams of that size.

    Args:
        codes: of the characters.
        limits: n-gram size -> highest share.
    """
    if not limits or _no_character_reaches(codes, limits):
        return None
    for size, limit in sorted(limits.items()):
        number = len(codes) - size + 1
        if number > 0 and highest_frequency(ngram_hashes(codes, size)) / number > limit:
            return size
    return None


def _no_character_reaches(codes: NDArray[np.unsignedinteger], limits: Mapping[int, float]) -> bool:
    """Whether no character is frequent enough for an n-gram to be; those with equal low bits are counted together."""
    if not len(codes):
        return True
    # One less than the limit allows, so that rounding decides nothing.
    highest = min(limit * (len(codes) - size + 1) for size, limit in limits.items()) - 1
    return bool(np.bincount(codes & np.uint32(0xFFF)).max() <= highest)


def duplicated(
    codes: NDArray[np.unsignedinteger], limits: Mapping[int, float], *, occurrences: bool = False
) -> int | None:
    """The first size of which more than `limits[size]` of the n-grams occur more than once.

    Args:
        codes: of the characters.
        limits: n-gram size -> highest share.
        occurrences: count every occurrence of an n-gram; otherwise each different n-gram counts once.
    """
    sizes = [size for size in sorted(limits) if size <= len(codes)]
    if not sizes:
        return None
    size = sizes[0]
    hashes = ngram_hashes(codes, size)
    # Half of the bits are sorted in half of the time. Where they are equal by chance, only the bound is higher.
    narrow = (hashes >> np.uint64(32)).astype(np.uint32)
    ordered = np.sort(narrow)
    equal = ordered[1:] == ordered[:-1]
    repeated, _, _ = _repetition(equal)
    where = np.empty(0, np.int64)
    for wanted in sizes:
        number = len(codes) - wanted + 1
        if _highest_share(number, repeated, occurrences) <= limits[wanted]:
            continue
        if not len(where):
            # From here on only where n-grams are repeated: those of the next size can be nowhere else.
            where = _among(narrow, ordered[1:][equal])
            hashes = hashes[where]
        for last in range(size, wanted):
            inside = np.count_nonzero(where < len(codes) - last)
            where = where[:inside]
            hashes = hashes[:inside] * np.uint64(_BASE) + codes[where + last]
        size = wanted
        ordered = np.sort(hashes)
        equal = ordered[1:] == ordered[:-1]
        repeated, types, further = _repetition(equal)
        if (repeated / number if occurrences else types / (number - further)) > limits[wanted]:
            return wanted
        kept = _among(hashes, ordered[1:][equal])
        where, hashes = where[kept], hashes[kept]
        if not len(where):
            return None
    return None


def _highest_share(number: int, repeated: int, occurrences: bool) -> float:
    """The highest share that `repeated` of `number` positions can give: what is repeated stands at two of them."""
    repeated = min(repeated, number)
    return repeated / number if occurrences else (repeated / 2) / (number - repeated / 2)


def _repetition(equal: NDArray[np.bool_]) -> tuple[int, int, int]:
    """From which sorted values equal those before: occurrences of values that occur more than once, the number of such
    values, and of their further occurrences."""
    further = int(np.count_nonzero(equal))
    types = further - int(np.count_nonzero(equal[1:] & equal[:-1]))
    return further + types, types, further


def _among(values: NDArray[np.unsignedinteger], wanted: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """Positions of values that are among `wanted`, and of a few others (their highest bits are equal)."""
    bits = max(len(values).bit_length() + 3, 8)
    shift = values.dtype.type(values.dtype.itemsize * 8 - min(bits, 24))
    table = np.zeros(1 << min(bits, 24), np.bool_)
    table[wanted >> shift] = True
    return np.flatnonzero(table[values >> shift])


def top_share(codes: NDArray[np.unsignedinteger], size: int) -> float:
    """Share of the sqrt(V) most frequent n-grams that occur more than once, among all occurrences of V different ones.

    The measure of BigScience (ROOTS, arXiv:2303.03915, "character repetition") and of HojiChar.
    """
    found = frequencies(ngram_hashes(codes, size))
    if not len(found):
        return 0.0
    repeated = found[found > 1]
    number = min(int(np.sqrt(len(found))), len(repeated))
    if number < len(repeated):
        repeated = np.partition(repeated, len(repeated) - number)[len(repeated) - number :]
    return float(repeated.sum() / (len(codes) - size + 1))


def has_run(codes: NDArray[np.unsignedinteger], length: int) -> bool:
    """Whether one value stands `length` or more times in a row."""
    if len(codes) < length:
        return False
    if length >= 8:
        # Such a run covers four of these samples.
        samples = codes[:: length // 5]
        same = samples[1:] == samples[:-1]
        if not np.any(same[2:] & same[1:-1] & same[:-2]):
            return False
    return bool(_lengths(codes).max() >= length)


def _lengths(values: NDArray[np.unsignedinteger]) -> NDArray[np.int64]:
    """Lengths of the runs of equal values, of which there is one."""
    changes = np.flatnonzero(values[1:] != values[:-1])
    # np.diff with `prepend` and `append` does the same in five times the time for short texts.
    bounds = np.empty(len(changes) + 2, np.int64)
    bounds[0], bounds[1:-1], bounds[-1] = 0, changes, len(values)
    bounds[1:-1] += 1
    return bounds[1:] - bounds[:-1]

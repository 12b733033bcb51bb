"""Levenshtein distance by bit vectors."""


def edit_distance(first: str, second: str) -> int:
    """Least number of single-character insertions, deletions and substitutions that turn `first` into `second`.

    One machine operation per row instead of one per cell: Myers, "A fast bit-vector algorithm for approximate string
    matching based on dynamic programming", J. ACM 46(3), 1999, in the form of Hyyrö (2003), on Python's long integers.
    """
    if not first or not second:
        return len(first) + len(second)
    matches: dict[str, int] = {}
    for place, character in enumerate(first):
        matches[character] = matches.get(character, 0) | 1 << place
    every = (1 << len(first)) - 1
    last = 1 << len(first) - 1
    positive, negative, score = every, 0, len(first)
    for character in second:
        equal = matches.get(character, 0)
        vertical = equal | negative
        horizontal = ((equal & positive) + positive ^ positive) | equal
        plus = negative | ~(horizontal | positive) & every
        minus = positive & horizontal
        if plus & last:
            score += 1
        elif minus & last:
            score -= 1
        plus = plus << 1 | 1
        minus <<= 1
        positive = (minus | ~(vertical | plus)) & every
        negative = plus & vertical & every
    return score

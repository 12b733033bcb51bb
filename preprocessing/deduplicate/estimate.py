"""Disk that deduplication takes while it lasts, before anything has been read."""

from preprocessing.deduplicate.config import DeduplicationConfig
from preprocessing.deduplicate.minhash import VERIFIED

_EXACT, _COPY, _NEAR_COPY = 24, 16, 24
_BAND_KEY, _EDGE = 12, 16
_LINE, _FREQUENT, _PARAGRAPH, _REPEATED = 16, 8, 24, 24
_BYTES_PER_CHARACTER = 3


def deduplicate_key_bytes(config: DeduplicationConfig, documents: int, text_bytes: int) -> int:
    """Largest size of all tables of `deduplicate` at one time.

    An upper bound for what is counted by documents: every document may be a copy in every band. Lines are not known:
    half of the text is taken for short lines of half the largest length, and all of it for paragraphs of twice the
    least length.

    Args:
        documents: that come out of cleaning.
        text_bytes: of their texts in UTF-8.
    """
    characters = text_bytes // _BYTES_PER_CHARACTER
    decided = _COPY * documents if config.exact else 0
    peaks = [_EXACT * documents + decided]
    if config.lines:
        lines = characters // config.lines.maximum_characters
        frequent = _FREQUENT * (lines // config.lines.minimum_documents)
        peaks.append(decided + _LINE * lines + frequent)
        decided += frequent
    if config.near:
        checks = min(config.near.bands * config.near.rows, VERIFIED)
        peaks.append(decided + documents * ((_BAND_KEY + _EDGE) * config.near.bands + checks))
        decided += _NEAR_COPY * documents
    if config.paragraphs:
        paragraphs = characters // (2 * config.paragraphs.minimum_characters)
        peaks.append(decided + (_PARAGRAPH + _REPEATED) * paragraphs)
    return max(peaks)

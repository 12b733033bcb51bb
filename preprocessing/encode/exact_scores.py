"""Make the scores of a unigram model exact, so that ties are ties everywhere.

The best segmentation is the one with the highest sum of piece scores. Trained scores are arbitrary floats: two orders
of the same pieces (……|― against ―|……) have the same sum on paper, and rounding decides between them, differently in
float32 and float64, for every start position, library and version. Scores on a grid of 1/64 have exact sums in float32
up to 2^18, which 16 KiB of text do not reach (a character that is not in the vocabulary costs about 30); then every
implementation sees the same ties and breaks them by the same rule (the longer last piece). Scores change by 1/128 at
most, far less than the errors of their estimation.

The newline becomes a normal piece of score 0: a user-defined one is scored max - 0.1, which is not on the grid. Since
no other piece contains it, it is still always a piece of its own.

SentencePiece models are protocol buffers (sentencepiece_model.proto: ModelProto.pieces = 1; SentencePiece.piece = 1,
score = 2 as float, type = 3). Both fields keep their size, so they are changed in place.
"""

import struct
from collections.abc import Iterator

GRID = 64
"""Scores are multiples of 1 / GRID."""

_PIECES, _TEXT, _SCORE, _TYPE = (1 << 3) | 2, (1 << 3) | 2, (2 << 3) | 5, (3 << 3) | 0
_NORMAL, _USER_DEFINED = 1, 4


def exact_scores(model: bytes) -> bytes:
    """A serialized model whose scores lie on the grid; BPE scores are integers and stay."""
    data = bytearray(model)
    for start, end in [(start, end) for tag, start, end in message_fields(model, 0, len(model)) if tag == _PIECES]:
        places = {tag: (first, last) for tag, first, last in message_fields(model, start, end)}
        score_at = places[_SCORE][0]
        (score,) = struct.unpack_from("<f", data, score_at)
        struct.pack_into("<f", data, score_at, round(score * GRID) / GRID)
        if model[slice(*places[_TEXT])] == b"\n":
            type_at = places[_TYPE][0]
            if data[type_at] != _USER_DEFINED:
                raise ValueError("the newline is not a user-defined piece of this model")
            data[type_at] = _NORMAL
    return bytes(data)


def message_fields(data: bytes, position: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Tag, start and end of the value of each field of the message in data[position:end]."""
    while position < end:
        tag, position = _varint(data, position)
        match tag & 7:
            case 0:
                _, stop = _varint(data, position)
            case 2:
                size, position = _varint(data, position)
                stop = position + size
            case 5:
                stop = position + 4
            case wire_type:
                raise ValueError(f"not a SentencePiece model: wire type {wire_type} at byte {position}")
        yield tag, position, stop
        position = stop


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position

"""Write a SentencePiece model from a list of pieces, and change what one says about its training.

Models are protocol buffers (sentencepiece_model.proto). Fields that are left out have the defaults of that file.
"""

import struct
from collections.abc import Sequence

from preprocessing.encode.exact_scores import message_fields

FIRST_PIECES = ("<unk>", "<s>", "</s>", "<pad>", "\n", *(f"<0x{byte:02X}>" for byte in range(256)))
"""The beginning of every vocabulary of ours, in the order of ids."""

_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_TYPES = {"<unk>": _UNKNOWN, **dict.fromkeys(("<s>", "</s>", "<pad>"), _CONTROL)} | dict.fromkeys(
    FIRST_PIECES[5:], _BYTE
)
_BPE = 2
_TRAINER = 2 << 3 | 2


def bpe_model(pieces: Sequence[str]) -> bytes:
    """A model of type BPE without normalisation: `FIRST_PIECES`, then `pieces`, of which the first is joined first.

    Spaces are written as U+2581.

    Raises:
        ValueError: a piece is empty or occurs twice, or one of `FIRST_PIECES` is among them.
    """
    if len({*FIRST_PIECES, *pieces}) != len(FIRST_PIECES) + len(pieces) or "" in pieces:
        raise ValueError("pieces must differ from each other and from the special ones")
    scores = [0.0] * len(FIRST_PIECES) + [-float(rank) for rank in range(len(pieces))]
    entries = [
        _message(1, _text(1, piece) + _float(2, score) + _number(3, _TYPES.get(piece, _NORMAL)))
        for piece, score in zip([*FIRST_PIECES, *pieces], scores, strict=True)
    ]
    trainer = (
        _number(3, _BPE)
        + _number(4, len(entries))
        + _number(35, 1)  # byte_fallback
        + b"".join(_number(40 + place, place) for place in range(4))  # unk_id, bos_id, eos_id, pad_id
    )
    normalizer = _text(1, "identity") + _number(3, 0) + _number(4, 0) + _number(5, 1)
    # add_dummy_prefix and remove_extra_whitespaces off, escape_whitespaces on
    return b"".join(entries) + _message(2, trainer) + _message(3, normalizer)


def without_setting(model: bytes, value: str) -> bytes:
    """A serialized model whose record of its training lacks the settings that are this text: names of passing files."""
    kept, last = [], 0
    for tag, start, end in message_fields(model, 0, len(model)):
        if tag == _TRAINER:
            settings, place = [], start
            for _, first, stop in message_fields(model, start, end):
                if model[first:stop] != value.encode():
                    settings.append(model[place:stop])
                place = stop
            kept.append(_message(2, b"".join(settings)))
        else:
            kept.append(model[last:end])
        last = end
    return b"".join(kept)


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _float(field: int, value: float) -> bytes:
    return _varint(field << 3 | 5) + struct.pack("<f", value)


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _text(field: int, value: str) -> bytes:
    return _message(field, value.encode())

"""Where a sentence of Japanese ends. Nothing is changed or lost: the sentences put together are the text.

One regular expression finds the few characters that matter, and a loop over those keeps the depth of brackets, so the
time is linear in the text whatever stands in it. By rule, not by a model:

- A newline always ends a sentence.
- 。！？ and their like end one, runs of them (！？) together. ASCII ! and ? do not inside addresses and code (?q=1),
  ．does not between digits or Latin letters (３．１４).
- Not inside of brackets that close within `_LONGEST_QUOTE` characters on the same line: 「はい。どうぞ。」と言った。
- Brackets that close behind such a mark belong to the sentence. It ends there, unless hiragana or a comma goes on or
  the brackets were opened in its middle (映画『君の名は。』公開).

Names that contain a mark (モーニング娘。) are cut: a rule cannot know them. So are numbers of headings (１．序).

Rules for pages count sentences by `preprocessing.text.sentences` instead, as they were published: there every mark ends
one, also in brackets, addresses and numbers, of several marks only the first is kept, and ｡‼⁇⁈⁉ are no marks.
"""

import re
from collections.abc import Iterator

_OPENING = "「『（(【〈《〔［[｢“〝"
_CLOSING = "」』）)】〉》〕］]｣”〟"
_MARKS = "。．！？｡‼⁇⁈⁉!?"
_EVENT = re.compile(f"[{re.escape(_OPENING + _CLOSING + _MARKS)}\n]")
_OPENS, _CLOSES, _MARK = range(3)
_KINDS = dict.fromkeys(_OPENING, _OPENS) | dict.fromkeys(_CLOSING, _CLOSES) | dict.fromkeys(_MARKS, _MARK)
_AFTER_MARK = frozenset(_MARKS + _CLOSING)
_WORD = "0-9A-Za-z０-９Ａ-Ｚａ-ｚ"
_NO_MARK = re.compile(rf"[!?][0-9A-Za-z_/&=%#.:;\"'\\-]|(?<=[{_WORD}])．[{_WORD}]")
_LONGEST_QUOTE = 200
"""Characters of brackets inside of which no sentence ends."""
_INDENT = 4
"""So many spaces, less one, may stand before a sentence."""
_GOES_ON = re.compile("[ぁ-ゖ、，,]")
"""Behind 。」 these continue the sentence around the quotation."""


def split_sentences(text: str) -> list[str]:
    """The sentences of a text, newlines and spaces included: joined they are the text."""
    ends = _ends(text)
    if text and (not ends or ends[-1] < len(text)):
        ends.append(len(text))
    return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def training_lines(text: str, max_bytes: int) -> Iterator[str]:
    """The lines of a text without their newlines, empty ones left out, none longer than `max_bytes` of UTF-8.

    Longer ones are cut behind sentences, as few times as possible; a sentence that is longer still is cut between any
    two characters. (SentencePiece would drop a longer line in silence.)
    """
    for line in text.split("\n"):
        if len(line) * 4 <= max_bytes or len(line.encode()) <= max_bytes:
            if line:
                yield line
        else:
            yield from cut(line, max_bytes)


def cut(text: str, max_bytes: int) -> Iterator[str]:
    """Pieces of at most `max_bytes` of UTF-8, which put together are the text; cut as in `training_lines`."""
    if len(text) * 4 <= max_bytes:
        yield from [text] if text else []
        return
    start = end = size = 0
    for sentence in split_sentences(text):
        for piece in _pieces(sentence, max_bytes):
            length = len(piece.encode())
            if size + length > max_bytes:
                yield text[start:end]
                start, size = end, 0
            end += len(piece)
            size += length
    if start < end:
        yield text[start:end]


def _ends(text: str) -> list[int]:
    """Where the sentences end, in order."""
    ends: list[int] = []
    inside: list[int] = []  # ends inside of an open bracket, which count only if it does not close in time
    depth = opened = 0
    whole = True  # the bracket was opened where a sentence begins
    marked = -1  # the end of the last mark, and of the brackets that close behind it
    follows = text[1:] + "\n"
    for match in _EVENT.finditer(text):
        start = match.start()
        end = start + 1
        kind = _KINDS.get(text[start])
        if depth and (kind is None or end - opened > _LONGEST_QUOTE):
            ends += inside
            inside.clear()
            depth, whole = 0, True
        if kind == _MARK:
            if text[start] in "!?．" and _NO_MARK.match(text, start):
                continue
            marked = end
            if follows[start] in _AFTER_MARK:
                continue
            (inside if depth else ends).append(end)
        elif kind == _OPENS:
            if not depth:
                opened, before = start, ends[-1] if ends else 0
                whole = start - before < _INDENT and not text[before:start].strip()
            depth += 1
        elif kind == _CLOSES:
            if depth:
                depth -= 1
                if not depth:
                    inside.clear()
            if marked == start:
                marked = end
                if follows[start] not in _AFTER_MARK and (depth or whole) and not _GOES_ON.match(text, end):
                    (inside if depth else ends).append(end)
            if not depth:
                whole = True
        elif ends and ends[-1] == start:
            ends[-1] = end
        else:
            ends.append(end)
    return ends + inside


def _pieces(sentence: str, max_bytes: int) -> Iterator[str]:
    """The sentence itself, or pieces of it if it is too long: a character has four bytes at most."""
    if len(sentence) * 4 <= max_bytes or len(sentence.encode()) <= max_bytes:
        yield sentence
        return
    step = max_bytes // 4
    for start in range(0, len(sentence), step):
        yield sentence[start : start + step]

"""Juman++ 2, through its program."""

import subprocess
from collections.abc import Sequence

from jp_llm.runtime.errors import UserError
from preprocessing.segment.words import WordSplitter

_COMMAND = ("jumanpp", "--segment")
_FULL_WIDTH = {0x20: 0x3000} | {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
"""Juman++ expects full-width text; a space or a # would be a separator or a comment to it."""


class Jumanpp(WordSplitter):
    """Words of Juman++. One process reads one batch to its end: there is no waiting for half a line of output."""

    max_bytes = 1_300
    """Juman++ refuses more than 4,096 bytes, and full-width letters have three."""

    def _surfaces(self, texts: Sequence[str]) -> list[list[str]]:
        filled = [index for index, text in enumerate(texts) if text]
        lines = "".join(texts[index].translate(_FULL_WIDTH) + "\n" for index in filled)
        found: list[list[str]] = [[] for _ in texts]
        if not filled:
            return found
        try:
            done = subprocess.run(_COMMAND, input=lines.encode(), capture_output=True, check=False)
        except OSError as error:
            raise UserError(f"jumanpp cannot be started: {error.strerror}") from error
        output = done.stdout.decode(errors="replace").split("\n")[:-1]
        if done.returncode or len(output) != len(filled):
            said = done.stderr.decode(errors="replace").strip()[-500:]
            raise UserError(
                f"jumanpp: exit status {done.returncode}, {len(output):,} lines for {len(filled):,}; it said: {said}"
            )
        for index, line in zip(filled, output, strict=True):
            found[index] = _words(texts[index], line.split(" "))
        return found


def _words(text: str, full_width: Sequence[str]) -> list[str]:
    """The parts of `text` that stand where Juman++'s words stand in its full-width form."""
    image, end = text.translate(_FULL_WIDTH), 0
    words = []
    for word in full_width:
        start = image.find(word, end)
        if word and start >= 0:
            end = start + len(word)
            words.append(text[start:end])
    return words

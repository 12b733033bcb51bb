"""Sentences as Swallow cuts them: at line ends, and behind one of 。．！？!?

Of a run of such marks the first belongs to the sentence and the others to none (なに？！ is なに？), and marks at the
start of a line are lost: so it was published (quality.py of Swallow Corpus Version 1, `re_sentence`). For figures of
pages only. `preprocessing.segment.sentences`, for files of sentences and for training, loses nothing and differs: it
knows ｡‼⁇⁈⁉ too, keeps runs of marks, and cuts neither in brackets nor in addresses and numbers (?q=1, ３．１４).
"""

import re

_SENTENCE = re.compile("[^。．！？!?\n]+[。．！？!?]?")
_STRAY_MARKS = re.compile("([。．！？!?\n])[。．！？!?]+")
_BLANK_LINE = re.compile(r"\n\s*\n")


def sentences(text: str) -> list[str]:
    """The sentences of `text`, spaces included, in order."""
    return _SENTENCE.findall(text)


def paragraphs(text: str) -> list[str]:
    """The lines of `text`, each as the sentences that were found in it; an empty line is an empty paragraph."""
    return _STRAY_MARKS.sub(r"\1", "\n" + text).split("\n")[1:]


def without_blank_lines(text: str) -> str:
    """`text` without the lines that hold nothing but spaces; the same object if there is none."""
    if not _BLANK_LINE.search(text) and not text[:1].isspace() and not text[-1:].isspace():
        return text
    lines = text.split("\n")
    kept = [line for line in lines if line and not line.isspace()]
    return text if len(kept) == len(lines) else "\n".join(kept)

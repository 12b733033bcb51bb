"""The steps of a source, as one generator."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from preprocessing.counts import Counts
from preprocessing.document import Document, Record, Rejected, Tally
from preprocessing.step import Filter, Mapper

SENTENCEPIECE_SPACE = "\u2581"
_ALWAYS = "unicode"
"""The name under which it is counted, as if that mapper had been there."""


def cleaned(
    records: Iterable[Record],
    steps: Sequence[Mapper | Filter],
    counts: Counts,
    reject: Callable[[Rejected], None],
) -> Iterator[Document]:
    """Documents that come through all steps; everything else is counted under its reason.

    Args:
        records: what a reader yields.
        steps: in the order of the configuration.
        counts: is added to.
        reject: keeps the records that are no documents.
    """
    named = [(step_name(step), step) for step in steps]
    tallies: dict[str, Counter[str]] = {name: Counter() for name in (_ALWAYS, *(name for name, _ in named))}
    for record in records:
        if isinstance(record, Tally):
            counts.rejected.update(record.rejected)
            counts.changed.update(record.changed)
            continue
        if isinstance(record, Rejected):
            counts.rejected[record.reason] += 1
            reject(record)
            continue
        counts.documents_in += 1
        reason = _apply(record, named, tallies)
        if reason is None:
            yield record
        else:
            counts.dropped[reason] += 1
    for name, tally in tallies.items():
        counts.changed.update({f"{name}.{what}": number for what, number in tally.items()})


def step_name(step: Mapper | Filter) -> str:
    """The name of a step in YAML: that of its file."""
    return type(step).__module__.rsplit(".", 1)[-1]


def _apply(
    document: Document, steps: Sequence[tuple[str, Mapper | Filter]], tallies: dict[str, Counter[str]]
) -> str | None:
    """Change `document` step by step; the reason why it is dropped, if it is."""
    for name, step in steps:
        if isinstance(step, Mapper):
            document.text = step.map(document, tallies[name])
        elif reason := step.reason(document):
            return f"{name}.{reason}"
    if SENTENCEPIECE_SPACE in document.text:
        # Without a mapper that does it: no tokenizer could give it back.
        tallies[_ALWAYS]["sentencepiece_space"] += document.text.count(SENTENCEPIECE_SPACE)
        document.text = document.text.replace(SENTENCEPIECE_SPACE, "_")
    return None if document.text.strip() else "empty"

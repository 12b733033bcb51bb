"""The steps of a source, as one generator."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter_ns

from preprocessing.counts import Counts, StepCounts
from preprocessing.document import Document, Rejected
from preprocessing.report.histograms import Histograms
from preprocessing.report.samples import Samples, key_of
from preprocessing.step import Filter, Mapper

SENTENCEPIECE_SPACE = "\u2581"
_ALWAYS = "unicode"
"""The name under which it is counted, as if that mapper had been there."""
_EMPTY = "empty"
"""Name and reason of what is dropped after the last step."""
_EVERY = 16
"""Share of the documents that are looked at closely, by the keys of their ids."""
_TIMED, _SCRIPTS = 0, 8
"""Not the same ones: what the histograms compute, the steps would get for nothing."""


def cleaned(
    records: Iterable[Document | Rejected],
    steps: Sequence[Mapper | Filter],
    counts: Counts,
    reject: Callable[[Rejected], None],
    samples: Samples | None = None,
) -> Iterator[Document]:
    """Documents that come through all steps; everything else is counted under its reason.

    Args:
        records: what a reader yields.
        steps: in the order of the configuration.
        counts: is added to.
        reject: keeps the records that are no documents.
        samples: get a few of the documents that are dropped or changed.
    """
    line = _Line(steps, Samples(steps) if samples is None else samples)
    histograms = Histograms()
    before = counts.documents_in, counts.characters_in
    for record in records:
        if isinstance(record, Rejected):
            counts.rejected[record.reason] += 1
            reject(record)
            continue
        counts.documents_in += 1
        counts.characters_in += len(record.text)
        counts.bytes_in += _bytes_of(record.text)
        key = key_of(record.id)
        histograms.add_length("read", len(record.text))
        if scripts := key % _EVERY == _SCRIPTS:
            histograms.add_scripts("read", record)
        if line.passes(record, key):
            histograms.add_length("kept", len(record.text))
            if scripts:
                histograms.add_scripts("kept", record)
            yield record
    counts.histograms.update(histograms.counts())
    line.sum_up(counts, counts.documents_in - before[0], counts.characters_in - before[1])


def step_name(step: Mapper | Filter) -> str:
    """The name of a step in YAML: that of its file."""
    return type(step).__module__.rsplit(".", 1)[-1]


class _Station:
    """A step and what it has done."""

    def __init__(self, step: Mapper | Filter, key: str) -> None:
        self.map = step.map if isinstance(step, Mapper) else None
        self.reason = step.reason if isinstance(step, Filter) else None
        self.sensitive = isinstance(step, Mapper) and step.sensitive
        self.name = step_name(step)
        self.key = key
        self.counts = StepCounts()
        self.called = False


class _Line:
    """The steps in a row.

    What passes unchanged costs no counting: how much went into each step is computed at the end, from what went into
    the first and what was lost on the way.
    """

    def __init__(self, steps: Sequence[Mapper | Filter], samples: Samples) -> None:
        self._stations: list[_Station] = []
        numbers: Counter[str] = Counter()
        for step in steps:
            name = step_name(step)
            numbers[name] += 1
            self._stations.append(_Station(step, name if numbers[name] == 1 else f"{name}#{numbers[name]}"))
        self._samples = samples
        self._empty = StepCounts()
        self._always: Counter[str] = Counter()

    def passes(self, document: Document, key: int) -> bool:
        """Change `document` step by step; whether it is kept."""
        timed = key % _EVERY == _TIMED
        started = perf_counter_ns() if timed else 0
        for station in self._stations:
            characters = len(document.text)
            reason = None
            if station.map is not None:
                after = station.map(document, station.counts.changed)
                # The same text must stay the same object: it has a view.
                if after is not document.text and after != document.text:
                    self._change(station, document, key, after)
            else:
                assert station.reason is not None
                reason = station.reason(document)
            if timed:
                ended = perf_counter_ns()
                # The first call may load models and build tables.
                if station.called:
                    station.counts.timed_nanoseconds += ended - started
                    station.counts.timed_characters += characters
                started = ended
            station.called = True
            if reason:
                self._drop(station.counts, f"{station.name}.{reason}", reason, document, key)
                return False
        if SENTENCEPIECE_SPACE in document.text:
            # Without a mapper that does it: no tokenizer could give it back.
            self._always["sentencepiece_space"] += document.text.count(SENTENCEPIECE_SPACE)
            document.text = document.text.replace(SENTENCEPIECE_SPACE, "_")
        if not document.text.strip():
            self._drop(self._empty, _EMPTY, _EMPTY, document, key)
            return False
        return True

    def sum_up(self, counts: Counts, documents: int, characters: int) -> None:
        """Add the counts of all steps to `counts`; so much went into the first."""
        for key, name, step in [(station.key, station.name, station.counts) for station in self._stations] + [
            (_EMPTY, _EMPTY, self._empty)
        ]:
            step.documents_in, step.characters_in = documents, characters
            documents, characters = step.documents_out, step.characters_out
            counts.steps.setdefault(key, StepCounts()).add(step)
            # The reason `empty` belongs to no step.
            prefix = "" if name == _EMPTY else f"{name}."
            counts.dropped.update({prefix + reason: number for reason, number in step.dropped.items()})
            counts.dropped_characters.update({prefix + reason: n for reason, n in step.dropped_characters.items()})
            counts.changed.update({prefix + what: number for what, number in step.changed.items()})
        counts.changed.update({f"{_ALWAYS}.{what}": number for what, number in self._always.items()})

    def _change(self, station: _Station, document: Document, key: int, after: str) -> None:
        longer = len(after) - len(document.text)
        station.counts.documents_changed += 1
        station.counts.characters_added += max(longer, 0)
        station.counts.characters_removed += max(-longer, 0)
        self._samples.changed(station.key, key, document, after, sensitive=station.sensitive)
        document.text = after

    def _drop(self, counts: StepCounts, rule: str, reason: str, document: Document, key: int) -> None:
        counts.dropped[reason] += 1
        counts.dropped_characters[reason] += len(document.text)
        counts.dropped_bytes[reason] += _bytes_of(document.text)
        self._samples.dropped(rule, key, document)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))

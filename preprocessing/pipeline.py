"""The steps of a source, as one generator."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter_ns, thread_time_ns

from preprocessing.counts import Counts, StepCounts
from preprocessing.document import Document, Record, Rejected, Tally
from preprocessing.report.histograms import Histograms
from preprocessing.report.samples import Samples, key_of
from preprocessing.step import Filter, Mapper

SENTENCEPIECE_SPACE = "\u2581"
_ALWAYS = "unicode"
"""The name under which it is counted, as if that mapper had been there."""
_EMPTY = "empty"
"""Name and reason of what is dropped after the last step."""
_EVERY_TIMED, _EVERY_SCRIPTS = 16, 32
"""Of how many documents one is looked at closely, by the keys of their ids. Never the same one: what the histograms
compute, the steps would get for nothing."""

_INTERRUPTION_NANOSECONDS = 100_000
"""Less than a scheduler gives to another process."""


def cleaned(
    records: Iterable[Record],
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
    documents = characters = size = 0
    for record in records:
        if isinstance(record, Tally):
            counts.rejected.update(record.rejected)
            counts.changed.update(record.changed)
            continue
        if isinstance(record, Rejected):
            counts.rejected[record.reason] += 1
            reject(record)
            continue
        documents += 1
        characters += len(record.text)
        size += _bytes_of(record.text)
        key = key_of(record.id)
        histograms.add_length("read", len(record.text))
        if scripts := key % _EVERY_SCRIPTS == 1:
            histograms.add_scripts("read", record)
        if line.passes(record, key):
            histograms.add_length("kept", len(record.text))
            if scripts:
                histograms.add_scripts("kept", record)
            yield record
    counts.documents_in += documents
    counts.characters_in += characters
    counts.bytes_in += size
    counts.histograms.update(histograms.counts())
    line.sum_up(counts, documents, characters)


def step_name(step: Mapper | Filter) -> str:
    """The name of a step in YAML: that of its file."""
    return type(step).__module__.rsplit(".", 1)[-1]


class _Station:
    """A step and what it has done."""

    def __init__(self, step: Mapper | Filter, key: str) -> None:
        self.sensitive = isinstance(step, Mapper) and step.sensitive
        self.name = step_name(step)
        self.key = key
        self.counts = StepCounts()
        self.map = step.map if isinstance(step, Mapper) else None
        self.reason = step.reason if isinstance(step, Filter) else _no_reason


def _no_reason(document: Document) -> None:
    """Of a mapper, which is never asked."""


class _Times:
    """What each step took for one document.

    The clock of the wall is cheap; that of the processor costs up to microseconds, so it is asked twice per document,
    to see whether another process was at work meanwhile.
    """

    def __init__(self) -> None:
        self._found: list[tuple[StepCounts, int, int]] = []
        self._processor = thread_time_ns()
        self._start = self._last = perf_counter_ns()

    def add(self, counts: StepCounts, characters: int) -> None:
        """A step has ended, the next begins."""
        now = perf_counter_ns()
        self._found.append((counts, now - self._last, characters))
        self._last = perf_counter_ns()

    def sum_up(self) -> None:
        """Add to the counts, unless the times are not those of this process."""
        wall = self._last - self._start
        if wall <= 1.25 * (thread_time_ns() - self._processor) + _INTERRUPTION_NANOSECONDS:
            for counts, nanoseconds, characters in self._found:
                counts.timed_nanoseconds += nanoseconds
                counts.timed_characters += characters


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
        self._rows = [(station, station.map, station.reason, station.counts.changed) for station in self._stations]
        self._samples = samples
        self._empty = StepCounts()
        self._always: Counter[str] = Counter()
        self._warm = False
        """Whether each step has been called: the first call may load a model."""

    def passes(self, document: Document, key: int) -> bool:
        """Change `document` step by step; whether it is kept."""
        times = _Times() if self._warm and not key % _EVERY_TIMED else None
        for station, map, find_reason, tally in self._rows:
            characters = len(document.text) if times else 0
            if map is None:
                after, reason = None, find_reason(document)
            else:
                after, reason = map(document, tally), None
            if times:
                times.add(station.counts, characters)
            if reason:
                self._drop(station.counts, f"{station.name}.{reason}", reason, document, key)
                break
            # The same text must stay the same object: it has a view.
            if after is not None and after is not document.text and after != document.text:
                self._change(station, document, key, after)
        else:
            self._warm = True
            reason = self._end(document, key)
        if times:
            times.sum_up()
        return reason is None

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

    def _end(self, document: Document, key: int) -> str | None:
        """What happens behind the last step."""
        if SENTENCEPIECE_SPACE in document.text:
            # Without a mapper that does it: no tokenizer could give it back.
            self._always["sentencepiece_space"] += document.text.count(SENTENCEPIECE_SPACE)
            document.text = document.text.replace(SENTENCEPIECE_SPACE, "_")
        if document.text.strip():
            return None
        self._drop(self._empty, _EMPTY, _EMPTY, document, key)
        return _EMPTY

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

"""`report.html` from the content of `report.json`: one file, no script, nothing fetched."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jp_llm.page.document import document, table, table_row
from jp_llm.page.element import Html, element, joined
from jp_llm.page.histogram import bar, histogram
from preprocessing.report.histograms import SHOWN, WHENS


def page_of(report: Mapping[str, Any]) -> str:
    """The page."""
    title = f"Corpus {report['name']}"
    body = [
        element("h1", title),
        _total(report),
        *(_source(name, source) for name, source in report["sources"].items()),
    ]
    if report["duplicates"]:
        body.append(_duplicates(report["duplicates"]))
    versions = ", ".join(f"{name} {version}" for name, version in report["versions"].items())
    body.append(element("p", f"Configuration {report['config_fingerprint']}; {versions}", class_="id"))
    return document(title, *body)


def _total(report: Mapping[str, Any]) -> Html:
    rows = [_summary_row(name, source) for name, source in report["sources"].items()]
    if len(rows) > 1:
        rows.append(_summary_row("total", report["total"], class_="stage"))
    columns = ("source", "documents read", "train", "validation", "characters", "MB", "tokens", "chars/token")
    hours = report["core_hours"]
    costs = [table_row((stage, f"{value:,.4f}")) for stage, value in hours.items()]
    costs.append(table_row(("total", f"{sum(hours.values()):,.4f}"), class_="stage"))
    return joined(table(columns, rows), element("h2", "Cost"), table(("stage", "core-hours"), costs))


def _summary_row(name: str, source: Mapping[str, Any], class_: str | None = None) -> Html:
    tokens = sum(source["tokens"].values())
    ratio = source["characters_per_token"]
    return table_row(
        (
            name,
            f"{source['documents_in'] + sum(source['rejected'].values()):,}",
            *(f"{source['documents_out'].get(split, 0):,}" for split in ("train", "validation")),
            f"{source['characters']:,}",
            f"{source['bytes'] / 1e6:,.1f}",
            f"{tokens:,}" if tokens else "-",
            f"{ratio:.3f}" if ratio else "-",
        ),
        class_,
    )


def _source(name: str, source: Mapping[str, Any]) -> Html:
    return element(
        "section",
        element("h2", name),
        _funnel(source["funnel"]),
        element("h3", "Documents as they were read (grey) and as they were kept (blue)"),
        _histograms(source["histograms"]),
        element("h3", "Samples of what each rule removed or changed"),
        *(_samples(rule, samples) for rule, samples in source["samples"].items()),
    )


def _funnel(funnel: Sequence[Mapping[str, Any]]) -> Html:
    columns = (
        "stage, step, reason", "documents", "left", "characters in", "out", "changed", "share", "core-hours", "MB/s"
    )  # fmt: skip
    most = max(row["documents_in"] for row in funnel) or 1
    rows: list[Html] = []
    for row in funnel:
        if row["step"] == "empty" and not row["dropped"]:
            continue
        seconds, speed = row.get("cpu_seconds"), row.get("megabytes_per_second")
        label = row["stage"] if row["step"] is None else row["step"]
        rows.append(
            table_row(
                (
                    label,
                    f"{row['documents_in']:,}",
                    f"{row['documents_out']:,}",
                    _optional(row.get("characters_in"), ",d"),
                    _optional(row.get("characters_out"), ",d"),
                    _optional(row.get("documents_changed") or None, ",d"),
                    bar(row["documents_out"] / most, "kept"),
                    _optional(None if seconds is None else seconds / 3600, ",.5f"),
                    _optional(speed, ",.1f"),
                ),
                "stage" if row["step"] is None else None,
            )
        )
        if row["step"] is not None or row["stage"] != "clean":  # the sum of the steps repeats their reasons
            rows += _reasons(row, most)
        if "cpu_seconds_but_steps" in row:
            rest = row["cpu_seconds_but_steps"] / 3600
            rows.append(table_row(("reading and writing", *[""] * 6, f"{rest:,.5f}", ""), "reason"))
    return table(columns, rows)


def _reasons(row: Mapping[str, Any], most: int) -> Iterable[Html]:
    for reason, dropped in row["dropped"].items():
        share = bar(dropped["documents"] / most, "lost")
        size = [_optional(dropped.get("characters"), ",d"), ""]
        yield table_row((f"dropped: {reason}", f"{dropped['documents']:,}", "", *size, "", share, "", ""), "reason")
    for what, number in row.get("changed", {}).items():
        yield table_row((f"changed: {what}", "", "", "", "", f"{number:,}", "", "", ""), "reason")
    if row.get("characters_removed") or row.get("characters_added"):
        what = f"characters: -{row['characters_removed']:,} +{row['characters_added']:,}"
        yield table_row((what, *[""] * 8), "reason")


def _histograms(found: Mapping[str, Any]) -> Html:
    lengths = found["lengths"]
    bins = sorted({int(length) for when in WHENS for length in lengths[when]})
    charts = [
        histogram(
            "documents by length in characters (up to)",
            [_short(length) for length in bins],
            [[lengths[when].get(str(length), 0) for length in bins] for when in WHENS],
            max(40.0 * len(bins), 240.0),
        )
    ]
    # Shares, so that `kept` can be compared with `read`.
    shares = []
    for when in WHENS:
        whole = sum(found["characters"][when].values()) or 1
        shares.append([round(1000 * found["characters"][when][script] / whole) for script in SHOWN])
    charts.append(histogram("characters by script, per mille", SHOWN, shares, 420.0))
    for script in SHOWN:
        series = [found["scripts"][when][script] for when in WHENS]
        tenths = [f"{10 * tenth}%" for tenth in range(10)]
        charts.append(histogram(f"documents by share of {script}", tenths, series, 330.0))
    return element("div", *charts)


def _samples(rule: str, samples: Sequence[Mapping[str, Any]]) -> Html:
    shown: list[Html] = []
    for sample in samples:
        shown.append(element("div", sample["id"], class_="id"))
        for key in ("text", "before", "after"):
            if key in sample:
                shown.append(element("pre", sample[key], class_=key))
    return element("details", element("summary", f"{rule} ({len(samples)})"), *shown)


def _duplicates(found: Mapping[str, Any]) -> Html:
    """What deduplication has written, as far as it is there: groups by size, the largest, and pairs to look at."""
    parts = [element("h2", "Duplicates")]
    if isinstance(found.get("frequent_lines"), int):
        parts.append(element("p", f"{found['frequent_lines']:,} different lines were removed everywhere."))
    for kind in ("exact", "near"):
        if isinstance(found.get(kind), Mapping):
            parts += _duplicates_of(kind, found[kind])
    return element("section", *parts)


def _duplicates_of(kind: str, found: Mapping[str, Any]) -> Iterable[Html]:
    yield element("h3", f"{kind} duplicates".capitalize())
    numbers = [(key, value) for key, value in found.items() if isinstance(value, int)]
    if numbers:
        yield table(("what", "number"), [table_row((key, f"{value:,}")) for key, value in numbers])
    if sizes := _objects(found, "sizes"):
        labels = [f"from {size.get('from')}" for size in sizes]
        groups = [int(size.get("groups", 0)) for size in sizes]
        yield histogram("groups by number of documents", labels, [[], groups], max(60.0 * len(sizes), 240.0))
        rows = [table_row((label, f"{number:,}")) for label, number in zip(labels, groups, strict=True)]
        yield table(("documents", "groups"), rows)
    if pairs := _objects(found, "pairs"):
        columns = ("source of the dropped", "source of the kept", "documents")
        yield table(
            columns, [table_row(_text(pair.get(key, "")) for key in ("dropped", "kept", "documents")) for pair in pairs]
        )
    titles = {"largest": "Largest clusters", "sample": "Pairs, drawn by lot", "sample_kept": "Pairs that both stay"}
    for key, title in titles.items():
        if items := _objects(found, key):
            shown = [element("pre", _text(item)) for item in items]
            yield element("details", element("summary", f"{title} ({len(shown)})"), *shown)


def _objects(found: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    """The objects in a list, if there is one."""
    items = found.get(key)
    return [item for item in items if isinstance(item, Mapping)] if isinstance(items, list) else []


def _text(value: Any) -> str:
    """A value that may hold others, one fact a line."""
    if isinstance(value, Mapping):
        return "\n".join(
            f"{key}:\n{_text(item)}" if isinstance(item, Mapping | list) else f"{key}: {_text(item)}"
            for key, item in value.items()
        )
    if isinstance(value, list):
        return "\n".join(_text(item) for item in value)
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _optional(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _short(number: int) -> str:
    """1023 is `1k`."""
    for unit, size in (("M", 1 << 20), ("k", 1 << 10)):
        if number >= size - 1 and number > 1:
            return f"{(number + 1) // size}{unit}"
    return str(number)

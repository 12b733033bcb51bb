"""`deduplication.json`: what deduplication found, for the report of the corpus and for people who want to check it."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from preprocessing.counts import Counts
from preprocessing.deduplicate.config import DeduplicationConfig
from preprocessing.deduplicate.pairs import Pairs

REPORT_FILE = "deduplication.json"

Results = Sequence[dict[str, Any]]


def numbers_shown(copies: Pairs, found: dict[str, Any] | None) -> set[int]:
    """Numbers of the documents whose ids and beginnings the report needs."""
    pairs = list(copies.sample)
    shown: set[int] = set()
    if found:
        pairs += Pairs.from_json(found["dropped"]).sample + Pairs.from_json(found["kept"]).sample
        shown = {number for cluster in found["largest"] for number in cluster["members"]}
    return shown | {number for pair in pairs for number in pair[:2]}


def report(
    config: DeduplicationConfig,
    sources: Sequence[str],
    results: Results,
    frequent_lines: int,
    copies: Pairs,
    found: dict[str, Any] | None,
) -> dict[str, Any]:
    """The content of `deduplication.json`:

        settings            the keys of `deduplicate`
        total               `Counts` of all files: documents_in, documents_out, dropped, changed, characters, bytes
        sources             source -> the same
        frequent_lines      different lines that were removed everywhere
        exact, near         null if not asked for, else
            pairs           list of {dropped: source, kept: source, documents}
            sizes           list of {from: n, groups}: groups of n to 2n - 1 documents (equal ones, or candidates)
            sample          list of {dropped: {id, start}, kept: {id, start}, similarity}: pairs drawn by lot
        near also has
            clusters, clustered     connected groups of candidates, and documents in them
            unchecked               documents kept because their cluster had too many leaders
            sample_kept             like sample, of members that stay: `dropped` is called `other` there
            largest                 list of {size, members: list of {id, start}}

    `start` is the beginning of the text before lines were removed, `similarity` the estimated Jaccard similarity.
    """
    starts: dict[str, dict[str, str]] = {}
    totals: dict[str, Counts] = {}
    total = Counts()
    for source, result in zip(sources, results, strict=True):
        starts |= result["starts"]
        counts = Counts.from_json(result["counts"])
        totals.setdefault(source, Counts()).add(counts)
        total.add(counts)
    near = None
    if found:
        near = _pairs(Pairs.from_json(found["dropped"]), starts)
        near |= {key: found[key] for key in ("clusters", "clustered", "unchecked")}
        near["sample_kept"] = _sample(Pairs.from_json(found["kept"]), starts, "other")
        near["largest"] = [
            {"size": cluster["size"], "members": [starts[str(number)] for number in cluster["members"]]}
            for cluster in found["largest"]
        ]
    return {
        "settings": config.model_dump(mode="json"),
        "total": total.to_json(),
        "sources": {source: counts.to_json() for source, counts in totals.items()},
        "frequent_lines": frequent_lines,
        "exact": _pairs(copies, starts) if config.exact else None,
        "near": near,
    }


def _pairs(pairs: Pairs, starts: dict[str, dict[str, str]]) -> dict[str, Any]:
    by_source = [
        dict(zip(("dropped", "kept"), key.split(), strict=True)) | {"documents": count}
        for key, count in sorted(pairs.by_source.items())
    ]
    sizes: Counter[int] = Counter({int(size): count for size, count in pairs.sizes.items()})
    return {
        "pairs": by_source,
        "sizes": [{"from": size, "groups": count} for size, count in sorted(sizes.items())],
        "sample": _sample(pairs, starts, "dropped"),
    }


def _sample(pairs: Pairs, starts: dict[str, dict[str, str]], name: str) -> list[dict[str, Any]]:
    return [
        {name: starts[str(number)], "kept": starts[str(kept)], "similarity": similarity}
        for number, kept, similarity in pairs.sample
    ]

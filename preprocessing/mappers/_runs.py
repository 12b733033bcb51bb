"""Which candidate lines are boilerplate, by where they stand."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

from preprocessing.text.page_lines import Evidence, PageLine

_LEAST_RUN = 3
"""So many menu words below each other are a menu."""


def removed_lines(lines: Sequence[str], found: Mapping[int, PageLine], edge_lines: int) -> set[int]:
    """Places of the lines to remove.

    Candidates that follow each other, with nothing but empty lines between, are judged together: beside a sure line
    even weak evidence is enough.

    Args:
        lines: of the document.
        found: place in `lines` -> what the line may be.
        edge_lines: how many lines, empty ones apart, are the head and the tail.
    """
    filled = [place for place, line in enumerate(lines) if line and not line.isspace()]
    rank = {place: number for number, place in enumerate(filled)}
    removed: set[int] = set()
    for run in _runs(sorted(found), rank):
        removed |= _judged(run, found, lambda place: min(rank[place], len(filled) - 1 - rank[place]) < edge_lines)
    return removed


def _runs(places: Sequence[int], rank: Mapping[int, int]) -> list[list[int]]:
    runs = [[places[0]]]
    for before, place in pairwise(places):
        if rank[place] == rank[before] + 1:
            runs[-1].append(place)
        else:
            runs.append([place])
    return runs


def _judged(run: Sequence[int], found: Mapping[int, PageLine], at_edge: Callable[[int], bool]) -> set[int]:
    grades = [found[place].evidence for place in run]
    if Evidence.STRONG in grades:
        return set(run)
    if len(run) >= _LEAST_RUN and Evidence.SHAPE not in grades:
        menus = sum(found[place].kind != "date" or found[place].evidence > Evidence.WEAK for place in run)
        if menus >= _LEAST_RUN:
            return set(run)
    if any(grade == Evidence.EDGE and at_edge(place) for grade, place in zip(grades, run, strict=True)):
        return {place for place in run if found[place].evidence != Evidence.SHAPE}
    if grades == [Evidence.SHAPE] and at_edge(run[0]):
        return set(run)
    return set()

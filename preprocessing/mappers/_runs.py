"""Which candidate lines are boilerplate, by where they stand."""

from collections.abc import Iterator, Sequence

from preprocessing.text.page_evidence import Evidence, PageLine

_LEAST_RUN = 3
"""So many candidates below each other are a menu."""

_Run = list[tuple[int, int]]
"""(place among all lines, number among the lines that are not empty) of candidates that follow each other."""


def removed_lines(lines: Sequence[str], found: Sequence[PageLine | None], edge_lines: int) -> list[int]:
    """Places of the lines to remove, in order.

    Candidates that follow each other, with nothing but empty lines between, are judged together: beside a sure line
    even weak evidence is enough.

    Args:
        lines: of the document.
        found: what each line may be.
        edge_lines: how many lines, empty ones apart, are the head and the tail.
    """
    filled = sum(1 for line in lines if line and not line.isspace())
    removed: list[int] = []
    for run in _runs(lines, found):
        removed += _judged(run, found, edge_lines, filled - edge_lines)
    return removed


def _runs(lines: Sequence[str], found: Sequence[PageLine | None]) -> Iterator[_Run]:
    run: _Run = []
    number = 0
    for place, line in enumerate(lines):
        if not line or line.isspace():
            continue
        if found[place] is not None:
            run.append((place, number))
        elif run:
            yield run
            run = []
        number += 1
    if run:
        yield run


def _judged(run: _Run, found: Sequence[PageLine | None], head: int, tail: int) -> list[int]:
    """Places of `run` to remove; `head` and `tail` are the number of the first line behind and in them."""
    grades: list[Evidence] = []
    dates = 0
    for place, _ in run:
        line = found[place]
        assert line is not None
        grades.append(line.evidence)
        dates += line.kind == "date"
    if Evidence.STRONG in grades:
        return [place for place, _ in run]
    if Evidence.SHAPE in grades:
        # One such line is a menu; several, or one beside words of menus, may as well be a table with its head.
        return [place for place, number in run if len(run) == 1 and (number < head or number >= tail)]
    edge = any(
        grade == Evidence.EDGE and (number < head or number >= tail)
        for grade, (_, number) in zip(grades, run, strict=True)
    )
    # A diary may consist of dates.
    return [place for place, _ in run] if edge or len(run) - dates >= _LEAST_RUN else []

"""Bars as inline SVG, two series side by side."""

from collections.abc import Sequence

from jp_llm.page.element import Html, coordinate, element

_HEIGHT, _LABELS, _TOP = 110.0, 16.0, 14.0


def histogram(title: str, labels: Sequence[str], series: Sequence[Sequence[int]], width: float) -> Html:
    """Bars in groups.

    Args:
        title: stands above.
        labels: one for each group.
        series: for each (`read`, `kept`) one number per group; an empty one takes its place and is not drawn.
        width: of the picture.
    """
    largest = max((number for numbers in series for number in numbers), default=0) or 1
    group = width / max(len(labels), 1)
    bar = group * 0.8 / max(len(series), 1)
    parts = [element("text", title, x=0, y=10, class_="title")]
    for place, label in enumerate(labels):
        for index, numbers in enumerate(series):
            if not numbers:
                continue
            height = _HEIGHT * numbers[place] / largest
            tip = element("title", f"{label}: {numbers[place]:,}")
            parts.append(
                element(
                    "rect",
                    tip,
                    x=coordinate(place * group + index * bar),
                    y=coordinate(_TOP + _HEIGHT - height),
                    width=coordinate(bar),
                    height=coordinate(height),
                    class_=f"series{index}",
                )
            )
        middle = coordinate(place * group + group * 0.4)
        parts.append(element("text", label, x=middle, y=coordinate(_TOP + _HEIGHT + 11), class_="label"))
    size = f"0 0 {coordinate(width)} {coordinate(_TOP + _HEIGHT + _LABELS)}"
    return element("svg", *parts, viewBox=size, width=coordinate(width))


def bar(share: float, class_: str) -> Html:
    """A horizontal bar of this share of its cell."""
    filled = element("div", class_=class_, style=f"width:{100 * min(max(share, 0), 1):.2f}%")
    return element("div", filled, class_="bar")

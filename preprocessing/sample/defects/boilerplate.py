"""Lines that belong to the page and not to the text: menus, breadcrumbs, dates, share buttons, notices, footers."""

from collections.abc import Callable, Mapping
from random import Random

from preprocessing.sample.defects.planting import Planting
from preprocessing.sample.lexicon import WORDS, read_sections
from preprocessing.sample.names import NAMES
from preprocessing.sample.numbers import WEEKDAYS

_SEPARATORS = (*"\u3000\t｜／", " - ", " | ", " > ", " ＞ ", " » ", " → ", " / ", " • ", "  ", " ・ ", " :: ")


def _words() -> Mapping[str, tuple[str, ...]]:
    return read_sections(WORDS / "phrases" / "navigation.txt")


def _menu(rng: Random) -> str:
    separator = rng.choice(_SEPARATORS)
    line = separator.join(rng.sample(_words()["menu"], rng.randint(3, 9)))
    if rng.random() < 0.35:
        line += separator.rstrip() or separator
    return f"[ {line} ]" if rng.random() < 0.08 else line


def _breadcrumb(rng: Random) -> str:
    words = _words()
    steps = [rng.choice(("ホーム", "トップ", "HOME", "TOP")), rng.choice(words["topic"]), rng.choice(words["menu"])]
    if rng.random() < 0.5:
        steps.insert(2, NAMES["town"](rng)[""][0])
    return rng.choice((" > ", " ＞ ", ">", " » ", " › ", " / ")).join(steps)


def _date(rng: Random) -> str:
    year, month, day = rng.randint(2005, 2024), rng.randint(1, 12), rng.randint(1, 28)
    stamp = rng.choice((f"{year}.{month:02}.{day:02}", f"{year}/{month}/{day}", f"{year}年{month}月{day}日"))
    return rng.choice(
        (
            f"{stamp} 更新",
            f"最終更新日：{stamp}",
            f"投稿日：{stamp} カテゴリ：{rng.choice(_words()['topic'])}",
            f"{stamp}（{rng.choice(WEEKDAYS)}）{rng.randrange(24):02}:{rng.randrange(60):02}",
            f"掲載日 {stamp} | コメント({rng.randrange(40)}) | トラックバック({rng.randrange(9)})",
        )
    )


def _share(rng: Random) -> str:
    buttons = rng.sample(_words()["share"], rng.randint(2, 5))
    return rng.choice(("  ", " | ", "\u3000", " ")).join(
        f"{button} {rng.randrange(300)}" if rng.random() < 0.3 else button for button in buttons
    )


def _notice(rng: Random) -> str:
    return rng.choice(_words()["notice"])


def _footer(rng: Random) -> str:
    owner = NAMES["company"](rng)["full"][0]
    year = rng.randint(1998, 2024)
    return rng.choice(
        (
            f"Copyright © {year} {owner} All Rights Reserved.",
            f"(C) {year}-{year + rng.randint(1, 9)} {owner}",
            f"© {owner}",
            f"運営：{owner} 無断転載を禁じます",
        )
    )


def _pages(rng: Random) -> str:
    last = rng.randint(3, 40)
    return rng.choice(
        (
            "前の記事 | 次の記事",
            "« 前へ 次へ »",
            f"1 2 3 ... {last} 次へ >",
            f"全{last}件中 1～{min(last, 10)}件を表示",
            f"タグ: {' '.join('#' + topic for topic in rng.sample(_words()['topic'], 3))}",
            "カテゴリ一覧 "
            + " ".join(f"{topic}({rng.randrange(1, 90)})" for topic in rng.sample(_words()["topic"], 4)),
        )
    )


_HEAD: tuple[Callable[[Random], str], ...] = (_menu, _breadcrumb, _date, _menu, _notice)
_MIDDLE = (_share, _notice, _menu)
_TAIL = (_share, _pages, _menu, _notice, _footer, _menu)


def plant_boilerplate(rng: Random, planting: Planting) -> None:
    """One to three lines before the text, up to one inside and one to four after it."""
    for make in rng.sample(_HEAD, rng.randint(1, 3)):
        _plant(rng, planting, 0, make)
    ends = [place for place, character in enumerate(planting.clean) if character == "\n"]
    if ends and rng.random() < 0.3:
        _plant(rng, planting, rng.choice(ends), rng.choice(_MIDDLE))
    for make in rng.sample(_TAIL, rng.randint(1, 4)):
        _plant(rng, planting, len(planting.clean), make)


def _plant(rng: Random, planting: Planting, position: int, make: Callable[[Random], str]) -> None:
    """A line before the text (position 0) or after the line that ends at `position`."""
    line = make(rng)
    found = line + "\n" if position == 0 else "\n" + line
    planting.replace(position, position, found, "boilerplate", kind=make.__name__[1:], line=line)

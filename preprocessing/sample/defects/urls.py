"""Addresses of invented pages, inside sentences and on lines of their own."""

from random import Random

from preprocessing.sample.defects.planting import Planting
from preprocessing.sample.names import NAMES

_WORDS = (
    "news",
    "blog",
    "item",
    "list",
    "about",
    "shop",
    "event",
    "recipe",
    "photo",
    "travel",
    "diary",
    "entry",
    "info",
)
_SENTENCES = (
    "詳しくは{}をご覧ください。",
    "写真は{}に載せてあります。",
    "（出典：{}）",
    "地図はこちら→{}",
    "前回の記事は{}です。",
    "申し込みは {} から。",
    "参考：{}",
    "【公式】{}",
)


def url(rng: Random) -> str:
    """An http address at an example domain."""
    scheme = rng.choice(("https://", "https://", "http://"))
    path = "/".join(rng.choice(_WORDS) for _ in range(rng.randint(0, 3)))
    end = rng.choice(("", "/", ".html", f"/{rng.randint(1, 9999)}", f"?id={rng.randint(1, 999)}&p={rng.randint(1, 9)}"))
    return f"{scheme}{NAMES['host'](rng)[''][0]}/{path}{end}"


def plant_urls(rng: Random, planting: Planting) -> None:
    """One to three addresses; each is only pointed out, as what becomes of it is policy."""
    for _ in range(rng.randint(1, 3)):
        address = url(rng)
        if rng.random() < 0.3:
            sentence, place = "\n" + address, 1
        else:
            form = rng.choice(_SENTENCES)
            sentence, place = form.format(address), form.index("{")
        ends = [place for place, character in enumerate(planting.clean) if character == "\n"] or [len(planting.clean)]
        planting.insert(rng.choice(ends), sentence, [(place, place + len(address), "url", {})])

"""Japanese inflection: a dictionary form, a chain of forms and a style -> the surface.

Lower-case forms stand inside a sentence and do not depend on the style; upper-case forms end a sentence and do:

| form | 行く | 高い | 静か |
|---|---|---|---|
| u, attr | 行く | 高い | 静かだ, 静かな |
| te, ta, nai, nakatta | 行って, 行った, 行かない, 行かなかった | 高くて, ... | 静かで, ... |
| stem, ba, tara, tari, ou, ro, zu | 行き, 行けば, 行ったら, 行ったり, 行こう, 行け, 行かず | | |
| adv, sa | | 高く, 高さ | 静かに, 静かさ |
| darou | 行くだろう | 高いだろう | 静かだろう |
| U, TA, NAI, NAKATTA (polite) | 行きます, 行きました, 行きません, 行きませんでした | 高いです, ... | 静かです, ... |
| OU, DAROU (polite) | 行きましょう, 行くでしょう | 高いでしょう | 静かでしょう |

A chain such as `passive.teiru.TA` derives a new word with every link but the last: 作る -> 作られる -> 作られている ->
作られていた. Terms follow the school grammar (学校文法).
"""

from enum import Enum
from functools import cache
from typing import Literal

Style = Literal["plain", "polite", "dearu"]
"""plain: 行く, 高い, 静かだ. polite: 行きます, 高いです, 静かです. dearu: as plain, but 静かである."""


class WordClass(Enum):
    """How a word inflects; the values are the marks used in the word lists."""

    GODAN = "五段"
    ICHIDAN = "一段"
    SURU = "サ変"
    KURU = "カ変"
    I_ADJECTIVE = "形容詞"
    NA_ADJECTIVE = "形容動詞"


Word = tuple[str, WordClass]

_GODAN_ROWS = {
    "う": "わいえお",
    "く": "かきけこ",
    "ぐ": "がぎげご",
    "す": "さしせそ",
    "つ": "たちてと",
    "ぬ": "なにねの",
    "ぶ": "ばびべぼ",
    "む": "まみめも",
    "る": "らりれろ",
}
_GODAN_TE = {
    "う": "って",
    "つ": "って",
    "る": "って",
    "く": "いて",
    "ぐ": "いで",
    "す": "して",
    "ぬ": "んで",
    "ぶ": "んで",
    "む": "んで",
}
_HONORIFIC = ("くださる", "いらっしゃる", "おっしゃる", "なさる", "ござる")
_DAROU: dict[Style, str] = {"plain": "だろう", "polite": "でしょう", "dearu": "であろう"}
_VERBS = frozenset({WordClass.GODAN, WordClass.ICHIDAN, WordClass.SURU, WordClass.KURU})


def _verb_bases(word: str, word_class: WordClass) -> tuple[str, str, str, str, str]:
    """(negative base, -masu base, te-form, conditional, volitional): 行か, 行き, 行って, 行けば, 行こう."""
    root = word[:-1]
    if word_class is WordClass.ICHIDAN:
        return root, root, root + "て", root + "れば", root + "よう"
    if word_class is WordClass.SURU:
        root = word[:-2]
        return root + "し", root + "し", root + "して", root + "すれば", root + "しよう"
    if word_class is WordClass.KURU:
        kanji = word.endswith("来る")
        root = word[:-2]
        negative, continuative = ("来", "来") if kanji else ("こ", "き")
        conditional = "来れば" if kanji else "くれば"
        volitional = root + negative + "よう"
        return root + negative, root + continuative, root + continuative + "て", root + conditional, volitional
    a, i, e, o = tuple(_GODAN_ROWS[word[-1]])
    te = "って" if word.endswith(("行く", "いく")) else _GODAN_TE[word[-1]]
    continuative = "い" if word.endswith(_HONORIFIC) else i
    return root + a, root + continuative, root + te, root + e + "ば", root + o + "う"


def _past(te: str) -> str:
    return te[:-1] + ("た" if te[-1] == "て" else "だ")


def _derive_verb(word: str, word_class: WordClass, link: str) -> Word | None:
    negative, continuative, te, _, _ = _verb_bases(word, word_class)
    ichidan = WordClass.ICHIDAN
    if link in ("passive", "causative", "potential"):
        if word_class is WordClass.SURU:
            root = word[:-2]
            return root + {"passive": "される", "causative": "させる", "potential": "できる"}[link], ichidan
        if word_class is WordClass.GODAN:
            if link == "potential":
                return word[:-1] + _GODAN_ROWS[word[-1]][2] + "る", ichidan
            return negative + {"passive": "れる", "causative": "せる"}[link], ichidan
        return negative + {"passive": "られる", "causative": "させる", "potential": "られる"}[link], ichidan
    after_te = {"teiru": "いる", "temiru": "みる", "tekureru": "くれる", "teageru": "あげる"}
    after_te_godan = {"teoku": "おく", "teshimau": "しまう", "temorau": "もらう", "teiku": "いく", "tearu": "ある"}
    after_stem = {"hajimeru": "始める", "sugiru": "すぎる", "tsuzukeru": "続ける"}
    if link in after_te:
        return te + after_te[link], ichidan
    if link in after_te_godan:
        return te + after_te_godan[link], WordClass.GODAN
    if link == "tekuru":
        return te + "くる", WordClass.KURU
    if link in after_stem:
        return continuative + after_stem[link], ichidan
    if link in ("tai", "yasui", "nikui"):
        return continuative + {"tai": "たい", "yasui": "やすい", "nikui": "にくい"}[link], WordClass.I_ADJECTIVE
    if link == "sou":
        return continuative + "そう", WordClass.NA_ADJECTIVE
    return None


def _derive_adjective(word: str, word_class: WordClass, link: str) -> Word | None:
    root = _i_root(word) if word_class is WordClass.I_ADJECTIVE else word
    if link == "sugiru":
        return root + "すぎる", WordClass.ICHIDAN
    if link == "naru":
        return root + ("くなる" if word_class is WordClass.I_ADJECTIVE else "になる"), WordClass.GODAN
    if link == "sou":
        if root.endswith(("よ", "な")) and word_class is WordClass.I_ADJECTIVE:
            root += "さ"
        return root + "そう", WordClass.NA_ADJECTIVE
    return None


def _i_root(word: str) -> str:
    """高い -> 高, いい -> よ."""
    return word[:-2] + "よ" if word.endswith("いい") and not word.endswith("かわいい") else word[:-1]


def _inflect_verb(word: str, word_class: WordClass, form: str, style: Style) -> str | None:
    negative, continuative, te, conditional, volitional = _verb_bases(word, word_class)
    aru = word_class is WordClass.GODAN and word.endswith("ある")
    negative_adjective = (word[:-2] if aru else negative) + "ない"
    plain = {
        "u": word,
        "attr": word,
        "te": te,
        "ta": _past(te),
        "nai": negative_adjective,
        "nakatta": negative_adjective[:-1] + "かった",
        "naide": negative + "ないで",
        "zu": (word[:-2] + "せ" if word_class is WordClass.SURU else negative) + "ず",
        "stem": continuative,
        "ba": conditional,
        "tara": _past(te) + "ら",
        "tari": _past(te) + "り",
        "ou": volitional,
        "darou": word + _DAROU["plain"],
        "ro": _imperative(word, word_class),
        "nagara": continuative + "ながら",
    }
    polite = {"U": "ます", "TA": "ました", "NAI": "ません", "NAKATTA": "ませんでした", "OU": "ましょう"}
    if form == "DAROU":
        return word + _DAROU[style]
    if form in polite:
        return continuative + polite[form] if style == "polite" else plain[form.lower()]
    return plain.get(form)


def _imperative(word: str, word_class: WordClass) -> str:
    if word_class is WordClass.GODAN:
        if word.endswith(_HONORIFIC):
            return word[:-1] + "い"
        return word[:-1] + _GODAN_ROWS[word[-1]][2]
    if word_class is WordClass.SURU:
        return word[:-2] + "しろ"
    if word_class is WordClass.KURU:
        return word[:-1] + "い" if word.endswith("来る") else word[:-2] + "こい"
    return word[:-1] + "ろ"


def _inflect_i(word: str, form: str, style: Style) -> str | None:
    root = _i_root(word)
    plain = {
        "u": word,
        "attr": word,
        "te": root + "くて",
        "ta": root + "かった",
        "nai": root + "くない",
        "nakatta": root + "くなかった",
        "stem": root + "く",
        "adv": root + "く",
        "sa": root + "さ",
        "ba": root + "ければ",
        "tara": root + "かったら",
        "tari": root + "かったり",
        "darou": word + _DAROU["plain"],
    }
    polite = {
        "U": word + "です",
        "TA": root + "かったです",
        "NAI": root + "くありません",
        "NAKATTA": root + "くありませんでした",
    }
    if word.endswith("かもしれない"):
        polite |= {"U": word[:-2] + "ません", "TA": word[:-2] + "ませんでした"}
    if form == "DAROU":
        return word + _DAROU[style]
    if form in polite:
        return polite[form] if style == "polite" else plain[form.lower()]
    return plain.get(form)


def _inflect_na(word: str, form: str, style: Style) -> str | None:
    plain = {
        "u": "だ",
        "attr": "な",
        "te": "で",
        "ta": "だった",
        "nai": "ではない",
        "nakatta": "ではなかった",
        "stem": "で",
        "adv": "に",
        "sa": "さ",
        "ba": "なら",
        "tara": "だったら",
        "tari": "だったり",
        "darou": "だろう",
    }
    ends: dict[Style, dict[str, str]] = {
        "plain": {form.upper(): plain[form] for form in ("u", "ta", "nai", "nakatta")},
        "polite": {
            "U": "です",
            "TA": "でした",
            "NAI": "ではありません",
            "NAKATTA": "ではありませんでした",
        },
        "dearu": {"U": "である", "TA": "であった", "NAI": "ではない", "NAKATTA": "ではなかった"},
    }
    ending = _DAROU[style] if form == "DAROU" else ends[style].get(form) or plain.get(form)
    return None if ending is None else word + ending


@cache
def inflect(word: str, word_class: WordClass, chain: str, style: Style = "plain") -> str:
    """The surface of `word` after the dotted `chain` of forms, e.g. `inflect("作る", GODAN, "passive.teiru.TA")`.

    The copula is the empty na-adjective: `inflect("", NA_ADJECTIVE, "TA", "polite")` is でした.

    Raises:
        ValueError: the word has no such form.
    """
    *links, form = chain.split(".")
    for link in links:
        derive = _derive_verb if word_class in _VERBS else _derive_adjective
        derived = derive(word, word_class, link)
        if derived is None:
            raise ValueError(f"{word} ({word_class.value}) has no derived form {link!r}")
        word, word_class = derived
    if word_class in _VERBS:
        surface = _inflect_verb(word, word_class, form, style)
    elif word_class is WordClass.I_ADJECTIVE:
        surface = _inflect_i(word, form, style)
    else:
        surface = _inflect_na(word, form, style)
    if surface is None:
        raise ValueError(f"{word} ({word_class.value}) has no form {form!r}")
    return surface

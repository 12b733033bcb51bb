"""Inflection against forms written by hand."""

import pytest

from preprocessing.sample.conjugation import WordClass, inflect

GODAN, ICHIDAN, SURU, KURU = WordClass.GODAN, WordClass.ICHIDAN, WordClass.SURU, WordClass.KURU
I_ADJECTIVE, NA_ADJECTIVE = WordClass.I_ADJECTIVE, WordClass.NA_ADJECTIVE

# dictionary form, class, then: te, ta, nai, stem, ba, ou, ro, zu
VERBS = """
会う GODAN 会って 会った 会わない 会い 会えば 会おう 会え 会わず
書く GODAN 書いて 書いた 書かない 書き 書けば 書こう 書け 書かず
行く GODAN 行って 行った 行かない 行き 行けば 行こう 行け 行かず
泳ぐ GODAN 泳いで 泳いだ 泳がない 泳ぎ 泳げば 泳ごう 泳げ 泳がず
話す GODAN 話して 話した 話さない 話し 話せば 話そう 話せ 話さず
待つ GODAN 待って 待った 待たない 待ち 待てば 待とう 待て 待たず
死ぬ GODAN 死んで 死んだ 死なない 死に 死ねば 死のう 死ね 死なず
遊ぶ GODAN 遊んで 遊んだ 遊ばない 遊び 遊べば 遊ぼう 遊べ 遊ばず
読む GODAN 読んで 読んだ 読まない 読み 読めば 読もう 読め 読まず
帰る GODAN 帰って 帰った 帰らない 帰り 帰れば 帰ろう 帰れ 帰らず
食べる ICHIDAN 食べて 食べた 食べない 食べ 食べれば 食べよう 食べろ 食べず
起きる ICHIDAN 起きて 起きた 起きない 起き 起きれば 起きよう 起きろ 起きず
掃除する SURU 掃除して 掃除した 掃除しない 掃除し 掃除すれば 掃除しよう 掃除しろ 掃除せず
来る KURU 来て 来た 来ない 来 来れば 来よう 来い 来ず
やってくる KURU やってきて やってきた やってこない やってき やってくれば やってこよう やってこい やってこず
ある GODAN あって あった ない あり あれば あろう あれ あらず
"""
FORMS = ("te", "ta", "nai", "stem", "ba", "ou", "ro", "zu")

CHAINS = [
    ("作る", GODAN, "passive.u", "作られる"),
    ("作る", GODAN, "passive.teiru.TA", "作られていた"),
    ("買う", GODAN, "passive.ta", "買われた"),
    ("読む", GODAN, "potential.nai", "読めない"),
    ("見る", ICHIDAN, "potential.u", "見られる"),
    ("見る", ICHIDAN, "causative.te", "見させて"),
    ("書く", GODAN, "causative.u", "書かせる"),
    ("研究する", SURU, "passive.teiru.u", "研究されている"),
    ("研究する", SURU, "potential.ta", "研究できた"),
    ("来る", KURU, "passive.u", "来られる"),
    ("飲む", GODAN, "tai.ta", "飲みたかった"),
    ("飲む", GODAN, "yasui.attr", "飲みやすい"),
    ("降る", GODAN, "sou.attr", "降りそうな"),
    ("忘れる", ICHIDAN, "teshimau.ta", "忘れてしまった"),
    ("話す", GODAN, "tekureru.nakatta", "話してくれなかった"),
    ("増える", ICHIDAN, "tekuru.ta", "増えてきた"),
    ("消える", ICHIDAN, "teiku.te", "消えていって"),
    ("書く", GODAN, "hajimeru.ta", "書き始めた"),
    ("食べる", ICHIDAN, "sugiru.nai", "食べすぎない"),
    ("泳ぐ", GODAN, "nagara", "泳ぎながら"),
    ("泳ぐ", GODAN, "tari", "泳いだり"),
    ("読む", GODAN, "tara", "読んだら"),
    ("高い", I_ADJECTIVE, "naru.ta", "高くなった"),
    ("静か", NA_ADJECTIVE, "naru.u", "静かになる"),
    ("いい", I_ADJECTIVE, "sou.u", "よさそうだ"),
    ("おいしい", I_ADJECTIVE, "sugiru.ta", "おいしすぎた"),
]

# word, class, form -> plain, polite, dearu
SENTENCE_ENDS = [
    ("行く", GODAN, "U", "行く", "行きます", "行く"),
    ("行く", GODAN, "TA", "行った", "行きました", "行った"),
    ("行く", GODAN, "NAI", "行かない", "行きません", "行かない"),
    ("行く", GODAN, "NAKATTA", "行かなかった", "行きませんでした", "行かなかった"),
    ("行く", GODAN, "OU", "行こう", "行きましょう", "行こう"),
    ("行く", GODAN, "DAROU", "行くだろう", "行くでしょう", "行くであろう"),
    ("ある", GODAN, "NAI", "ない", "ありません", "ない"),
    ("くださる", GODAN, "U", "くださる", "くださいます", "くださる"),
    ("高い", I_ADJECTIVE, "U", "高い", "高いです", "高い"),
    ("高い", I_ADJECTIVE, "TA", "高かった", "高かったです", "高かった"),
    ("高い", I_ADJECTIVE, "NAI", "高くない", "高くありません", "高くない"),
    ("いい", I_ADJECTIVE, "TA", "よかった", "よかったです", "よかった"),
    ("かわいい", I_ADJECTIVE, "TA", "かわいかった", "かわいかったです", "かわいかった"),
    ("かもしれない", I_ADJECTIVE, "U", "かもしれない", "かもしれません", "かもしれない"),
    ("静か", NA_ADJECTIVE, "U", "静かだ", "静かです", "静かである"),
    ("静か", NA_ADJECTIVE, "TA", "静かだった", "静かでした", "静かであった"),
    ("静か", NA_ADJECTIVE, "NAI", "静かではない", "静かではありません", "静かではない"),
    ("静か", NA_ADJECTIVE, "NAKATTA", "静かではなかった", "静かではありませんでした", "静かではなかった"),
    ("", NA_ADJECTIVE, "U", "だ", "です", "である"),
    ("", NA_ADJECTIVE, "DAROU", "だろう", "でしょう", "であろう"),
]

ADJECTIVES = [
    (
        "高い",
        I_ADJECTIVE,
        {"attr": "高い", "adv": "高く", "te": "高くて", "ba": "高ければ", "tara": "高かったら", "sa": "高さ"},
    ),
    ("いい", I_ADJECTIVE, {"attr": "いい", "adv": "よく", "te": "よくて", "ba": "よければ", "nai": "よくない"}),
    (
        "静か",
        NA_ADJECTIVE,
        {"attr": "静かな", "adv": "静かに", "te": "静かで", "ba": "静かなら", "tara": "静かだったら"},
    ),
]


@pytest.mark.parametrize("line", VERBS.split("\n")[1:-1])
def test_verbs(line):
    word, word_class, *forms = line.split()
    assert [inflect(word, WordClass[word_class], form) for form in FORMS] == forms


@pytest.mark.parametrize(("word", "word_class", "chain", "expected"), CHAINS)
def test_derived_words(word, word_class, chain, expected):
    assert inflect(word, word_class, chain) == expected


@pytest.mark.parametrize(("word", "word_class", "form", "plain", "polite", "dearu"), SENTENCE_ENDS)
def test_style_decides_the_end_of_a_sentence(word, word_class, form, plain, polite, dearu):
    assert inflect(word, word_class, form, "plain") == plain
    assert inflect(word, word_class, form, "polite") == polite
    assert inflect(word, word_class, form, "dearu") == dearu


@pytest.mark.parametrize(("word", "word_class", "forms"), ADJECTIVES)
def test_adjectives(word, word_class, forms):
    assert {form: inflect(word, word_class, form) for form in forms} == forms


@pytest.mark.parametrize(
    ("word", "word_class", "chain"),
    [
        ("高い", I_ADJECTIVE, "passive.u"),
        ("行く", GODAN, "naru.u"),
        ("静か", NA_ADJECTIVE, "ro"),
        ("行く", GODAN, "adv"),
    ],
)
def test_a_form_that_does_not_exist_is_refused(word, word_class, chain):
    with pytest.raises(ValueError, match=word):
        inflect(word, word_class, chain)

"""Every rule by hand, and properties of any input."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.wikitext.brackets import TooComplex, spans_of
from preprocessing.wikitext.extractor import Extractor, plain_text
from preprocessing.wikitext.inline import unescaped, without_conversions, without_inline_markup
from preprocessing.wikitext.lines import REFERENCE_SECTIONS, plain_lines
from preprocessing.wikitext.losses import Losses
from preprocessing.wikitext.marks import restored, without_marks
from preprocessing.wikitext.opaque import without_opaque
from preprocessing.wikitext.render import Renderer
from preprocessing.wikitext.repair import repaired
from preprocessing.wikitext.substitution import Substitution
from preprocessing.wikitext.templates import Templates

RULES = [
    # Links.
    ("[[東京]]と[[大阪市|大阪]]", "東京と大阪"),
    ("[[東京 (曖昧さ回避)|]]", "東京 (曖昧さ回避)"),
    ("[[:Category:東京]]と[[:en:Tokyo]]", "Category:東京とen:Tokyo"),
    ("[[Re:ゼロから]]と[[宇宙戦艦: 序|序]]と[[#歴史]]", "Re:ゼロからと序と#歴史"),
    ("前[[Category:東京|とう]]後[[カテゴリ:町]]", "前後"),
    ("[[en:Tokyo]][[zh-min-nan:東京]][[simple:Tokyo]]後", "後"),
    ("[[wikt:東|東]]", "東"),
    ("前[[ファイル:a.jpg|thumb|right|[[川]]の{{lang|en|view}} [http://a.jp b] ]]後", "前後"),
    ("[[画像:a.jpg|[[画像:b.jpg|[[c]]]]]]後[[File:a|x]][[Image:a]]", "後"),
    ("[[a|b|c]]", "b|c"),
    ("[[{{lang|en|A}}|{{lang|en|B}}]]", "B"),
    # External links.
    ("[http://example.com/a 例の頁]と[https://example.com/]と[//a.jp 相対]", "例の頁とと相対"),
    ("[http://example.com/ [[日本]]の頁]", "日本の頁"),
    ("http://example.com/ と [1] と [注]", "http://example.com/ と [1] と [注]"),
    # Templates that carry text.
    ("{{読み仮名|山田|やまだ}}は", "山田（やまだ）は"),
    ("{{読み仮名|'''山田'''|やまだ|1900年 - }}は", "山田（やまだ、1900年 -）は"),
    ("{{読み仮名 ruby不使用|山田|やまだ}}", "山田（やまだ）"),
    ("{{ルビ|小鳥遊|たかなし}}と{{Ruby|本気|マジ}}", "小鳥遊（たかなし）と本気（マジ）"),
    ("{{lang|fr|Été}}と{{lang-en|Tokyo}}と{{lang-de-short|Berg}}と{{lang-xyz|foo}}", "Étéと英語: Tokyoと独: Bergとfoo"),
    ("{{仮リンク|株|en|Stock|label=株式}}と{{仮リンク|債券|en|Bond}}", "株式と債券"),
    ("{{要出典範囲|そうだ|date=2020年1月}}と{{nowrap|a b}}と{{color|red|赤}}", "そうだとa bと赤"),
    ("{{Template:Lang|en|a}}と{{ lang | en | b }}と{{テンプレート:lang|en|c}}", "aとbとc"),
    ('{{nowrap|1=a=b}}と{{nowrap|<span style="x">c</span>}}', "a=bとc"),
    ("{{lang|en|[[a=b|c=d]]}}", "c=d"),
    ("{{nowrap|{{lang|en|{{color|red|深い}}}}}}", "深い"),
    ("{{PAGENAME}}と{{formatnum:12345}}と{{!}}", "表題と12345と|"),
    ("{{生年月日と年齢|1950|1|2}}生", "1950年1月2日生"),
    ("{{JPN}}と{{chem|H|2|O}}", "日本とH2O"),
    # Numbers.
    (
        "6.02×10{{sup|23}}個と6.02{{e|23}}個と1.6{{e|-19}}と1.6{{e|−19}}",
        "6.02×10²³個と6.02×10²³個と1.6×10⁻¹⁹と1.6×10⁻¹⁹",
    ),
    ("2<sup>n</sup>と10<sup>0.5</sup>と10{{e|-1/2}}と10<sup> 6 </sup>", "2ⁿと10^0.5と10×10^-1/2と10⁶"),
    ("m{{sup|2}}とH{{sub|2}}Oと甲{{sup|乙}}と{{nowrap|10{{sup|3}}個}}", "m²とH₂Oと甲乙と10³個"),
    ("{{val|6.02|e=23|u=mol}}と{{val|1.5|0.1}}と{{val|3|ul=m|up=s}}", "6.02×10²³ molと1.5±0.1と3 m/s"),
    ("値{{val|1.5|+0.2|-0.1}}。{{val|a}}と{{val}}", "値。と"),
    ("{{frac|2}}と{{frac|1|2}}と{{frac|1|1|2}}", "1/2と1/2と1 1/2"),
    ("{{convert|5|km|mi}}と{{convert|5|to|10|km}}と{{convert|5|x|10|x|3|m|ft}}", "5 kmと5–10 kmと5×10×3 m"),
    ("{{convert|5|ft|10|in|m}}と{{convert|1,200|m|0|abbr=on}}と{{cvt|8}}。", "5 ft 10 inと1,200 mと。"),
    ("{{開始日|2000}}と{{Start date|2000|5}}と{{開始日|2000|5|6}}生まれ", "2000年と2000年5月と2000年5月6日生まれ"),
    ("{{死亡年月日と没年齢|1900|1|2|1980|3|4}}没（{{開始日}}）", "1980年3月4日没"),
    ("{{年|2000年}}と{{年|2000}}と{{駅|中央}}と{{駅|中央駅}}", "2000年と2000年と中央駅と中央駅"),
    ("{{flag|JPN}}と{{Flag|日本}}と{{flagu|usa}}{{flag}}", "日本と日本とアメリカ合衆国"),
    ("{{Visible anchor|本文|別名}}と{{vanchor|甲|text=乙}}", "本文と乙"),
    # Templates that carry none.
    ("{{Infobox 町|名=[[a]]|図=[[ファイル:a.jpg|[[b]]]]\n|c={{lang|en|d}}\n}}\n本文", "本文"),
    ("本文{{要出典|date=2020年1月}}。{{R|a}}{{DEFAULTSORT:あ}}{{#if:a|b|c}}", "本文。"),
    ("{{{1|既定}}}と{{{2}}}。", "既定と。"),
    ("{{ {{lang|en|x}} |y}}z", "z"),
    # Tags.
    ("甲<ref>乙</ref>丙<ref name=\"a\" />丁<REF group='注' name=b>[[戊]]</REF>己", "甲丙丁己"),
    ("甲<ref>閉じない\n次の行", "甲\n次の行"),
    ('甲<ref name="a">続く<ref>注</ref>文', "甲続く文"),
    ("甲<ref>一<ref>二</ref>乙", "甲乙"),
    ("甲<!-- [[乙 -->丙<!-- 丁", "甲丙 丁"),
    ("甲<gallery>\nファイル:a.jpg|[[乙]]\n</gallery>丙<math>x^2 {{</math>丁<timeline>\n戊</timeline>", "甲丙丁"),
    ("<nowiki>[[甲]]''乙''{{丙}}&amp;</nowiki>", "[[甲]]''乙''{{丙}}&"),
    ("<pre>\n* [[甲]]\n</pre>", "* [[甲]]"),
    ("[<nowiki/>[甲と'<nowiki />'", "[[甲と''"),
    ("10 m<sup>2</sup>とH<sub>2</sub>Oと<sup>注</sup>", "10 m²とH₂Oと注"),
    (
        "<ruby><rb>東</rb><rp>(</rp><rt>ひがし</rt><rp>)</rp></ruby>と<ruby>西<rt>にし</rt></ruby>",
        "東（ひがし）と西（にし）",
    ),
    ("甲<br>乙<br />丙<div style='a'>丁</div>", "甲\n乙\n丙\n丁"),
    ("<span>甲</span><small>乙</small><ほげ>と a < b > c <3", "甲乙<ほげ>と a < b > c <3"),
    ("甲</ref>乙</span>", "甲乙"),
    # Quotes, switches, conversions, entities.
    ("'''太字'''と''斜体''と'''''両方'''''とdon't", "太字と斜体と両方とdon't"),
    ("__目次非表示__＿＿目次強制＿＿__NOTOC__甲__init__", "甲__init__"),
    ("甲-{zh-hans:乙}-丙", "甲丙"),
    ("&lt;b&gt;&amp;lt;&#91;&#x5B;&#42;&nbsp;&unknown;&copy", "<b>&lt;[[*\u00a0&unknown;&copy"),
    ("&#x1;&#xD800;&#xFDEF;", "&#x1;&#xD800;&#xFDEF;"),
    ("{{nowrap|a&#124;b}}", "a|b"),
    # Lines.
    ("* 一\n** 二\n# 三\n: 四\n;五:六\n----七\n 八", "一\n二\n三\n四\n五:六\n七\n八"),
    ("一\n\n\n\n二\n{{未知}}\n三", "一\n\n二\n三"),
    ("* {{未知}}\n* 一", "一"),
    ("&#42; 一\n<nowiki>*</nowiki> 二", "* 一\n* 二"),
    # Tables.
    ('前\n{| class="a"\n|-\n! 見出し\n|-\n| [[値]] || {{lang|en|b}}\n{|\n| 内\n|}\n|}\n後', "前\n後"),
    (":{| class=a\n| 値\n|}\n後", "後"),
    ("{|\n| 値\n|-\n! 別\n本文は残る", "本文は残る"),
    ("|-\n| 値\n|}\n後", "後"),
    # Brackets that do not fit.
    ("甲{{Infobox|a=[[乙}}丙", "甲丙"),
    ("甲[[乙 [[丙]] 丁", "甲乙 丙 丁"),
    ("甲}}乙]]丙{{丁", "甲乙丙丁"),
    ("甲{{lang|en|乙]]}}丙", "甲乙丙"),
    ("[[甲\n乙]]", "甲\n乙"),
    ("f(x) = {a} [b] {c", "f(x) = {a} [b] {c"),
    # What a removed reading leaves.
    ("東京（とうきょう、{{未知|Tokyo}}）は", "東京（とうきょう）は"),
    ("東京（{{未知|Tokyo}}、1950年 - ）は", "東京（1950年 - ）は"),
    ("東京（{{未知}}；英: {{未知}}）は", "東京は"),
    ("東京（<!-- とうきょう -->）は「{{未知}}」、『（{{未知}}）』という", "東京は、という"),
    ("東京（とうきょう、英語: {{未知}}、独: {{lang|de|Tokio}}）は", "東京（とうきょう、独: Tokio）は"),
    ("一、{{未知}}、二{{未知}}。", "一、二。"),
    ("一、{{未知}}。", "一。"),
    ("a {{未知}} b", "a b"),
    ("（；´∀｀）と（）と「」と（、）と{{未知}}（＾ω＾）", "（；´∀｀）と（）と「」と（、）と（＾ω＾）"),
    ("（本文<ref>注</ref>）と「引用」<ref>注</ref>、次", "（本文）と「引用」、次"),
]


@pytest.mark.parametrize(("wikitext", "expected"), RULES)
def test_rules(wikitext, expected):
    assert plain_text(wikitext, "表題") == expected
    # Within a line of text nothing else happens, nor twice.
    assert plain_text(
        f"前の段落。\n\n{wikitext}\n\n後の段落。", "表題"
    ) == f"前の段落。\n\n{expected}\n\n後の段落。".replace("\n\n\n\n", "\n\n")


ARTICLE = """導入。
== 出典 ==
* 早い出典
=== 注釈 ===
* 注
== 歴史 ==
=== 空 ===
{{未知}}
=== 古代 ===
古い。
==== 参考文献 ====
* 本
=== 近代 ===
新しい。
== 空の節 ==
== 脚注・出典 ==
{{Reflist}}
== 注釈と参考文献 ==
* 本
== 出典の研究 ==
これは本文。
"""


def test_reference_sections_go_with_all_below_them_and_empty_ones_too():
    assert plain_text(ARTICLE) == ("導入。\n\n歴史\n\n古代\n古い。\n\n近代\n新しい。\n\n出典の研究\nこれは本文。")
    dropped = Extractor(keep_headings=False).plain_text(ARTICLE)
    assert dropped == "導入。\n\n古い。\n\n新しい。\n\nこれは本文。"
    assert "早い出典" in Extractor(cut_sections=frozenset()).plain_text(ARTICLE)


@pytest.mark.parametrize("title", ["資料", "引用", "リンク", "資料と引用"])
def test_ordinary_headings_are_no_reference_sections(title):
    assert plain_text(f"一\n== {title} ==\n本文。") == f"一\n\n{title}\n本文。"


def test_the_length_of_what_goes_with_sections_is_counted():
    losses = Losses()
    plain_text("一\n== 脚注 ==\n* 甲[[乙]]\n=== 丙 ===\n{{未知}}\n丁戊\n== 地理 ==\n己", losses=losses)
    assert losses.removed["section"] == 1
    assert losses.removed["section_characters"] == 5


@pytest.mark.parametrize(
    ("line", "title"),
    [
        ("== 甲 ==", "甲"),
        ("==甲==  ", "甲"),
        ("=== 甲 ==", "= 甲"),
        ("== '''甲'''<ref>a</ref> ==", "甲"),
        ("= 甲 =", "甲"),
        ("==甲==<!-- a -->", "甲"),
    ],
)
def test_headings(line, title):
    assert plain_text(f"一\n{line}\n二") == f"一\n\n{title}\n二"


@pytest.mark.parametrize("line", ["==", "= =", "a == b ==", "== 甲", "==甲== b"])
def test_lines_that_are_no_headings(line):
    assert plain_text(f"一\n{line}\n二") == f"一\n{line}\n二"


def test_losses_are_counted():
    losses = Losses()
    plain_text(
        "[[File:a]][[Category:b]]{{未知 の|[[c]]}}{{未知_の}}{{R|a}}<ref>a</ref>\n{|\n|}\n]]{{lang|en|d}}",
        losses=losses,
    )
    assert losses.unknown_templates == {"未知 の": 2}
    assert {key: value for key, value in losses.removed.items() if value} == {
        "file": 1,
        "category": 1,
        "template": 3,
        "ref": 1,
        "table": 1,
        "stray_bracket": 1,
    }


def test_templates_of_ones_own():
    own = Templates({"年代": "{1}年代（{補足}）", "R": "[{1}]", "lang": ""})
    assert Extractor(own).plain_text("{{年代|80}}{{R|a}}{{年代|90|補足=b}}{{lang|en|c}}") == "80年代[a]90年代（b）"


def test_a_number_that_is_not_understood_is_counted():
    losses = Losses()
    plain_text("{{val|1|2|3}}{{convert|a}}{{frac}}", losses=losses)
    assert losses.removed["template"] == 3
    assert not losses.unknown_templates


def test_a_unit_goes_with_its_argument():
    own = Templates({"作": "{年|1:年}作"})
    assert Extractor(own).plain_text("{{作|2000}}、{{作|年=90年}}、{{作}}") == "2000年作、90年作、作"


def test_too_many_brackets_are_refused_and_not_worked_on():
    with pytest.raises(TooComplex):
        Extractor(max_brackets=10).plain_text("[[a]]" * 11)
    with pytest.raises(TooComplex):
        Extractor(max_brackets=10).plain_text("{" * 100)
    assert Extractor(max_brackets=10).plain_text("[[a]]" * 10) == "a" * 10


@pytest.mark.parametrize(
    "unit",
    [
        "{{",
        "[[",
        "{{a|",
        "[[a|",
        "[http://a ",
        "}}",
        "]]",
        "{",
        "]",
        "\n{|",
        "\n|}",
        "<ref>",
        "<ref name=a>",
        "<!--",
        "<nowiki>",
        "<math>",
        "</ref>",
        "<",
        "<ref ",
        "''",
        "__",
        "-{",
        "&",
        "&#",
        "（",
        "（、",
        "、{{a}}",
        "（{{a}}",
        "英: {{a}}）",
        "（（{{a}}））",
        "=\n",
        "== a\n",
        "*",
        "<br>",
        "{{nowrap|",
        "[[a|{{nowrap|",
        "{{{",
        "{{a}",
        "＿＿",
        "\n ",
        "<rt>",
        "<sup>",
        "・{{a}}、",
        "\ufdef",
        "[[:",
        "{{lang|en|a}}",
        "\n\t:*",
    ],
)
def test_hostile_repetition_takes_linear_time(unit):
    Extractor(max_brackets=10_000_000).plain_text(unit * (150_000 // len(unit)))  # else this runs into the time limit


@pytest.mark.parametrize(
    ("opening", "closing"),
    [
        ("{{nowrap|", "}}"),
        ("[[a|", "]]"),
        ("{{未知|", "}}"),
        ("[[ファイル:a|", "]]"),
        ("\n{|\n|", "\n|}"),
        ("（{{未知}}", "）"),
        ("{{{a|", "}}}"),
    ],
)
def test_ten_thousand_brackets_in_each_other(opening, closing):
    text = plain_text("前" + opening * 10_000 + "中" + closing * 10_000 + "後")
    assert text[0] == "前"
    assert text[-1] == "後"
    assert "{{" not in text
    assert "[[" not in text


PIECES = st.sampled_from(
    [
        "[[",
        "]]",
        "{{",
        "}}",
        "{{{",
        "}}}",
        "|",
        "=",
        "\n",
        "\n{|",
        "\n|}",
        "[http://a ",
        "]",
        "'''",
        "<ref>",
        "</ref>",
        "<ref name=a/>",
        "<!--",
        "-->",
        "<nowiki>",
        "</nowiki>",
        "<br>",
        "== a ==",
        "\n== 出典 ==\n",
        "* ",
        "：",
        "、",
        "（",
        "）",
        "「",
        "」",
        "&lt;",
        "&#91;",
        "__目次__",
        "-{",
        "}-",
        "lang|en|",
        "ファイル:",
        "en:",
        "漢字",
        "かな",
        "a",
        " ",
        "<rt>",
        "</rt>",
        "\u3000",
        "\ufdd0",
        "\ufdef",
        "nowrap|",
    ]
)


@given(st.lists(PIECES, max_size=40).map("".join))
def test_no_markup_breaks_it(wikitext):
    text = plain_text(wikitext)
    assert not any("\ufdd0" <= character <= "\ufdef" for character in text)
    assert text == text.strip()


PLAIN = st.text(
    st.characters(exclude_characters="[]{}|'=*#:;<>~_＿-!&\r", exclude_categories=["Cs", "Cn"]), max_size=80
)


@given(PLAIN)
def test_plain_text_is_not_changed(text):
    lines = [line for line in text.split("\n") if line.strip()]
    text = "\n".join(line.lstrip(" \t") for line in lines).strip()
    assert plain_text(text) == text


@st.composite
def balanced(draw, depth=3):
    """Markup in which every bracket is closed."""
    parts = []
    for _ in range(draw(st.integers(0, 4))):
        inside = draw(balanced(depth - 1)) if depth else "文"
        parts.append(
            draw(
                st.sampled_from(
                    [
                        f"[[甲|{inside}]]",
                        f"{{{{未知|{inside}}}}}",
                        f"{{{{nowrap|{inside}}}}}",
                        f"<ref>{inside.replace('<ref>', '').replace('</ref>', '')}</ref>",
                        f"（{inside}）",
                        f"[[ファイル:a.jpg|thumb|{inside}]]",
                        "'''文'''",
                        "[http://a.jp 頁]",
                        f"<small>{inside}</small>",
                        "、",
                        "文",
                        "\n",
                        f"{{{{lang|en|{inside}}}}}",
                        f"\n{{|\n| {inside}\n|}}\n",
                    ]
                )
            )
        )
    return "".join(parts)


@given(balanced())
def test_balanced_markup_leaves_no_sign_of_it(wikitext):
    text = plain_text(wikitext)
    assert not any(sign in text for sign in ("[[", "]]", "{{", "}}", "<ref", "{|", "|}", "'''", "<small"))


def slowly(wikitext: str) -> str:
    """The same without the short way for simple brackets."""
    losses = Losses()
    text = without_conversions(without_opaque("\n" + without_marks(wikitext), losses.removed), losses.removed)
    text = Renderer(text, spans_of(text, 1_000_000), Substitution(Templates(), "", losses, 1_000_000)).run()
    text = repaired(unescaped(without_inline_markup(text, losses.removed)))
    return restored(plain_lines(text, REFERENCE_SECTIONS, True, losses.removed)).strip()


@given(balanced())
def test_the_short_way_for_simple_brackets_has_the_same_outcome(wikitext):
    assert plain_text(wikitext) == slowly(wikitext)


@pytest.mark.parametrize(("wikitext", "expected"), [rule for rule in RULES if "PAGENAME" not in rule[0]])
def test_the_long_way_keeps_the_rules(wikitext, expected):
    assert slowly(wikitext) == expected

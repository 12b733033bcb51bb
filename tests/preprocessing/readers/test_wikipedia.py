import bz2
from collections import Counter
from xml.sax.saxutils import escape

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import cleaned, config, raw_file

from jp_llm.config.build import build
from jp_llm.runtime.errors import UserError
from jp_llm.runtime.files import read_json
from preprocessing.document import Document, Record, Rejected, Tally
from preprocessing.readers.wikipedia import WikipediaReader, _parse, _unescaped
from preprocessing.run import run

HEAD = """<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" xml:lang="ja">
  <siteinfo>
    <sitename>Wikipedia</sitename>
    <namespaces>
      <namespace key="0" case="first-letter" />
    </namespaces>
  </siteinfo>
"""
TAIL = "</mediawiki>\n"


def page(
    text: str, number: int = 1, title: str = "題", namespace: int = 0, extra: str = "", model: str = "wikitext"
) -> str:
    return (
        f"  <page>\n    <title>{escape(title)}</title>\n    <ns>{namespace}</ns>\n    <id>{number}</id>\n{extra}"
        f"    <revision>\n      <id>9{number}</id>\n      <timestamp>2024-01-02T03:04:05Z</timestamp>\n"
        f"      <contributor>\n        <username>某</username>\n        <id>7</id>\n      </contributor>\n"
        f"      <model>{model}</model>\n      <format>text/x-wiki</format>\n"
        f'      <text bytes="{len(text)}" sha1="x" xml:space="preserve">{escape(text)}</text>\n'
        f"      <sha1>x</sha1>\n    </revision>\n  </page>\n"
    )


def read(data: str | bytes, reader: WikipediaReader | None = None, start: int = 0) -> tuple[list[Record], Tally]:
    """The records, and the tally that ends them."""
    *records, tally = (reader or WikipediaReader()).read(
        raw_file(data.encode() if isinstance(data, str) else data, start)
    )
    assert isinstance(tally, Tally)
    assert not any(isinstance(record, Tally) for record in records)
    return records, tally


def shown(records: list[Record]) -> list[str]:
    return [record.text if isinstance(record, Document) else f"<{record.reason}>" for record in records]  # type: ignore[union-attr]


def test_a_page_with_its_title_and_facts():
    (document,), tally = read(HEAD + page("'''東京'''は[[日本]]の首都。\n\n次&amp;<br />終", 42, "東京 & 都") + TAIL)
    assert isinstance(document, Document)
    assert document.id == "web/file.txt#42"
    assert document.text == "東京 & 都\n\n東京は日本の首都。\n\n次&\n終"
    assert document.meta == {"title": "東京 & 都", "page": 42, "timestamp": "2024-01-02T03:04:05Z"}
    assert tally.rejected == {}


def test_options():
    text = "導入。\n== 歴史 ==\n{{年代|80}}。\n== 逸話 ==\n話。\n== 脚注 ==\n注。"
    reader = build(
        WikipediaReader,
        {"title": "none", "headings": "drop", "text_templates": {"年代": "{1}年代"}, "cut_sections": ["逸話"]},
    )
    assert shown(read(page(text), reader)[0]) == ["導入。\n\n80年代。\n\n注。"]


def test_wrong_formats_are_found_before_the_run():
    assert WikipediaReader(text_templates={"a": "{1", "b": "{1}", "c": "{}"}).problems() == [
        "text_templates.a: '{1': a brace without its other half",
        "text_templates.c: '{}': a field without a name",
    ]
    with pytest.raises(UserError, match=r"text_templates\.a"):
        build(WikipediaReader, {"text_templates": {"a": "}"}})


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (page("本文", namespace=1), "namespace"),
        (page("本文", extra='    <redirect title="別" />\n'), "redirect"),
        (page("#REDIRECT [[別]]"), "redirect"),
        (page("#転送[[別]]"), "redirect"),
        (page("＃リダイレクト [[別]]"), "redirect"),
        (page("#redirect:[[別]]"), "redirect"),
        (page("{}", model="json"), "no_wikitext"),
        (page(""), "empty_page"),
        (page("本文").replace('<text bytes="2" sha1="x" xml:space="preserve">本文</text>', "<text />"), "empty_page"),
        (
            page("本文").replace(
                '<text bytes="2" sha1="x" xml:space="preserve">本文</text>', '<text deleted="deleted" />'
            ),
            "empty_page",
        ),
        (page("* [[一]]\n* [[二]]\n{{曖昧さ回避}}"), "disambiguation"),
        (page("* [[一]]\n{{人名の曖昧さ回避}}"), "disambiguation"),
        (page("* [[一]]\n{{ Aimai |a}}"), "disambiguation"),
        (page("* [[一]]\n{{Template:駅名の曖昧さ回避}}"), "disambiguation"),
        (page("<!-- 一覧 -->* [[一]]\n{{\n曖昧さ回避|date=2020年}}"), "disambiguation"),
        (page("* [[一]]\n__DISAMBIG__"), "disambiguation"),
        (page("* [[一]]\n__曖昧さ回避__"), "disambiguation"),
        (page("{{未知|a}}\n[[Category:b]]"), "no_text_left"),
    ],
)
def test_what_is_no_article_is_counted_and_not_kept(record, reason):
    records, tally = read(HEAD + record + page("本文", 2) + TAIL)
    assert shown(records) == ["題\n\n本文"]
    assert tally.rejected == {reason: 1}


def test_what_is_wanted_may_be_more():
    reader = WikipediaReader(namespaces=(0, 4), disambiguation="keep")
    records, tally = read(page("案内", namespace=4) + page("* [[一]]\n{{曖昧さ回避}}", 2), reader)
    assert shown(records) == ["題\n\n案内", "題\n\n一"]
    assert tally.rejected == {}


@pytest.mark.parametrize(
    "text",
    [
        "曖昧さ回避という語",
        "{{Otheruses|曖昧さ回避}}本文",
        "[[曖昧さ回避]]{{未知|aimai}}",
        "[[中央駅]]{{要曖昧さ回避|date=2020年1月}}から北へ歩く。",
        "本文<!-- {{曖昧さ回避}} -->",
        "<nowiki>{{曖昧さ回避}}</nowiki>と書く。",
        "<pre>{{aimai}}</pre>と書く。",
        "本文<ref>{{aimai}}のこと</ref>",
    ],
)
def test_articles_that_speak_of_it_are_articles(text):
    records, tally = read(page(text))
    assert len(records) == 1
    assert tally.rejected == {}


def test_a_remark_that_a_link_needs_a_better_target_leaves_nothing_and_is_known():
    records, tally = read(page("[[中央駅]]{{要曖昧さ回避|date=2020年1月}}から北へ歩く。"))
    assert shown(records) == ["題\n\n中央駅から北へ歩く。"]
    assert not any("unknown" in key for key in tally.changed)


@pytest.mark.parametrize(
    ("damaged", "reasons"),
    [
        (page("本文").replace("</title>", ""), ["xml"]),
        (page("本文").replace("<id>1</id>", "<id>x</id>"), ["xml"]),
        (page("本文").replace("<id>1</id>", ""), ["xml"]),
        (page("本文").replace("<ns>0</ns>", "<ns>零</ns>"), ["xml"]),
        (page("本文").replace("本文", "a & b &undefined;"), ["xml"]),
        (page("本文").replace("本文", "a \x00 b"), ["xml"]),
        (page("本文").replace("<revision>", "<!DOCTYPE a><revision>"), ["xml"]),
        (page("本文").replace("  </page>\n", ""), ["truncated_page"]),
        (page("本文").replace("  <page>\n", ""), ["no_page"]),
        ('{"text": "これは別の形式"}\n', ["no_page"]),
        ("何か\n" * 1000, ["no_page"]),
        (page("長い" * 3000), ["too_large"]),
        (page("[[a]]" * 101), ["too_complex"]),
    ],
)
def test_damage_costs_one_page_and_is_kept(damaged, reasons):
    reader = WikipediaReader(max_page_bytes=5000, max_page_brackets=100)
    records, _ = read(HEAD + page("前", 1) + damaged + page("後", 3) + TAIL, reader)
    assert shown(records) == ["題\n\n前", *(f"<{reason}>" for reason in reasons), "題\n\n後"]
    rejected = records[1]
    assert isinstance(rejected, Rejected)
    assert rejected.position == len((HEAD + page("前", 1)).encode())


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ("[[a<x|" * 60 + "]]" * 60, []),
        ("{{二重|" * 39 + "本文" + "}}" * 39, ["too_complex"]),
        ("{{nowrap|" + "|" * 200_000 + "}}", ["too_complex"]),
    ],
)
def test_a_page_made_to_take_long_costs_itself_at_most(text, reasons):
    reader = WikipediaReader(text_templates={"二重": "{1}{1}"})
    records, _ = read(page("前") + page(text) + page("後"), reader)
    assert [record.reason for record in records if isinstance(record, Rejected)] == reasons
    assert shown(records)[0] == "題\n\n前"
    assert shown(records)[-1] == "題\n\n後"


def test_bytes_that_are_no_utf8_are_damage():
    records, _ = read(
        page("前").encode() + page("あ").encode().replace("あ".encode(), b"\xe3\x81") + page("後").encode()
    )
    assert shown(records) == ["題\n\n前", "<xml>", "題\n\n後"]


def test_the_end_of_a_cut_off_dump():
    whole = page("前") + page("後")
    records, _ = read(whole[: whole.rindex("</revision>")])
    assert shown(records) == ["題\n\n前", "<truncated_page>"]


def test_entities_are_those_of_xml_and_then_of_html():
    text = page("本文").replace(
        "本文", "&amp;lt;b&amp;gt; &#26085;&#x672C; &quot;&apos; &amp;amp;amp; <![CDATA[<i>甲</i>]]>"
    )
    assert shown(read(text)[0]) == ["題\n\n<b> 日本 \"' &amp; 甲"]


@given(st.text(st.sampled_from("あa&<>\"'\n\r\t;#]!["), max_size=30))
def test_the_short_way_of_parsing_is_that_of_the_parser(text):
    data = page(text).encode()
    short = _parse(data)
    # An entity that the short way does not know sends the page through the parser.
    assert (
        _parse(data.replace(b'">', b'">&#8288;', 1).replace("題".encode(), b"&#38988;")).text.lstrip("\u2060")
        == short.text
    )
    assert short.text == text.replace("\r\n", "\n").replace("\r", "\n")


@pytest.mark.parametrize("data", [b"&apos;", b"&", b"\r", b"\x00", b"\xff", "\uffff".encode(), b"&lt", b"&#9;"])
def test_what_is_unusual_is_left_to_the_parser(data):
    assert _unescaped(b"a" + data) is None


def test_unknown_templates_are_reported_by_name_and_bounded():
    text = "本文" + "{{多い}}" * 5 + "{{二番|[[a]]}}" * 3 + "".join(f"{{{{珍しい{n}}}}}" for n in range(50)) + "{{R|a}}"
    _, tally = read(page(text), WikipediaReader(report_templates=2))
    named = {key: number for key, number in tally.changed.items() if "unknown" in key}
    assert named == {
        "wikipedia.unknown_template 多い": 5,
        "wikipedia.unknown_template 二番": 3,
        "wikipedia.unknown_template (others)": 50,
    }
    assert tally.changed["wikipedia.template"] == 59


def test_names_of_templates_do_not_fill_the_memory():
    pages = "".join(page("本文" + "".join(f"{{{{名{n}-{m}}}}}" for m in range(2000)), n) for n in range(1, 12))
    _, tally = read(pages + page("{{多い}}" * 9 + "本文"))
    named = {key: number for key, number in tally.changed.items() if "unknown" in key}
    assert sum(named.values()) == 22_009
    assert named["wikipedia.unknown_template 多い"] == 9
    assert len(named) <= 22


PAGES = [page(f"本文{n}\n\n[[リンク]]と{{{{未知{n % 3}}}}}。", n, f"題{n}") for n in range(1, 41)] + [
    page("#転送 [[a]]", 41),
    page("壊れ", 42).replace("</title>", ""),
]


@pytest.mark.parametrize("first", [0, 1, 20, 42])
def test_ranges_give_what_the_whole_gives(first):
    data = (HEAD + "".join(PAGES) + TAIL).encode()
    cut = len((HEAD + "".join(PAGES[:first])).encode()) + 2 * (first < len(PAGES))  # before `<page>`, or the tail
    whole, tally = read(data)
    one, one_tally = read(data[:cut])
    two, two_tally = read(data[cut:], start=cut)
    assert one + two == whole
    assert one_tally.rejected + two_tally.rejected == tally.rejected


def test_through_the_pipeline(tmp_path):
    dump = HEAD.encode() + "".join(PAGES).encode() + TAIL.encode()
    (tmp_path / "jawiki-multistream.xml.bz2").write_bytes(
        b"".join(bz2.compress(part) for part in (HEAD.encode(), "".join(PAGES).encode(), TAIL.encode()))
    )
    (tmp_path / "plain.xml").write_bytes(dump)
    outputs = []
    for name in ("jawiki-multistream.xml.bz2", "plain.xml"):
        output = tmp_path / f"out-{name}"
        run(config(output, [tmp_path / name], reader={"type": "wikipedia"}))
        outputs.append([(item["text"], item["meta"]) for item in cleaned(output)])
        counts = read_json(output / "report.json")["total"]
        assert counts["documents_in"] == 40
        assert Counter(counts["rejected"]) == {"redirect": 1, "xml": 1}
        assert counts["changed"]["wikipedia.template"] == 40
        rejects = b"".join(path.read_bytes() for path in (output / "rejects").glob("*"))
        assert rejects.count(b"\n") == 1  # the redirect is only counted
    assert outputs[0] == outputs[1]
    assert [meta["page"] for _, meta in outputs[0]] == list(range(1, 41))


def test_a_damaged_archive_keeps_its_counts(tmp_path):
    whole = bz2.compress(("".join(PAGES[:20]) + PAGES[40]).encode()) + bz2.compress("".join(PAGES[20:40]).encode())
    (tmp_path / "cut.xml.bz2").write_bytes(whole[:-100])
    output = tmp_path / "out"
    run(config(output, [tmp_path / "cut.xml.bz2"], reader={"type": "wikipedia"}, on_damaged_file="skip"))
    counts = read_json(output / "report.json")["total"]
    assert counts["documents_in"] == 20
    assert counts["rejected"] == {"damaged_file": 1, "redirect": 1}

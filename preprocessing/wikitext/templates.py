"""Templates of the Japanese Wikipedia that carry text, and those known to carry none. Others are counted.

Readings are from the templates' manuals, the rest from how articles use them. Names are in lower case, with spaces.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property

from preprocessing.wikitext import computed
from preprocessing.wikitext.formats import Format, parse
from preprocessing.wikitext.marks import HOLE

Computed = Callable[[Mapping[str, str]], Format | None]
"""The format for these arguments; None: nothing is left."""

_READING = "{1}（{2}、{3}）"
_LINES = {
    # Readings. 読み shows its reading only as a tooltip or by voice; here it is kept like the other.
    _READING: "読み仮名, 読み, よみ, 読みがな, 読み仮名 ruby不使用, ふりがな, 振り仮名, 読み仮名2",
    "{1}（{2}）": "ルビ, ruby, rubi, ruby-ja, ruby-zh-p, ruby-zh-b, ruby-py, ruby-ko, ruby-vi, ふりがな付き",
    # The last unnamed argument, after options.
    "{-1}": (
        "nowrap, nobr, nobold, small, smaller, big, larger, large, resize, fontsize, fsize, color, color2, colors, "
        "fontcolor, font color, fontcolour, font, フォント, background color, bgcolor, 背景色, 文字色, center, left, "
        "right, jis2004フォント, jis2004, jis90フォント, 補助漢字フォント, 補助漢字, "
        "拡張漢字フォント, 拡張漢字, cp932フォント, 機種依存文字, 環境依存文字, 外字フォント, unicode, "
        "unicodeフォント, "
        "script, bold, italic, b, i, em, strong, underline, 下線, 圏点, 傍点, 縦書き, "
        "transl, transliteration, snamei, sname, columns-list, 段組, 段組リスト, plainlist, flatlist, blockquote, "
        "font-size, title-small, 小文字, 太字, 斜体, 等幅, 明朝, mono, code, keypress, aut, small caps, smallcaps, sc"
    ),
    # The first: what follows is a source, a date or a remark.
    "{1}": (
        "要出典範囲, 要検証範囲, 独自研究範囲, 疑問点範囲, 信頼性要検証範囲, 要説明範囲, 正確性範囲, 要ページ番号範囲, "
        "要追加記述範囲, 曖昧範囲, いつ範囲, 誰範囲, citation needed span, 観点範囲, 不明瞭範囲, "
        "quotation, quote, cquote, bquote, squote, rquote, 引用, 引用文, 行内引用, inlinequote, "
        "abbr, 略語, tooltip, ツールチップ, by, chem2, math, mvar, pdflink, "
        "ピン音, ピンイン, 拼音, pinyin, 注音, "
        "学名, 属名, species, ipa, ipaフォント, 発音, lang-ja, 仮名, hidden text, 訳注範囲, sic, interp, ruby base, "
        "和名, 年号, ifsubst text, audio label, transcription, 歌詞, 詩, 見出し語, 音声テキスト, 漢字"
    ),
    "{2}": "lang, 言語, langwithname, rtl-lang, audio, 音声, ifont, 三省堂フォント",
    "{label|1}": (
        "仮リンク, ill, ill2, illm, interlanguage link, interlanguage link multi, link-interwiki, "
        "日本語版にない記事リンク, "
        "link-en, link-de, link-fr, link-it, link-es, link-zh, link-ko, link-ru, link-nl, link-pt, red link"
    ),
    "{t|tc|s|sc|c|1}": "zh, zh2, lang-zh-tsp, 中国語",
    "{hangul|hanja|1}": "korean, 朝鮮語",
    "{text|1}": "visible anchor, vanchor",
    "<sup>{1}</sup>": "sup, smallsup",
    "<sub>{1}</sub>": "sub, smallsub",
    "{1:駅}": "駅, stn, sta, rws, 駅リンク",
    "{1:年}": "年, 西暦年",
    "¥{1}": "jpy",
    "${1}": "usd",
    "€{1}": "eur",
    "×10<sup>{1}</sup>": "e, 10の累乗",
    "{*}": "chem, 化学式",
    "{1:年}{2:月}{3:日}": (
        "生年月日と年齢, 生年月日, 死亡年月日, 没年月日, birth date, birth date and age, death date, start date, "
        "end date, "
        "開始日, 終了日, 日付, film date"
    ),
    "{4:年}{5:月}{6:日}": "死亡年月日と没年齢, 没年月日と没年齢, death date and age",
    "|": "!",
    "=": "=",
    "・": "・, ·, •, middot, 中黒",
    " ": "sp, space, スペース, nbsp, spaces",
    "–": "ndash, en dash",
    "—": "mdash, em dash, ダッシュ",
    "’": "', ’",
}
_COMPUTED: dict[str, Computed] = {
    **dict.fromkeys(("frac", "fraction", "sfrac", "分数"), computed.fraction),
    **dict.fromkeys(("val",), computed.value),
    **dict.fromkeys(("convert", "cvt", "単位変換"), computed.measure),
}
_FLAGS = ("flag", "flagcountry", "flagu", "国旗")
_LANGUAGES = (
    "af アフリカーンス語, am アムハラ語, ar アラビア語 亜, be ベラルーシ語, bg ブルガリア語 勃, bn ベンガル語, bo "
    "チベット語, "
    "ca カタルーニャ語, cs チェコ語 捷, cy ウェールズ語, da デンマーク語 丁, de ドイツ語 独, el ギリシア語 希, en "
    "英語 英, "
    "eo エスペラント, es スペイン語 西, et エストニア語, eu バスク語, fa ペルシア語, fi フィンランド語 芬, fr "
    "フランス語 仏, "
    "ga アイルランド語, grc 古代ギリシア語, he ヘブライ語, hi ヒンディー語, hr クロアチア語, hu ハンガリー語 洪, "
    "hy アルメニア語, id インドネシア語, is アイスランド語, it イタリア語 伊, ka ジョージア語, kk カザフ語, km "
    "クメール語, "
    "ko 朝鮮語 朝, ko-kr 韓国語 韓, la ラテン語 羅, lo ラーオ語, lt リトアニア語, lv ラトビア語, mk マケドニア語, "
    "mn モンゴル語, "
    "ms マレー語, my ビルマ語, ne ネパール語, nl オランダ語 蘭, no ノルウェー語 諾, pl ポーランド語 波, pt "
    "ポルトガル語 葡, "
    "ro ルーマニア語, ru ロシア語 露, sa サンスクリット語 梵, sk スロバキア語, sl スロベニア語, sq アルバニア語, sr "
    "セルビア語, "
    "sv スウェーデン語 典, sw スワヒリ語, ta タミル語, th タイ語 泰, tl タガログ語, tr トルコ語 土, uk ウクライナ語, "
    "ur ウルドゥー語, uz ウズベク語, vi ベトナム語 越, zh 中国語 中, zh-cn 中国語 中, zh-tw 中国語 中, yi "
    "イディッシュ語"
)
_COUNTRIES = (
    "jpn 日本, usa アメリカ合衆国, gbr イギリス, eng イングランド, sco スコットランド, deu ドイツ, ger ドイツ, fra "
    "フランス, ita イタリア, "
    "esp スペイン, prt ポルトガル, por ポルトガル, nld オランダ, ned オランダ, bel ベルギー, che スイス, sui "
    "スイス, aut オーストリア, "
    "swe スウェーデン, nor ノルウェー, dnk デンマーク, den デンマーク, fin フィンランド, rus ロシア, urs "
    "ソビエト連邦, pol ポーランド, "
    "cze チェコ, hun ハンガリー, grc ギリシャ, gre ギリシャ, tur トルコ, chn 中国, prc 中華人民共和国, roc "
    "中華民国, twn 台湾, "
    "tpe チャイニーズタイペイ, hkg 香港, kor 韓国, prk 北朝鮮, tha タイ, vnm ベトナム, vie ベトナム, idn "
    "インドネシア, ina インドネシア, "
    "phl フィリピン, phi フィリピン, mys マレーシア, sgp シンガポール, ind インド, aus オーストラリア, nzl "
    "ニュージーランド, can カナダ, "
    "mex メキシコ, bra ブラジル, arg アルゼンチン, chl チリ, chi チリ, col コロンビア, per ペルー, egy エジプト, "
    "zaf 南アフリカ共和国, "
    "rsa 南アフリカ, irn イラン, irq イラク, isr イスラエル, sau サウジアラビア, ksa サウジアラビア, ukr "
    "ウクライナ, irl アイルランド"
)
_SILENT = (
    "-, clear, clearleft, clearright, r, ref, refn, refnest, efn, efn2, notetag, sfn, sfnp, sfnm, sfnref, harv, "
    "harvnb, "
    "harvtxt, harvp, full, 要出典, 要検証, 要説明, 要ページ番号, 独自研究, 出典の明記, 出典無効, 参照方法, "
    "複数の問題, 未検証, 単一の出典, "
    "存命人物の出典明記, 独自研究の範囲, 正確性, 観点, 言葉を濁さない, 雑多な内容の箇条書き, 大言壮語, 特筆性, 誰, "
    "いつ, どこ, なぜ, 信頼性要検証, "
    "要追加記述, 更新, 節スタブ, 加筆, reflist, notelist, notelist2, 脚注ヘルプ, 脚注, normdaten, 典拠管理, "
    "デフォルトソート, "
    "main, main2, see, see also, seealso, further, 詳細記事, otheruses, otheruseslist, other uses, redirect, "
    "redirectlist, "
    "about, 混同, distinguish, 人名の曖昧さ回避, 曖昧さ回避, 要曖昧さ回避, pathnav, パンくず, portal, "
    "ポータル, portal bar, commons, commonscat, "
    "commons category, commonscat-inline, commons&cat, sisterlinks, ウィキポータルリンク, wikiquote, wikisource, "
    "wiktionary, "
    "wikinews, wikispecies, wikibooks, wikivoyage, wikidata, anchor, anchors, アンカー, flagicon, flagicon2, "
    "flagicon image, "
    "coord, ウィキ座標, ウィキ座標2段度分秒, 座標一覧, mapplot, location map, isbn, isbn2, issn, doi, pmid, oclc, "
    "ncid, jstor, arxiv, "
    "webarchive, wayback, リンク切れ, dead link, url, official, official website, official url, twitter, facebook, "
    "instagram, "
    "youtube, imdb name, imdb title, allcinema name, allcinema title, kinejun name, jmdb name, movielist, "
    "multiple image, 画像提供依頼, 画像募集中, 半保護, 保護, pp, pp-vandalism, pp-move, 良質な記事, 秀逸な記事, "
    "good article, "
    "featured article, 暫定記事名, 記事名の制約, 画像改訂依頼, 告知, 改名提案, 統合提案, 分割提案, 削除, 削除依頼, "
    "移動, "
    "div col, div col end, colbegin, colend, col-begin, col-2, col-3, col-break, col-end, multicol, multicol-break, "
    "multicol-end, begin, end, hidden begin, hidden end, top, bottom, -start, s-start, s-end, end box, start box, "
    "先代次代, succession box, succession, 基礎情報, 政治家, 競走馬, サッカー選手, お笑い芸人, 声優, actor, "
    "actormovie, "
    "現役選手, ambox, 内容過剰, ネタバレ, legend, legend2, steady, increase, decrease, gain, profit, loss, fsp, "
    "出典募集中, "
    "good, bad, yes, no, won, nom, ref label, note label, ref2, note, dts, sort, sortname, hs, nts, ntsh, tocright, "
    "tocleft, "
    "toc, 目次, compacttoc, nihongo foot, 年譜のみの経歴, 宣伝, 百科事典的でない, 一次資料, 存命人物, 訃報, 死亡, "
    "現在進行, 予定, 新製品"
)
_SILENT_PREFIXES = tuple(
    [
        "infobox",
        "cite",
        "citation",
        "navbox",
        "sidebar",
        "基礎情報",
        "user",
        "利用者",
        "#",
        "pp-",
        "ウィキ",
        "wiki",
        "音楽",
        "スタブ",
        "country data",
        "imdb",
        "defaultsort",
        "デフォルトソート",
        "displaytitle",
        "表示名",
        "先代次代",
        "生物分類表",
        "分類表",
        "succession",
        "s-",
        "fb ",
        "football",
        "goal",
        "yel",
        "subon",
        "suboff",
        "efn",
        "sfn",
        "ref",
    ]
)
_SILENT_SUFFIXES = ("-stub", "スタブ", " icon", "の曖昧さ回避", "インフォボックス")
_PREFIXES = {"lang-": "{1|t|s}", "ipa-": "{1}", "ipac-": "{*}", "ill-": "{label|1}"}
_NAMESPACES = ("template:", "テンプレート:", "msg:", "safesubst:", "subst:")
_AFTER_COLON = ("formatnum", "lc", "uc", "lcfirst", "ucfirst", "nowiki")
"""Functions whose argument follows the colon."""
_PAGE_NAMES = ("pagename", "fullpagename", "basepagename", "subpagename", "ページ名", "記事名", "完全なページ名")
_MAX_NAME = 100
_REMEMBERED = 20_000


@dataclass(frozen=True, slots=True)
class Rule:
    """What becomes of a template."""

    form: Format | Computed | None
    """None: nothing is left."""
    known: bool = True
    name: str = ""


@cache
def _countries() -> dict[str, str]:
    """Code in lower case -> name."""
    return dict(entry.split(" ") for entry in _COUNTRIES.split(", "))


def _flag(arguments: Mapping[str, str]) -> Format | None:
    """The name of a country, also for its code."""
    named = arguments.get("name") or arguments.get("1", "")
    return (_countries().get(named.lower(), named),) if named else None


def _table() -> dict[str, str]:
    table = {name.strip(): form for form, names in _LINES.items() for name in names.split(", ")}
    for entry in _LANGUAGES.split(", "):
        code, name, short = (*entry.split(" "), "")[:3]
        table[f"lang-{code}"] = f"{name}: {{1|t|s}}"
        table[f"lang-{code}-short"] = f"{short or name}: {{1|t|s}}"
    return table | _countries()


def normalised(name: str) -> str:
    """A template's name as the tables have it."""
    name = " ".join(name.replace("_", " ").split()).lower()
    for prefix in _NAMESPACES:
        name = name.removeprefix(prefix).lstrip()
    return name


@dataclass(frozen=True)
class Templates:
    """The tables, with the user's own additions."""

    own: Mapping[str, str] = field(default_factory=dict)
    """Name -> format; an empty format: nothing is left, and that is known."""

    @cached_property
    def _forms(self) -> dict[str, Format | Computed | None]:
        silent: dict[str, Format | Computed | None] = dict.fromkeys(map(str.strip, _SILENT.split(", ")))
        carrying = {name: parse(form) for name, form in _table().items()}
        own = {normalised(name): parse(form) if form else None for name, form in self.own.items()}
        return silent | carrying | _COMPUTED | dict.fromkeys(_FLAGS, _flag) | own

    @cached_property
    def _remembered(self) -> dict[str, Rule]:
        return {}

    def rule(self, name: str, title: str) -> Rule:
        """What becomes of the template that is called by `name`, on the page `title`."""
        if found := self._remembered.get(name):
            return found
        if len(name) > _MAX_NAME:
            return Rule(None, known=False, name="(long)")
        short = normalised(name.replace(HOLE, ""))
        if short in _PAGE_NAMES:
            return Rule((title,) if title else None)
        head, colon, _ = short.partition(":")
        if colon and head in _AFTER_COLON:
            return Rule((name.partition(":")[2].replace(HOLE, "").strip(),))
        rule = self._find(short)
        if len(self._remembered) < _REMEMBERED:
            self._remembered[name] = rule
        return rule

    def _find(self, name: str) -> Rule:
        forms = self._forms
        if name in forms:
            return Rule(forms[name], name=name)
        for prefix, form in _PREFIXES.items():
            if name.startswith(prefix):
                return Rule(parse(form), name=name)
        if not name or name.startswith(_SILENT_PREFIXES) or name.endswith(_SILENT_SUFFIXES):
            return Rule(None, name=name)
        return Rule(None, known=False, name=name)

"""What a line of a web page is, if it belongs to the page and not to the text: read off the line alone.

Evidence comes in grades, because the same line may be a heading or a table in one place and a menu in another; where it
stands decides (`preprocessing.mappers.lines`).
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from statistics import median_low
from typing import NamedTuple

from preprocessing.text.page_evidence import MAXIMUM_LENGTH, Evidence, PageLine, page_line
from preprocessing.text.page_notices import footer
from preprocessing.text.word_lists import own_list, read_words

_SENTENCE_MARKS = "。！？!?"


@lru_cache(maxsize=1 << 14)
def key_of(words: str) -> str:
    """The form in which words are compared: NFKC, lower case, without spaces."""
    return "".join(unicodedata.normalize("NFKC", words).lower().split())


# ---- menus and breadcrumbs -------------------------------------------------------------------------------------------

_BREADCRUMB = "[>＞»›→▶►⇒≫]"
_SEPARATOR = re.compile(
    rf"\s*(?:{_BREADCRUMB}|[|｜¦│┃/／•]|::|：：)\s*|[\t\u3000]+|[ \u00a0]{{2,}}|\s[-‐‑–—―−－ー・･·:*]+(?:\s+|$)"
)
_GATE = re.compile(r"[>＞»›→▶►⇒≫|｜¦│┃/／•\s・･0-9０-９©＠#＃:：前次]")
_MARK = re.compile(r"[>＞»›→▶►⇒≫|｜¦│┃/／•・･:：*]|\s[-‐‑–—―−－ー]")
_ONLY_BREADCRUMB = re.compile(rf"\s*{_BREADCRUMB}\s*")
_ONLY_SPACES = re.compile(r"\s*")
_SPACES = re.compile(r"\s+")
_LOOSE = re.compile(r"[\s・･/／|｜,]+")
_AROUND = "[]［］【】<>＜＞«»≪≫「」()（）・■□●○◎▼▲△▽◆◇★☆→←↑↓▶◀►※*+-|｜/／:： \t\u3000"
_COUNT = re.compile(r"[(（\[]\s*[0-9０-９,]+\s*[)）\]]$")
_HOME = frozenset(("ホーム", "home", "トップ", "top", "トップページ", "toppage", "ホームページ", "ブログトップ"))
_JAPANESE = re.compile("[\u3041-\u3096\u30a1-\u30fa\u30fc\u3400-\u4dbf\u4e00-\u9fff]")
_HIRAGANA = re.compile("[\u3041-\u3096]")
_DIGIT = re.compile("[0-9０-９]")
_LONGEST_SEGMENT, _MEDIAN_SEGMENT, _HIRAGANA_SHARE = 24, 12, 0.35
_LONGEST_LIKE_MENU = 14
_LONGEST_COMMAND = 24

# ---- dates, counters, pages, tags (on NFKC text in lower case) ------------------------------------------------------

_DATE = re.compile(
    r"(?:(?:19|20)\d\d|(?:令和|平成|昭和)\s?(?:\d{1,2}|元))\s?[年./-]\s?\d{1,2}\s?[月./-]\s?\d{1,2}日?"
    r"|(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.? \d{1,2},? (?:19|20)\d\d"
)
_TIME = re.compile(r"t?\d{1,2}(?::\d{2}){1,2}|(?:午前|午後)?\d{1,2}時(?:\d{1,2}分)?|[ap]\.?m\.?|jst|z\b|\+09:?00")
_WEEKDAY = re.compile(
    r"\(\s?(?:[日月火水木金土](?:曜日?)?|sun|mon|tue|wed|thu|fri|sat)[・祝]*\s?\)|[日月火水木金土]曜日?"
)
_SURE_LABEL = re.compile(
    r"(?:最終|記事)?(?:更新|投稿|掲載|配信|アップ)(?:日時|年月日|日|時間|時刻)?"
    r"|last\s?(?:updated?|modified)|updated?|posted(?: on| at)?"
)
_LABEL = re.compile(r"(?:公開|作成|登録|記入|発行|発信|編集)(?:日時|年月日|日)|published|date")
_COUNTER = re.compile(
    r"(?:コメント|コメント数|トラックバック|tb|閲覧数?|アクセス数?|再生数?|views?|pv|いいね!?|comments?|trackbacks?|拍手|ナイス!?|カテゴリー?|感想)"
    r"\s?(?:数|\((?=\D*\d))?\s?[:(]?\s?\d[\d,]{0,9}\s?\)?\s?(?:件|回|pv|人|拍手)?|(?<!\d)\d{1,7}\s?(?:件のコメント"
    r"|コメント|comments?|views?|pv|件のトラックバック)"
)
_SECTION = re.compile(
    r"(?:カテゴリー?|category|ジャンル|テーマ|分類|タグ|tags?|投稿者|書いた人|ライター"
    r"|posted by|by|author|文責)\s?:?\s?[^\s|:]{1,20}"
)
_FILLING = re.compile(r"[\s|/:,;()\[\]<>【】「」・.~+#*=◆■●▼▲★☆-]+")
_TURN = (
    r"(?:前|次|先|以前|新しい|古い|最新)の?(?:の)?(?:記事|ページ|頁|投稿|エントリー?|日記|話|章|回|月|日|\d+件|号|商品"
    r"|写真|スレッド)(?:へ|を見る)?"
    r"|前へ|次へ|前に戻る|次に進む"
    r"|prev(?:ious)?(?: post| page)?|next(?: post| page)?|(?:older|newer)(?: posts| entries)?"
)
_TURN_SIGN = re.compile(r"[前次先新…]|古い|prev|next|older|newer|\.\.\.")
_TURN_PAGE = re.compile(_TURN)
_PAGES_LEFT = re.compile(
    r"\d+|最初|最後|first|last|先頭|末尾|ページ|page|(?:記事|日記|ブログ)?一覧(?:へ|に)?(?:戻る)?|トップ(?:へ|に)?(?:戻る)?|ホーム|home|top"
    r"|メイン|main|戻る|…|«|»|‹|›|←|→|≪|≫|＜|＞"
)
_HITS = re.compile(
    r"(?:検索結果\s?:?\s?)?(?:全|約)?\s?\d[\d,]*\s?件(?:中"
    r"|の?うち)?[\s:、,]*(?:\d[\d,]*(?:件目)?\s?[~-]\s?\d[\d,]*\s?件?目?)?\s?(?:を?表示(?:中|しています)?|が?(?:該当|ヒット"
    r"|見つかりました))?"
    r"|\d[\d,]*\s?[~-]\s?\d[\d,]*\s?件?目?\s?(?:/|of|\()\s?(?:全)?\d[\d,]*\s?件?\)?(?:を?表示)?|(?:page"
    r"|ページ)\s?:?\s?\d+\s?(?:/|of)\s?\d+(?:ページ)?|\d+\s?/\s?\d+\s?(?:page|ページ)s?"
)
_LONGEST_HITS = 60
_PAGE_NUMBERS = re.compile(r"(?:[\[(]?\b\d{1,4}\b[\])]?[\s|・]+){2,}(?:\.{2,3}|…)[\s|]*\d+")
_TAGS = re.compile(
    r"(?:タグ|関連タグ|記事タグ|tags?|tagged|カテゴリー?|categor(?:y|ies)"
    r"|filed under|labels?|ラベル|投稿カテゴリー?)\s?(?:一覧)?\s?:"
)
_MAYBE_TAGS = re.compile(
    r"(?:ジャンル|テーマ|分類|キーワード|関連キーワード|関連ワード)\s?:|#[^\s#]+(?:[\s,]+#[^\s#]+)+$"
)
_COUNTED = re.compile(r"[^\s()\d][^\s()]{0,19}\s?\(\d{1,5}\)")
_LIST_HEAD = re.compile(
    r"(?:カテゴリー?|タグ|アーカイブ|月別|最近|記事|ジャンル|ブランド|メーカー|地域|エリア|絞り込み)\S{0,8}"
)
_MONTH = re.compile(r"(?:19|20)\d\d\s?[年/.-]\s?\d{1,2}月?\s?(?:\(\d+\))?")

# ---- buttons, on the form of `key_of` --------------------------------------------------------------------------------

_BUTTON_NOUN = (
    "シェア|ツイート|リツイート|ポスト|保存|通報|コメント|ブックマーク|お気に入り|いいね!?|フォロー|印刷|リンク|url|メール|クリップ|登録"
    "|共有|送信|投稿|拍手|購読|読者登録|ピン|スキ|コピー|リスト|マイリスト|後で見る|あとで読む|返信|引用"
)
_BUTTON = re.compile(
    rf"(?:{_BUTTON_NOUN})(?:する|します|をコピー(?:する)?|コピー|(?:に|へ)(?:追加|登録|保存|送る)(?:する)?|で(?:送る|知らせる)|ボタン|を(?:見る|書く))?"
    r"|.{1,12}で(?:シェア|共有|送る|フォロー|ツイート|つぶやく|教える)(?:する)?"
)


class PageWords(NamedTuple):
    """Word lists and lists of regular expressions that decide what belongs to a page."""

    navigation: frozenset[str]
    """Words of menus, in the form of `key_of`."""
    share: frozenset[str]
    """Words on buttons for sharing, in the form of `key_of`."""
    menu_endings: tuple[str, ...]
    commands: re.Pattern[str]
    block_titles: re.Pattern[str]
    notices: re.Pattern[str]
    notice_signs: re.Pattern[str]

    @classmethod
    def read(cls, navigation: str, share: str) -> "PageWords":
        """The two lists of these paths, and the others of our own."""
        return cls(
            frozenset(map(key_of, read_words(navigation))),
            frozenset(map(key_of, read_words(share))),
            tuple(read_words(own_list("menu_endings"))),
            re.compile("|".join(read_words(own_list("commands")))),
            re.compile("|".join(read_words(own_list("block_titles")))),
            re.compile("|".join(read_words(own_list("notices")))),
            # Each begins with a literal, so that `re` skips to their first characters.
            re.compile("|".join(map(re.escape, read_words(own_list("notice_signs"))))),
        )

    @staticmethod
    def files() -> tuple[str, ...]:
        """Our own lists but the two that have a choice."""
        return tuple(map(own_list, ("menu_endings", "commands", "block_titles", "notices", "notice_signs")))


def classify(line: str, words: PageWords) -> PageLine | None:
    """What `line` is if it may be boilerplate; lines with sentence marks are left to `page_notices`."""
    line = line.strip()
    if not line or len(line) > MAXIMUM_LENGTH or "。" in line or (line[0] == "「" and line[-1] == "」"):
        return None
    if len(line) <= _LONGEST_COMMAND and (found := _command(key_of(line.strip(_AROUND)), words)):
        return found
    if not _GATE.search(line):
        return _single(_key(line), words)
    folded = " ".join(unicodedata.normalize("NFKC", line).lower().split())
    for rule in (footer, _dated, _pages, _tags):
        if found := rule(folded):
            return found
    if "、" in line:
        return None
    if any(mark in line for mark in _SENTENCE_MARKS) and not line.endswith(("!", "！")):
        return _shares(line, words)
    if not _MARK.search(line) and not _has_menu_word(folded, words):
        return None
    return _shares(line, words) or _menu(line, words) or _single(_key(line), words)


def _command(key: str, words: PageWords) -> PageLine | None:
    """What readers may press, and the titles of blocks beside the text."""
    if words.commands.fullmatch(key):
        return page_line("notice", Evidence.STRONG)
    return page_line("notice", Evidence.EDGE) if words.block_titles.fullmatch(key) else None


def _single(key: str, words: PageWords) -> PageLine | None:
    if key in words.share and key not in words.navigation:
        return page_line("share", Evidence.WEAK)
    return page_line("menu", Evidence.WEAK) if key in words.navigation else None


def _dated(folded: str) -> PageLine | None:
    """Dates with labels, times and counters, or counters alone, and nothing else."""
    if not _DIGIT.search(folded):
        return None
    left, dates = _DATE.subn(" ", folded)
    left, counters = _COUNTER.subn(" ", left)
    if not dates and not counters:
        return None
    left = _WEEKDAY.sub(" ", left)
    left, times = _TIME.subn(" ", left)
    left, sure = _SURE_LABEL.subn(" ", left)
    left, labels = _LABEL.subn(" ", left)
    left, sections = _SECTION.subn(" ", left)
    if _FILLING.sub("", left):
        return None
    if not dates:
        return page_line("counter", Evidence.STRONG)
    if sure or counters:
        return page_line("date", Evidence.STRONG)
    return page_line("date", Evidence.EDGE if times or labels or sections else Evidence.WEAK)


def _pages(folded: str) -> PageLine | None:
    if (
        len(folded) <= _LONGEST_HITS
        and _HITS.fullmatch(folded)
        and ("中" in folded or "表示" in folded or "/" in folded or "検索" in folded or "of" in folded)
    ):
        # 3-1/4 may be a score, a date or a number of parts.
        named = any(sign in folded for sign in ("件", "ページ", "page", "表示", "検索"))
        return page_line("pagination", Evidence.STRONG if named else Evidence.EDGE)
    if not _TURN_SIGN.search(folded):
        return None
    left, turns = _TURN_PAGE.subn(" ", folded)
    numbered = _PAGE_NUMBERS.search(left)
    if not turns and not numbered:
        return None
    if _FILLING.sub("", _PAGES_LEFT.sub(" ", left)):
        return None
    sure = turns > 1 or numbered or len(_FILLING.sub("", left)) > 0
    return page_line("pagination", Evidence.STRONG if sure else Evidence.EDGE)


def _tags(folded: str) -> PageLine | None:
    if len(folded) <= MAXIMUM_LENGTH // 2 and _TAGS.match(folded):
        return page_line("tags", Evidence.STRONG)
    if _MAYBE_TAGS.match(folded) and len(folded) <= MAXIMUM_LENGTH // 2:
        return page_line("tags", Evidence.EDGE)
    if _MONTH.fullmatch(folded):
        return page_line("tags", Evidence.WEAK)
    if folded.count("(") < 2:
        return None
    left, counted = _COUNTED.subn(" ", folded)
    if counted >= 2:
        rest = _FILLING.sub("", left)
        if rest and _LIST_HEAD.fullmatch(rest):
            return page_line("tags", Evidence.STRONG)
        if not rest and counted >= 4:
            return page_line("tags", Evidence.EDGE)
    return None


def _shares(line: str, words: PageWords) -> PageLine | None:
    """Buttons, with or without their counts."""
    for pattern in (_SEPARATOR, _SPACES):
        first = _key(pattern.split(line, maxsplit=1)[0])
        if not (first.isdigit() or _is_button(first, words)):
            continue
        pieces = [piece for piece in pattern.split(line) if piece.strip(_AROUND)]
        if all(_is_button(key, words) or key.isdigit() for key in map(_key, pieces)):
            break
    else:
        return None
    names = [key for key in map(_key, pieces) if not key.isdigit()]
    if not names:
        return None
    if len(names) > 1:
        return page_line("share", Evidence.STRONG)
    return page_line(
        "share", Evidence.EDGE if len(pieces) > 1 and names[0] not in ("x", "登録", "投稿") else Evidence.WEAK
    )


def _is_button(key: str, words: PageWords) -> bool:
    return key in words.share or _BUTTON.fullmatch(key) is not None


def _menu(line: str, words: PageWords) -> PageLine | None:
    if "://" in line:
        return None  # an address, whose folders are words of menus
    segments = [segment for segment in _SEPARATOR.split(line.strip("[]［］【】")) if segment.strip(_AROUND)]
    number = len(segments)
    keys = _keys(segments)
    sure = sum(key in words.navigation for key in keys)
    hits = sum(_is_menu_word(key, words) for key in keys)
    trail = number > 1 and bool(_ONLY_BREADCRUMB.search(line))
    if keys and keys[0] in _HOME and number > 1 and (trail or (number > 2 and ("/" in line or "／" in line))):
        return page_line("breadcrumb", Evidence.STRONG)
    kind = "breadcrumb" if trail else "menu"
    if number >= 3:
        if hits >= 2 and 2 * hits >= number:
            return page_line(kind, Evidence.STRONG)
        if _has_shape(segments):
            # Verses and tables are also divided by spaces, and their words may look like those of menus.
            if sure or (hits and not _ONLY_SPACES.fullmatch("".join(_SEPARATOR.findall(line)))):
                return page_line(kind, Evidence.EDGE)
            if trail and all(len(key) > 1 for key in keys) and "→" not in line and "⇒" not in line:
                return page_line(kind, Evidence.EDGE)
            if ("|" in line or "｜" in line) and not line.startswith(("|", "｜")):
                return page_line(kind, Evidence.SHAPE)
    elif number == 2 and all(key in words.navigation for key in keys):
        return page_line(kind, Evidence.EDGE)
    loose = _keys(_LOOSE.split(line.strip(_AROUND)))
    if len(loose) < 2 or len(loose) == number:
        return None
    hits = sum(_is_menu_word(key, words) for key in loose)
    if len(loose) >= 3 and 5 * hits >= 3 * len(loose):
        return page_line("menu", Evidence.STRONG)
    if len(loose) == 2 and all(key in words.navigation for key in loose):
        return page_line("menu", Evidence.EDGE)
    return None


@lru_cache(maxsize=1 << 14)
def _key(segment: str) -> str:
    """The word of a segment: without its count and the marks around it."""
    segment = segment.strip()
    if segment.endswith((")", "）", "]", "］")):
        segment = _COUNT.sub("", segment)
    return key_of(segment.strip(_AROUND))


def _has_menu_word(folded: str, words: PageWords) -> bool:
    """Whether one of the words between spaces may be of a menu: most lines have none and need no closer look."""
    pieces = (piece.rstrip("()[]0123456789").strip(_AROUND) for piece in folded.split(" "))
    return any(piece in words.share or _is_menu_word(piece, words) or _BUTTON.fullmatch(piece) for piece in pieces)


def _keys(segments: Iterable[str]) -> list[str]:
    return [key for key in map(_key, segments) if key]


def _is_menu_word(key: str, words: PageWords) -> bool:
    return key in words.navigation or (1 < len(key) <= _LONGEST_LIKE_MENU and key.endswith(words.menu_endings))


def _has_shape(segments: Sequence[str]) -> bool:
    """Short segments, mostly Japanese, few hiragana, few numbers."""
    lengths = sorted(map(len, segments))
    if lengths[-1] > _LONGEST_SEGMENT or median_low(lengths) > _MEDIAN_SEGMENT:
        return False
    if 2 * sum(_JAPANESE.search(segment) is not None for segment in segments) <= len(segments):
        return False
    if 2 * sum(_DIGIT.search(segment) is not None for segment in segments) >= len(segments):
        return False
    joined = "".join(segments)
    return len(_HIRAGANA.findall(joined)) <= _HIRAGANA_SHARE * len(joined)

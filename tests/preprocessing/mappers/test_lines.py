"""Lines of web pages, written out by kind; and lines of texts that look like them."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from raw import document

from preprocessing.mappers.lines import LinesMapper

PROSE = [f"これは本文の{number}行目であり、文として終わっている。" for number in range(40)]

ANYWHERE = {
    "menu": [
        "企業情報 - 事業内容 - お問い合わせ - リンク -",
        "ホーム | 会社概要 | 製品情報 | 採用情報 | お問い合わせ",
        "HOME｜ABOUT｜WORKS｜CONTACT",
        "トップページ　営業案内　料金表　アクセス　ご予約",
        "新着情報\tランキング\tカテゴリ一覧\tマイページ",
        "サイトマップ / プライバシーポリシー / 利用規約",
        "サイトマップ ／ 個人情報保護方針 ／ 免責事項 ／ リンク集",
        "会社案内・製品案内・採用情報・お問い合わせ",
        "[ ホーム | 掲示板 | 日記 | リンク ]",
        "ログイン 会員登録 カート ヘルプ",
        "店舗案内  メニュー  クーポン  アクセスマップ",
        "診療案内 | 院長紹介 | 医院紹介 | 交通案内",
        "学部案内 • 入試情報 • キャンパスライフ • 就職情報",
        "くらしの情報 | 市政情報 | 観光情報 | 防災情報",
        "ニュース・スポーツ・芸能・天気",
        "ご利用ガイド :: 特定商取引法に基づく表記 :: 会社概要",
        "施工事例　お客様の声　よくある質問　資料請求　",
        "新着記事 人気記事 ランキング カテゴリー",
        "商品一覧(120) | 新商品(8) | 特集(3)",
    ],
    "breadcrumb": [
        "ホーム > 製品情報 > 工具",
        "ホーム ＞ くらし ＞ ごみ",
        "TOP>観光>温泉",
        "トップ » ブログ » 旅の話",
        "Home › Blog › 読書",
        "トップページ / 採用情報 / 先輩の声",
        "HOME > お知らせ",
        "ホーム → 園芸 → 球根",
    ],
    "date": [
        "2019.04.12 更新",
        "最終更新日：2021年3月4日",
        "投稿日：2020/05/06 カテゴリ：料理",
        "掲載日 2015.01.02 | コメント(3) | トラックバック(0)",
        "Posted on 2018-07-08 by taro",
        "更新日時：2022年12月1日 13:45",
        "2011年02月03日(木) 12:34 更新",
        "公開日：2023年1月2日 更新日：2023年4月5日",
        "Last updated: 2017/08/09",
        "投稿日 : 令和3年5月6日",
        "2020.1.2 コメント:5件",
    ],
    "counter": [
        "コメント(3) | トラックバック(0)",
        "コメント (12)",
        "閲覧数：1,234",
        "コメント 5件　いいね！ 10",
        "3件のコメント",
        "トラックバック(2)",
        "Comments (4) | TB (1)",
    ],
    "share": [
        "ツイート　シェア　はてなブックマーク　LINEで送る",
        "シェアする 12 | ツイートする 3",
        "Twitter Facebook LINE",
        "Facebookでシェア Twitterでシェア",
        "いいね！ 23  保存  印刷する",
        "Tweet | Share | Pin it | Pocket",
        "リンクをコピー　メールで送る",
        "RSS  feedly  フォローする",
        "はてブ Pocket コピー",
    ],
    "pagination": [
        "前の記事 | 次の記事",
        "« 前へ 次へ »",
        "1 2 3 ... 12 次へ >",
        "全35件中 1～10件を表示",
        "<< 前のページ | 次のページ >>",
        "← 前の記事へ　一覧に戻る　次の記事へ →",
        "1-20件 / 全150件",
        "ページ 2 / 10",
        "Previous | Next",
        "前の10件 次の10件",
        "検索結果：120件中 21-40件を表示",
        "≪ 古い記事　新しい記事 ≫",
    ],
    "tags": [
        "タグ: 料理, 旅行, 写真",
        "カテゴリ：日記",
        "カテゴリー : 未分類",
        "Tags: python, 機械学習",
        "カテゴリ一覧 日記(12) 料理(5) 旅行(30)",
        "関連タグ：#京都 #紅葉",
        "アーカイブ 1月(3) 2月(5)",
    ],
    "notice": [
        "当サイトではCookieを使用しています。",
        "このサイトはクッキーを利用しています",
        "JavaScriptを有効にしてください。",
        "お使いのブラウザはJavaScriptに対応していません。",
        "PDFファイルをご覧になるにはAdobe Readerが必要です。",
        "ログインしてください",
        "会員登録はこちら",
        "パスワードをお忘れの方",
        "ページの先頭へ戻る",
        "▲このページのトップへ戻る",
        "本文へスキップします",
        "ここから本文です",
        "スポンサーリンク",
        "Sponsored Links",
        "もっと見る",
        "続きを読む",
        "一覧へ戻る",
        "前のページに戻る",
        "メニューを閉じる",
        "メールアドレスが公開されることはありません。",
        "コメントを残す",
        "この記事が気に入ったらフォローしよう",
        "よろしければシェアをお願いします。",
        "この記事は参考になりましたか？",
        "お探しのページは見つかりませんでした。",
        "文字サイズ 小 中 大",
        "当ブログはリンクフリーです。",
        "関連記事",
        "あわせて読みたい",
        "記事内の価格は掲載時のものです。",
        "利用規約に同意の上ご利用ください。",
        "ランキングに参加しています。応援クリックお願いします。",
        "読み込み中...",
    ],
    "footer": [
        "Copyright © 2015 Example Inc. All Rights Reserved.",
        "© あさひ商店",
        "(C) 2001-2008 株式会社あさひ",
        "Copyright(C)2010 あさひ町観光協会",
        "無断転載を禁じます",
        "当ページの文章・画像の無断転載は固くお断りします。",
        "All rights reserved.",
        "Powered by WordPress",
        "Ⓒ2020 あさひ".replace("Ⓒ", "©"),
        "本サイトの著作権はあさひ町に帰属します。",
    ],
}

AT_THE_EDGE = [
    "会社概要 | お問い合わせ",
    "ホーム 日記",
    "2020年3月4日（水）12:30",
    "2023.01.05 18:00",
    "作成日：2013年4月1日",
    "運営：あさひ商店",
    "おすすめ記事",
    "家電 > 台所用品 > 電気ポット",
    "東京都 | 大阪府 | 愛知県",
    "釣具 | 竿 | 仕掛け | 新着情報",
    "次のページ",
    "広告",
    "ブックマーク 12",
    "ジャンル：日記",
    "#旅行 #京都 #紅葉",
]

TEXT = [
    # Sentences and parts of them.
    "トップページを開くと、会社概要と採用情報が並んでいた。",
    "彼はお問い合わせという言葉を辞書で引いた。",
    "「続きを読むか」と兄が聞いた。",
    "ログインという言葉の意味を説明する。",
    "クッキーを焼いて、紅茶と一緒に食べた。",
    "広告の歴史は古く、江戸の引札にさかのぼる。",
    "著作権とは何かを、例を挙げて説明しよう。",
    "コメントの多い議論だったが、結論は出なかった。",
    "シェアハウスに三年住んだ。",
    "ランキングの一位は今年も同じ店だった。",
    "このページには栞が挟んであった。",
    "日記を書く。ニュースを読む。天気を見る。",
    "前の記事では三角形を扱った。次の記事では円を扱う。",
    "ブラウザという道具はどう動くのだろうか。",
    "プライバシーとは、ひとりでいる権利である。",
    # Headings.
    "はじまりの朝",
    "第一章　旅立ち",
    "二　河のほとり",
    "1. 会社の作り方",
    "お知らせ",
    "コメント",
    "日記",
    "温泉",
    "会社概要",
    "質問：英語はどう学べばよいですか",
    # Names.
    "ジャン・ポール・サルトル",
    "東京・大阪・名古屋・福岡",
    "山田太郎 / 佐藤花子 / 鈴木一郎",
    "A / B / C",
    "安藤　井上　上田",
    "出演：山田太郎、佐藤花子",
    "作　山田太郎　絵　佐藤花子",
    # Years, scores, prices, tables.
    "1995-2001年",
    "1868年 - 1912年 - 1926年",
    "昭和八年三月三日",
    "2020年5月3日",
    "5月3日（日）　晴れ　気温25度",
    "日時：2024年5月3日（金）18:00",
    "りんご　120円　みかん　80円　ぶどう　450円",
    "りんご | 120円 | 3個",
    "阪神 3 - 2 巨人",
    "3 - 2 - 1",
    "1 2 3 4 5 6 7 8 9 10",
    "1/2 2/3 3/4",
    "国語 80 | 数学 95 | 英語 70",
    "10:00　開会　10:30　講演　12:00　閉会",
    "電話　03-0000-0000",
    "資本金　1,000万円",
    "100 > 10 > 1",
    "a > b > c",
    "金 > 銀 > 銅",
    # Verse, kanbun, code, routes, lists.
    "古池や　蛙飛びこむ　水の音",
    "夏草や　兵どもが　夢の跡",
    "虫の声　急ぐ子供の　影法師",
    "国破山河在　城春草木深",
    "春眠不覚暁 処処聞啼鳥 夜来風雨声",
    "東京 → 名古屋 → 京都 → 新大阪",
    "開始 → 測定 → 記録 → 終了",
    "if a > b: return a / b",
    "ls -l | grep txt | wc -l",
    "x = y | z",
    "int main(void) { return 0; }",
    "| 名前 | 年齢 |",
    "・牛乳 200ml",
    "・卵、砂糖、小麦粉",
    "- 玉ねぎ",
    "* 塩 * 胡椒 *",
    "材料　豚肉　玉ねぎ　人参",
    "（一）目的　（二）方法",
    "朝・昼・晩",
    "春　夏　秋　冬",
    "http://www.example.com/blog/info/news",
    "Copyrightという英語は著作権と訳される",
    "(c) 三角形の面積を求めよ",
    "佐藤(3) 田中(25)",
    "敬具　　山田太郎",
    "!!!",
    "＊　＊　＊",
    "────────",
    "～ 前編 ～",
    "X",
    "登録",
]

ABOUT_PAGES = [
    "会員登録が必要だと彼は言った。",
    "他人の文章の無断転載は著作権法で禁止されている。",
    "新聞記事の著作権は新聞社に帰属すると判示した。",
    "この博物館では作品の無断での撮影や無断転載は固く禁じられていたという。",
    "ブラウザのCookieを削除する方法を順に見ていく。",
    "窓口には「会員登録してください。」と書いた紙があった。",
]
"""Sentences that speak of pages, and not to their readers."""
ABOUT_PAGES_POLITELY = [
    "JavaScriptを有効にする方法を説明します。",
    "ログインするとトップページが表示されます。",
    "ページトップへ戻るボタンの実装を解説します。",
    "お使いのブラウザがJavaScriptに対応していない場合の処理を書く。",
    "C was designed by Dennis Ritchie",
    "この曲は Music produced by Nakata Yasutaka と記されていた",
    "3-1/4",
    "10-20/30",
]
NO_SIGNS = ["© の記号は著作権を表す", "all rights reserved とは何か"]


def mapped(lines: list[str], tally: Counter[str] | None = None, **fields: object) -> list[str]:
    mapper = LinesMapper(**fields)  # type: ignore[arg-type]
    return mapper.map(document("\n".join(lines)), Counter() if tally is None else tally).split("\n")


@pytest.mark.parametrize(("kind", "line"), [(kind, line) for kind, lines in ANYWHERE.items() for line in lines])
def test_boilerplate_goes_and_is_tallied(kind, line):
    tally: Counter[str] = Counter()
    assert mapped([line, *PROSE], tally) == PROSE
    assert tally == {kind: 1, "characters": len(line)}
    assert mapped([*PROSE[:3], "", line, "", *PROSE[3:]]) == [*PROSE[:3], "", "", *PROSE[3:]]


@pytest.mark.parametrize("line", [line for lines in ANYWHERE.values() for line in lines])
def test_most_boilerplate_goes_in_the_middle_too(line):
    single = ("関連記事", "あわせて読みたい")
    expected = [*PROSE[:20], *([line] if line in single else []), *PROSE[20:]]
    assert mapped([*PROSE[:20], line, *PROSE[20:]]) == expected


@pytest.mark.parametrize("line", AT_THE_EDGE)
def test_weaker_evidence_counts_at_the_edges_and_beside_other_boilerplate(line):
    assert mapped([line, *PROSE]) == PROSE
    assert mapped([*PROSE, line]) == PROSE
    assert mapped([*PROSE[:20], line, *PROSE[20:]]) == [*PROSE[:20], line, *PROSE[20:]]
    assert mapped([*PROSE[:16], line, *PROSE[16:]], edge_lines=17) == PROSE
    if "|" not in line or "新着情報" in line or "会社概要" in line:
        assert mapped([*PROSE[:20], line, "", "続きを読む", *PROSE[20:]]) == [*PROSE[:20], "", *PROSE[20:]]


@pytest.mark.parametrize("line", ABOUT_PAGES + ABOUT_PAGES_POLITELY + NO_SIGNS)
def test_sentences_about_pages_stay_in_the_text(line):
    lines = [*PROSE[:20], line, *PROSE[20:]]
    assert mapped(lines) == lines
    if line not in ABOUT_PAGES_POLITELY:
        assert mapped([line, *PROSE]) == [line, *PROSE]
        assert mapped([*PROSE, line]) == [*PROSE, line]


@pytest.mark.parametrize(
    "line",
    [
        "このサイトの写真の無断転載はご遠慮ください。",
        "記事、写真、図表などの無断での転載、複製、改変を禁じます。",
        "無断転載を禁ずる。",
        "ログインしてください。",
        "コメントの投稿にはログインしてください！",
        "Site designed by Asahi",
        "» powered by Asahi Blog",
    ],
)
def test_notices_to_the_reader_go_everywhere(line):
    assert mapped([*PROSE[:20], line, *PROSE[20:]]) == PROSE


@pytest.mark.parametrize("line", TEXT)
def test_text_stays(line):
    for lines in ([line, *PROSE], [*PROSE[:20], line, *PROSE[20:]], [*PROSE, line], [line]):
        assert mapped(lines) == lines


def test_a_column_of_menu_words_is_a_menu():
    menu = ["ホーム", "会社概要", "", "お問い合わせ"]
    assert mapped([*PROSE[:20], *menu, *PROSE[20:]]) == [*PROSE[:20], "", *PROSE[20:]]
    two = ["ホーム", "会社概要"]
    assert mapped([*PROSE[:20], *two, *PROSE[20:]]) == [*PROSE[:20], *two, *PROSE[20:]]
    between = ["ホーム", "これは見出し", "会社概要", "お問い合わせ"]
    assert mapped([*PROSE, *between]) == [*PROSE, *between]


def test_tables_and_diaries_stay():
    table = ["品名 | 産地 | 等級", "煎茶 | 静岡 | 上", "玉露 | 京都 | 特上"]
    assert mapped([*table, *PROSE]) == [*table, *PROSE]
    diary = ["2020年5月3日", "2020年5月4日", "2020年5月5日"]
    assert mapped(diary) == diary


def test_weak_lines_go_with_a_sure_neighbour():
    lines = ["2020年5月3日", "お知らせ", "続きを読む"]
    assert mapped([*PROSE[:20], *lines, *PROSE[20:]]) == PROSE


def test_own_words(tmp_path: Path):
    words = tmp_path / "words.txt"
    words.write_text("釣果\n船宿\n仕掛け図鑑\n", encoding="utf-8")
    line = "釣果 / 船宿 / 仕掛け図鑑"
    assert mapped([*PROSE[:20], line, *PROSE[20:]], navigation_words=str(words)) == PROSE
    assert mapped([*PROSE[:20], line, *PROSE[20:]]) != PROSE
    assert LinesMapper(navigation_words=str(words)).files()[0] == str(words)
    assert "cannot be read" in LinesMapper(share_words=str(tmp_path / "none")).problems()[0]
    assert LinesMapper().problems() == []


LINES = st.one_of(
    st.sampled_from([line for lines in ANYWHERE.values() for line in lines] + AT_THE_EDGE + TEXT + PROSE + ["", "　"]),
    st.text(st.sampled_from("あ漢ア1 /|>・:(年月日件©前次「」、。\u3000\t-"), max_size=30),
)


@given(st.lists(LINES, max_size=20))
def test_only_whole_lines_go_and_all_are_counted(lines):
    tally: Counter[str] = Counter()
    text = "\n".join(lines)
    left = LinesMapper().map(document(text), tally)
    gone = Counter(text.split("\n")) - Counter(left.split("\n") if left or tally["characters"] == 0 else [])
    kinds = sum(number for kind, number in tally.items() if kind != "characters")
    assert kinds == len(text.split("\n")) - len(left.split("\n")) or (left == "" and kinds == len(text.split("\n")))
    assert sum(len(line) * number for line, number in gone.items()) == tally["characters"]
    assert set(left.split("\n")) <= {*text.split("\n"), ""}


@pytest.mark.parametrize(
    "line", ["| " * 90, "1" * 190, "1," * 95, "2020/1/1 " * 20, "サイト" * 60, "前の記事 " * 35, "あ(1)" * 45]
)
def test_hostile_lines_are_no_attack(line):
    mapped([line] * 300)

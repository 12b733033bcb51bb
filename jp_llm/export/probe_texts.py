"""Texts on which two tokenizers that differ at all are likely to differ."""

import random
from collections.abc import Sequence

_EDGES = (
    *("", " ", "  ", "\n", "\n\n", "\r\n", "\t", "　", "。", "あ", " あ", "あ ", "　あ　", "\nあ\n", " \n ", "a\0b"),
    *("<s>", "</s>", "<unk>", "<pad>", "<0x41>", "<s>こんにちは</s>", "<0xE3><0x81><0x82>", "< s >", "<<s>>"),
    *("あ" * 4000, "…" * 1001, "――" * 500, " " * 300, "\n" * 300, "ｗ" * 500, "0" * 500, "👨‍👩‍👧" * 100, "𠮷" * 500),
    *("……――" * 99, "「……」――、" * 50, "はははハハハ" * 60, "でででした。" * 70, "一二一三" * 60, " ab  " * 90),
    *("がぎぐげご\u3099ば\u3099", "ﾊﾟﾋﾟﾌﾟ", "㍻㌢㈱℡①Ⅳ", "～〜−－‐‑–—―", "“”‘’\"'"),
    *("\ufeffBOM", "zero\u200bwidth", "\u202eRTL\u202c"),
)
"""Empty, single and extreme inputs; each is always a probe."""

_KANA = "あいうえおかきくけこさしすせそたちつてとなにぬねのはひふへほまみむめもやゆよらりるれろわをんっゃゅょゎゐゑゔ"
_ATOMS: tuple[Sequence[str], ...] = (
    _KANA,
    [chr(ord(kana) + 0x60) for kana in _KANA] + ["ー", "・", "ヷ", "ヽ", "ヾ"],
    [chr(code) for code in range(0xFF61, 0xFFA0)],
    "日本国民政府経済社会文化学生東京大阪人間時代自然科学電車新聞小説先生明治昭和平成令和一二三四五六七八九十百千万億円年月",
    "鬱麤龘靉靆顰蹙饕餮魑魅魍魎躊躇齷齪髑髏黴彁暃妛挧椦槞蟐袮閠駲墸壥",
    ["は", "が", "を", "に", "で", "と", "も", "の", "から", "まで", "です", "ます", "だった", "という", "ございます"],
    [
        "東京都",
        "日本語",
        "国際連合",
        "コンピューター",
        "インターネット",
        "むかしむかし",
        "吾輩は猫である",
        "承知しました",
    ],
    "、。「」『』（）【】〔〕〈〉《》・：；？！…‥―ー〜々〆〇ヶゝゞ",
    "０１２３４５６７８９ＡＢＣａｂｃ！＃＄％＆（）＊＋，－．／：；＜＝＞？＠［＼］＾＿｀｛｜｝～￥",
    "0123456789",
    ["3.14", "1,234,567", "2024-12-31", "12:34:56", "¥980", "100%", "第3回", "H2O", "¼", "²", "１２３４"],
    [chr(code) for code in range(0x21, 0x7F)],
    [
        "the",
        "GPT",
        "language model",
        "don't",
        "naïve",
        "Straße",
        "Ελλάδα",
        "Москва",
        "한국어",
        "中文简体",
        "العربية",
        "ไทย",
    ],
    ["https://example.jp/検索?q=日本%20語&n=1#top", "user@example.co.jp", "C:\\data\\表.txt", "/usr/bin/env", "#タグ"],
    [
        "def f(x):\n    return x + 1\n",
        "if (a && b) { c[0] = 'd'; }",
        "<br/>",
        "$x^2$",
        "\\n",
        "```",
        "{{{1}}}",
        "&amp;",
    ],
    ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇯🇵", "❤️", "☀︎", "1️⃣", "🫠", "♨", "(^_^)", "(´；ω；`)", "♪"],
    [
        "葛\U000e0100",
        "辻\U000e0101",
        "祇\U000e0100園",
        "か\u3099",
        "は\u309a",
        "e\u0301",
        "が\u3099",
        "\u3099",
        "\ufe0f",
    ],
    [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", "　", "\u00a0", "\u2003", "\u2028", "\u0085", "\u200d", "\u200b"],
    [
        chr(code)
        for code in (*range(1, 9), 0x0B, 0x0C, 0x0E, 0x1B, 0x1F, 0x7F, 0x80, 0x9F, 0xAD, 0xFFFD, 0xE000, 0x10FFFF)
    ],
    ["<s>", "</s>", "<unk>", "<pad>", "<0x0A>", "<0xE3>", "<|endoftext|>", "[INST]", "<mask>", "##", "@@"],
)
"""Kinds of fragments; most probes mix a few kinds, as real text does."""
_RANGES = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x30000, 0x3134A),
    (0xF900, 0xFAD9),
    (0x2F800, 0x2FA1D),
)
"""Kanji: unified, extension A, B and G, compatibility and its supplement."""


def probe_texts(n: int = 2000, seed: int = 0) -> list[str]:
    """`n` texts (at least the fixed edge cases): the same for the same arguments, none with U+2581."""
    generator = random.Random(seed)
    random_texts = (_mixture(generator) for _ in range(n - len(_EDGES)))
    return [*_EDGES, *random_texts]


def _mixture(generator: random.Random) -> str:
    """A few fragments of a few kinds, in runs."""
    kinds = generator.sample(_ATOMS, generator.randint(1, 4))
    parts = []
    for _ in range(generator.randint(1, 12)):
        if generator.random() < 0.1:
            parts.append(chr(generator.randint(*generator.choice(_RANGES))))
        atoms = generator.choice(kinds)
        parts += generator.choices(atoms, k=generator.randint(1, 6))
        if generator.random() < 0.1:
            # A repeated pair has many segmentations with the same pieces, in another order.
            parts.append("".join(generator.choices(atoms, k=2)) * generator.randint(2, 40))
    return "".join(parts)

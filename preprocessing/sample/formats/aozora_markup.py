"""The inline markup of Aozora Bunko: ruby, notes, gaiji and repeat marks, put into clean text.

Source: the collection's manual for input (注記一覧, 外字注記).
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random

from preprocessing.sample.lexicon import load_lexicon

OLD_FORMS = {
    "頬": ("頰", "「夾＋頁」"),
    "掴": ("摑", "「てへん＋國」"),
    "蝉": ("蟬", "「虫＋單」"),
    "鴎": ("鷗", "「區＋鳥」"),
    "蝋": ("蠟", "「虫＋鑞のつくり」"),
    "麹": ("麴", "「麥＋曲の正字」"),
    "醤": ("醬", "「將／酉」"),
    "噛": ("嚙", "「口＋齒」"),
    "剥": ("剝", "「碌のつくり＋りっとう」"),
    "填": ("塡", "「土へん＋眞」"),
    "繋": ("繫", "「轂－車の左下＋糸」"),
    "屏": ("屛", "「尸＋并」"),
    "吉": ("𠮷", "「土／口」"),
}
"""Character of CP932 -> its form outside CP932, and how the collection describes that form."""
_BY_CODE_POINT = "𠮷"
"""It has no place in JIS X 0213: the note gives U+XXXX, and page and line of the book."""
_REPEATS = {
    "いよいよ": "いよ／＼",
    "だんだん": "だん／＼",
    "いろいろ": "いろ／＼",
    "ますます": "ます／＼",
    "しみじみ": "しみ／″＼",
    "それぞれ": "それ／″＼",
    "くすくす": "くす／＼",
    "からから": "から／＼",
    "とんとん": "とん／＼",
    "さらさら": "さら／＼",
    "そよそよ": "そよ／＼",
    "ざわざわ": "ざわ／＼",
    "しとしと": "しと／＼",
    "ぽつぽつ": "ぽつ／＼",
    "ひとりひとり": "ひとり／＼",
}
_NAME_PARTS = ("family_first", "family_second", "place_first", "place_second", "man_name", "woman_name")
"""Word classes whose readings hold only inside names."""
_AFTER_WORD = frozenset("をがはにのとでもへや、。」")
"""What may follow a word that gets a reading: not the rest of a longer word."""
_KANJI = "々〆ヶ一-鿿𠮷"
_EMPHASIS = ("に傍点", "に傍点", "に白丸傍点", "に傍線", "に二重傍線", "は太字")
_READING = re.compile("《[^》]*》")
_OLD_FORM_AND_KANA = re.compile(f"[{''.join(new for new, _ in OLD_FORMS.values())}][ぁ-ゖ]+")
_KANA_RUN = re.compile("[ぁ-ゖ]{3,6}|[ァ-ヴー]{3,8}")


def gaiji_note(character: str) -> str:
    """The note that stands for `character`: 挘 is ※［＃「てへん＋劣」、第3水準1-84-77］."""
    description = next(how for new, how in OLD_FORMS.values() if new == character)
    if character == _BY_CODE_POINT:
        return f"※［＃{description}、U+{ord(character):04X}、148-1］"
    raw = character.encode("euc_jis_2004")
    plane = 2 if raw[0] == 0x8F else 1
    row, cell = raw[-2] - 0xA0, raw[-1] - 0xA0
    return f"※［＃{description}、第{2 + plane}水準{plane}-{row}-{cell}］"


@dataclass
class Markup:
    """Marks up the lines of one work; counts every kind of sign it writes."""

    rng: Random
    readings: Mapping[str, str]
    """Names in the work -> readings; ordinary words come from the word lists."""
    old_forms: bool
    """Whether this typist kept the old forms of some characters."""
    repeat_marks: bool
    """Whether the book has two-character repeat marks."""
    counts: Counter[str] = field(default_factory=Counter)
    _pattern: re.Pattern[str] = field(init=False)
    _given: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        classes = {name: words for name, words in load_lexicon().readings.items() if name not in _NAME_PARTS}
        words = {word: kana for readings in classes.values() for word, kana in readings.items()}
        words |= {name: kana for name, kana in self.readings.items() if kana}
        self._words = words
        self._pattern = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True))))

    def line(self, text: str) -> tuple[str, str]:
        """(as it stands in the file, as it reads once the markup is gone) of a line without markup."""
        clean = self._old_forms(text) if self.old_forms else text
        raw = self._ruby(clean)
        if self.rng.random() < 0.03:
            raw = self._emphasis(raw)
        if self.rng.random() < 0.004:
            raw = self._typist(raw)
        raw = "".join(self._gaiji(character) for character in raw)
        if self.repeat_marks:
            for spelled, marks in _REPEATS.items():
                if spelled in raw and "［" not in raw:
                    self.counts["repeat_mark"] += raw.count(spelled)
                    raw = raw.replace(spelled, marks)
                    clean = clean.replace(spelled, marks.replace("／″＼", "〴〵").replace("／＼", "〳〵"))
        return raw, clean

    def _old_forms(self, text: str) -> str:
        return "".join(OLD_FORMS[character][0] if character in OLD_FORMS else character for character in text)

    def _gaiji(self, character: str) -> str:
        if any(character == new for new, _ in OLD_FORMS.values()):
            self.counts["gaiji"] += 1
            return gaiji_note(character)
        return character

    def _ruby(self, text: str) -> str:
        """Readings for the first times a word occurs; ｜ where the base would otherwise be taken for longer."""
        parts, position = [], 0
        for match in self._pattern.finditer(text):
            word, start, end = match[0], match.start(), match.end()
            name = word in self.readings
            before, after = text[start - 1 : start], text[end : end + 1]
            joined = _is_kanji(before)
            part_of_more = _is_kanji(after) or (not name and (joined or (after and after not in _AFTER_WORD)))
            if part_of_more or self.rng.random() < 0.75 * (self._given[word] > 0):
                continue
            self._given[word] += 1
            bar = joined or not all(_is_kanji(character) for character in word) or self.rng.random() < 0.1
            parts += [text[position:start], "｜" if bar else "", word, "《", self._words[word], "》"]
            position = end
            self.counts["ruby"] += 1
            self.counts["ruby_bar"] += bar
        return "".join([*parts, text[position:]])

    def _emphasis(self, raw: str) -> str:
        """Dots or a line beside a word; where the word holds a gaiji, its note stands inside the note."""
        without_readings = _READING.sub(lambda reading: "《" * len(reading[0]), raw)
        candidates = list(_OLD_FORM_AND_KANA.finditer(raw)) or list(_KANA_RUN.finditer(without_readings))
        if not candidates:
            return raw
        found = self.rng.choice(candidates)
        self.counts["emphasis"] += 1
        note = f"［＃「{found[0]}」{self.rng.choice(_EMPHASIS)}］"
        return raw[: found.end()] + note + raw[found.end() :]

    def _typist(self, raw: str) -> str:
        """A remark of the typist about the book."""
        found = list(re.finditer("[ぁ-ゖ]{2}(?=[、。])", raw))
        if not found:
            return raw
        match = self.rng.choice(found)
        self.counts["typist"] += 1
        remark = self.rng.choice(("はママ", f"は底本では「{match[0][::-1]}」"))
        return f"{raw[: match.end()]}［＃「{match[0]}」{remark}］{raw[match.end() :]}"


def _is_kanji(character: str) -> bool:
    return bool(character) and re.match(f"[{_KANJI}]", character) is not None

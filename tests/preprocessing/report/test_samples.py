import random
from collections import Counter
from typing import ClassVar

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.counts import Counts
from preprocessing.document import Document
from preprocessing.filters.length import LengthFilter
from preprocessing.mappers.unicode import UnicodeMapper
from preprocessing.pipeline import cleaned
from preprocessing.report.samples import PER_RULE, SHOWN_CHARACTERS, Samples, first_difference, key_of
from preprocessing.step import Mapper

SECRET = "090-0000-0000"


class MaskMapper(Mapper):
    sensitive: ClassVar[bool] = True

    def map(self, document: Document, tally: Counter[str]) -> str:
        return document.text.replace(SECRET, "<電話>")


def run(steps, texts):
    samples = Samples(steps)
    documents = [Document(f"web/a#{number}", text, "web") for number, text in enumerate(texts)]
    kept = list(cleaned(documents, steps, Counts(), [].append, samples))
    return samples.to_json(), kept


def test_the_documents_with_the_smallest_keys_are_kept():
    found, _ = run([LengthFilter(minimum=400)], [f"{number}番目の文" for number in range(200)])
    smallest = sorted((f"web/a#{number}" for number in range(200)), key=key_of)[:PER_RULE]
    assert [sample["id"] for sample in found["length.too_short"]] == smallest
    assert found["length.too_short"][0]["text"] == smallest[0].removeprefix("web/a#") + "番目の文"


def test_parts_in_any_order_give_the_same_samples(tmp_path):
    whole, parts = Samples(), [Samples() for _ in range(7)]
    for number in range(300):
        document = Document(f"web/a#{number}", f"文{number}", "web")
        for samples in (whole, parts[number % 7]):
            samples.dropped(f"rule{number % 3}", key_of(document.id), document)
    random.Random(1).shuffle(parts)
    merged = Samples()
    for number, part in enumerate(parts):
        part.save(tmp_path / f"{number}.zst")
        merged.add(Samples.load(tmp_path / f"{number}.zst"))
    assert merged.to_json() == whole.to_json()


def test_nothing_to_write_writes_nothing(tmp_path):
    Samples().save(tmp_path / "a.zst")
    assert list(tmp_path.iterdir()) == []


def test_of_a_changed_document_the_first_other_line_is_kept():
    found, _ = run([UnicodeMapper(nfkc=True)], ["同じ行\n全角ＡＢＣ\nＤ"])
    assert found["unicode"] == [{"id": "web/a#0", "before": "全角ＡＢＣ", "after": "全角ABC"}]


def test_a_line_end_that_goes_is_shown():
    class Joins(Mapper):
        def map(self, document, tally):
            return document.text.replace("\n", "")

    samples = Samples()
    document = Document("a", "行\n次", "web")
    samples.changed("joins", 0, document, "行次", sensitive=False)
    assert samples.to_json()["joins"] == [{"id": "a", "before": "行\n", "after": "行次"}]


def test_what_is_masked_is_in_no_sample_wherever_it_was_removed():
    texts = [
        f"短い{SECRET}",
        "長" * 290 + SECRET + "い" * 2000,
        f"Ａ{SECRET}Ａ" + "あ" * 500,
        "あ" * 999 + SECRET * 3,
        SECRET * 200,
        "あ" * 300 + SECRET + "Ａ" + SECRET + "い" * 700,
    ]
    for shift in range(20):
        moved = ["前" * shift + text for text in texts]
        for steps in (
            [LengthFilter(minimum=40), UnicodeMapper(), MaskMapper()],
            [UnicodeMapper(), LengthFilter(minimum=5000), MaskMapper()],
            [MaskMapper(), LengthFilter(minimum=5000)],
        ):
            found, kept = run(steps, moved)
            assert found
            assert all(SECRET not in document.text for document in kept)
            shown = [value for samples in found.values() for sample in samples for value in sample.values()]
            assert not any("-0000" in value or "090" in value for value in shown)
    assert all(set(sample) == {"id", "after"} for sample in found[MaskMapper.__module__.rsplit(".", 1)[-1]])


def test_samples_are_short_and_can_always_be_written(tmp_path):
    samples = Samples()
    samples.dropped("rule", 0, Document("a\ud800", "\ud800" + "長" * 100_000, "web"))
    samples.save(tmp_path / "a.zst")
    [sample] = Samples.load(tmp_path / "a.zst").to_json()["rule"]
    assert len(sample["text"]) == SHOWN_CHARACTERS
    assert sample["text"].startswith("?長")


@given(st.text("ab", max_size=40), st.text("ab", max_size=40))
def test_first_difference(one, other):
    expected = next((at for at in range(min(len(one), len(other))) if one[at] != other[at]), min(len(one), len(other)))
    assert first_difference(one, other) == expected

"""Look-ups against a naive search through all documents, and the safety of the files."""

import random
import shutil
import tracemalloc
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jp_llm.near_copies import build, format
from jp_llm.near_copies.build import build_index
from jp_llm.near_copies.characters import compared_units, text_of
from jp_llm.near_copies.grams import GRAM, SEED, STRIDE
from jp_llm.near_copies.index import NearCopyIndex
from jp_llm.runtime.errors import UserError

FOUND_FROM = SEED + STRIDE - 1


def make_index(folder: Path, documents: list[str]) -> NearCopyIndex:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    data = folder / "data.jsonl"
    data.write_bytes(
        b"".join(orjson.dumps({"text": text, "id": f"work {n}"}) + b"\n" for n, text in enumerate(documents))
    )
    build_index([data], folder / "index", 1)
    return NearCopyIndex.open(folder / "index")


def compared(text: str) -> str:
    return text_of(compared_units(text))


def grams(text: str) -> set[str]:
    return {text[start : start + GRAM] for start in range(len(text) - GRAM + 1)}


def random_text(seed: int, length: int) -> str:
    generator = random.Random(seed)
    return "".join(generator.choice("あいうえおかきくけこ山川草木日月火水。、\n　") for _ in range(length))


def changed(text: str, share: float, seed: int) -> str:
    generator, characters = random.Random(seed), list(text)
    for place in generator.sample(range(len(text)), round(share * len(text))):
        characters[place] = generator.choice("雨雪風雲")
    return "".join(characters)


LETTERS = st.text("あいうえ、Ａa１😀𠮷", max_size=60)


@settings(max_examples=60, deadline=None)
@given(st.lists(LETTERS, min_size=1, max_size=5), st.data())
def test_a_run_is_as_long_as_a_naive_search_finds_it(
    tmp_path_factory: pytest.TempPathFactory, documents: list[str], data: st.DataObject
) -> None:
    if not any(map(compared, documents)):
        return
    index = make_index(tmp_path_factory.mktemp("naive"), documents)
    pieces = st.tuples(st.sampled_from(documents), st.integers(0, 30), st.integers(5, 40))
    text = "".join(
        document[start : start + length] for document, start, length in data.draw(st.lists(pieces, max_size=3))
    )
    text += data.draw(LETTERS)
    match = index.look_up(text)
    units = tuple(compared_units(text))
    naive = max(
        SequenceMatcher(None, units, tuple(compared_units(document)), autojunk=False).find_longest_match().size
        for document in documents
    )
    assert match.longest_run == naive or match.longest_run < naive < FOUND_FROM
    assert tuple(compared_units(match.run_text)) in {units[i : i + match.longest_run] for i in range(len(units) + 1)}
    every = [len(grams_of_units(units) & grams_of_units(tuple(compared_units(each)))) for each in documents]
    assert match.shared_grams <= max(every)
    assert match.containment == pytest.approx(match.shared_grams / max(1, len(grams_of_units(units))))


KANJI = st.text([chr(0x4E00 + number) for number in range(300)], max_size=6)
SHORT_COPIES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 374), st.integers(7, 26), KANJI), max_size=5)


@pytest.fixture(scope="module")
def rare(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], NearCopyIndex]:
    generator = random.Random(1)
    documents = ["".join(chr(0x4E00 + generator.randrange(300)) for _ in range(400)) for _ in range(3)]
    return documents, make_index(tmp_path_factory.mktemp("rare"), documents)


@settings(max_examples=60, deadline=None)
@given(SHORT_COPIES)
@example([(0, 40, 18, "々々々"), (1, 40, 11, "一丁"), (1, 53, 7, "")])
@example([(0, 41, 18, "々々々"), (1, 41, 11, "一丁"), (1, 54, 7, "")])
@example([(0, 42, 18, "々々々"), (1, 42, 11, "一丁"), (1, 55, 7, "")])
@example([(0, 43, 18, "々々々"), (1, 43, 11, "一丁"), (1, 56, 7, "")])
def test_the_longest_of_several_short_copies_is_found(
    rare: tuple[list[str], NearCopyIndex], copies: list[tuple[int, int, int, str]]
) -> None:
    documents, index = rare
    text = "".join(documents[number][start : start + length] + between for number, start, length, between in copies)
    run = index.look_up(text).longest_run
    naive = max(
        SequenceMatcher(None, text, document, autojunk=False).find_longest_match().size for document in documents
    )
    assert run == naive or run < naive < FOUND_FROM


def grams_of_units(units: tuple[int, ...]) -> set[tuple[int, ...]]:
    return {units[start : start + GRAM] for start in range(len(units) - GRAM + 1)}


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return [random_text(number, 400 + 97 * number) for number in range(12)]


@pytest.fixture(scope="module")
def index(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> NearCopyIndex:
    return make_index(tmp_path_factory.mktemp("corpus"), corpus)


@pytest.mark.parametrize("share", [0.0, 0.05, 0.1])
def test_planted_copies_are_found_where_they_come_from(index: NearCopyIndex, corpus: list[str], share: float) -> None:
    for seed in range(40):
        document = seed % len(corpus)
        start = (seed * 31) % (len(corpus[document]) - 150)
        original = corpus[document][start : start + 150]
        text = changed(original, share, seed)
        match = index.look_up(text)
        assert (match.document, match.source) == (document, f"work {document}")
        assert match.containment >= (1 - share) ** GRAM - 0.2
        wanted = grams(compared(original)) & grams(compared(text))
        # The passage holds all that the text has in common with what it was copied from.
        assert wanted <= grams(compared(match.passage))
        assert match.shared_grams >= len(wanted)


def test_spaces_width_case_and_punctuation_make_no_difference(tmp_path: Path) -> None:
    document = "吾輩は猫である。名前はまだ無い。ABC カード２０枚、どこで生れたかとんと見当がつかぬ。"
    index = make_index(tmp_path, [random_text(1, 200), document])
    match = index.look_up("「吾輩は…猫であるッ！名前は、まだ無い」ａｂｃ ｶｰﾄﾞ20枚どこで生れたか\nとんと見当がつかぬ")
    plain = index.look_up(document)
    assert plain.containment == 1.0
    assert plain.longest_run == len(compared(document))
    assert plain.run_text == document.translate(str.maketrans("２０", "20")).removesuffix("。")
    assert match.longest_run == len(compared("名前は、まだ無いABCカード20枚どこで生れたかとんと見当がつかぬ"))


@pytest.mark.parametrize("between", ["☆", "😀", "👩🏽‍🚀", "\U000e0100"])
def test_symbols_and_emoji_make_no_difference(index: NearCopyIndex, corpus: list[str], between: str) -> None:
    original = compared(corpus[7])[:120]
    match = index.look_up(between.join(original[start : start + 6] for start in range(0, 120, 6)))
    assert (match.longest_run, match.containment, match.characters) == (120, 1.0, 120)


def test_rare_kanji_are_compared_and_emoji_stay_in_the_passage(tmp_path: Path) -> None:
    generator = random.Random(7)
    document = "".join(generator.choice("𠮷𩸽𠀋山川😀") for _ in range(600))
    index = make_index(tmp_path, [document])
    for start in range(0, 500, 7):
        copy = document[start : start + 60].strip("😀")
        match = index.look_up(copy)
        assert match.run_text == copy
        assert match.longest_run == len(copy.replace("😀", "").encode("utf-16-le")) // 2


def test_inserted_and_left_out_characters_keep_the_place(index: NearCopyIndex, corpus: list[str]) -> None:
    original = compared(corpus[7][100:300])
    text = "".join(piece + "雨" for piece in (original[start : start + 20] for start in range(0, len(original), 21)))
    match = index.look_up(text)
    assert match.document == 7
    assert match.containment > 0.6
    assert match.longest_run == 20


def test_no_run_goes_from_one_document_into_the_next(tmp_path: Path) -> None:
    documents = [random_text(seed, 40) for seed in range(6)]
    index = make_index(tmp_path, documents)
    assert index.look_up("".join(documents)).longest_run == max(len(compared(text)) for text in documents)
    assert index.look_up("".join(documents)).document >= 0


def test_a_document_that_is_there_very_often_is_still_found(tmp_path: Path) -> None:
    document = random_text(5, 150)
    index = make_index(tmp_path, [document] * 300)
    assert index.look_up(document).longest_run == len(compared(document))
    assert index.look_up(document[:140]).containment == 1.0


def test_a_whole_book_can_be_looked_up(index: NearCopyIndex, corpus: list[str]) -> None:
    book = random_text(99, 30_000) + corpus[4] + random_text(98, 30_000)
    match = index.look_up(book)
    assert match.longest_run >= len(compared(corpus[4]))
    assert match.run_source == "work 4"
    assert match.document == 4


@pytest.mark.parametrize("text", ["", "。。。\n", "雨", "雨雪風雲雨雪風", "雨雪風雲雷霜霧霞虹嵐"])
def test_a_text_without_anything_in_common_resembles_nothing(index: NearCopyIndex, text: str) -> None:
    match = index.look_up(text)
    assert (match.longest_run, match.containment, match.document, match.passage) == (0, 0.0, -1, "")


def test_small_chunks_and_processes_make_the_same_index(
    corpus: list[str], index: NearCopyIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = index.folder.parent / "data.jsonl"
    build_index([data], tmp_path / "processes", 2)
    monkeypatch.setattr(build, "CHUNK_UNITS", 1024)
    monkeypatch.setattr(build, "_ROWS", 5)
    build_index([data], tmp_path / "chunks", 1)
    for name in format.FILES:
        expected = (index.folder / name).read_bytes()
        assert (tmp_path / "processes" / name).read_bytes() == expected
        assert (tmp_path / "chunks" / name).read_bytes() == expected
    assert not (tmp_path / "chunks" / "parts").exists()
    assert NearCopyIndex.open(tmp_path / "chunks").look_up(corpus[3]).longest_run == len(compared(corpus[3]))


def test_a_place_is_found_without_a_copy_of_the_ends(index: NearCopyIndex) -> None:
    """A corpus has millions of documents, and every look-up asks for some."""
    many = NearCopyIndex(index.folder, index.manifest)
    many._ends = np.arange(4 * 100_000, dtype="<u8").reshape(-1, 4)
    tracemalloc.start()
    try:
        found = many._document_of(4 * 70_000)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == 70_001
    assert most < 100_000


def test_several_files_are_one_index(corpus: list[str], index: NearCopyIndex, tmp_path: Path) -> None:
    lines = (index.folder.parent / "data.jsonl").read_bytes().splitlines(keepends=True)
    files = []
    for number, part in enumerate((lines[:1], [], lines[1:7], lines[7:])):
        files.append(tmp_path / f"{number}.jsonl")
        files[-1].write_bytes(b"".join(part))
    build_index(files, tmp_path / "index", 1)
    for name in format.FILES:
        assert (tmp_path / "index" / name).read_bytes() == (index.folder / name).read_bytes()


def test_documents_are_called_by_what_is_known_of_them(tmp_path: Path) -> None:
    texts = [random_text(seed, 60) for seed in range(4)]
    rows = [
        {"text": texts[0], "id": "a#0", "meta": {"author": "太宰治", "title": "竹青"}},
        {"text": texts[1], "id": "a#1", "meta": None},
        {"text": texts[2]},
    ]
    (tmp_path / "a.jsonl").write_bytes(b"\n".join(orjson.dumps(row) for row in rows))
    (tmp_path / "b.txt").write_text(texts[3])
    build_index([tmp_path / "a.jsonl", tmp_path / "b.txt"], tmp_path / "index", 1)
    index = NearCopyIndex.open(tmp_path / "index")
    assert [index.look_up(text).source for text in texts] == ["太宰治: 竹青", "a#1", "a.jsonl, document 3", "b.txt"]


def test_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text('{"text": "。"}\n')
    with pytest.raises(UserError, match="there is no text"):
        build_index([tmp_path / "empty.jsonl"], tmp_path / "index", 1)


@pytest.mark.parametrize("name", format.FILES)
def test_a_damaged_index_is_refused(index: NearCopyIndex, tmp_path: Path, name: str) -> None:
    folder = tmp_path / "index"
    shutil.copytree(index.folder, folder)
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: damaged"):
        NearCopyIndex.open(folder)
    (folder / name).write_bytes(content[:-1])
    with pytest.raises(UserError, match=f"{name}: damaged or incomplete"):
        NearCopyIndex.open(folder, verify=False)
    (folder / name).unlink()
    with pytest.raises(UserError, match=f"{name}: damaged or incomplete"):
        NearCopyIndex.open(folder, verify=False)


def test_other_versions_and_other_folders_are_refused(index: NearCopyIndex, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no index of near copies.*launch/index_near_copies\.py"):
        NearCopyIndex.open(tmp_path)
    manifest = (index.folder / format.MANIFEST).read_text()
    for content, message in [
        (manifest.replace('"format": 1', '"format": 2'), "another version"),
        (manifest[:-20], "damaged"),
        ("[]", "damaged"),
        (manifest.replace('"seeds"', '"sed"'), "damaged"),
    ]:
        (tmp_path / format.MANIFEST).write_text(content)
        with pytest.raises(UserError, match=message):
            NearCopyIndex.open(tmp_path)

from pathlib import Path

import pytest
from small_tokenizer import texts, write_documents

from preprocessing.encode.sample import Sample


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sources; web is about three times as large as books."""
    folder = tmp_path_factory.mktemp("corpus")
    return [
        write_documents(folder / "books" / "train-00000-000.jsonl.zst", texts(150, seed=1), "books"),
        write_documents(folder / "web" / "train-00000-000.jsonl.zst", texts(250, seed=2), "web"),
        write_documents(folder / "web" / "train-00001-000.jsonl.zst", texts(250, seed=3), "web"),
    ]


def size(text: str) -> int:
    return len(text.encode())


@pytest.mark.parametrize("weights", [None, {}])
def test_everything_is_taken_of_a_small_corpus(corpus: list[Path], weights: dict[str, float] | None) -> None:
    sample = Sample(corpus, 10**9, weights, seed=0)
    assert list(sample.texts()) == texts(150, seed=1) + texts(250, seed=2) + texts(250, seed=3)
    assert all(source.bytes == source.total_bytes for source in sample.sources.values())


def test_sources_are_sampled_in_proportion_to_their_size(corpus: list[Path]) -> None:
    whole = sum(size(text) for text in Sample(corpus, 10**9, None, seed=0).texts())
    sample = Sample(corpus, whole // 4, None, seed=0)
    taken = list(sample.texts())
    assert sum(map(size, taken)) == sum(source.bytes for source in sample.sources.values())
    assert len(taken) == sum(source.documents for source in sample.sources.values())
    for source in sample.sources.values():
        assert source.rate == pytest.approx(0.25, rel=1e-3)
        assert source.bytes == pytest.approx(source.total_bytes / 4, rel=0.3)


def test_weights_decide_the_shares(corpus: list[Path]) -> None:
    sample = Sample(corpus, 100_000, {"books": 3, "web": 1}, seed=0)
    list(sample.texts())
    assert sample.sources["books"].bytes == pytest.approx(75_000, rel=0.3)
    assert sample.sources["web"].bytes == pytest.approx(25_000, rel=0.4)


def test_a_source_without_weight_is_left_out(corpus: list[Path]) -> None:
    sample = Sample(corpus, 10**9, {"books": 1}, seed=0)
    assert list(sample.texts()) == texts(150, seed=1)
    assert sample.sources["web"].documents == 0


def test_the_choice_depends_on_content_and_seed_alone(corpus: list[Path], tmp_path: Path) -> None:
    chosen = set(Sample(corpus, 100_000, None, seed=0).texts())
    mixed = write_documents(tmp_path / "all.jsonl.zst", (texts(250, seed=3) + texts(250, seed=2))[::-1], "web")
    assert set(Sample([mixed, corpus[0]], 100_000, None, seed=0).texts()) == chosen
    assert set(Sample(corpus, 100_000, None, seed=1).texts()) != chosen


def test_a_larger_sample_contains_a_smaller_one(corpus: list[Path]) -> None:
    small, large = (set(Sample(corpus, size, None, seed=0).texts()) for size in (50_000, 150_000))
    assert small < large

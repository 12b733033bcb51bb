import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jp_llm.data.stream as stream_module
from jp_llm.data.dataset import TokenDataset
from jp_llm.data.windows import num_windows
from jp_llm.runtime.errors import ExitCode, UserError
from jp_llm.shards.manifest import DatasetManifest
from jp_llm.shards.reader import ShardReader

Make = Callable[..., tuple[Path, DatasetManifest]]
SIZES = {"web": {"train": [57, 3, 0, 40]}, "aozora": {"train": [35]}}


def all_windows(folder: Path, manifest: DatasetManifest, source: str, seq_length: int) -> list[list[int]]:
    """What the windows of a source should be, from the whole stream in memory."""
    readers = [ShardReader(folder / shard.name) for shard in manifest.shards("train", source)]
    ids = np.concatenate([reader.tokens(0, reader.num_tokens) for reader in readers]).tolist()
    starts = range(0, len(ids) - seq_length, seq_length)
    return [ids[start : start + seq_length + 1] for start in starts]


def open_dataset(folder: Path, manifest: DatasetManifest, **changes: Any) -> TokenDataset:
    options: dict[str, Any] = {"split": "train", "seq_length": 8, "seed": 1, **changes}
    return TokenDataset(folder, manifest, **options)


@settings(deadline=None, max_examples=25)
@given(
    shards=st.lists(st.integers(0, 60), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 0),
    seq_length=st.integers(1, 40),
    dtype=st.sampled_from(["uint16", "int32"]),
)
def test_an_epoch_is_every_window_once_across_shard_borders(
    make_dataset: Make, shards: list[int], seq_length: int, dtype: str
) -> None:
    tokens = seq_length + 1 + sum(shards)
    folder, manifest = make_dataset(
        {"web": {"train": [*shards, seq_length + 1]}, "b": {"train": [tokens]}}, dtype=dtype
    )
    dataset = open_dataset(folder, manifest, seq_length=seq_length)
    expected = [window for source in ("web", "b") for window in all_windows(folder, manifest, source, seq_length)]
    assert dataset.num_windows == 2 * ((tokens - 1) // seq_length) == len(expected)
    rows = dataset.samples(np.arange(dataset.num_windows))
    assert rows.dtype == np.int64
    assert sorted(rows.tolist()) == sorted(expected)


def test_windows_share_one_token_and_the_short_rest_is_dropped(make_dataset: Make) -> None:
    dataset = open_dataset(
        *make_dataset({"web": {"train": [60], "validation": [30]}}), split="validation", seq_length=10
    )
    rows, _ = dataset.evaluation_samples("web", 100)
    assert rows.tolist() == [
        [1, *range(101, 110), 1],
        [1, *range(111, 120), 1],
    ]
    assert [num_windows(tokens, 10) for tokens in (0, 1, 10, 11, 20, 21)] == [0, 0, 0, 1, 1, 2]


def test_evaluation_samples_are_the_first_in_plain_order(make_dataset: Make) -> None:
    folder, manifest = make_dataset({"web": {"train": [50], "validation": [64, 64]}, "b": {"train": [50]}})
    dataset = open_dataset(folder, manifest, split="validation")
    assert dataset.sources == ("web",)
    rows, _ = dataset.evaluation_samples("web", 5)
    assert rows.shape == (5, 9)
    assert (rows[1:, 0] == rows[:-1, -1]).all()
    assert rows[:, 1:].ravel()[:12].tolist() == [*range(101, 110), 1, 111, 112]
    assert len(dataset.evaluation_samples("web", 1000)[0]) == dataset.num_windows == 15
    # What turns loss per token into bits per character.
    assert manifest.tokens("validation", "web") / manifest.characters("validation", "web") == 0.5


def test_held_out_text_that_is_too_short_is_named_not_evaluated(make_dataset: Make) -> None:
    sizes = {"web": {"train": [50], "validation": [50]}, "b": {"train": [50], "validation": [5]}, "c": {"train": [50]}}
    dataset = open_dataset(*make_dataset(sizes), split="validation")
    assert dataset.too_short == ("b", "c")
    assert dataset.sources == ("web",)
    with pytest.raises(UserError, match="source 'b' has 5 validation tokens, but one sample"):
        dataset.evaluation_samples("b", 1)


def test_one_sample(make_dataset: Make) -> None:
    dataset = open_dataset(*make_dataset(SIZES))
    assert dataset.sample(5).tolist() == dataset.samples([3, 5])[1].tolist()
    assert dataset.sample(10**15).shape == (9,)
    with pytest.raises(IndexError, match="sample -1"):
        dataset.sample(-1)


def test_weights_choose_sources_in_their_shares(make_dataset: Make) -> None:
    folder, manifest = make_dataset({"web": {"train": [500]}, "aozora": {"train": [500]}, "c": {"train": [50]}})
    dataset = open_dataset(folder, manifest, weights={"aozora": 3.0, "web": 1.0})
    assert dataset.sources == ("web", "aozora")
    assert dataset.epochs(2**16) == pytest.approx({"web": 2**14 / 62, "aozora": 3 * 2**14 / 62})
    # The order in which weights are written, and their scale, mean nothing.
    other = open_dataset(folder, manifest, weights={"web": 0.25, "aozora": 0.75})
    assert other.fingerprint == dataset.fingerprint
    assert (other.samples(range(200)) == dataset.samples(range(200))).all()


def test_fingerprint_knows_everything_that_decides_a_sample(make_dataset: Make) -> None:
    folder, manifest = make_dataset(
        {"web": {"train": [100], "validation": [100]}, "b": {"train": [90], "validation": [90]}}
    )
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 2},
        {"seq_length": 9},
        {"split": "validation"},
        {"weights": {"web": 1.0, "b": 1.0}},
        {"weights": {"web": 1.0, "b": 2.0}},
        {"weights": {"web": 1.0}},
    ]
    fingerprints = [open_dataset(folder, manifest, **change).fingerprint for change in changes]
    assert len(set(fingerprints)) == len(changes)
    assert open_dataset(folder, manifest).fingerprint == fingerprints[0]


def test_few_files_are_open_at_a_time(make_dataset: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "MAX_OPEN_SHARDS", 3)
    dataset = open_dataset(*make_dataset({"web": {"train": [40] * 12}}))

    def mapped() -> int:
        return Path("/proc/self/maps").read_text().count("/shards/web/")

    before = mapped()
    for index in range(dataset.num_windows):
        dataset.sample(index)
        assert mapped() - before <= 3
    assert mapped() - before == 3


def test_only_bin_files_are_needed(make_dataset: Make) -> None:
    folder, manifest = make_dataset(SIZES)
    for path in (*folder.rglob("*.idx"), *folder.rglob("train-*.json")):
        path.unlink()
    dataset = open_dataset(folder, manifest)
    assert dataset.samples(np.arange(dataset.num_windows)).shape == (dataset.num_windows, 9)


def test_source_too_short_for_a_window_is_refused_by_name(make_dataset: Make) -> None:
    folder, manifest = make_dataset({"web": {"train": [50]}, "tiny": {"train": [5, 3]}, "none": {"train": []}})
    with pytest.raises(UserError) as caught:
        open_dataset(folder, manifest)
    assert [problem.split("; ")[0] for problem in caught.value.problems] == [
        f"{folder}: source 'tiny' has 8 train tokens, but one sample of train.seq_length=8 takes 9",
        f"{folder}: source 'none' has 0 train tokens, but one sample of train.seq_length=8 takes 9",
    ]
    assert open_dataset(folder, manifest, weights={"web": 1.0}).num_windows == 6


def test_unknown_sources_and_splits_are_refused(make_dataset: Make) -> None:
    folder, manifest = make_dataset(SIZES)
    with pytest.raises(UserError, match=r"data\.weights\.wev: .* did you mean 'web'\?") as caught:
        open_dataset(folder, manifest, weights={"wev": 1.0})
    assert caught.value.code == ExitCode.CONFIG_REFUSED
    with pytest.raises(UserError, match="no validation tokens in any of its sources"):
        open_dataset(folder, manifest, split="validation")


def test_truncated_and_missing_shards_are_refused_on_open(make_dataset: Make) -> None:
    folder, manifest = make_dataset({"web": {"train": [20] * 15}})
    paths = sorted(folder.rglob("*.bin"))
    paths[0].write_bytes(paths[0].read_bytes()[:-1])
    for path in paths[1:12]:
        path.unlink()
    with pytest.raises(UserError) as caught:
        open_dataset(folder, manifest)
    assert f"{paths[0]}: 39 bytes, but the manifest says 40" in caught.value.problems[0]
    assert f"{paths[1]}: missing" in caught.value.problems[1]
    assert caught.value.problems[10:] == (f"{folder}: 2 more; launch/check_shards.py lists them all",)


def test_shard_that_goes_away_later_is_named(make_dataset: Make) -> None:
    folder, manifest = make_dataset({"web": {"train": [50]}})
    dataset = open_dataset(folder, manifest)
    (folder / "shards/web/train-00000.bin").unlink()
    with pytest.raises(UserError, match=r"train-00000\.bin: missing"):
        dataset.sample(0)


@pytest.mark.parametrize(("token", "dtype"), [(150, "uint16"), (60_000, "uint16"), (-5, "int32")])
def test_id_beyond_the_vocabulary_names_the_shard(make_dataset: Make, token: int, dtype: str) -> None:
    folder, manifest = make_dataset({"web": {"train": [20, 20]}}, vocab_size=150, dtype=dtype)
    path = folder / "shards/web/train-00001.bin"
    ids = np.fromfile(path, dtype)
    ids[12] = token
    ids.tofile(path)
    dataset = open_dataset(folder, manifest)
    with pytest.raises(UserError, match=rf"train-00001\.bin: id {token} at token 12, .* has 150 ids.*check_shards"):
        dataset.samples(range(dataset.num_windows))


def test_a_trillion_tokens_open_in_little_memory(tmp_path: Path) -> None:
    # Sparse files, as long as real ones; the peak of resident memory is measured in a fresh process.
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from jp_llm.data.dataset import TokenDataset
        from jp_llm.shards.manifest import DatasetManifest, ShardManifest, TokenizerRecord

        folder, tokens, sources = Path(sys.argv[1]), 500_000_000, {}
        for source in ("web", "news", "books", "wikipedia"):
            (folder / "shards" / source).mkdir(parents=True)
            names = [f"shards/{source}/train-{index:05d}" for index in range(500)]
            for name in names:
                with (folder / f"{name}.bin").open("wb") as file:
                    file.truncate(2 * tokens)
            shards = [ShardManifest(name, 1, tokens, 1, 1, "uint16", 2 * tokens, name, 54, name) for name in names]
            sources[source] = {"train": tuple(shards)}
        tokenizer = TokenizerRecord("tokenizer", "ab", "sentencepiece", "0.2.3", 100, 0, 1, 2, 3)
        DatasetManifest(tokenizer, "uint16", "c0", sources).save(folder)
        del sources, shards, names

        def peak():
            # Not getrusage: its maximum can be that of the process that started this one.
            (line,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
            return int(line.split()[1]) * 1024

        before = peak()
        manifest = DatasetManifest.load(folder)
        for weights in (None, {"web": 0.6, "news": 0.2, "books": 0.1, "wikipedia": 0.1}):
            dataset = TokenDataset(folder, manifest, split="train", seq_length=2048, seed=1, weights=weights)
            for start in (0, 10**9, 10**12):
                assert dataset.samples(range(start, start + 512)).shape == (512, 2049)
        print(manifest.tokens("train"), dataset.num_windows, peak() - before)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, tmp_path], capture_output=True, text=True, check=True)
    tokens, windows, growth = map(int, done.stdout.split())
    assert (tokens, windows) == (10**12, 4 * ((250_000_000_000 - 1) // 2048))
    assert growth < 100e6

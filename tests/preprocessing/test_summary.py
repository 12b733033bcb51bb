import pytest

from jp_llm.runtime.errors import UserError
from jp_llm.shards.manifest import ShardManifest
from preprocessing.summary import SourceSummary, check_not_empty, table


def summary(train=8, validation=2, **counts):
    made = SourceSummary()
    made.counts.documents_in = 12
    made.counts.documents_out.update({"train": train, "validation": validation})
    made.counts.dropped.update({"length.too_short": 2})
    made.counts.characters, made.counts.bytes, made.counts.cpu_seconds = 1000, 3_000_000, 0.2
    for key, value in counts.items():
        setattr(made.counts, key, value)
    return made


def shard(tokens):
    return ShardManifest("shards/web/train-00000", 8, tokens, 800, 2400, "uint16", 2 * tokens, "0", 100, "0")


def test_what_is_printed():
    web, books = summary(), summary(skipped_members=3)
    web.counts.rejected["json"] += 1
    assert table({"web": web}).splitlines()[1] == (
        "web       13      8           2       1,000       -            -           15.0"
    )
    for source in (web, books):
        source.add_shard("train", shard(420), 0.1)
        source.add_shard("validation", shard(100), 0.0)
    assert table({"web": web, "books": books}).splitlines() == [
        "source  read  train  validation  characters  tokens  chars/token  MB/s per core",
        "web       13      8           2       1,000     520        2.000           10.0",
        "books     12      8           2       1,000     520        2.000           10.0",
        "total     25     16           4       2,000   1,040        2.000           10.0",
        "web: rejected json 1",
        "web: dropped length.too_short 2",
        "books: dropped length.too_short 2",
        "books: 3 archive members not selected by `files`",
    ]
    assert web.to_json()["tokens"] == {"train": 420, "validation": 100}


def test_after_deduplication_the_result_is_what_remains():
    web = summary()
    web.deduplicated.documents_in = 10
    web.deduplicated.documents_out.update({"train": 5, "validation": 1})
    web.deduplicated.dropped["near_duplicate"] = 4
    web.deduplicated.characters, web.deduplicated.bytes, web.deduplicated.cpu_seconds = 600, 1_800_000, 0.3
    web.add_shard("train", shard(312), 0.1)
    found = web.to_json()
    assert (found["documents_out"], found["characters"]) == ({"train": 5, "validation": 1}, 600)
    assert found["dropped"] == {"length.too_short": 2, "near_duplicate": 4}
    assert found["documents_in"] == 12 == sum(found["documents_out"].values()) + sum(found["dropped"].values())
    assert found["characters_per_token"] == 600 / 300
    assert found["megabytes_per_second_per_core"] == pytest.approx(1.8 / (0.2 + 0.3 + 0.1))
    assert table({"web": web}).splitlines()[1:] == [
        "web       12      5           1         600     312        2.000            3.0",
        "web: dropped near_duplicate 4, length.too_short 2",
    ]


def test_sources_without_training_documents_are_named_with_the_reasons():
    empty, held_out = summary(train=0, validation=0), summary(train=0)
    empty.counts.rejected["encoding"] += 5
    with pytest.raises(UserError) as caught:
        check_not_empty({"web": summary(), "empty": empty, "tiny": held_out}, "corpora/x")
    assert caught.value.problems == (
        "sources.empty: no training documents are left; 12 documents read; "
        "rejected: encoding 5 (see corpora/x/rejects); dropped: length.too_short 2",
        "sources.tiny: no training documents are left; 12 documents read; dropped: length.too_short 2; "
        "2 held out for validation",
        "mend the configuration and delete corpora/x, or choose another output_dir",
    )

import hashlib
import json

from raw import COMPRESS, config, tar

from preprocessing.run import run


def blake2b(data):
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def test_every_input_and_output_is_in_the_manifest(tmp_path, tokenizer):
    lines = "\n".join(f"{number}番目の文書です。" for number in range(300)).encode()
    raw = {
        "a.txt": lines,
        "b.gz": COMPRESS["gzip"](lines),
        "c.tar": tar({f"{number}.txt": lines[:100].decode(errors="ignore").encode() for number in range(30)}),
        "d.xz": COMPRESS["xz"](lines * 3),
    }
    for name, data in raw.items():
        (tmp_path / name).write_bytes(data)
    stages = ["clean", "tokenizer", "encode"]
    wanted = config(
        tmp_path / "out",
        [tmp_path / name for name in raw],
        unit_bytes=3000,
        split_above_bytes=len(raw["b.gz"]),
        stages=stages,
        tokenizer={"path": str(tokenizer)},
    )
    run(wanted)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert manifest["config"] == wanted.fingerprint()
    assert {"jp-llm", "python", "unicode", "numpy", "sentencepiece"} <= manifest["versions"].keys()
    inputs = manifest["inputs"]["web"]
    assert {name: item["size"] for name, item in inputs.items()} == {name: len(data) for name, data in raw.items()}
    parts = inputs["a.txt"]["content"]
    assert len(parts) > 1
    assert [part["blake2b"] for part in parts] == [blake2b(lines[part["start"] : part["end"]]) for part in parts]
    assert (parts[0]["start"], parts[-1]["end"]) == (0, len(lines))
    for name in ("b.gz", "c.tar", "d.xz"):
        assert inputs[name]["content"] == [{"blake2b": blake2b(raw[name])}]
    files = {
        path.relative_to(tmp_path / "out").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for part in ("documents", "shards", "tokenizer")
        for path in (tmp_path / "out" / part).rglob("*")
        if path.is_file()
    }
    dataset = hashlib.sha256((tmp_path / "out" / "dataset.json").read_bytes()).hexdigest()
    assert manifest["outputs"] == files | {"dataset.json": dataset}

    # The same corpus anew, with its documents dropped on the way.
    run(config_without_documents(wanted, tmp_path / "again"))
    again = json.loads((tmp_path / "again" / "manifest.json").read_text())
    assert not list((tmp_path / "again" / "documents").rglob("*.zst"))
    kept = {name: digest for name, digest in manifest["outputs"].items() if not name.startswith("documents/")}
    assert again == manifest | {"outputs": kept}
    # And continued: the documents that are gone are not missed.
    run(config_without_documents(wanted, tmp_path / "again"))


def config_without_documents(wanted, output):
    return wanted.model_copy(update={"keep_documents": False, "output_dir": str(output)})


def test_documents_that_an_earlier_run_dropped_are_not_missed(tmp_path, tokenizer):
    (tmp_path / "a.txt").write_text("\n".join(f"{number}番目の文書です。" for number in range(300)))
    wanted = config(
        tmp_path / "out",
        [tmp_path / "a.txt"],
        stages=["clean", "tokenizer", "encode"],
        tokenizer={"path": str(tokenizer)},
        keep_documents=False,
    )
    run(wanted)
    dropping = (tmp_path / "out" / "manifest.json").read_bytes()
    run(wanted.model_copy(update={"keep_documents": True}))
    assert (tmp_path / "out" / "manifest.json").read_bytes() == dropping

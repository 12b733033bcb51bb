import subprocess
import sys

import pytest

from jp_llm.config.app import CONFIG_FOLDER, composed
from jp_llm.config.build import build
from jp_llm.runtime import plugin
from jp_llm.runtime.errors import ExitCode, UserError
from preprocessing.config import CorpusConfig
from preprocessing.step import Filter, Mapper, Reader


def values(**changes):
    source = {"reader": {"type": "jsonl", "text_field": "content"}, "paths": ["raw/*.jsonl.gz"], "steps": []}
    return {"name": "web", "output_dir": "corpora/web", "sources": {"web": source | changes}}


def problems(config):
    with pytest.raises(UserError) as caught:
        build(CorpusConfig, config)
    assert caught.value.code == ExitCode.CONFIG_REFUSED
    return caught.value.problems


def test_a_source_builds_its_reader_and_steps():
    config = build(CorpusConfig, values(steps=[{"type": "whitespace"}, {"type": "length", "minimum": 200}]))
    source = config.sources["web"]
    assert source.build_reader().model_dump()["text_field"] == "content"
    assert [type(step).__name__ for step in source.build_steps()] == ["WhitespaceMapper", "LengthFilter"]
    assert source.build_steps()[1].model_dump() == {"minimum": 200, "maximum": None}


def test_an_unknown_preset_is_a_problem_of_its_source():
    assert any(
        "steps" in problem and "did you mean 'plain'?" in problem
        for problem in problems(values(steps=[{"preset": "plane"}]))
    )


def test_a_source_of_the_chosen_corpus_can_be_left_out():
    config = values()
    config["sources"]["tweets"] = None
    assert list(build(CorpusConfig, config).sources) == ["web"]


def test_one_path_needs_no_list():
    assert build(CorpusConfig, values(paths="a.txt")).sources["web"].paths == ("a.txt",)


def test_lines_of_json_are_not_taken_for_text():
    reader = {"type": "text", "document": "line"}
    found = problems(values(reader=reader, paths=["persona.txt", "posts.jsonl", "more.jsonl.gz"]))
    assert [problem.split(": ")[1] for problem in found] == ["posts.jsonl", "more.jsonl.gz"]
    assert "set reader.type=jsonl" in found[0]


def test_every_problem_is_named_at_once_with_its_path_and_the_nearest_name():
    steps = [
        {"type": "whitespce"},
        {"type": "length", "minimun": 5},
        {"minimum": 5},
        {"type": "length", "minimum": "x"},
    ]
    config = values(reader={"type": "jsonl", "text_feild": "content"}, steps=steps, paths=[])
    config["sources"]["bad name"] = {"reader": {"type": "aozra"}, "paths": ["x"]}
    config["tokenizer"] = {"source_weights": {"wbe": 1.0}}
    config["name"] = "../web"
    found = problems(config)
    expected = [
        "name: '../web': letters, digits",
        "sources.web.reader.text_feild: no such key; did you mean text_field?",
        "sources.web.paths: name files, folders or patterns",
        "sources.web.steps.0.type: no 'whitespce' in preprocessing/mappers or preprocessing/filters; did you mean 'whi",
        "sources.web.steps.1.minimun: no such key; did you mean minimum?",
        "sources.web.steps.2.type: missing; known: ",
        "sources.web.steps.3.minimum: input should be a valid integer, got 'x'",
        "sources.bad name: letters, digits",
        "sources.bad name.reader.type: no 'aozra' in preprocessing/readers; did you mean 'aozora'?",
        "tokenizer.source_weights.wbe: no such source; did you mean 'web'?",
    ]
    assert len(found) == len(expected)
    for problem, beginning in zip(found, expected, strict=True):
        assert problem.startswith(beginning)


def test_keys_of_the_schema_are_checked_too():
    assert problems(values(stepz=[])) == ("sources.web.stepz: no such key; did you mean sources.steps?",)
    assert problems(values() | {"validation_fraction": 1.0})[0].startswith("validation_fraction: ")
    assert problems(values() | {"stages": []})[0].startswith("stages: must not be empty")
    assert problems(values() | {"sources": {}})[0].startswith("sources: must not be empty")


def test_the_fingerprint_depends_on_what_decides_the_content():
    def fingerprint(**changes):
        return build(CorpusConfig, values() | changes).fingerprint()

    same = {"output_dir": "x", "num_workers": 3, "stages": ["clean"], "on_damaged_file": "skip"}
    assert fingerprint(**same) == fingerprint()
    assert fingerprint(unit_bytes=100) != fingerprint()
    assert fingerprint(tokenizer={"vocab_size": 1000}) != fingerprint()


@pytest.mark.parametrize(
    ("package", "base"),
    [("preprocessing.readers", Reader), ("preprocessing.mappers", Mapper), ("preprocessing.filters", Filter)],
)
def test_every_plug_in_is_of_its_kind_and_documented(package, base):
    for name in plugin.names(package):
        found = plugin.load(package, name)
        assert issubclass(found, base)
        assert found.__doc__
        assert all(field.description for field in found.model_fields.values())


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIG_FOLDER / "corpus").glob("*.yaml")))
def test_every_corpus_of_ours_is_right(name):
    more = ["sources.web={reader: {type: text}, paths: [a.txt]}"] if name == "custom" else []
    config, _ = composed("corpus", [f"corpus={name}", *more])
    for source in config["sources"].values():
        source["paths"] = source["paths"] or ["somewhere.tar.zst"]
    assert build(CorpusConfig, config).name == name


def test_checking_a_configuration_loads_nothing_heavy():
    script = (
        "import sys; from jp_llm.config.build import build; from preprocessing.config import CorpusConfig\n"
        f"build(CorpusConfig, {values(steps=[{'type': 'characters'}])!r})\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
